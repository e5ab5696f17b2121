//! What is read, in batches of whole chunks.
use super::Allowance;
use crate::Result;
use std::io::{self, Read};
use zeroize::Zeroizing;

/// Chunks of a batch: large enough for a disk, small enough for a processor's cache.
const CHUNKS: usize = 16;
/// Of the first one: most streams are short.
const FIRST_CHUNKS: usize = 4;

/// Where a stream comes from.
pub(super) struct Input<R> {
    from: R,
    /// Bytes of a chunk, as it is read.
    chunk: usize,
    allowance: Allowance,
    /// Bytes read behind the last whole chunk.
    partial: Zeroizing<Vec<u8>>,
    number: u64,
    index: u64,
    bytes: u64,
    ended: bool,
}

/// Chunks that were read together.
pub(super) struct Batch {
    /// Of all batches.
    pub(super) number: u64,
    /// Of its first chunk.
    index: u64,
    pub(super) len: usize,
    /// What comes after it, if that is no other batch: the end, or an error.
    pub(super) then: Option<Result<()>>,
}

impl<R: Read> Input<R> {
    pub(super) fn new(from: R, chunk: usize, allowance: Allowance) -> Self {
        let partial = Zeroizing::new(Vec::with_capacity(chunk));
        Self { from, chunk, allowance, partial, number: 0, index: 0, bytes: 0, ended: false }
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next batch to the beginning of `buffer`; `None`: there is none.
    pub(super) fn next(&mut self, buffer: &mut Zeroizing<Vec<u8>>) -> Option<Batch> {
        if self.ended {
            return None;
        }
        // If the reader panics, that is the end.
        self.ended = true;
        let room = self.chunk * if self.number == 0 { FIRST_CHUNKS } else { CHUNKS };
        if buffer.len() < room {
            *buffer = Zeroizing::new(vec![0; room]);
        }
        let (filled, then) = self.fill(&mut buffer[..room]);
        let whole = filled - filled % self.chunk;
        let len = if matches!(then, Some(Ok(()))) { filled } else { whole };
        self.partial.clear();
        self.partial.extend_from_slice(&buffer[len..filled]);
        let batch = Batch { number: self.number, index: self.index, len, then };
        self.number += 1;
        self.index += (whole / self.chunk) as u64;
        self.ended = batch.then.is_some();
        Some(batch)
    }

    /// Reads until the buffer is full, or until there are whole chunks and the reader has no more
    /// at hand: who waits for them shall not wait for others.
    fn fill(&mut self, buffer: &mut [u8]) -> (usize, Option<Result<()>>) {
        let mut filled = self.partial.len();
        buffer[..filled].copy_from_slice(&self.partial);
        while filled < buffer.len() {
            match self.from.read(&mut buffer[filled..]) {
                Ok(0) => return (filled, Some(self.allowance.end())),
                Ok(n) => {
                    if let Err(e) = self.allowance.take(n as u64) {
                        return (filled, Some(Err(e)));
                    }
                    filled += n;
                    self.bytes += n as u64;
                    if filled >= self.chunk && filled < buffer.len() {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (filled, Some(Err(e.into()))),
            }
        }
        (filled, None)
    }
}

impl Batch {
    /// The whole stream.
    pub(super) fn is_all(&self) -> bool {
        self.number == 0 && self.is_last()
    }

    fn is_last(&self) -> bool {
        matches!(self.then, Some(Ok(())))
    }

    /// Gives its chunks to `work`, with their index. The last one of a stream is the one that is
    /// not whole, were it empty.
    pub(super) fn chunks(
        &self,
        data: &[u8],
        size: usize,
        mut work: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut chunks = data.chunks_exact(size);
        let mut index = self.index;
        for chunk in &mut chunks {
            work(index, chunk)?;
            index += 1;
        }
        if self.is_last() { work(index, chunks.remainder()) } else { Ok(()) }
    }
}
