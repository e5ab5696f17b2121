//! The KMS of a provider.
pub use crate::kek::{DekSource, KmsStatus, Wrapped};

use crate::{Result, async_trait};

/// The KMS that a provider of type kms stands for: as a rule a plugin on this machine.
///
/// A call that takes too long ends itself, with [`Unavailable`](crate::ErrorKind::Unavailable): whoever reads
/// or writes waits for it. Calls go on when their callers went away, and are polled on any thread, under
/// no particular runtime: a client that needs one brings it.
#[async_trait]
pub trait KmsService: Send + Sync {
    /// Wraps a DEK or a seed. `uid`: of this call, for logs. Under v1 key id and annotations are empty.
    async fn encrypt(&self, plaintext: &[u8], uid: &str) -> Result<Wrapped>;

    /// Unwraps what some service of this kind made.
    async fn decrypt(&self, wrapped: &Wrapped, uid: &str) -> Result<DekSource>;

    /// Which key wraps now. Nobody asks it under v1.
    async fn status(&self) -> Result<KmsStatus>;
}
