//! Streams.
use super::Scope;
use crate::{
    Aad, Copies, Error, Header, Result, Suite,
    stream::{Opening, Sealing},
};

/// How a stream is sealed.
#[derive(Clone, Debug, Default)]
pub struct SealOptions {
    copies: Option<Copies>,
    pub(super) store_context: bool,
    pub(super) len: Option<u64>,
}

impl SealOptions {
    /// The length is not known, two header copies, the context not stored.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes will come: exactly these. A stream below 1 MiB then has one header
    /// copy, and may share the scope's DEK.
    #[must_use]
    pub fn len(mut self, bytes: u64) -> Self {
        self.len = Some(bytes);
        self
    }

    /// How often the header stands there. Unless set: twice for 1 MiB and more, or where
    /// the length is not known.
    #[must_use]
    pub fn copies(mut self, copies: Copies) -> Self {
        self.copies = Some(copies);
        self
    }

    /// Stores the context in clear: for inspection, and for who opens without knowing it.
    #[must_use]
    pub fn store_context(mut self) -> Self {
        self.store_context = true;
        self
    }

    /// Misuse unless one header copy will do: reference records have one.
    pub(super) fn check_one_copy(&self) -> Result<()> {
        if self.copies == Some(Copies::Two) {
            return Err(Error::misuse("the header of reference records has one copy"));
        }
        Ok(())
    }

    fn copies_or_usual(&self) -> Copies {
        let large = self.len.is_none_or(|n| n >= 1 << 20);
        self.copies.unwrap_or(if large { Copies::Two } else { Copies::One })
    }
}

impl Scope {
    /// Starts a stream whose length is not known: suite 2, two header copies, a DEK of its
    /// own. The only await is for the DEK; all that follows is synchronous.
    ///
    /// # Errors
    /// What the KMS says; Forked.
    pub async fn sealer(&self, aad: Aad<'_>) -> Result<Sealing> {
        self.sealer_with(aad, &SealOptions::new()).await
    }

    /// Starts a stream.
    ///
    /// # Errors
    /// As [`sealer`](Self::sealer); Limit if the header does not fit.
    pub async fn sealer_with(&self, aad: Aad<'_>, options: &SealOptions) -> Result<Sealing> {
        let dek = self.reserve_stream(options.len).await?;
        let (header, keys) = dek.chunked(options.copies_or_usual(), options.store_context)?;
        Sealing::new(keys.payload(), header.all_copies(), aad.as_bytes(), options.len)
    }

    /// Gets the key of a stream whose header was read. All that follows is synchronous.
    ///
    /// # Errors
    /// NoMatchingKek or Authentication; what the KMS says; Misuse for a payload of suite 1,
    /// which [`open`](Self::open) opens; Forked.
    pub async fn opener(&self, aad: Aad<'_>, header: &Header) -> Result<Opening> {
        check_chunked(header.suite())?;
        let unlocked = self.unlock(header).await?;
        Ok(Opening::new(unlocked.dek.payload().clone(), header, aad.as_bytes()))
    }
}

/// Misuse for a payload of suite 1.
pub(super) fn check_chunked(suite: Suite) -> Result<()> {
    if suite == Suite::Chunked {
        return Ok(());
    }
    Err(Error::misuse("a one-shot payload is opened whole, by open()"))
}
