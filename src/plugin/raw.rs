//! For `fuzz/` alone.
use super::Plugin;
use crate::Result;

impl Plugin {
    pub(crate) async fn wrap_raw(&self, plaintext: &[u8]) -> Result<(Vec<u8>, String)> {
        let (ciphertext, current) = self.wrap(plaintext).await?;
        Ok((ciphertext, current.key_id.clone().unwrap_or_default()))
    }

    pub(crate) async fn unwrap_raw(&self, ciphertext: &[u8], key_id: &str) -> Result<Vec<u8>> {
        self.unwrap(ciphertext, key_id).await
    }
}
