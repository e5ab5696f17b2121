//! Whose process this is.

/// The effective user, who files are opened as.
#[cfg(unix)]
#[cfg_attr(not(test), allow(dead_code, reason = "asked where keyrings are read"))]
pub(crate) fn effective_user() -> u32 {
    // SAFETY: a question without arguments, which always succeeds.
    unsafe { libc::geteuid() }
}
