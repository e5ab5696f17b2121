//! What is read.
use crate::{
    failure::Failure,
    plan::{Source, Target},
    progress,
};
use indicatif::ProgressBar;
use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom, Stdin},
};

/// A file or standard input, and how far it was read.
pub(crate) struct Input {
    from: From,
    /// Of a regular file, when it was opened.
    pub(crate) len: Option<u64>,
    /// Of a file: what it becomes is to be no more open to others.
    pub(crate) about: Option<Metadata>,
    bar: ProgressBar,
}

enum From {
    Stdin(Stdin),
    File(File),
}

impl Input {
    pub(crate) fn open(source: &Source) -> Result<Self, Failure> {
        let bar = ProgressBar::hidden();
        let Source::File(path) = source else {
            return Ok(Self { from: From::Stdin(io::stdin()), len: None, about: None, bar });
        };
        let file = File::open(path).map_err(|e| Failure::io("cannot read", &e))?;
        let about = file.metadata().map_err(|e| Failure::io("cannot read", &e))?;
        if about.is_dir() {
            return Err(Failure::usage("is a directory"));
        }
        let len = about.is_file().then_some(about.len());
        Ok(Self { from: From::File(file), len, about: Some(about), bar })
    }

    /// Shows how far it was read, if there is somebody to see it.
    pub(crate) fn shown(mut self, source: &Source, target: &Target) -> Self {
        self.bar = progress::bar(source.name(), self.len, matches!(target, Target::Stdout));
        self
    }

    pub(crate) fn is_seekable(&mut self) -> bool {
        self.stream_position().is_ok()
    }

    /// All of it; an error if a regular file changes its size meanwhile.
    pub(crate) fn whole(self) -> Whole {
        Whole { left: self.len, input: self }
    }

    /// All of it, if that is at most `most` bytes; an error that says `said` beyond.
    pub(crate) fn at_most(self, most: u64, said: &'static str) -> Result<AtMost<Self>, Failure> {
        if self.len.is_some_and(|n| n > most) {
            return Err(Failure::failed(said));
        }
        Ok(AtMost { input: self, left: most, said })
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.from {
            From::Stdin(stdin) => stdin.read(buf),
            From::File(file) => file.read(buf),
        };
        let n = n.map_err(|e| io::Error::new(e.kind(), format!("cannot read: {e}")))?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.from {
            From::Stdin(_) => Err(io::ErrorKind::NotSeekable.into()),
            From::File(file) => file.seek(to),
        }
    }
}

pub(crate) struct Whole {
    input: Input,
    left: Option<u64>,
}

impl Read for Whole {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        if let Some(left) = self.left {
            let changed = || io::Error::other("its size changed while it was read");
            let left = left.checked_sub(n as u64).filter(|left| n > 0 || *left == 0 || buf.is_empty());
            self.left = Some(left.ok_or_else(changed)?);
        }
        Ok(n)
    }
}

pub(crate) struct AtMost<R> {
    input: R,
    left: u64,
    said: &'static str,
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other(self.said))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_too_long() {
        let read = |most| {
            let mut all = Vec::new();
            AtMost { input: &b"12345"[..], left: most, said: "too long" }.read_to_end(&mut all).map(|_| all)
        };
        assert_eq!(read(5).unwrap(), b"12345");
        assert_eq!(read(4).unwrap_err().to_string(), "too long");
    }
}
