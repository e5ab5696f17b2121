//! A clock that counts suspended time, which `std::time::Instant` does not on Linux.
use std::time::Duration;

/// Time since some moment of the past, suspend included (CLOCK_BOOTTIME): a DEK must not
/// outlive its time in a laptop that sleeps or a virtual machine that is paused.
pub(crate) fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec, which is ours.
    let r = unsafe { libc::clock_gettime(CLOCK, &raw mut t) };
    assert_eq!(r, 0, "the kernel has this clock since 2.6.39");
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn moves_forward() {
        let a = super::since_boot();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(super::since_boot() > a);
    }
}
