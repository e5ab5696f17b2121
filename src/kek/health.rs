//! How a KEK is.
use super::Kek;
use crate::{
    KeyId,
    rt::sync::atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

/// How a KEK is, and what was asked of it since the `Kms` was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendHealth {
    /// The backend's scheme.
    pub scheme: String,
    /// The key that it named last, if it named one.
    pub key_id: Option<KeyId>,
    /// For how long every wrap and unwrap has failed; `None` once one was answered, or before any
    /// was asked for.
    pub degraded_for: Option<Duration>,
    /// Calls made, attempts and questions for the current key included.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Calls that libkms did not make: over the quota, after too many failures, or for what
    /// had been refused a moment before.
    pub refused: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    made: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    pub(super) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was counted as made was refused before it began.
    pub(super) fn not_made(&self) {
        self.made.fetch_sub(1, Ordering::Relaxed);
        self.refused();
    }

    pub(super) fn failed(&self, it_did: bool) {
        self.failed.fetch_add(it_did.into(), Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Kek {
    pub(crate) fn health(&self) -> BackendHealth {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BackendHealth {
            scheme: self.scheme().into(),
            key_id: self.last_said(),
            degraded_for: self.breakers.failing_for(),
            calls: of(&self.counts.made),
            failed: of(&self.counts.failed),
            refused: of(&self.counts.refused),
        }
    }
}
