//! KEKs: the backend trait, how a string becomes one, and the backends.
mod call;
#[cfg(feature = "test-util")]
pub mod contract;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "test-util")]
mod mock;
mod schemes;
mod uri;

#[cfg(feature = "local")]
pub use local::Keyring;
#[cfg(feature = "test-util")]
pub use mock::{Fault, Mock};
pub use schemes::{Schemes, from_uri};
pub use uri::KeyUri;

pub(crate) use call::{Kek, Role};

use crate::{Dek, EncryptionContext, KeyId, Result, WrappedDek};

/// A KEK in some KMS.
///
/// The futures are polled on any thread, with no async runtime around, and may be dropped
/// half-way. A backend does not retry, cache, limit or time out: libkms does.
///
/// The [contract suite](contract) (feature `test-util`) runs against any implementation.
#[async_trait::async_trait]
pub trait KmsBackend: Send + Sync + 'static {
    /// Which kind of KMS: `a-z 0-9 -`, 1 to 32 bytes, stored in every header. Names that
    /// begin with `x-` are free for private use.
    fn scheme(&self) -> &str;

    /// The allow-list: whether this backend may unwrap what `key_id` wrapped. No I/O.
    /// libkms asks before every unwrap, so that a forged key id costs nothing.
    fn accepts(&self, key_id: &KeyId) -> bool;

    /// Wraps under the current key, and says which that was: resolved, version included.
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek>;

    /// Unwraps. Called only with a key id that is accepted. What is not authentic under
    /// the key and, where the KMS binds it, the context, is an error of the kind
    /// Authentication.
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek>;

    /// For a KMS that makes DEKs itself.
    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        let dek = Dek::generate()?;
        let wrapped = self.wrap_dek(&dek, context).await?;
        Ok((dek, wrapped))
    }

    /// The key that would wrap now, if that can be told. It may be a call: libkms asks at
    /// most twice a minute.
    async fn current_key(&self) -> Result<Option<KeyId>> {
        Ok(None)
    }
}
