//! How long one DEK seals, and how long a KMS may take.
use crate::{Error, ErrorKind, Result};
use std::time::Duration;

/// How much one DEK seals before a new one is made.
///
/// Its bounds are never passed, however many threads seal: a message that does not fit into
/// what is left gets another DEK. One that is larger than the bound of bytes, and a stream
/// whose length is not known, get a DEK of their own, which seals nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DekPolicy {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

impl DekPolicy {
    /// The format's own bound: messages under one DEK, suite and context.
    pub const MOST_MESSAGES: u64 = 1 << 32;

    /// A DEK, and so a call to the KMS, for every message.
    pub fn per_message() -> Self {
        Self { messages: 1, ..Self::default() }
    }

    /// The default: 2^20 messages, 64 GiB and 10 minutes, whichever ends first.
    pub fn reuse() -> Self {
        Self::default()
    }

    /// At most `n` messages: 1 to [`MOST_MESSAGES`](Self::MOST_MESSAGES).
    #[must_use]
    pub fn for_messages(mut self, n: u64) -> Self {
        self.messages = n;
        self
    }

    /// At most `n` bytes of plaintext.
    #[must_use]
    pub fn for_bytes(mut self, n: u64) -> Self {
        self.bytes = n;
        self
    }

    /// At most this long. An opened DEK is remembered as long: what was disabled or destroyed
    /// meanwhile opens until then. With zero none is remembered, and every message has a DEK of
    /// its own.
    #[must_use]
    pub fn for_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// How long an opened DEK is remembered.
    pub(crate) fn remembered_for(&self) -> Duration {
        self.time
    }

    pub(crate) fn check(&self) -> Result<()> {
        if (1..=Self::MOST_MESSAGES).contains(&self.messages) {
            Ok(())
        } else {
            Err(Error::misuse("a DEK seals 1 to 2^32 messages: the bound of its 192-bit nonces, with room"))
        }
    }
}

impl Default for DekPolicy {
    fn default() -> Self {
        Self { messages: 1 << 20, bytes: 64 << 30, time: Duration::from_secs(600) }
    }
}

/// Which of several KEKs may fail when a DEK is wrapped.
///
/// What is sealed meanwhile opens under fewer KEKs, and is Stale: a rewrap adds those that
/// were missing. A rewrap itself tolerates no failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrapPolicy {
    /// `None`: all.
    least: Option<usize>,
    tolerated: Vec<ErrorKind>,
}

impl WrapPolicy {
    /// The default: none.
    pub fn all() -> Self {
        Self { least: None, tolerated: Vec::new() }
    }

    /// At least `n` must wrap; the others may be unavailable.
    pub fn at_least(n: usize) -> Self {
        Self { least: Some(n), tolerated: vec![ErrorKind::Unavailable] }
    }

    /// Beyond that, failures of this kind are tolerated as well: Denied, of a KEK that may
    /// be disabled at any time.
    #[must_use]
    pub fn tolerate(mut self, kind: ErrorKind) -> Self {
        self.tolerated.push(kind);
        self
    }

    pub(super) fn tolerates(&self) -> bool {
        !self.tolerated.is_empty()
    }

    /// `total`: KEKs that wrap; `failed`: what those said that did not.
    pub(super) fn allows(&self, total: usize, failed: impl Iterator<Item = ErrorKind>) -> bool {
        let failed: Vec<_> = failed.collect();
        let least = self.least.unwrap_or(total);
        failed.iter().all(|kind| self.tolerated.contains(kind)) && total - failed.len() >= least
    }

    /// `total` may be 0: of a `Kms` that only opens.
    pub(crate) fn check(&self, total: usize) -> Result<()> {
        match self.least {
            Some(n) if n == 0 || n > total => {
                Err(Error::misuse(format!("at least {n} KEKs must wrap, and {total} can: 1 to {total}")))
            }
            _ => Ok(()),
        }
    }
}

impl Default for WrapPolicy {
    fn default() -> Self {
        Self::all()
    }
}
