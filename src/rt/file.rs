//! Files that appear whole or not at all.
use super::{
    disk,
    open::{OpenFile, named},
};
use crate::{Error, Result, arch::begin_writing};
use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// What is written at once stays in memory; more is on its way to the disk while the rest comes,
/// so that the sync at the end waits for little.
const AT_ONCE: u64 = 8 << 20;

/// A file being written that has no name yet, or, where the system has no such files,
/// another one beside its own. Dropped without [`commit`](Self::commit), it leaves nothing;
/// on file systems of Linux that have O_TMPFILE not even if the process is killed, but for
/// the moment in which it takes the place of another.
///
/// What it replaces loses its name, its owner, its extended attributes (access lists are
/// among them) and its other links; its mode is kept where that is the stricter one. At no
/// moment is the new one more open to others than it is in the end.
pub struct NewFile {
    file: File,
    /// Its name for now, if it has one.
    temporary: Option<PathBuf>,
    target: PathBuf,
    /// Bytes that were written, and those of them that are on their way to the disk.
    written: u64,
    on_its_way: u64,
}

impl NewFile {
    /// Begins what will be `target`. `private`: mode 0600, else what the umask leaves.
    ///
    /// # Errors
    /// Io if its directory cannot be written; Misuse if `target` names no file.
    pub fn create(target: impl AsRef<Path>, private: bool) -> Result<Self> {
        Self::begin(target.as_ref(), if private { 0o600 } else { 0o666 })
    }

    /// As [`create`](Self::create), and no more open to others than `like` is.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_like(target: impl AsRef<Path>, like: &Metadata) -> Result<Self> {
        Self::begin(target.as_ref(), 0o666 & mode(like))
    }

    fn begin(target: &Path, mode: u32) -> Result<Self> {
        if target.file_name().is_none() {
            return Err(Error::misuse(format!("{} names no file", target.display())));
        }
        let begun = allowed(mode, target).and_then(|mode| {
            let directory = directory_of(target);
            if let Some(file) = nameless(directory, mode) {
                return Ok((file, None));
            }
            let create = |path: &Path| disk::open(options(mode).create_new(true), path);
            under_free_name(directory, create).map(|(path, file)| (file, Some(path)))
        });
        let (file, temporary) = begun.map_err(|e| Error::io(cannot(target), e))?;
        Ok(Self { file, temporary, target: target.into(), written: 0, on_its_way: 0 })
    }

    /// Gives it owner, group and mode of the file that it replaces, as far as the system lets
    /// this process.
    pub(crate) fn take_over(&self, old: &OpenFile) -> Result<()> {
        take_over(&self.file, old.file()).map_err(|e| Error::io(cannot(&self.target), e))
    }

    /// Syncs, then gives the file its name. With `replace` false it never replaces: if
    /// there is such a file by now, that is an error and this one goes.
    ///
    /// # Errors
    /// Io. The last one says that the file is written: only its name could yet be lost in
    /// a crash, and what it replaced come back.
    pub fn commit(mut self, replace: bool) -> Result<()> {
        let named = self.restrict(replace).and_then(|()| disk::sync(&self.file));
        named.and_then(|()| self.name(replace)).map_err(|e| Error::io(cannot(&self.target), e))?;
        sync_directory_of(&self.target).map_err(|e| {
            let said = "is written, but cannot be made to outlast a crash: its directory is not synced";
            Error::io(format!("{} {said}", self.target.display()), e)
        })
    }

    /// What is there may have been made stricter since this one was begun.
    #[cfg(unix)]
    fn restrict(&self, replace: bool) -> io::Result<()> {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        if !replace {
            return Ok(());
        }
        let now = mode(&disk::about(&self.file)?);
        let allowed = allowed(now, &self.target)?;
        if allowed == now { Ok(()) } else { disk::set_mode(&self.file, Permissions::from_mode(allowed)) }
    }

    #[cfg(not(unix))]
    fn restrict(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn name(&mut self, replace: bool) -> io::Result<()> {
        let temporary = match &self.temporary {
            Some(path) => path.clone(),
            None if !replace => return disk::link_open_file(&self.file, &self.target),
            None => {
                // What replaces is renamed, and so needs a name first.
                let link = |path: &Path| disk::link_open_file(&self.file, path);
                let (path, ()) = under_free_name(directory_of(&self.target), link)?;
                self.temporary = Some(path.clone());
                path
            }
        };
        if replace {
            disk::rename(&temporary, &self.target)?;
        } else {
            match disk::rename_new(&temporary, &self.target) {
                // The file system, or the kernel, does not know how. Most have links. The
                // temporary name goes when this does.
                Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    return disk::link(&temporary, &self.target);
                }
                renamed => renamed?,
            }
        }
        self.temporary = None;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = disk::write(&self.file, bytes).map_err(|e| named(&cannot(&self.target), &e))?;
        self.written += n as u64;
        let waiting = self.written - self.on_its_way;
        if waiting >= AT_ONCE {
            begin_writing(&self.file, self.on_its_way, waiting);
            self.on_its_way = self.written;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary {
            let _ = disk::remove(path);
        }
    }
}

/// A name is on disk when its directory is. Some file systems sync none, and a directory that
/// may be written need not be readable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match disk::sync_directory(directory_of(path)) {
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied) => Ok(()),
        synced => synced,
    }
}

fn cannot(target: &Path) -> String {
    format!("cannot write {}", target.display())
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
            Err(e) if e.kind() == ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// A file without a name, where the system has them and can name them later.
#[cfg(target_os = "linux")]
fn nameless(directory: &Path, mode: u32) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = disk::open_nameless(options(mode).custom_flags(libc::O_TMPFILE), directory).ok()?;
    Path::new("/proc/self/fd").exists().then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path, _: u32) -> Option<File> {
    None
}

fn options(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options
}

/// Of `mode`, what the file that stands at `target` has as well, if there is one.
fn allowed(mode: u32, target: &Path) -> io::Result<u32> {
    match disk::about_name(target) {
        Ok(old) => Ok(mode & self::mode(&old)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(mode),
        Err(e) => Err(e),
    }
}

#[cfg(unix)]
fn mode(of: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(of) & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0o666
}

#[cfg(unix)]
fn take_over(file: &File, old_file: &File) -> io::Result<()> {
    use crate::arch::has_access_list;
    use std::{
        fs::Permissions,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };
    let (now, old) = (disk::about(file)?, disk::about(old_file)?);
    // Whether it may be had: only root gives files away, others a group of their own.
    let may = |user: Option<u32>, group: Option<u32>| match disk::set_owner(file, user, group) {
        Ok(()) => Ok(true),
        Err(e) if REFUSED.contains(&e.kind()) => Ok(false),
        Err(e) => Err(e),
    };
    if now.uid() != old.uid() {
        may(Some(old.uid()), None)?;
    }
    let is_of_group = now.gid() == old.gid() || may(None, Some(old.gid()))?;
    let mut wanted = mode(&old);
    if !is_of_group || has_access_list(old_file) {
        // A group of whom that was not said may do what everybody may.
        wanted &= !0o070 | wanted << 3;
    }
    if mode(&now) == wanted { Ok(()) } else { disk::set_mode(file, Permissions::from_mode(wanted)) }
}

/// By the system, or by a file system that has no owners.
#[cfg(unix)]
const REFUSED: [ErrorKind; 3] =
    [ErrorKind::PermissionDenied, ErrorKind::InvalidInput, ErrorKind::Unsupported];

#[cfg(not(unix))]
fn take_over(_: &File, _: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        // Also what became so only since the new one was begun.
        fs::remove_file(&target).unwrap();
        fs::write(&target, "old").unwrap();
        let new = NewFile::create(&target, false).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        new.commit(true).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }
}
