//! The contract suite on the backends of this crate, and on one that breaks it.
mod common;

use common::Folder;
use libkms::{
    Dek, EncryptionContext, KeyId, Result, Wait, WrappedDek, async_trait,
    kek::{Keyring, KmsBackend, Mock, contract},
};

#[test]
fn the_local_keyring_keeps_the_contract() {
    let folder = Folder::new("contract-local");
    let path = folder.join("keys.json");
    Keyring::create(&path, "orders").unwrap();
    contract::check(|| async { Keyring::open(&path, "orders") }).wait();
}

#[test]
fn the_mock_keeps_the_contract() {
    let mock = Mock::new("orders");
    contract::check(|| async { Ok(mock.clone()) }).wait();
}

/// A backend that is right but for one thing.
struct Wrong(Mock, &'static str);

#[async_trait]
impl KmsBackend for Wrong {
    fn scheme(&self) -> &str {
        if self.1 == "scheme" { "Wrong" } else { "x-wrong" }
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        match self.1 {
            "by prefix" => key_id.as_str().starts_with("k/1"),
            "nothing" => false,
            _ => self.0.accepts(key_id),
        }
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        if self.1 == "open" {
            return Ok(WrappedDek::new(KeyId::new("k/1")?, dek.expose()?.to_vec()));
        }
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        match (self.1, self.0.unwrap_dek(wrapped, context).await) {
            ("noise", Err(_)) => Dek::generate(),
            ("context", Ok(dek)) if !context.is_empty() => {
                let mut other = *dek.expose()?;
                other[0] ^= context.encoding().len() as u8;
                Dek::take(other)
            }
            ("open", _) => Dek::take(wrapped.ciphertext.clone()),
            (_, reply) => reply,
        }
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        let id = if self.1 == "current" { "k/2" } else { "k/1" };
        KeyId::new(id).map(Some)
    }
}

#[test]
fn a_backend_that_breaks_the_contract_is_told() {
    for wrong in ["scheme", "by prefix", "nothing", "noise", "context", "open", "current"] {
        let result = std::panic::catch_unwind(|| {
            let mock = Mock::new("k");
            contract::check(|| async { Ok(Wrong(mock.clone(), wrong)) }).wait();
        });
        assert!(result.is_err(), "{wrong} went unnoticed");
    }
    let mock = Mock::new("k");
    contract::check(|| async { Ok(Wrong(mock.clone(), "")) }).wait();
}
