//! A plugin as the KMS of a provider.
use super::service::{DekSource, KmsService, KmsStatus, Wrapped};
use crate::{
    Result, async_trait,
    kek::PluginClient,
    kubernetes::provider::{KmsProvider, KmsVersion},
};
use std::sync::Arc;

impl KmsProvider {
    /// The plugin at its endpoint, dialled when it is first asked. `kms.dial()` is what
    /// [`Transformer::new`](super::Transformer::new) wants of a provider.
    ///
    /// # Errors
    /// Misuse for an endpoint that is none.
    pub fn dial(&self) -> Result<Arc<dyn KmsService>> {
        let client = PluginClient::new(&self.endpoint)?.timeout(self.timeout);
        Ok(match self.version {
            KmsVersion::V1 => Arc::new(Old(client)),
            KmsVersion::V2 => Arc::new(client),
        })
    }
}

#[async_trait]
impl KmsService for PluginClient {
    async fn encrypt(&self, plaintext: &[u8], uid: &str) -> Result<Wrapped> {
        self.encrypt_as(plaintext, uid).await
    }

    async fn decrypt(&self, wrapped: &Wrapped, uid: &str) -> Result<DekSource> {
        self.decrypt_as(wrapped, uid).await
    }

    async fn status(&self) -> Result<KmsStatus> {
        self.status().await
    }
}

/// One of version 1.
struct Old(PluginClient);

#[async_trait]
impl KmsService for Old {
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        self.0.old_encrypt(plaintext).await
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        self.0.old_decrypt(&wrapped.ciphertext).await
    }

    async fn status(&self) -> Result<KmsStatus> {
        self.0.old_status().await
    }
}
