//! KEKs: the backend trait, how a string becomes one, and the backends.
//!
//! | URI | what it opens |
//! |---|---|
//! | `local:PATH#NAME` | the key NAME of a keyring file; `default` without `#NAME` |
//! | `local:PATH#NAME?create=true` | the same, made first if there is no such file |
//! | `local:PATH#NAME?passphrase-file=PATH` | of a file with a passphrase, which that file holds (feature `passphrase`) |
//! | `local:PATH#NAME?passphrase-env=NAME` | the same, held by a variable of the environment |
//! | `aws-kms:ARN` | a key in AWS KMS (feature `aws`) |
//! | `aws-kms:alias/NAME`, `aws-kms:ID` | the same, in the region that the AWS tools would take |
//! | `k8s-kms:unix:///PATH` | the key of a Kubernetes KMS plugin, version 2 (feature `plugin`) |
//! | `k8s-kms:unix:///@NAME` | the same, at a socket without a file |
//! | `mock:NAME` | a scripted KMS in memory (feature `test-util`) |
//!
//! What may stand behind an `aws-kms` key, after `?` and joined by `&`, lists with commas:
//!
//! | parameter | what it says |
//! |---|---|
//! | `accept=ARN,...` | keys that open as well: what the alias pointed to before |
//! | `accept-account=ID,...` | any key of these accounts opens, in the key's region and in `regions` |
//! | `regions=NAME,...` | where replicas of a multi-Region key that opens may open too |
//! | `region=NAME`, `profile=NAME`, `endpoint=URL` | instead of what environment and profile say |
//! | `fips=true`, `dual-stack=true` | which of AWS's endpoints |
//! | `grant-token=TOKEN,...` | sent with every call; no secret |
//!
//! An endpoint that begins with `http://` is for tests: DEKs pass in plain text. Credentials
//! are found as the AWS tools find them, and never stand in a URI. What to allow, where
//! credentials come from, proxies, logs: [a page of the manual](crate::manual::aws).
//!
//! Behind a `k8s-kms` key: `accept=ID,...`, key ids that the plugin had before and that open as
//! well; `accept-any=true`, whatever key id a record names, for the plugin to judge.
//!
//! PATH and NAME may be percent-encoded, as `?`, `#` and `%` in them must be. Your own
//! schemes: [`Schemes::with`].
#[cfg(feature = "aws")]
mod aws;
mod breaker;
mod bucket;
mod call;
#[cfg(feature = "test-util")]
pub mod contract;
mod current;
mod freshness;
mod health;
#[cfg(feature = "kubernetes")]
pub(crate) mod k8s_kms;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "test-util")]
mod mock;
#[cfg(feature = "tokio")]
mod on_tokio;
pub mod observer;
pub(crate) mod outage;
mod pause;
mod places;
mod refusals;
mod schemes;
mod standing;
mod told;
mod uri;

#[cfg(feature = "aws")]
pub use aws::{AwsKms, AwsPolicy, AwsUse};
pub use freshness::Freshness;
pub use health::BackendHealth;
#[cfg(feature = "kubernetes")]
pub use k8s_kms::{DekSource, KmsStatus, Wrapped};
#[cfg(feature = "plugin")]
pub use k8s_kms::{PluginClient, PluginKms};
#[cfg(feature = "passphrase")]
pub use local::Passphrase;
#[cfg(feature = "local")]
pub use local::{KeyInfo, KeyState, Keyring, KeyringFile, VersionInfo};
#[cfg(feature = "test-util")]
pub use mock::{Fault, Mock};
#[cfg(feature = "tokio")]
pub use on_tokio::OnTokio;
#[cfg(feature = "etcd")]
pub(crate) use on_tokio::on_io;
pub use schemes::{Schemes, from_uri};
pub use uri::KeyUri;

#[cfg(feature = "kubernetes")]
pub(crate) use k8s_kms::{is_domain, uid};

pub(crate) use call::{Kek, Role, panicked};
use outage::OutagePolicy;
pub(crate) use pause::{Pauses, shortened};
pub(crate) use refusals::Refusals;
pub(crate) use schemes::how_to_accept;

use crate::{Dek, EncryptionContext, KeyId, Result, WrappedDek};
use std::sync::Arc;

/// A KEK in some KMS.
///
/// The futures are polled on any thread, with no async runtime around, and may be dropped
/// half-way. They must not block: a time-out cannot end a poll, and the next one may be on
/// libkms's own thread, where everything else waits behind it. A client that blocks belongs
/// on a thread of its own, one that needs tokio in `OnTokio` (feature `tokio`). A backend does not retry,
/// cache, limit or time out: libkms does.
///
/// The contract suite (`kek::contract`, feature `test-util`) runs against any
/// implementation.
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

    /// A new DEK, wrapped. Unless overridden, for a KMS that makes DEKs itself, it is drawn
    /// here and given to [`wrap_dek`](Self::wrap_dek).
    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        let dek = Dek::generate()?;
        let wrapped = self.wrap_dek(&dek, context).await?;
        Ok((dek, wrapped))
    }

    /// The key that would wrap now, if that can be told. It may be a call: libkms asks at
    /// most twice a minute. Unless overridden it cannot be told, and libkms goes by what the
    /// last wrap said, for half a minute.
    async fn current_key(&self) -> Result<Option<KeyId>> {
        Ok(None)
    }

    /// What an error calls it, where no reply names its key: the key and the place that it was
    /// configured with, nothing secret. Its scheme unless overridden.
    fn name(&self) -> String {
        self.scheme().into()
    }

    /// Where a key is: what fails together. Calls for keys of another place go on when one place
    /// fails or says to come back later, and each has its quota. Small, an index, and bounded by
    /// what was configured, never by what a record says, for libkms keeps something for each: of
    /// 64 at most, beyond which they count as one. Wraps, and questions for the current key, are
    /// of place 0. No I/O. There is one place unless overridden.
    fn place(&self, _key_id: &KeyId) -> usize {
        0
    }

    /// How many calls a second one client should make at most in each place, of a KMS that has a
    /// quota. [`OutagePolicy`] says otherwise.
    fn calls_per_second(&self) -> Option<u32> {
        None
    }
}

#[async_trait::async_trait]
impl<B: KmsBackend + ?Sized> KmsBackend for Arc<B> {
    fn scheme(&self) -> &str {
        (**self).scheme()
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        (**self).accepts(key_id)
    }

    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        (**self).wrap_dek(dek, context).await
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        (**self).unwrap_dek(wrapped, context).await
    }

    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        (**self).generate_dek(context).await
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        (**self).current_key().await
    }

    fn name(&self) -> String {
        (**self).name()
    }

    fn place(&self, key_id: &KeyId) -> usize {
        (**self).place(key_id)
    }

    fn calls_per_second(&self) -> Option<u32> {
        (**self).calls_per_second()
    }
}
