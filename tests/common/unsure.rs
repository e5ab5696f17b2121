//! A backend that does not say which key is current.
use libkms::{
    Dek, EncryptionContext, KeyId, Result, WrappedDek, async_trait,
    kek::{KmsBackend, Mock},
};

/// It "hangs", "panics" or says nothing.
pub struct Unsure(pub Mock, pub &'static str);

#[async_trait]
impl KmsBackend for Unsure {
    fn scheme(&self) -> &str {
        "x-unsure"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.0.unwrap_dek(wrapped, context).await
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        match self.1 {
            "hangs" => std::future::pending().await,
            "panics" => panic!("on purpose"),
            _ => Ok(None),
        }
    }
}
