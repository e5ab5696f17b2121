//! Providers of Kubernetes, the same in every process.
use libkms::{
    Error, ErrorKind, Result, async_trait,
    kubernetes::{
        DekSource, Key, KmsProvider, KmsService, KmsStatus, KmsVersion, Provider, Transformer, Wrapped,
    },
};
use std::{sync::Arc, time::Duration};

/// Of the keys and the KMS, in the order that they are read in.
pub const NAMES: [&str; 7] = ["v", "a:b", "a", "a", "s", "o", ""];

/// All of them, and this one writes.
pub fn transformer(writer: usize) -> Transformer {
    let key = |name: &str, len: usize| vec![Key::new(name, &vec![len as u8; len]).unwrap()];
    let mut providers = vec![
        kms(KmsVersion::V2, "v"),
        Provider::AesGcm(key("a:b", 32)),
        Provider::AesGcm(key("a", 16)),
        Provider::AesCbc(key("a", 24)),
        Provider::Secretbox(key("s", 32)),
        kms(KmsVersion::V1, "o"),
        Provider::Identity,
    ];
    providers[..=writer].rotate_right(1);
    Transformer::new(providers, |kms| Ok(Arc::new(Plain(kms.version)))).unwrap()
}

fn kms(version: KmsVersion, name: &str) -> Provider {
    let (endpoint, timeout) = ("unix:///nowhere".into(), Duration::from_secs(3));
    Provider::Kms(KmsProvider { version, name: name.into(), endpoint, timeout, cache_size: 1000 })
}

/// Wraps nothing: what it is given stands behind one byte.
struct Plain(KmsVersion);

#[async_trait]
impl KmsService for Plain {
    async fn encrypt(&self, plaintext: &[u8], _: &str) -> Result<Wrapped> {
        let mut wrapped = Wrapped { ciphertext: [&[7], plaintext].concat(), ..Wrapped::default() };
        if self.0 == KmsVersion::V2 {
            wrapped.key_id = "kek".into();
            wrapped.annotations.insert("a.b".into(), vec![1]);
        }
        Ok(wrapped)
    }

    async fn decrypt(&self, wrapped: &Wrapped, _: &str) -> Result<DekSource> {
        let denied = || Error::new(ErrorKind::Denied, "not wrapped by this KMS");
        DekSource::take(wrapped.ciphertext.strip_prefix(&[7]).ok_or_else(denied)?.to_vec())
    }

    async fn status(&self) -> Result<KmsStatus> {
        Ok(KmsStatus { version: "v2".into(), healthz: "ok".into(), key_id: "kek".into() })
    }
}
