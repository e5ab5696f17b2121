//! Where the outcome goes: whole or not at all, if that is a file.
use crate::{
    failure::Failure,
    plan::{Source, Target},
};
use libkms::NewFile;
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Stdout, Write},
    path::{Path, PathBuf},
};

pub(crate) struct Output {
    to: To,
    /// For messages.
    name: String,
}

enum To {
    Stdout(Stdout),
    New {
        file: NewFile,
        replace: bool,
    },
    /// A device or a fifo.
    There(File),
    Nowhere,
}

impl Output {
    /// Without --force it fails here, before anything was read, where there is such a file. A
    /// new one is no more open to others than `like`.
    pub(crate) fn begin(
        from: &Source,
        target: &Target,
        force: bool,
        like: Option<&Metadata>,
    ) -> Result<Self, Failure> {
        let (to, name) = match target {
            Target::Stdout => (To::Stdout(io::stdout()), "standard output".into()),
            Target::Nowhere => (To::Nowhere, String::new()),
            Target::Named(path) if is_special(path) => {
                let cannot = |e| Failure::io(&format!("cannot write {}", path.display()), &e);
                let there = OpenOptions::new().write(true).open(path).map_err(cannot)?;
                (To::There(there), path.display().to_string())
            }
            Target::Named(path) | Target::File(path) => {
                (file(from, path, force, like)?, path.display().to_string())
            }
            Target::Below(path) => {
                let cannot = |e| Failure::io(&format!("cannot write {}", path.display()), &e);
                path.parent().map_or(Ok(()), fs::create_dir_all).map_err(cannot)?;
                (file(from, path, force, like)?, path.display().to_string())
            }
        };
        Ok(Self { to, name })
    }

    /// Gives a new file its name.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.to {
            To::New { file, replace } => Ok(file.commit(replace)?),
            _ => Ok(()),
        }
    }

    fn cannot(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", self.name))
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = match &mut self.to {
            // This one names itself.
            To::New { file, .. } => return file.write(buf),
            To::Stdout(stdout) => stdout.write(buf),
            To::There(file) => file.write(buf),
            To::Nowhere => Ok(buf.len()),
        };
        written.map_err(|e| self.cannot(&e))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.to {
            To::Stdout(stdout) => stdout.flush(),
            To::There(file) => file.flush(),
            To::New { .. } | To::Nowhere => Ok(()),
        };
        flushed.map_err(|e| self.cannot(&e))
    }
}

/// To standard output, all of it.
pub(crate) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::io("cannot write standard output", &e))
}

fn file(from: &Source, path: &Path, force: bool, like: Option<&Metadata>) -> Result<To, Failure> {
    let new = |path: &Path| {
        let file = match like {
            Some(like) => NewFile::create_like(path, like)?,
            None => NewFile::create(path, false)?,
        };
        Ok(To::New { file, replace: force })
    };
    let cannot = |e| Failure::io(&format!("cannot write {}", path.display()), &e);
    match fs::metadata(path) {
        Err(_) => new(path),
        Ok(about) if about.is_dir() => Err(cannot(io::ErrorKind::IsADirectory.into())),
        Ok(about) if !about.is_file() => {
            let said = format!("{} is not a regular file: name it with -o if it is meant", path.display());
            Err(Failure::failed(&said))
        }
        Ok(_) if !force => Err(Failure::failed(&format!("{} exists: --force overwrites it", path.display()))),
        Ok(_) => {
            // Through a symbolic link, which stays one.
            let path = real(path);
            if matches!(from, Source::File(from) if real(from) == path) {
                return Err(Failure::usage("the output would take the place of the input"));
            }
            new(&path)
        }
    }
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}
