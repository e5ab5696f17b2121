//! The facade: a `Kms` is keys and policies, a `Scope` is a `Kms` and a context.
mod batches;
mod builder;
#[cfg(feature = "config")]
mod config;
#[cfg(all(test, target_arch = "x86_64", not(shuttle)))]
mod constant_time;
#[cfg(all(test, unix, feature = "local"))]
mod faults;
mod files;
#[cfg(feature = "plugin")]
mod plugin;
mod references;
mod resealing;
mod rewrap;
mod scope;
mod store;
mod streams;

pub use batches::BatchItem;
pub use builder::Builder;
#[cfg(feature = "config")]
pub use config::{KeySet, Purpose};
pub use files::Outcome;
pub use references::References;
pub use resealing::ReferenceSealer;
pub use scope::{Opened, ReferenceRecord, Scope};
pub use store::{HeaderDirectory, HeaderFile, HeaderStore, MemoryHeaders};
pub use streams::SealOptions;

#[cfg(feature = "plugin")]
pub(crate) use plugin::Unwrapping;

use crate::{
    EncryptionContext, Error, Freshness, Header, Result,
    dek::{Keks, Opener, Rewrapper, Sealer, TableUsage},
    kek::{
        BackendHealth, Schemes,
        observer::{Observer, Says},
    },
    rt::Runtime,
    secret::forked,
};
use std::{fmt, sync::Arc, time::Duration};

/// Keys and policies. A clone is another handle on the same.
///
/// ```
/// # fn main() -> libkms::Result<()> {
/// use libkms::{Aad, EncryptionContext, Kms, Wait};
/// # let dir = std::env::temp_dir().join(format!("libkms-doc-kms-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # let uri = format!("local:{}#orders?create=true", dir.join("keys.json").display());
///
/// let kms = Kms::from_uri(&uri).wait()?; // "local:keys.json#orders"
/// let orders = kms.scope(EncryptionContext::new([("purpose", "orders")])?);
///
/// let sealed = orders.seal(Aad::from("order/1"), b"two pounds of tea").wait()?;
/// let opened = orders.open(Aad::from("order/1"), &sealed).wait()?;
/// assert_eq!(opened.plaintext, b"two pounds of tea");
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Kms(Arc<Inner>);

/// How the KEKs of a [`Kms`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Each KEK, in the order they were given.
    pub backends: Vec<BackendHealth>,
    /// In an outage: how long the first of the scopes that are in it still seals, with the DEK
    /// it has. `None`: none is.
    pub sealing_ends_in: Option<Duration>,
}

/// How full the tables of DEKs of a [`Kms`] are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// DEKs that seal, one for each scope in use.
    pub sealing: TableUsage,
    /// DEKs that were opened.
    pub opening: TableUsage,
}

struct Inner {
    keks: Arc<Keks>,
    sealer: Sealer,
    opener: Opener,
    rewrapper: Rewrapper,
    rt: Arc<dyn Runtime>,
    /// Of a batch.
    threads: usize,
}

impl Kms {
    /// Several KEKs, policies.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// One KEK, all defaults.
    ///
    /// # Errors
    /// As [`kek::from_uri`](crate::kek::from_uri).
    pub async fn from_uri(uri: &str) -> Result<Self> {
        Self::builder().kek(Schemes::default().from_uri(uri).await?).build()
    }

    /// The scope of the context that an envelope stores in clear. Look at it first:
    /// whoever wrote the envelope chose it, the tenant in it too.
    ///
    /// # Errors
    /// Misuse if the envelope stores none, or one that is not for callers.
    pub fn stored_scope(&self, header: &Header) -> Result<Scope> {
        let context = header.stored_context();
        let scope = self.scope(context.cloned().ok_or_else(|| Error::misuse("no context is stored there"))?);
        scope.check().map(|()| scope)
    }

    /// Whether the DEK of `header` is wrapped as a new one would be: what a rewrap would
    /// change. The header is taken at its word, and no KMS unwraps anything; one is asked
    /// which key is current, at most twice a minute. Unknown, too, if two KEKs here have keys of
    /// the id that the header names, as keyrings can; and in a forked child.
    pub async fn freshness(&self, header: &Header) -> Freshness {
        // A child has no thread that would wait for the answer.
        if forked() { Freshness::Unknown } else { self.0.keks.freshness_told(header).await }
    }

    /// How its KEKs are, and how long sealing goes on where one fails. In a forked child there
    /// are none.
    pub fn health(&self) -> Health {
        if forked() {
            return Health { backends: Vec::new(), sealing_ends_in: None };
        }
        Health { backends: self.0.keks.health(), sealing_ends_in: self.0.sealer.ends_in() }
    }

    /// Tells one more of what happens from now on, as
    /// [`Builder::observer`](crate::Builder::observer) does from the beginning.
    pub fn observe(&self, observer: impl Observer) {
        self.0.keks.observers().add(Arc::new(observer), Says::Nothing);
    }

    /// How full its tables of DEKs are. In a forked child they are nothing.
    pub fn usage(&self) -> Usage {
        if forked() {
            // A thread that this process has not may hold their locks.
            return Usage::default();
        }
        Usage { sealing: self.0.sealer.usage(), opening: self.0.opener.usage() }
    }

    /// Whether any KEK here wraps.
    pub(crate) fn wraps(&self) -> bool {
        self.0.keks.wraps()
    }

    /// Everything sealed and opened through the result is bound to `context`.
    pub fn scope(&self, context: EncryptionContext) -> Scope {
        Scope::new(self.clone(), context)
    }
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kms")?;
        f.debug_list().entries(self.0.keks.schemes()).finish()
    }
}
