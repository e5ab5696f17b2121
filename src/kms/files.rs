//! Files, whole or not at all.
use super::{Scope, SealOptions, scope::open_payload};
use crate::{
    Aad, Damage, Error, Header, Result, Suite,
    rt::{NewFile, OpenFile, wait},
    stream::check_threads,
};
use std::{
    fs::Metadata,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::{Bound, RangeBounds},
    path::Path,
};
use zeroize::Zeroizing;

/// Bytes of a payload of suite 1: nonce, 2^36 - 32 bytes and tag.
const MOST_ONE_SHOT: u64 = (1 << 36) - 32 + 40;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Bytes of plaintext.
    pub bytes: u64,
    /// What was wrong with the header copies, if anything.
    pub damage: Option<Damage>,
}

impl Scope {
    /// Seals what `from` reads into `to`, on as many [`threads`](Self::threads) as this scope
    /// says; `options` say how. Blocks. Flushes `to`.
    ///
    /// With several threads an error of `to` is told when the read that is under way has ended.
    ///
    /// # Errors
    /// What the KMS says; those of `from` and `to`; Misuse if another number of bytes came
    /// than was announced; Forked.
    pub fn seal_stream(
        &self,
        aad: Aad<'_>,
        options: &SealOptions,
        from: impl Read + Send,
        to: impl Write + Send,
    ) -> Result<Outcome> {
        check_threads(self.threads)?;
        let bytes = wait(self.sealer_with(aad, options))?.copy(self.threads, from, to)?;
        Ok(Outcome { bytes, damage: None })
    }

    /// Opens the envelope that `from` reads into `to`, of either suite, suite 2 on as many
    /// [`threads`](Self::threads) as this scope says. Blocks. Of suite 2 every chunk is
    /// authenticated before it is written; that nothing is missing is known at the end. Suite 1
    /// is held in memory.
    ///
    /// # Errors
    /// As [`Scope::open`], and those of `from` and `to`.
    pub fn open_stream(
        &self,
        aad: Aad<'_>,
        mut from: impl Read + Send,
        to: impl Write + Send,
    ) -> Result<Outcome> {
        let header = Header::read(&mut from)?;
        self.open_payload(aad, &header, from, to)
    }

    /// As [`open_stream`](Self::open_stream), of an envelope whose header was read.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream).
    pub fn open_payload(
        &self,
        aad: Aad<'_>,
        header: &Header,
        mut from: impl Read + Send,
        mut to: impl Write + Send,
    ) -> Result<Outcome> {
        check_threads(self.threads)?;
        let damage = header.damage();
        if header.suite() == Suite::OneShot {
            // Whoever may not open it reads nothing; nobody reads without end.
            let unlocked = wait(self.unlock(header))?;
            let mut sealed = header.read_ahead().to_vec();
            from.by_ref().take(MOST_ONE_SHOT + 1).read_to_end(&mut sealed)?;
            if sealed.len() as u64 > MOST_ONE_SHOT {
                return Err(Error::limit("a payload of suite 1 above 64 GiB"));
            }
            header.suite().check_payload(sealed.len() as u64)?;
            let mut plaintext = Zeroizing::new(Vec::new());
            open_payload(&unlocked.dek, 1, aad, &sealed, &mut plaintext)?;
            to.write_all(&plaintext)?;
            to.flush()?;
            return Ok(Outcome { bytes: plaintext.len() as u64, damage });
        }
        let bytes = wait(self.opener(aad, header))?.copy(self.threads, from, to)?;
        Ok(Outcome { bytes, damage })
    }

    /// Opens the bytes in `range` of the plaintext of a sealed file, of suite 2, into `to`.
    /// Blocks.
    ///
    /// What is written is authentic. That the plaintext ends where the file says is proved
    /// where it matters: for a range without an end, or with one beyond it.
    ///
    /// # Errors
    /// As [`opener`](Self::opener), and those of `from` and `to`; Misuse if the range ends
    /// before it begins or beyond the plaintext.
    pub fn open_range(
        &self,
        aad: Aad<'_>,
        header: &Header,
        mut from: impl Read + Seek,
        range: impl RangeBounds<u64>,
        mut to: impl Write,
    ) -> Result<Outcome> {
        let opening = wait(self.opener(aad, header))?;
        let told = opening.plaintext_len(from.seek(SeekFrom::End(0))?)?;
        let mut from = opening.seekable(from)?;
        let start = match range.start_bound() {
            Bound::Included(n) => *n,
            Bound::Excluded(n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(n) => Some(n.saturating_add(1)),
            Bound::Excluded(n) => Some(*n),
            Bound::Unbounded => None,
        };
        let len = if end.is_some_and(|n| n <= told) { told } else { from.seek(SeekFrom::End(0))? };
        let end = end.unwrap_or(len.max(start));
        if start > end || end > len {
            return Err(Error::misuse(format!("no such range in a plaintext of {len} bytes")));
        }
        from.seek(SeekFrom::Start(start))?;
        let bytes = copy(&mut from.take(end - start), &mut to)?;
        to.flush()?;
        Ok(Outcome { bytes, damage: header.damage() })
    }

    /// Seals a file into a new one, which appears whole or not at all, no more open
    /// to others than the first one. Blocks.
    ///
    /// # Errors
    /// As [`seal_stream`](Self::seal_stream); Io if there is a file `to`.
    pub fn seal_file(&self, aad: Aad<'_>, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Outcome> {
        let from = Source::open(from.as_ref())?;
        let options = from.len.map_or(SealOptions::new(), |n| SealOptions::new().len(n));
        let mut to = NewFile::create_like(to, &from.about)?;
        let outcome = self.seal_stream(aad, &options, from.file, &mut to)?;
        to.commit(false)?;
        Ok(outcome)
    }

    /// Opens a sealed file into a new one, which appears whole or not at all, no more
    /// open to others than the first one. Blocks.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream); Io if there is a file `to`.
    pub fn open_file(&self, aad: Aad<'_>, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Outcome> {
        let from = Source::open(from.as_ref())?;
        let mut to = NewFile::create_like(to, &from.about)?;
        let outcome = self.open_stream(aad, from.file, &mut to)?;
        to.commit(false)?;
        Ok(outcome)
    }
}

struct Source {
    file: OpenFile,
    about: Metadata,
    /// Of a regular file.
    len: Option<u64>,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenFile::to_read(path)?;
        let about = file.about()?;
        if about.is_dir() {
            return Err(Error::misuse(format!("{} is a directory", path.display())));
        }
        Ok(Self { file, len: about.is_file().then_some(about.len()), about })
    }
}

/// Everything, 64 KiB at a time: plaintext, so the buffer is wiped.
pub(super) fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<u64> {
    let mut buffer = Zeroizing::new(vec![0; 64 << 10]);
    let mut bytes = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                bytes += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}
