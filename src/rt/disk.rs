//! The calls to the file system by which files are found, appear, change and go: all in one
//! place, so that a test can have any one of them fail and look at what is left.
use crate::arch;
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

#[cfg(all(test, unix, feature = "local"))]
use super::faults::{before, part};
#[cfg(not(all(test, unix, feature = "local")))]
use as_it_is::{before, part};

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "not all systems have all calls"))]
pub(crate) enum Call {
    About,
    Open,
    OpenNameless,
    Lock,
    Read,
    Write,
    SetOwner,
    SetMode,
    Sync,
    Link,
    Rename,
    RenameNew,
    Remove,
    OpenDirectory,
    SyncDirectory,
}

/// Outside of tests the system alone says what fails.
#[cfg(not(all(test, unix, feature = "local")))]
mod as_it_is {
    pub(super) fn before(_: super::Call) -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn part(bytes: &[u8]) -> &[u8] {
        bytes
    }
}

pub(super) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    before(Call::Open)?;
    options.open(path)
}

/// A file in `directory` that has no name. `options` say how.
#[cfg(target_os = "linux")]
pub(super) fn open_nameless(options: &OpenOptions, directory: &Path) -> io::Result<File> {
    before(Call::OpenNameless)?;
    options.open(directory)
}

pub(super) fn about(file: &File) -> io::Result<Metadata> {
    before(Call::About)?;
    file.metadata()
}

/// Of what a name leads to.
pub(super) fn about_target(path: &Path) -> io::Result<Metadata> {
    before(Call::About)?;
    fs::metadata(path)
}

/// Of what has the name: of a symbolic link, the link.
pub(super) fn about_name(path: &Path) -> io::Result<Metadata> {
    before(Call::About)?;
    fs::symlink_metadata(path)
}

pub(super) fn lock(file: &File) -> io::Result<()> {
    before(Call::Lock)?;
    file.lock()
}

pub(super) fn read(mut file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    before(Call::Read)?;
    file.read(bytes)
}

pub(super) fn write(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    let bytes = part(bytes);
    before(Call::Write)?;
    file.write(bytes)
}

#[cfg(unix)]
pub(super) fn set_owner(file: &File, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    before(Call::SetOwner)?;
    std::os::unix::fs::fchown(file, user, group)
}

#[cfg(unix)]
pub(super) fn set_mode(file: &File, mode: fs::Permissions) -> io::Result<()> {
    before(Call::SetMode)?;
    file.set_permissions(mode)
}

/// Bytes, length and mode.
pub(super) fn sync(file: &File) -> io::Result<()> {
    before(Call::Sync)?;
    file.sync_all()
}

/// Bytes, and what it takes to find them.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    before(Call::Sync)?;
    file.sync_data()
}

/// Names a file that has no name.
pub(super) fn link_open_file(file: &File, path: &Path) -> io::Result<()> {
    before(Call::Link)?;
    arch::link_open_file(file, path)
}

pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    before(Call::Link)?;
    fs::hard_link(from, to)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    before(Call::Rename)?;
    fs::rename(from, to)
}

/// Never replaces. Unsupported or InvalidInput where that cannot be had.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    before(Call::RenameNew)?;
    arch::rename_new(from, to)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    before(Call::Remove)?;
    fs::remove_file(path)
}

/// Puts the names in a directory on disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    before(Call::OpenDirectory)?;
    let directory = File::open(path)?;
    before(Call::SyncDirectory)?;
    directory.sync_all()
}
