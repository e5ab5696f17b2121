//! The files below a directory, one by one.
use super::Failed;
use crate::Error;
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

/// What the names of sealed files end in.
pub const SUFFIX: &str = ".kms";
/// And those of headers that are kept in a directory.
const HEADER: &str = ".kmsh";

/// Every regular file below `directory`, in order of the names; and every directory that could
/// not be read. Symbolic links are not followed.
pub fn files_below(directory: impl Into<PathBuf>) -> Files {
    Files { start: Some(directory.into()), levels: Vec::new(), only: &[""] }
}

/// Of those the ones whose names end in [`SUFFIX`], or in `.kmsh`, as those of a
/// [`HeaderDirectory`](crate::HeaderDirectory) do.
pub fn sealed_below(directory: impl Into<PathBuf>) -> Files {
    Files { only: &[SUFFIX, HEADER], ..files_below(directory) }
}

/// What [`files_below`] and [`sealed_below`] find. In memory are the names in the directories
/// from the first one down to the one at hand: each is read whole before the first of its files
/// is told, for files that are replaced meanwhile could else be met twice.
#[derive(Debug)]
pub struct Files {
    start: Option<PathBuf>,
    levels: Vec<Level>,
    /// What names of files must end in.
    only: &'static [&'static str],
}

#[derive(Debug)]
struct Level {
    directory: PathBuf,
    /// The next one last.
    entries: Vec<(OsString, Kind)>,
}

#[derive(Debug)]
enum Kind {
    File,
    Directory,
    /// It cannot be told.
    Unknown(io::Error),
}

impl Iterator for Files {
    type Item = Result<PathBuf, Failed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, kind) = match self.start.take() {
                Some(directory) => (directory, Kind::Directory),
                None => {
                    let level = self.levels.last_mut()?;
                    let Some((name, kind)) = level.entries.pop() else {
                        self.levels.pop();
                        continue;
                    };
                    (level.directory.join(name), kind)
                }
            };
            let error = match kind {
                Kind::File => return Some(Ok(path)),
                Kind::Unknown(e) => e,
                Kind::Directory => match entries(&path, self.only) {
                    Ok(entries) => {
                        self.levels.push(Level { directory: path, entries });
                        continue;
                    }
                    Err(e) => e,
                },
            };
            return Some(Err(Failed::new(path, Error::io("cannot read", error))));
        }
    }
}

fn entries(directory: &Path, only: &[&str]) -> io::Result<Vec<(OsString, Kind)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_dir() => Kind::Directory,
            Ok(kind) if kind.is_file() && ends_in(&entry.file_name(), only) => Kind::File,
            Ok(_) => continue,
            // It went away meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => Kind::Unknown(e),
        };
        entries.push((entry.file_name(), kind));
    }
    entries.sort_by(|a, b| b.0.cmp(&a.0));
    entries.dedup_by(|a, b| a.0 == b.0);
    Ok(entries)
}

fn ends_in(name: &OsStr, suffixes: &[&str]) -> bool {
    suffixes.iter().any(|suffix| name.as_encoded_bytes().ends_with(suffix.as_bytes()))
}
