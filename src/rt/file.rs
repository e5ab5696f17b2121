//! Files that appear whole or not at all.
use crate::{
    Error, Result,
    arch::{link_open_file, rename_new},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file being written that has no name yet, or, where the system has no such files,
/// another one beside its own. Dropped without [`commit`](Self::commit), it leaves nothing;
/// on file systems of Linux that have O_TMPFILE not even if the process is killed, but for
/// the moment in which it takes the place of another.
///
/// What it replaces loses its name, its owner and its links; its mode is kept where that is
/// the stricter one.
pub struct NewFile {
    file: File,
    /// Its name for now, if it has one.
    temporary: Option<PathBuf>,
    target: PathBuf,
}

impl NewFile {
    /// Begins what will be `target`. `private`: mode 0600, else what the umask leaves.
    ///
    /// # Errors
    /// Io if its directory cannot be written; Misuse if `target` names no file.
    pub fn create(target: impl AsRef<Path>, private: bool) -> Result<Self> {
        let target = target.as_ref();
        if target.file_name().is_none() {
            return Err(Error::misuse(format!("{} names no file", target.display())));
        }
        let directory = directory_of(target);
        let what = |e| Error::io(format!("cannot write to {}", directory.display()), e);
        let (file, temporary) = match nameless(directory, private) {
            Some(file) => (file, None),
            None => {
                let (path, file) =
                    under_free_name(directory, |path| options(private).create_new(true).open(path))
                        .map_err(what)?;
                (file, Some(path))
            }
        };
        Ok(Self { file, temporary, target: target.into() })
    }

    /// Has the file be no more open to others than `like` is.
    ///
    /// # Errors
    /// Io.
    pub fn restrict_to(&self, like: &fs::Metadata) -> Result<()> {
        self.narrow(like).map_err(|e| Error::io(format!("cannot write {}", self.target.display()), e))
    }

    /// Syncs, then gives the file its name. With `replace` false it never replaces: if
    /// there is such a file by now, that is an error and this one goes.
    ///
    /// # Errors
    /// Io.
    pub fn commit(mut self, replace: bool) -> Result<()> {
        let what = format!("cannot write {}", self.target.display());
        self.file.sync_all().and_then(|()| self.name(replace)).map_err(|e| Error::io(&what, e))?;
        sync_directory_of(&self.target).map_err(|e| Error::io(&what, e))
    }

    fn name(&mut self, replace: bool) -> io::Result<()> {
        let temporary = match &self.temporary {
            Some(path) => path.clone(),
            None if !replace => return link_open_file(&self.file, &self.target),
            None => {
                // What replaces is renamed, and so needs a name first.
                let link = |path: &Path| link_open_file(&self.file, path);
                let (path, ()) = under_free_name(directory_of(&self.target), link)?;
                self.temporary = Some(path.clone());
                path
            }
        };
        if replace {
            if let Ok(old) = fs::symlink_metadata(&self.target) {
                self.narrow(&old)?;
            }
            fs::rename(&temporary, &self.target)?;
        } else {
            rename_new(&temporary, &self.target)?;
        }
        self.temporary = None;
        Ok(())
    }

    #[cfg(unix)]
    fn narrow(&self, like: &fs::Metadata) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = |about: &fs::Metadata| about.permissions().mode() & 0o777;
        let (new, like) = (mode(&self.file.metadata()?), mode(like) & 0o666);
        let narrowed = fs::Permissions::from_mode(new & like);
        if new & like == new { Ok(()) } else { self.file.set_permissions(narrowed) }
    }

    #[cfg(not(unix))]
    fn narrow(&self, _: &fs::Metadata) -> io::Result<()> {
        Ok(())
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
        if let Some(path) = &self.temporary {
            let _ = fs::remove_file(path);
        }
    }
}

/// A name is on disk when its directory is. Some file systems sync none, and a directory that
/// may be written need not be readable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match File::open(directory_of(path)).and_then(|d| d.sync_all()) {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => Ok(()),
        synced => synced,
    }
}

/// Opens a file to read and write it, and locks it against other writers until it is
/// dropped.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
    let what = |e| Error::io(path.display(), e);
    loop {
        let file = open_at_once(OpenOptions::new().read(true).write(true), path).map_err(what)?;
        let about = file.metadata().map_err(what)?;
        if !about.is_file() {
            return Err(Error::misuse(format!("{} is not a regular file", path.display())));
        }
        file.lock().map_err(what)?;
        // Whoever had the lock before may have put another file there: that one is to be
        // locked.
        if is_same(&about, &fs::metadata(path).map_err(what)?) {
            return Ok(file);
        }
    }
}

/// Opening a fifo would wait for whoever writes it.
pub(crate) fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK);
    options.open(path)
}

#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    a.len() == b.len() && a.modified().ok() == b.modified().ok()
}

/// Through symbolic links: what replaces the file leaves them.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A name of this library's own in `directory`, for which `make` succeeded. It is not made
/// of the target's name, which may be as long as names can be.
fn under_free_name<T>(directory: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    let mut last = io::Error::other("no free name");
    for _ in 0..16 {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        let path = directory.join(format!(".libkms-{:016x}.tmp", u64::from_ne_bytes(number)));
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// A file without a name, where the system has them and can name them later.
#[cfg(target_os = "linux")]
fn nameless(directory: &Path, private: bool) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = options(private).custom_flags(libc::O_TMPFILE).open(directory).ok()?;
    Path::new("/proc/self/fd").exists().then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path, _: bool) -> Option<File> {
    None
}

fn options(private: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o666 });
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
        #[cfg(target_os = "linux")]
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "killed now, it would leave nothing");
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

    #[cfg(unix)]
    #[test]
    fn what_was_private_stays_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = folder("private");
        let target = dir.join("a");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        NewFile::create(&target, false).unwrap().commit(true).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }
}
