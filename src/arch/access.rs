//! Who may open a file, beyond what its mode says.
use std::fs::File;

/// Whether a file has an access list. If so, what its mode says of the group is a bound on
/// what the list gives, and not what the group has: acl(5).
#[cfg(target_os = "linux")]
pub(crate) fn has_access_list(file: &File) -> bool {
    use std::os::fd::AsRawFd;
    let (name, nowhere) = (c"system.posix_acl_access", std::ptr::null_mut());
    // SAFETY: the name ends in NUL; with a length of 0 nothing is written.
    unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), nowhere, 0) > 0 }
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn has_access_list(_: &File) -> bool {
    false
}
