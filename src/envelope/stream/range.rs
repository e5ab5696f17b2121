//! Ranges of the plaintext, out of an object that is elsewhere.
use super::{CHUNK, HEAD, Opening, SEALED_CHUNK, TAG};
use crate::{Error, Result, crypto::Cobblestone, crypto::wipe_from};
use std::ops::Range;

/// Which bytes of the sealed object hold a range of the plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    sealed: Range<u64>,
    plain: Range<u64>,
    first_chunk: u64,
}

impl Plan {
    /// The one range of the object to fetch; empty if the range of plaintext is.
    pub fn sealed(&self) -> Range<u64> {
        self.sealed.clone()
    }
}

impl Opening {
    /// How long the plaintext of an object of `object_len` bytes is. What the store says
    /// of the length is authentic once the last chunk was opened.
    ///
    /// # Errors
    /// Malformed if the payload is below its minimum; Authentication if an object of this
    /// length was cut short.
    pub fn plaintext_len(&self, object_len: u64) -> Result<u64> {
        plaintext_len(object_len.saturating_sub(self.header_len))
    }

    /// Which range of an object of `object_len` bytes to fetch for `plain`.
    ///
    /// # Errors
    /// As [`plaintext_len`](Self::plaintext_len); Misuse if the range ends before it
    /// begins or beyond the plaintext.
    pub fn plan(&self, plain: Range<u64>, object_len: u64) -> Result<Plan> {
        let len = self.plaintext_len(object_len)?;
        if plain.start > plain.end || plain.end > len {
            return Err(Error::misuse("a range beyond the plaintext"));
        }
        let chunk = CHUNK as u64;
        let first_chunk = plain.start / chunk;
        let end = if plain.is_empty() { first_chunk } else { plain.end.div_ceil(chunk) };
        let at = |i: u64| (self.header_len + HEAD as u64 + i * SEALED_CHUNK as u64).min(object_len);
        Ok(Plan { sealed: at(first_chunk)..at(end), plain, first_chunk })
    }

    /// The range, authenticated. `prefix`: the object's first bytes
    /// ([`PREFIX`](super::PREFIX)); `fetched`: its bytes in [`Plan::sealed`].
    ///
    /// A range proves itself, not the length of the whole: only the last chunk does.
    ///
    /// # Errors
    /// Authentication; Misuse if `prefix` is too short or `fetched` is not that long.
    pub fn open_range(&self, plan: &Plan, prefix: &[u8], fetched: &[u8]) -> Result<Vec<u8>> {
        let head = usize::try_from(self.header_len).ok().and_then(|n| prefix.get(n..)?.first_chunk());
        let key =
            self.message_key(head.ok_or_else(|| Error::misuse("the prefix ends before the first chunk"))?)?;
        if fetched.len() as u64 != plan.sealed.end - plan.sealed.start {
            return Err(Error::misuse("not the bytes of the planned range"));
        }
        let mut out = Vec::with_capacity(fetched.len());
        for (index, chunk) in (plan.first_chunk..).zip(fetched.chunks(SEALED_CHUNK)) {
            key.open_chunk(index, chunk, &mut out).inspect_err(|_| wipe_from(&mut out, 0))?;
        }
        let len = (plan.plain.end - plan.plain.start) as usize;
        let skip = (plan.plain.start - plan.first_chunk * CHUNK as u64) as usize;
        let skip = skip.min(out.len());
        out.copy_within(skip.., 0);
        wipe_from(&mut out, len);
        Ok(out)
    }

    /// Checks the commitment among the payload's first bytes.
    pub(super) fn message_key(&self, head: &[u8; HEAD]) -> Result<Cobblestone> {
        Cobblestone::of(self.key.expose()?, &self.aad, head)
    }
}

/// Of a payload of this many bytes.
pub(in crate::envelope) fn plaintext_len(payload: u64) -> Result<u64> {
    let chunks = payload
        .checked_sub(HEAD as u64)
        .filter(|n| *n >= TAG as u64)
        .ok_or_else(|| Error::malformed("payload: below its suite's minimum"))?;
    let (full, rest) = (chunks / SEALED_CHUNK as u64, chunks % SEALED_CHUNK as u64);
    let last = rest.checked_sub(TAG as u64).ok_or_else(Error::authentication)?;
    Ok(full * CHUNK as u64 + last)
}
