//! Sealing a stream.
use super::{CHUNK, HEAD, SealReader, SealWriter, TAG};
use crate::{
    Error, Result,
    crypto::{Cobblestone, wipe_from},
    envelope::PayloadKey,
    rt::sync::atomic::{AtomicU64, Ordering},
};
use std::{io, sync::Arc};
use zeroize::Zeroizing;

/// Seals a stream: push plaintext, take the envelope. [`finish`](Self::finish) writes the
/// last chunk; an envelope without it does not open.
///
/// Holds at most one chunk of plaintext. After an error every call gives that error.
#[must_use = "an envelope without finish() does not open"]
pub struct Sealing {
    key: Cobblestone,
    /// Header copies, salt and commitment, until they are written.
    head: Vec<u8>,
    head_len: u64,
    /// Plaintext of the chunk begun, shorter than [`CHUNK`].
    partial: Zeroizing<Vec<u8>>,
    index: u64,
    allowance: Allowance,
    failed: Option<Error>,
}

impl Sealing {
    /// `head`: what stands before the payload. `len`: how many bytes will come, if that is
    /// known.
    pub(crate) fn new(key: &PayloadKey, mut head: Vec<u8>, aad: &[u8], len: Option<u64>) -> Result<Self> {
        let (key, start) = Cobblestone::start(key.expose()?, aad)?;
        head.extend_from_slice(&start);
        Ok(Self {
            key,
            head_len: head.len() as u64,
            head,
            partial: Zeroizing::new(Vec::with_capacity(CHUNK)),
            index: 0,
            allowance: Allowance { left: len.unwrap_or(u64::MAX), exact: len.is_some(), budget: None },
            failed: None,
        })
    }

    /// Has its bytes taken from what is left for several streams.
    pub(crate) fn within(mut self, budget: Arc<AtomicU64>) -> Self {
        self.allowance.budget = Some(budget);
        self
    }

    /// Key, header copies with the head of the payload, and allowance, of one not yet begun.
    pub(super) fn into_parts(self) -> (Cobblestone, Vec<u8>, Allowance) {
        (self.key, self.head, self.allowance)
    }

    /// How long the envelope of `plaintext` bytes is: object stores want it first.
    pub fn sealed_len(&self, plaintext: u64) -> u64 {
        let tags = (plaintext / CHUNK as u64 + 1) * TAG as u64;
        plaintext.saturating_add(self.head_len + tags)
    }

    /// Appends to `out` what `plaintext` completes: header first, then whole chunks.
    ///
    /// # Errors
    /// Limit beyond 2^38 chunks (4 PiB) or what one DEK may seal, Misuse beyond the length that was announced,
    /// Forked. `out` is then as it was.
    pub fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.try_push(plaintext, out).inspect_err(|e| self.fail(e, out, start))
    }

    /// Appends the last chunk.
    ///
    /// # Errors
    /// As [`push`](Self::push); Misuse if fewer bytes came than were announced.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        self.finish_mut(out)
    }

    pub(super) fn finish_mut(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.try_finish(out).inspect_err(|e| self.fail(e, out, start))
    }

    fn try_push(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.check()?;
        self.allowance.take(plaintext.len() as u64)?;
        out.append(&mut self.head);
        out.reserve(plaintext.len() + (plaintext.len() / CHUNK + 1) * TAG);
        if !self.partial.is_empty() {
            let (fill, rest) = plaintext.split_at(plaintext.len().min(CHUNK - self.partial.len()));
            self.partial.extend_from_slice(fill);
            plaintext = rest;
            if self.partial.len() == CHUNK {
                self.flush_partial(out)?;
            }
        }
        let mut chunks = plaintext.chunks_exact(CHUNK);
        for chunk in &mut chunks {
            self.key.seal_chunk(self.index, chunk, out)?;
            self.index += 1;
        }
        self.partial.extend_from_slice(chunks.remainder());
        Ok(())
    }

    fn try_finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.check()?;
        self.allowance.end()?;
        out.append(&mut self.head);
        self.flush_partial(out)?;
        self.failed = Some(Error::misuse("this stream is finished"));
        Ok(())
    }

    fn flush_partial(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.key.seal_chunk(self.index, &self.partial, out)?;
        self.index += 1;
        self.partial.clear();
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>, start: usize) {
        wipe_from(out, start);
        self.failed.get_or_insert_with(|| error.clone());
    }

    /// Over any `Write`. Encrypts on the writing thread.
    pub fn writer<W: io::Write>(self, inner: W) -> SealWriter<W> {
        SealWriter::new(self, inner)
    }

    /// The envelope of what `inner` reads, as a `Read`.
    pub fn reader<R: io::Read>(self, inner: R) -> SealReader<R> {
        SealReader::new(self, inner)
    }
}

/// How many bytes a stream may still take.
pub(super) struct Allowance {
    /// With `exact`, so many must come.
    left: u64,
    exact: bool,
    /// What all streams of this DEK may still take together.
    budget: Option<Arc<AtomicU64>>,
}

impl Allowance {
    pub(super) const ENDLESS: Self = Self { left: u64::MAX, exact: false, budget: None };

    /// Takes `n` bytes; Misuse or Limit if that is too many.
    pub(super) fn take(&mut self, n: u64) -> Result<()> {
        let said = "more bytes than were announced for this stream";
        self.left = self.left.checked_sub(n).ok_or_else(|| Error::misuse(said))?;
        self.budget.as_ref().map_or(Ok(()), |budget| take_from(budget, n))
    }

    /// Misuse if more must come.
    pub(super) fn end(&self) -> Result<()> {
        if self.exact && self.left != 0 {
            return Err(Error::misuse("fewer bytes than were announced for this stream"));
        }
        Ok(())
    }
}

/// Limit, and nothing is taken, where less is left.
pub(crate) fn take_from(budget: &AtomicU64, n: u64) -> Result<()> {
    let taken = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(n));
    let said = "no more goes under this DEK by its policy: seal the rest under another header";
    taken.map(|_| ()).map_err(|_| Error::limit(said))
}

const _: () = assert!(HEAD == 56 && TAG == 16 && CHUNK == 16384);
