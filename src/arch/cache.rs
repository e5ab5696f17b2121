//! What the system remembers of files.
use std::fs::File;

/// Has the next read of a file's first `len` bytes ask the disk, where the system can be told
/// so and they are not waiting to be written.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn forget_cached(file: &File, len: i32) {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open; the rest are numbers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, libc::off_t::from(len), libc::POSIX_FADV_DONTNEED) };
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn forget_cached(_: &File, _: i32) {}
