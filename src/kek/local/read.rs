//! Reading a keyring file, and telling whether it is another one now.
use crate::{Error, Result, rt::open_at_once};
use std::{
    fs::{self, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};
use zeroize::Zeroizing;

/// No keyring is longer: some 100,000 versions.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// A file's text, and which file it was.
pub(super) struct Text {
    pub(super) text: Zeroizing<Vec<u8>>,
    pub(super) stamp: Stamp,
}

/// Which file stood there. A writer puts another one in its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([i64; 5]);

impl Stamp {
    /// Of the file that stands there now; `None` if that cannot be told.
    pub(super) fn now(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|about| Self::of(&about))
    }

    #[cfg(unix)]
    fn of(about: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let (device, inode, size) = (about.dev() as i64, about.ino() as i64, about.size() as i64);
        Self([device, inode, size, about.ctime(), about.ctime_nsec()])
    }

    #[cfg(not(unix))]
    fn of(about: &Metadata) -> Self {
        let modified = about.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        Self([about.len() as i64, modified.map_or(0, |t| t.as_nanos() as i64), 0, 0, 0])
    }
}

/// Reads a keyring file that is nobody else's business.
pub(super) fn read(path: &Path) -> Result<Text> {
    read_private(path, "keyring", MAX_FILE)
}

/// Reads a file of secrets, a `noun`, of at most so many bytes.
pub(super) fn read_private(path: &Path, noun: &str, most: u64) -> Result<Text> {
    let what = |e| Error::io(format!("{noun} {}", path.display()), e);
    let mut file = open_at_once(OpenOptions::new().read(true), path).map_err(what)?;
    let about = file.metadata().map_err(what)?;
    if !about.is_file() {
        return Err(Error::misuse(format!("{noun} {}: not a regular file", path.display())));
    }
    private(&about, path, noun)?;
    if about.len() > most {
        return Err(Error::limit(format!("{noun} {}: longer than {most} bytes", path.display())));
    }
    // Once, and large enough: a vector that grows leaves copies of keys behind. Nor by
    // read_to_end, which has what is short go over the stack.
    let mut text = Zeroizing::new(vec![0; about.len() as usize]);
    let mut filled = 0;
    loop {
        match file.read(&mut text[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(what(e)),
        }
    }
    text.truncate(filled);
    Ok(Text { text, stamp: Stamp::of(&about) })
}

#[cfg(unix)]
fn private(about: &Metadata, path: &Path, noun: &str) -> Result<()> {
    use crate::arch::effective_user;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (mode, owner) = (about.permissions().mode() & 0o777, about.uid());
    let said = if mode & 0o077 != 0 {
        format!("others can read this {noun}, or write it (mode {mode:o}): chmod 600")
    } else if owner != 0 && owner != effective_user() {
        format!("another user owns this {noun} (uid {owner})")
    } else {
        return Ok(());
    };
    Err(Error::misuse(format!("{}: {said}", path.display())))
}

#[cfg(not(unix))]
fn private(_: &Metadata, _: &Path, _: &str) -> Result<()> {
    Ok(())
}
