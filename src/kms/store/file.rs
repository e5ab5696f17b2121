//! One header in a file of its own.
use crate::{
    Error, Result,
    rt::{NewFile, OpenFile, open_at_once, real_path, sync_directory_of},
};
use std::{
    error::Error as _,
    fs::OpenOptions,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// A header and its mac are no longer.
const MOST: u64 = 65536;

/// A file that holds one header, for reference records elsewhere: `kms seal --header`. It is
/// written whole or not at all. What it says is read as it is, and not trusted.
#[derive(Clone, Debug)]
pub struct HeaderFile {
    path: PathBuf,
}

impl HeaderFile {
    /// The file at `path`, which need not be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes, at most 65536; `None` if there is no file. Blocks.
    ///
    /// # Errors
    /// Io; Misuse if it is no regular file; Malformed if it is longer than any header.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let path = &self.path;
        let what = |e| Error::io(format!("cannot read {}", path.display()), e);
        let file = match open_at_once(OpenOptions::new().read(true), path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(what)?,
        };
        if !file.metadata().map_err(what)?.is_file() {
            return Err(Error::misuse(format!("{} is not a regular file", path.display())));
        }
        read_from(&file, path).map(Some)
    }

    /// Makes the file, synced with its directory. `false`, and nothing is written, if there is
    /// one: that, too, is on disk then. Blocks.
    ///
    /// # Errors
    /// Io; Limit if the header is longer than any.
    pub fn insert(&self, header: &[u8]) -> Result<bool> {
        match self.write(&self.path, header, false)?.commit(false) {
            Ok(()) => Ok(true),
            Err(e) if io_kind(&e) == Some(io::ErrorKind::AlreadyExists) => {
                // Whoever made it may not have come so far.
                self.sync_name()?;
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Puts `new` in the place of `old`, synced; `false` if the file holds anything else, or
    /// is not there. Others who replace wait. The new file has the mode of the old one, and its
    /// owner and group where this process may set them. Blocks.
    ///
    /// # Errors
    /// As [`insert`](Self::insert) and [`read`](Self::read).
    pub fn replace(&self, old: &[u8], new: &[u8]) -> Result<bool> {
        let path = real_path(&self.path);
        let mut locked = match OpenFile::locked(&path) {
            Err(e) if io_kind(&e) == Some(io::ErrorKind::NotFound) => return Ok(false),
            locked => locked?,
        };
        if read_from(&mut locked, &path)? != old {
            return Ok(false);
        }
        let file = self.write(&path, new, true)?;
        file.take_over(&locked)?;
        file.commit(true)?;
        Ok(true)
    }

    /// Its bytes were synced before it had its name.
    pub(crate) fn sync_name(&self) -> Result<()> {
        let what = |e| Error::io(format!("cannot sync the directory of {}", self.path.display()), e);
        sync_directory_of(&self.path).map_err(what)
    }

    fn write(&self, path: &Path, header: &[u8], private: bool) -> Result<NewFile> {
        if header.len() as u64 > MOST {
            return Err(Error::limit("a header and its mac have at most 65536 bytes"));
        }
        let mut file = NewFile::create(path, private)?;
        file.write_all(header)?;
        Ok(file)
    }
}

fn read_from(file: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::io(format!("cannot read {}", path.display()), e))?;
    if bytes.len() as u64 > MOST {
        return Err(Error::malformed(format!("{}: longer than any header", path.display())));
    }
    Ok(bytes)
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref::<io::Error>().map(io::Error::kind)
}
