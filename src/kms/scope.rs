//! Records.
use super::Kms;
use crate::{
    Aad, EncryptionContext, Error, Freshness, Header, KeyId, Reference, Result, Suite,
    crypto::{Xaes256Gcm, wipe_from},
    dek::{OpenDek, SealDek, Slot, Unlocked},
    stream::Opening,
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// A `Kms` and a context: everything that touches data is a method of this.
///
/// `Send + Sync`; a clone is another handle on the same DEK.
#[derive(Clone)]
pub struct Scope {
    pub(super) kms: Kms,
    pub(super) context: EncryptionContext,
    /// Where its DEK for sealing is, once it was asked for.
    slot: OnceLock<Arc<Slot>>,
    /// A stored context can hold keys that no caller can name: it opens nothing.
    reserved: bool,
    /// On one stream or file.
    pub(super) threads: usize,
}

/// What opening gave.
#[non_exhaustive]
pub struct Opened {
    /// As it was sealed.
    pub plaintext: Vec<u8>,
    /// Whether the DEK is wrapped as a new one would be.
    pub freshness: Freshness,
    /// The KEK that unwrapped the DEK.
    pub key_id: KeyId,
}

impl Opened {
    /// Whether it is wrapped under an older version of a KEK, or under other KEKs.
    pub fn is_stale(&self) -> bool {
        self.freshness == Freshness::Stale
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("len", &self.plaintext.len())
            .field("freshness", &self.freshness)
            .field("key_id", &self.key_id)
            .finish()
    }
}

/// A record that does not carry its header, and the header to keep once: see the manual's
/// page on the format, "Reference records".
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReferenceRecord {
    /// Header and mac. Write them before the record, once per DEK; insert, never overwrite.
    pub header: Vec<u8>,
    /// 78 bytes more than the plaintext.
    pub record: Vec<u8>,
}

impl Scope {
    pub(super) fn new(kms: Kms, context: EncryptionContext) -> Self {
        let (reserved, threads) = (context.is_reserved(), kms.0.threads);
        Self { kms, context, slot: OnceLock::new(), reserved, threads }
    }

    /// The keys and policies.
    pub fn kms(&self) -> &Kms {
        &self.kms
    }

    /// What everything here is bound to.
    pub fn context(&self) -> &EncryptionContext {
        &self.context
    }

    /// This scope narrowed by one more pair.
    ///
    /// # Errors
    /// As [`EncryptionContext::with`].
    pub fn with(&self, key: impl Into<String>, value: impl Into<String>) -> Result<Self> {
        Ok(Self::new(self.kms.clone(), self.context.with(key, value)?).threads(self.threads))
    }

    /// This scope, with so many threads on one large file, stream or slice of suite 2: 1 to 256,
    /// the calling one among them, and others for as long as the call lasts, as far as there is
    /// work for them. They read, work and write at once; what is written is what one thread
    /// writes, in the same order.
    ///
    /// As the [`Kms`] has it unless set ([`Builder::threads`](crate::Builder::threads)), which is 1
    /// by itself: then no thread is started. Each takes some 600 KiB; more than processors
    /// are of no use. What uses them: [`seal_stream`](Self::seal_stream),
    /// [`open_stream`](Self::open_stream), [`open_payload`](Self::open_payload),
    /// [`seal_file`](Self::seal_file), [`open_file`](Self::open_file), [`open`](Self::open) of
    /// suite 2, and a [`ReferenceSealer`](crate::ReferenceSealer) made after this. With another
    /// number they are Misuse.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Seals one record: suite 1, header included. Without a call to the KMS, and ready at
    /// its first poll, while the scope's DEK is good; but where nothing was sealed for half a
    /// minute, the KMS is asked first, for a second at most, which key is current.
    ///
    /// # Errors
    /// Limit beyond 2^36 - 32 bytes; what the KMS says; Forked.
    pub async fn seal(&self, aad: Aad<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.seal_into(aad, plaintext, &mut out).await?;
        Ok(out)
    }

    /// As [`seal`](Self::seal), appended to `out`, which is left as it was on failure.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub async fn seal_into(&self, aad: Aad<'_>, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let dek = self.seal_dek(plaintext).await?;
        let start = out.len();
        dek.begin(plaintext.len(), out);
        dek.seal(aad, plaintext, out).inspect_err(|_| wipe_from(out, start))
    }

    /// Seals one record without its header, and gives that beside it.
    /// [`references`](Self::references) keeps the header in a store by itself.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub async fn seal_reference(&self, aad: Aad<'_>, plaintext: &[u8]) -> Result<ReferenceRecord> {
        let dek = self.seal_dek(plaintext).await?;
        let record = reference_record(&dek, aad, plaintext)?;
        Ok(ReferenceRecord { header: dek.header.bytes().to_vec(), record })
    }

    /// Opens an envelope of either suite that is whole in memory.
    ///
    /// # Errors
    /// Malformed, NoMatchingKek or Authentication; what the KMS says; Forked.
    pub async fn open(&self, aad: Aad<'_>, sealed: &[u8]) -> Result<Opened> {
        let mut plaintext = Vec::new();
        let unlocked = self.open_to(aad, sealed, &mut plaintext).await?;
        Ok(Opened { plaintext, freshness: unlocked.freshness, key_id: unlocked.key_id })
    }

    /// As [`open`](Self::open), the plaintext appended to `out`, which is left as it was on
    /// failure.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_into(&self, aad: Aad<'_>, sealed: &[u8], out: &mut Vec<u8>) -> Result<Freshness> {
        self.open_to(aad, sealed, out).await.map(|unlocked| unlocked.freshness)
    }

    /// Opens a reference record with the header that was kept for it.
    ///
    /// # Errors
    /// As [`open`](Self::open); Malformed too if `header` is not the one of this record.
    pub async fn open_reference(&self, aad: Aad<'_>, header: &[u8], record: &[u8]) -> Result<Opened> {
        let reference = Reference::parse(record)?;
        let unlocked = self.unlock(&reference.header(header)?).await?;
        open_record(unlocked, aad, record)
    }

    async fn open_to(&self, aad: Aad<'_>, sealed: &[u8], out: &mut Vec<u8>) -> Result<Unlocked> {
        let (unlocked, start) = self.unlock_envelope(sealed).await?;
        open_payload(&unlocked.dek, self.threads, aad, &sealed[start..], out)?;
        Ok(unlocked)
    }

    /// The DEK of an envelope, and where its payload begins.
    pub(super) async fn unlock_envelope(&self, sealed: &[u8]) -> Result<(Unlocked, usize)> {
        if let Some((unlocked, len)) = self.recognize(sealed)? {
            unlocked.dek.suite().check_payload((sealed.len() - len) as u64)?;
            return Ok((unlocked, len));
        }
        let header = Header::parse(sealed)?;
        header.suite().check_payload((sealed.len() - header.len()) as u64)?;
        Ok((self.unlock(&header).await?, header.len()))
    }

    /// The DEK of a header, if that was written in this scope.
    pub(super) async fn unlock(&self, header: &Header) -> Result<Unlocked> {
        self.check()?;
        self.kms.0.opener.unlock(header, &self.context).await
    }

    /// The DEK of an envelope and where its payload begins, if its header is remembered.
    fn recognize(&self, sealed: &[u8]) -> Result<Option<(Unlocked, usize)>> {
        if self.reserved { Ok(None) } else { self.kms.0.opener.recognize(sealed, &self.context) }
    }

    /// The DEK of a reference, if it is remembered.
    pub(super) fn recall(&self, reference: &Reference) -> Result<Option<Unlocked>> {
        self.check()?;
        self.kms.0.opener.recall(reference, &self.context)
    }

    pub(super) async fn seal_dek(&self, plaintext: &[u8]) -> Result<Arc<SealDek>> {
        self.reserve(plaintext.len() as u64).await
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.reserved {
            return Err(Error::misuse(
                "this context holds a key that begins with libkms-: it is not for callers",
            ));
        }
        Ok(())
    }

    /// A DEK that may seal one message of `len` bytes.
    pub(super) async fn reserve(&self, len: u64) -> Result<Arc<SealDek>> {
        self.check()?;
        let (sealer, slot) = (&self.kms.0.sealer, self.slot());
        match sealer.warm(slot, len)? {
            Some(dek) => Ok(dek),
            None => sealer.dek(slot, len).await,
        }
    }

    /// A DEK for a stream. `None`: its length is not known.
    pub(super) async fn reserve_stream(&self, len: Option<u64>) -> Result<Arc<SealDek>> {
        self.check()?;
        let sealer = &self.kms.0.sealer;
        match len {
            Some(len) => sealer.stream_dek(self.slot(), len).await,
            None => sealer.own_dek(&self.context).await,
        }
    }

    pub(super) fn slot(&self) -> &Arc<Slot> {
        self.slot.get_or_init(|| self.kms.0.sealer.slot(&self.context))
    }
}

/// A record of suite 1, under the DEK that a scope has for sealing.
pub(super) fn reference_record(dek: &SealDek, aad: Aad<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
    let mut record = Reference::to(&dek.header).begin(plaintext.len() + Xaes256Gcm::OVERHEAD);
    dek.seal(aad, plaintext, &mut record)?;
    Ok(record)
}

/// The plaintext of a reference record whose DEK is at hand.
pub(super) fn open_record(unlocked: Unlocked, aad: Aad<'_>, record: &[u8]) -> Result<Opened> {
    let mut plaintext = Vec::new();
    open_payload(&unlocked.dek, 1, aad, &record[Reference::LEN..], &mut plaintext)?;
    Ok(Opened { plaintext, freshness: unlocked.freshness, key_id: unlocked.key_id })
}

/// Appends the plaintext; nothing on failure.
pub(super) fn open_payload(
    dek: &OpenDek,
    threads: usize,
    aad: Aad<'_>,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    match dek.suite() {
        Suite::OneShot => dek.one_shot()?.open(aad.as_bytes(), payload, out),
        Suite::Chunked => {
            let start = out.len();
            let opening = Opening::at(0, dek.payload().clone(), aad.as_bytes());
            // At once: a vector that grows leaves plaintext behind.
            out.reserve(payload.len());
            let opened = if threads == 1 {
                let mut stream = opening.stream();
                stream.push(payload, out).and_then(|()| stream.finish(out))
            } else {
                opening.copy(threads, payload, &mut *out).map(drop)
            };
            opened.inspect_err(|_| wipe_from(out, start))
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("kms", &self.kms).field("context", &self.context).finish()
    }
}
