//! Files that appear whole or not at all.
use crate::{Error, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file being written under another name beside its own. Dropped without
/// [`commit`](Self::commit), it leaves nothing.
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    done: bool,
}

impl NewFile {
    /// Begins what will be `target`. `private`: mode 0600, else what the umask leaves.
    pub fn create(target: &Path, private: bool) -> Result<Self> {
        if target.file_name().is_none() {
            return Err(Error::misuse(format!("{} names no file", target.display())));
        }
        let directory = directory_of(target);
        let mut last = io::Error::other("no free name");
        for _ in 0..16 {
            let mut number = [0; 8];
            getrandom::fill(&mut number)
                .map_err(|e| Error::io("the system's random source", io::Error::other(e)))?;
            // Not made of the target's name, which may be as long as names can be.
            let temporary = directory.join(format!(".libkms-{:016x}.tmp", u64::from_ne_bytes(number)));
            match options(private).open(&temporary) {
                Ok(file) => return Ok(Self { file, temporary, target: target.into(), done: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
                Err(e) => return Err(Error::io(format!("cannot write to {}", directory.display()), e)),
            }
        }
        Err(Error::io(format!("cannot write to {}", directory.display()), last))
    }

    /// Syncs, then gives the file its name. With `replace` false it never replaces: if
    /// there is such a file by now, that is an error and this one goes.
    pub fn commit(mut self, replace: bool) -> Result<()> {
        let what = format!("cannot write {}", self.target.display());
        self.file.sync_all().map_err(|e| Error::io(&what, e))?;
        let rename = || fs::rename(&self.temporary, &self.target);
        let named = if replace {
            rename()
        } else {
            match fs::hard_link(&self.temporary, &self.target) {
                Ok(()) => fs::remove_file(&self.temporary),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
                // A file system without links: look, then rename.
                Err(_) if !self.target.exists() => rename(),
                Err(e) => Err(e),
            }
        };
        named.map_err(|e| Error::io(&what, e))?;
        self.done = true;
        // The name is on disk when its directory is. Some file systems sync none.
        match File::open(directory_of(&self.target)).and_then(|d| d.sync_all()) {
            Err(e) if e.kind() != io::ErrorKind::InvalidInput => Err(Error::io(&what, e)),
            _ => Ok(()),
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn options(private: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("libkms-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn appears_whole_or_not_at_all() {
        let dir = folder("whole");
        let target = dir.join("a");
        let mut f = NewFile::create(&target, false).unwrap();
        f.write_all(b"half").unwrap();
        assert!(!target.exists());
        drop(f);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        let mut f = NewFile::create(&target, true).unwrap();
        f.write_all(b"whole").unwrap();
        f.commit(false).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn replaces_only_when_told() {
        let dir = folder("replace");
        let target = dir.join("a");
        fs::write(&target, "old").unwrap();
        let mut f = NewFile::create(&target, false).unwrap();
        f.write_all(b"new").unwrap();
        assert!(f.commit(false).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let mut f = NewFile::create(&target, false).unwrap();
        f.write_all(b"new").unwrap();
        f.commit(true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
