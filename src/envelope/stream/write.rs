//! Streams as `Write`.
use super::{BATCH, OpenStream, Sealing, make_room};
use crate::Error;
use std::io::{self, Write};
use zeroize::Zeroizing;

/// Seals what is written to it. Without [`finish`](Self::finish) the envelope does not
/// open. An error of `inner` ends the stream: how much it took is not known.
#[must_use = "an envelope without finish() does not open"]
pub struct SealWriter<W> {
    sealing: Sealing,
    pipe: Pipe<W>,
}

impl<W: Write> SealWriter<W> {
    pub(super) fn new(sealing: Sealing, inner: W) -> Self {
        Self { sealing, pipe: Pipe::new(inner) }
    }

    /// Writes the last chunk, flushes, and gives `inner` back.
    ///
    /// # Errors
    /// Those of `inner` and of [`Sealing::finish`].
    pub fn finish(mut self) -> io::Result<W> {
        self.pipe.pass(0, |out| self.sealing.finish_mut(out))?;
        self.pipe.into_inner()
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let now = &buf[..buf.len().min(BATCH)];
        self.pipe.pass(now.len(), |out| self.sealing.push(now, out))?;
        Ok(now.len())
    }

    /// Flushes `inner`. A chunk begun stays here: it is sealed whole.
    fn flush(&mut self) -> io::Result<()> {
        self.pipe.inner.flush()
    }
}

/// Opens the payload that is written to it; whole authenticated chunks come out at
/// `inner`. Only [`finish`](Self::finish) says that the payload was whole.
#[must_use = "a stream without finish() may have been cut short"]
pub struct OpenWriter<W> {
    stream: OpenStream,
    pipe: Pipe<W>,
}

impl<W: Write> OpenWriter<W> {
    pub(super) fn new(stream: OpenStream, inner: W) -> Self {
        Self { stream, pipe: Pipe::new(inner) }
    }

    /// Writes the last chunk, flushes, and gives `inner` back.
    ///
    /// # Errors
    /// Those of `inner` and of [`OpenStream::finish`].
    pub fn finish(mut self) -> io::Result<W> {
        self.pipe.pass(0, |out| self.stream.finish_mut(out))?;
        self.pipe.into_inner()
    }
}

impl<W: Write> Write for OpenWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let now = &buf[..buf.len().min(BATCH)];
        self.pipe.pass(now.len(), |out| self.stream.push(now, out))?;
        Ok(now.len())
    }

    /// Flushes `inner`. A chunk begun stays here: it is opened whole.
    fn flush(&mut self) -> io::Result<()> {
        self.pipe.inner.flush()
    }
}

/// An inner writer that took everything so far.
struct Pipe<W> {
    inner: W,
    out: Zeroizing<Vec<u8>>,
    broken: bool,
}

impl<W: Write> Pipe<W> {
    fn new(inner: W) -> Self {
        Self { inner, out: Zeroizing::default(), broken: false }
    }

    /// Writes what `make` appends for `n` bytes.
    fn pass(&mut self, n: usize, make: impl FnOnce(&mut Vec<u8>) -> crate::Result<()>) -> io::Result<()> {
        if self.broken {
            return Err(Error::misuse("an earlier write failed: this stream cannot go on").into());
        }
        make(make_room(&mut self.out, n))?;
        self.inner.write_all(&self.out).inspect_err(|_| self.broken = true)
    }

    fn into_inner(mut self) -> io::Result<W> {
        self.inner.flush()?;
        Ok(self.inner)
    }
}
