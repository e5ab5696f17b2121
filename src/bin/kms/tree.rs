//! The regular files below a directory.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Regular files, in order of their names; and directories that could not be read. Symbolic
/// links are not followed.
pub(crate) fn files_below(directory: &Path) -> Vec<(PathBuf, io::Result<()>)> {
    let mut found = Vec::new();
    visit(directory, &mut found);
    found
}

fn visit(directory: &Path, found: &mut Vec<(PathBuf, io::Result<()>)>) {
    let mut entries = match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(e) => return found.push((directory.into(), Err(e))),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => visit(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push((entry.path(), Ok(()))),
            Ok(_) => {}
            Err(e) => found.push((entry.path(), Err(e))),
        }
    }
}
