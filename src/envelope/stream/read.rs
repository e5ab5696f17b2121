//! Streams as `Read`.
use super::{BATCH, CHUNK, OpenStream, Ready, Sealing};
use std::{
    io::{self, Read},
    sync::Arc,
};
use zeroize::Zeroizing;

/// Plaintext of a sealed stream. What was read is authentic; that it is whole is known
/// when `read` has given `Ok(0)`. Errors are [`Error`](crate::Error)s inside
/// ([`Error::in_io`](crate::Error::in_io)), and stay.
pub struct OpenReader<R> {
    stream: OpenStream,
    /// Read before `inner`.
    ahead: io::Cursor<Arc<[u8]>>,
    inner: R,
    sealed: Vec<u8>,
    plain: Ready,
}

impl<R: Read> OpenReader<R> {
    pub(super) fn new(stream: OpenStream, ahead: Arc<[u8]>, inner: R) -> Self {
        let (ahead, sealed) = (io::Cursor::new(ahead), vec![0; BATCH]);
        Self { stream, ahead, inner, sealed, plain: Ready::default() }
    }
}

impl<R: Read> Read for OpenReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.plain.is_empty() && !self.plain.ended && !buf.is_empty() {
            let n = match self.ahead.read(&mut self.sealed)? {
                0 => self.inner.read(&mut self.sealed)?,
                n => n,
            };
            let out = self.plain.refill(n);
            if n == 0 {
                self.stream.finish_mut(out)?;
                self.plain.ended = true;
            } else {
                self.stream.push(&self.sealed[..n], out)?;
            }
        }
        Ok(self.plain.give(buf))
    }
}

/// The envelope of what an inner `Read` gives.
pub struct SealReader<R> {
    sealing: Sealing,
    inner: R,
    plain: Zeroizing<Vec<u8>>,
    sealed: Ready,
}

impl<R: Read> SealReader<R> {
    pub(super) fn new(sealing: Sealing, inner: R) -> Self {
        Self { sealing, inner, plain: Zeroizing::new(vec![0; 4 * CHUNK]), sealed: Ready::default() }
    }
}

impl<R: Read> Read for SealReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.sealed.is_empty() && !self.sealed.ended && !buf.is_empty() {
            let n = self.inner.read(&mut self.plain)?;
            let out = self.sealed.refill(n);
            if n == 0 {
                self.sealing.finish_mut(out)?;
                self.sealed.ended = true;
            } else {
                self.sealing.push(&self.plain[..n], out)?;
            }
        }
        Ok(self.sealed.give(buf))
    }
}
