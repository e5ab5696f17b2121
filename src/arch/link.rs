//! Giving files names that are not taken: what std lacks.
use std::{fs::File, io, path::Path};

/// Names an open file `target`, which must not exist. Linux: open(2), O_TMPFILE.
#[cfg(target_os = "linux")]
pub(crate) fn link_open_file(file: &File, target: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let from = c_string(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))?;
    let to = c_string(target)?;
    // SAFETY: both are strings that end in NUL and live until the call returns.
    let r = unsafe {
        libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::AT_SYMLINK_FOLLOW)
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn link_open_file(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Renames, and never replaces: if there is a `target`, that is an error. InvalidInput or
/// Unsupported where the file system or the kernel does not know how.
#[cfg(target_os = "linux")]
pub(crate) fn rename_new(from: &Path, target: &Path) -> io::Result<()> {
    let (from, to) = (c_string(from)?, c_string(target)?);
    // SAFETY: both are strings that end in NUL and live until the call returns.
    let r = unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::RENAME_NOREPLACE)
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn rename_new(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn c_string(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_taken_stays_taken() {
        let folder = std::env::temp_dir().join(format!("libkms-link-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (a, b) = (folder.join("a"), folder.join("b"));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&b).unwrap(), b"b");
        rename_new(&a, &folder.join("c")).unwrap();
        assert!(!a.exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
