//! Opening a stream in order.
use super::{HEAD, OpenReader, OpenWriter, SEALED_CHUNK, TAG};
use crate::{
    Error, Result,
    crypto::{Cobblestone, wipe_from},
    envelope::{Header, PayloadKey, Suite},
};
use std::{fmt, io, sync::Arc};

/// A chunked payload whose key is at hand: the KMS has answered, all that follows is
/// synchronous. Opens in order, by range, from anywhere.
#[derive(Clone)]
pub struct Opening {
    pub(super) key: PayloadKey,
    pub(super) aad: Arc<[u8]>,
    /// Where the payload begins.
    pub(super) header_len: u64,
    pub(super) read_ahead: Arc<[u8]>,
}

impl Opening {
    pub(crate) fn new(key: PayloadKey, header: &Header, aad: &[u8]) -> Self {
        Self { read_ahead: header.read_ahead().into(), ..Self::at(header.len(), key, aad) }
    }

    /// Of a payload that begins there.
    pub(crate) fn at(begin: usize, key: PayloadKey, aad: &[u8]) -> Self {
        Self { key, aad: aad.into(), header_len: begin as u64, read_ahead: [].into() }
    }

    /// To be fed with the payload by hand, from its first byte on.
    pub fn stream(&self) -> OpenStream {
        OpenStream { opening: self.clone(), key: None, index: 0, buffer: Vec::new(), failed: None }
    }

    /// Over a `Read` that stands where
    /// [`Header::read`](crate::Header::read) left it.
    pub fn reader<R: io::Read>(&self, inner: R) -> OpenReader<R> {
        OpenReader::new(self.stream(), self.read_ahead.clone(), inner)
    }

    /// Write the payload here, and what is authentic of it comes out at `inner`.
    pub fn writer<W: io::Write>(&self, inner: W) -> OpenWriter<W> {
        OpenWriter::new(self.stream(), inner)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(..)")
    }
}

/// Opens a payload in order: push its bytes, take plaintext. Only
/// [`finish`](Self::finish) says that it was whole; until then it may have been cut short
/// at a chunk.
///
/// Holds at most one chunk. After an error every call gives that error.
#[must_use = "a stream without finish() may have been cut short"]
pub struct OpenStream {
    opening: Opening,
    key: Option<Cobblestone>,
    index: u64,
    /// Sealed bytes: of the head, or of a chunk not yet whole.
    buffer: Vec<u8>,
    failed: Option<Error>,
}

impl OpenStream {
    /// Appends to `out` the chunks that `sealed` completes, each after its tag was checked.
    ///
    /// # Errors
    /// Authentication; Forked. `out` is then as it was.
    pub fn push(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.try_push(sealed, out).inspect_err(|e| self.fail(e, out, start))
    }

    /// Appends the last chunk, which ends the payload.
    ///
    /// # Errors
    /// Authentication if the payload was cut short; Malformed if it was shorter than any.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        self.finish_mut(out)
    }

    pub(super) fn finish_mut(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.try_finish(out).inspect_err(|e| self.fail(e, out, start))
    }

    fn try_push(&mut self, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        if self.key.is_none() {
            if !self.gather(&mut sealed, HEAD) {
                return Ok(());
            }
            let head = self.buffer.first_chunk().expect("HEAD bytes were gathered");
            self.key = Some(Cobblestone::of(self.opening.key.expose()?, &self.opening.aad, head)?);
            self.buffer.clear();
        }
        out.reserve(sealed.len());
        if !self.buffer.is_empty() {
            if !self.gather(&mut sealed, SEALED_CHUNK) {
                return Ok(());
            }
            let chunk = std::mem::take(&mut self.buffer);
            self.open_chunk(&chunk, out)?;
            self.buffer = chunk;
            self.buffer.clear();
        }
        let mut chunks = sealed.chunks_exact(SEALED_CHUNK);
        for chunk in &mut chunks {
            self.open_chunk(chunk, out)?;
        }
        self.buffer.extend_from_slice(chunks.remainder());
        Ok(())
    }

    fn try_finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)?;
        if self.index == 0 && (self.key.is_none() || self.buffer.len() < TAG) {
            return Err(Error::malformed("payload: below its suite's minimum"));
        }
        let chunk = std::mem::take(&mut self.buffer);
        self.open_chunk(&chunk, out)?;
        self.failed = Some(Error::misuse("this stream is finished"));
        Ok(())
    }

    /// Moves bytes into the buffer until it has `n`; whether it has.
    fn gather(&mut self, sealed: &mut &[u8], n: usize) -> bool {
        let (head, rest) = sealed.split_at(sealed.len().min(n - self.buffer.len()));
        self.buffer.extend_from_slice(head);
        *sealed = rest;
        self.buffer.len() == n
    }

    fn open_chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let key = self.key.as_ref().ok_or_else(Error::authentication)?;
        key.open_chunk(self.index, chunk, out)?;
        self.index += 1;
        Ok(())
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>, start: usize) {
        wipe_from(out, start);
        self.failed.get_or_insert_with(|| error.clone());
    }
}

const _: () = assert!(HEAD + TAG == Suite::CHUNKED_LEAST);
