//! A plugin without its socket.
use crate::{
    Kms, Result,
    kek::k8s_kms::{decode_wrapped, encode_wrapped, generated::v2},
    plugin::Plugin,
};
use prost::Message;

/// What the plugin's socket gives it.
pub struct Served(Plugin);

impl Served {
    pub fn new(kms: &Kms) -> Self {
        Self(Plugin::new(kms, crate::EncryptionContext::empty()))
    }

    /// The bytes of a Decrypt, for this plaintext.
    pub async fn request(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let (ciphertext, key_id) = self.0.wrap_raw(plaintext).await?;
        let request = v2::DecryptRequest { ciphertext, key_id, ..Default::default() };
        Ok(request.encode_to_vec())
    }

    /// What a Decrypt of these bytes answers; `None` if they are no message.
    pub async fn decrypt(&self, body: &[u8]) -> Option<Result<Vec<u8>>> {
        let request = v2::DecryptRequest::decode(body).ok()?;
        Some(self.0.unwrap_raw(&request.ciphertext, &request.key_id).await)
    }

    /// What a client of a plugin stores, if these bytes are that, encoded again.
    pub fn stored(wrapped: &[u8]) -> Option<Vec<u8>> {
        let (ciphertext, annotations) = decode_wrapped(wrapped).ok()?;
        encode_wrapped(&ciphertext, &annotations).ok()
    }
}
