//! Files that are there: to read, or locked to be changed. Every error names the file.
use super::disk;
use crate::{Error, Result, arch::forget_cached};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// No two copies of a header are longer.
const HEADERS: i32 = 128 << 10;

/// An open file that knows its name.
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
}

impl OpenFile {
    /// Opens a file to read it.
    pub(crate) fn to_read(path: &Path) -> Result<Self> {
        let file = disk::open(OpenOptions::new().read(true), path).map_err(|e| cannot(path, e))?;
        Ok(Self { file, path: path.into() })
    }

    /// Opens a file to read and write it, and locks it against other writers until it is
    /// dropped.
    pub(crate) fn locked(path: &Path) -> Result<Self> {
        loop {
            let file = open_at_once(OpenOptions::new().read(true).write(true), path);
            let file = Self { file: file.map_err(|e| cannot(path, e))?, path: path.into() };
            if !file.about()?.is_file() {
                return Err(Error::misuse(format!("{} is not a regular file", path.display())));
            }
            file.lock()?;
            // Whoever had the lock before may have put another file there: that one is to be
            // locked.
            if file.is_still_there()? {
                // After a sync that failed, the cache tells of bytes that never reached the
                // disk: what is to be trusted, or mended, is what the disk has.
                forget_cached(&file.file, HEADERS);
                return Ok(file);
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn about(&self) -> Result<Metadata> {
        disk::about(&self.file).map_err(|e| cannot(&self.path, e))
    }

    /// Whether its name still leads to this file.
    pub(crate) fn is_still_there(&self) -> Result<bool> {
        let now = disk::about_target(&self.path).map_err(|e| cannot(&self.path, e))?;
        Ok(is_same(&self.about()?, &now))
    }

    /// Has all that was written survive a crash.
    pub(crate) fn sync(&self) -> Result<()> {
        disk::sync_data(&self.file).map_err(|e| cannot(&self.path, e))
    }

    fn lock(&self) -> Result<()> {
        loop {
            match disk::lock(&self.file) {
                // A signal, and not the lock, ended the wait.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                locked => return locked.map_err(|e| cannot(&self.path, e)),
            }
        }
    }
}

impl Read for OpenFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        disk::read(&self.file, bytes).map_err(|e| named(&self.path.display().to_string(), &e))
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        disk::write(&self.file, bytes)
            .map_err(|e| named(&format!("cannot write {}", self.path.display()), &e))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// The same error, of the same kind: who reads or writes goes on after some.
pub(super) fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Opening a fifo would wait for whoever writes it.
pub(crate) fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK);
    disk::open(options, path)
}

/// Through symbolic links: what replaces the file leaves them.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn cannot(path: &Path, error: io::Error) -> Error {
    Error::io(path.display(), error)
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    a.len() == b.len() && a.modified().ok() == b.modified().ok()
}
