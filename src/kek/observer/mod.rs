//! Who is told of what a [`Kms`](crate::Kms) does: logs, metrics, an audit trail.
//!
//! One trait, [`Observer`]; a `Kms` has as many as it is given, by
//! [`Builder::observer`](crate::Builder::observer), [`Kms::observe`](crate::Kms::observe) or, where what is not written down must not be
//! done, [`Builder::audit`](crate::Builder::audit). Adapters: [`Tracing`] (feature `tracing`),
//! [`Metrics`] (feature `metrics`).
//!
//! ```
//! use libkms::observer::{Event, Observer};
//!
//! struct Log;
//!
//! impl Observer for Log {
//!     fn observe(&self, event: &Event<'_>) -> libkms::Result<()> {
//!         eprintln!("{event:?}");
//!         Ok(())
//!     }
//! }
//! ```
//!
//! No event holds a key, plaintext or a wrapped DEK. Key ids, contexts and what a KMS said are in
//! them: they stand in the KMS's own audit log too.
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;

use crate::{
    EncryptionContext, Error, Freshness, KeyId, Result,
    rt::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// Told of what happens where it happens: on the caller's thread, or on libkms's own, where
/// everything else waits behind it. So it must not block for long; what it panics with is caught.
pub trait Observer: Send + Sync + 'static {
    /// A call to a KMS begins. What this gives is handed back with [`Event::Called`].
    fn begins(&self, _call: &Call<'_>) -> Option<Span> {
        None
    }

    /// Something happened.
    ///
    /// # Errors
    /// Of an auditor it is what the call of [`Event::Called`] fails with: no DEK that the call
    /// gave is used. Of any other, and for any other event, it is dropped.
    fn observe(&self, event: &Event<'_>) -> Result<()>;
}

/// Of an observer's own, from the beginning of a call to its end.
pub type Span = Box<dyn Any + Send + Sync>;

/// A call to a KMS: one attempt.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// What is asked.
    pub operation: Operation,
    /// Of the backend.
    pub scheme: &'a str,
    /// As the backend calls itself in errors: the key and the place that it was configured with.
    pub kek: &'a str,
    /// Under which the DEK is wrapped that is to be unwrapped.
    pub key_id: Option<&'a KeyId>,
    /// That of the DEK.
    pub context: Option<&'a EncryptionContext>,
}

/// What a KMS is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// A new DEK, wrapped.
    Generate,
    /// To wrap a DEK.
    Wrap,
    /// To unwrap one.
    Unwrap,
    /// Which key would wrap now.
    CurrentKey,
}

impl Operation {
    /// `generate`, `wrap`, `unwrap`, `current_key`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Wrap => "wrap",
            Self::Unwrap => "unwrap",
            Self::CurrentKey => "current_key",
        }
    }
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A call is over.
    #[non_exhaustive]
    Called {
        /// Which.
        call: &'a Call<'a>,
        /// From the question to the answer.
        took: Duration,
        /// How it ended.
        ending: Ending<'a>,
        /// What this observer gave when it began.
        span: Option<&'a Span>,
    },
    /// A call was not made: over the quota, after too many failures, or for what had been refused
    /// a moment before.
    #[non_exhaustive]
    NotCalled {
        /// Which.
        call: &'a Call<'a>,
        /// What the caller is told.
        error: &'a Error,
    },
    /// The DEK of an envelope is at hand. Not told where it could not be had.
    #[non_exhaustive]
    Unlocked {
        /// Where it came from.
        from: DekFrom,
        /// Whether it is wrapped as a new one would be.
        freshness: Freshness,
        /// The KEK that unwrapped it.
        key_id: &'a KeyId,
    },
    /// A KEK answers no more, or again.
    #[non_exhaustive]
    Health {
        /// Of the backend.
        scheme: &'a str,
        /// As [`Call::kek`].
        kek: &'a str,
        /// Whether it fails.
        is_failing: bool,
    },
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'a> {
    /// Answered, under this key, where the answer names one.
    Answered(Option<&'a KeyId>),
    /// With an error, or not in time.
    Failed(&'a Error),
    /// Nobody waited for it any more: another KEK was quicker, or the caller is gone.
    Abandoned,
}

impl Ending<'_> {
    /// `ok`, the kind of the error in lower case, `abandoned`.
    pub fn outcome(&self) -> String {
        match self {
            Self::Answered(_) => "ok".into(),
            Self::Failed(error) => format!("{:?}", error.kind()).to_lowercase(),
            Self::Abandoned => "abandoned".into(),
        }
    }
}

/// Where the DEK of an envelope came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DekFrom {
    /// It was remembered.
    Memory,
    /// It was unwrapped for this.
    Kms,
    /// It was being unwrapped for somebody else already.
    Flight,
}

impl DekFrom {
    /// `memory`, `kms`, `flight`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Kms => "kms",
            Self::Flight => "flight",
        }
    }
}

/// All observers of a `Kms`. A clone is another handle on the same.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there are any: what is warm looks here alone.
    any: AtomicBool,
    all: Mutex<List>,
}

type List = Arc<[(Arc<dyn Observer>, Says)]>;

/// What an observer's error does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// It fails the call.
    Audits,
}

/// Those who were told that a call begins, and what each gave.
pub(super) struct Begun(List, Vec<Option<Span>>);

impl Observers {
    pub(crate) fn add(&self, observer: Arc<dyn Observer>, says: Says) {
        let mut all = lock(&self.0.all);
        *all = all.iter().cloned().chain([(observer, says)]).collect();
        self.0.any.store(true, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Acquire)
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        for (observer, _) in self.all().iter() {
            let _dropped = caught(|| observer.observe(event));
        }
    }

    pub(super) fn begins(&self, call: &Call<'_>) -> Begun {
        let all = self.all();
        let begins = |(observer, _): &(Arc<dyn Observer>, _)| caught(|| Ok(observer.begins(call))).ok()?;
        let spans = all.iter().map(begins).collect();
        Begun(all, spans)
    }

    /// Nobody is called under the lock.
    fn all(&self) -> List {
        lock(&self.0.all).clone()
    }
}

impl Begun {
    /// Tells all of them. The error is the first auditor's that has one.
    pub(super) fn ends(&self, call: &Call<'_>, took: Duration, ending: Ending<'_>) -> Result<()> {
        let mut told = Ok(());
        for ((observer, says), span) in self.0.iter().zip(&self.1) {
            let said =
                caught(|| observer.observe(&Event::Called { call, took, ending, span: span.as_ref() }));
            if *says == Says::Audits {
                told = told.and(said);
            }
        }
        told
    }
}

fn caught<T>(observe: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(observe)).unwrap_or_else(|_| Err(Error::misuse("an observer panicked")))
}
