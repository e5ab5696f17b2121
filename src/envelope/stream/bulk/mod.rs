//! Streams from a `Read` to a `Write`, on one thread or on several.
//!
//! Every thread does the same: it reads the next batch of chunks, seals or opens them, and
//! writes them out once all batches before are written. So one reads while another works and a
//! third one writes, each with the data in its processor's cache; what comes out is in order,
//! and nothing is held but a batch for each thread. The threads are those of one call: the
//! calling one, and others that end before it returns.
mod input;
mod turns;

use super::{CHUNK, HEAD, Opening, SEALED_CHUNK, Sealing, TAG, seal::Allowance};
use crate::{Error, Result};
use input::{Batch, Input};
use std::io::{self, Read, Write};
use turns::Turns;

/// Threads on one stream, at most.
const MOST_THREADS: usize = 256;

/// Misuse for a number of threads that cannot be had.
pub(crate) fn check_threads(threads: usize) -> Result<()> {
    if (1..=MOST_THREADS).contains(&threads) {
        return Ok(());
    }
    Err(Error::misuse(format!("threads: 1 to {MOST_THREADS}")))
}

impl Sealing {
    /// Seals all that `from` reads into `to`; gives the number of bytes read. For a stream to
    /// which nothing was pushed.
    pub(crate) fn copy(self, threads: usize, from: impl Read + Send, to: impl Write + Send) -> Result<u64> {
        check_threads(threads)?;
        let (key, head, allowance) = self.into_parts();
        let seal = |batch: &Batch, plaintext: &[u8], out: &mut Vec<u8>| {
            if batch.number == 0 {
                out.extend_from_slice(&head);
            }
            batch.chunks(plaintext, CHUNK, |index, chunk| key.seal_chunk(index, chunk, out))
        };
        Turns::new(threads, Input::new(from, CHUNK, allowance), to, seal).run()
    }
}

impl Opening {
    /// Opens the payload that `from` reads, which stands where
    /// [`Header::read`](crate::Header::read) left it, into `to`; gives the number of bytes of
    /// plaintext.
    pub(crate) fn copy(&self, threads: usize, from: impl Read + Send, to: impl Write + Send) -> Result<u64> {
        check_threads(threads)?;
        let mut from = io::Cursor::new(self.read_ahead.clone()).chain(from);
        let mut head = Vec::with_capacity(HEAD);
        from.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        let too_short = || Error::malformed("payload: below its suite's minimum");
        let key = self.message_key(head.first_chunk().ok_or_else(too_short)?)?;
        let open = |batch: &Batch, sealed: &[u8], out: &mut Vec<u8>| {
            if batch.is_all() && sealed.len() < TAG {
                return Err(too_short());
            }
            batch.chunks(sealed, SEALED_CHUNK, |index, chunk| key.open_chunk(index, chunk, out))
        };
        let sealed =
            Turns::new(threads, Input::new(from, SEALED_CHUNK, Allowance::ENDLESS), to, open).run()?;
        Ok(sealed - (sealed / SEALED_CHUNK as u64 + 1) * TAG as u64)
    }
}
