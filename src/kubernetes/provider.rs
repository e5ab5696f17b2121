//! The providers of an EncryptionConfiguration.
use crate::{
    Error, Result,
    secret::{Locked, without_residue},
};
use std::{fmt, sync::Arc, time::Duration};

/// One provider of a resource's list. The first of a list, with its first key, writes; all read. A clone
/// is another handle on the same keys.
#[derive(Clone, Debug)]
pub enum Provider {
    /// Values as they are.
    Identity,
    /// Legacy: AES-CBC, which authenticates nothing and does not bind a value to its path.
    AesCbc(Vec<Key>),
    /// AES-GCM with a random nonce, the path bound: a key is good for 200,000 writes.
    AesGcm(Vec<Key>),
    /// XSalsa20-Poly1305. A value is not bound to its path.
    Secretbox(Vec<Key>),
    /// DEKs that a KMS plugin wraps.
    Kms(KmsProvider),
}

/// A key that stands in the configuration itself. A clone is another handle on the same bytes.
#[derive(Clone)]
pub struct Key {
    name: Arc<str>,
    secret: Arc<Locked<Sized32>>,
}

struct Sized32 {
    bytes: [u8; 32],
    len: usize,
}

/// A plugin that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsProvider {
    /// Of its protocol, and of the values.
    pub version: KmsVersion,
    /// Stands in every value.
    pub name: String,
    /// `unix:///PATH`, or `unix:///@NAME` for an abstract socket.
    pub endpoint: String,
    /// For one call.
    pub timeout: Duration,
    /// v1: so many DEKs are kept; negative: none.
    pub cache_size: i32,
}

/// Of a plugin's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmsVersion {
    /// A DEK for each value; read for old clusters.
    V1,
    /// A seed for many values.
    V2,
}

impl Key {
    /// A copy of `secret`, 16, 24 or 32 bytes, which the caller wipes.
    ///
    /// # Errors
    /// Misuse for another length; Limit without memory, Forked in a child.
    pub fn new(name: impl Into<Arc<str>>, secret: &[u8]) -> Result<Self> {
        if ![16, 24, 32].contains(&secret.len()) {
            return Err(Error::misuse(format!(
                "a key of {} bytes: AES has keys of 16, 24 and 32 bytes, secretbox of 32",
                secret.len()
            )));
        }
        let secret = without_residue(|| {
            Locked::new(|| {
                let mut bytes = [0; 32];
                bytes[..secret.len()].copy_from_slice(secret);
                Sized32 { bytes, len: secret.len() }
            })
        })?;
        Ok(Self { name: name.into(), secret: Arc::new(secret) })
    }

    /// As every value that it wrote begins.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// 16, 24 or 32 bytes. Forked in a child.
    pub(crate) fn secret(&self) -> Result<&[u8]> {
        let secret = self.secret.get()?;
        Ok(&secret.bytes[..secret.len])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_size_of_aes_and_shows_nothing() {
        for len in 0..64 {
            let key = Key::new("k", &vec![7; len]);
            assert_eq!(key.is_ok(), [16, 24, 32].contains(&len));
            if let Ok(key) = key {
                assert_eq!(key.secret().unwrap(), vec![7; len]);
                assert_eq!(format!("{key:?}"), r#"Key { name: "k", .. }"#);
            }
        }
    }
}
