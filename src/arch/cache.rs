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

/// Has these bytes of a file go to the disk from now on, and does not wait for it, where the
/// system can be told so. Whether they arrive, a sync says.
#[cfg(target_os = "linux")]
pub(crate) fn begin_writing(file: &File, from: u64, len: u64) {
    use std::os::fd::AsRawFd;
    let (Ok(from), Ok(len)) = (from.try_into(), len.try_into()) else { return };
    // SAFETY: the descriptor is open; the rest are numbers.
    unsafe { libc::sync_file_range(file.as_raw_fd(), from, len, libc::SYNC_FILE_RANGE_WRITE) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn begin_writing(_: &File, _: u64, _: u64) {}
