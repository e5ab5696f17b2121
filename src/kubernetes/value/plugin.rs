//! A plugin as the KMS of a provider.
use super::service::{DekSource, KmsService, KmsStatus, Wrapped};
use crate::{
    Result, async_trait,
    kek::{PluginClient, PluginWrapped},
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
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        let PluginWrapped { ciphertext, key_id, annotations } = self.encrypt(plaintext).await?;
        Ok(Wrapped { ciphertext, key_id, annotations })
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        let Wrapped { ciphertext, key_id, annotations } = wrapped.clone();
        let secret = self.decrypt(&PluginWrapped { ciphertext, key_id, annotations }).await?;
        DekSource::take(secret.expose()?.to_vec())
    }

    async fn status(&self) -> Result<KmsStatus> {
        let status = self.status().await?;
        Ok(KmsStatus { version: status.version, healthz: status.healthz, key_id: status.key_id })
    }
}

/// One of version 1.
struct Old(PluginClient);

#[async_trait]
impl KmsService for Old {
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        let ciphertext = self.0.old_encrypt(plaintext).await?.ciphertext;
        Ok(Wrapped { ciphertext, ..Wrapped::default() })
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        let secret = self.0.old_decrypt(&wrapped.ciphertext).await?;
        DekSource::take(secret.expose()?.to_vec())
    }

    async fn status(&self) -> Result<KmsStatus> {
        let status = self.0.old_status().await?;
        Ok(KmsStatus { version: status.version, healthz: status.healthz, key_id: status.key_id })
    }
}
