//! Which keys may open a value: all whose prefix it has, in the order of the configuration.
use super::{
    kms::{Opened, V1, V2},
    service::KmsService,
};
use crate::{
    Error, Result,
    crypto::{AesCbc, AesGcm, Secretbox},
    kubernetes::provider::{Key, KmsProvider, KmsVersion, Provider},
    rt::Runtime,
};
use std::{fmt, sync::Arc};

/// As every value begins that the API server encrypted.
const ENCRYPTED: &str = "k8s:enc:";

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueFormat {
    /// As it is.
    Identity,
    /// Legacy: AES-CBC. It is neither authenticated nor bound to its path.
    AesCbc,
    /// AES-GCM, bound to its path.
    AesGcm,
    /// XSalsa20-Poly1305. It is authenticated, and not bound to its path.
    Secretbox,
    /// Legacy: a DEK of its own, and AES-GCM bound to its path; before Kubernetes 1.25 AES-CBC, neither
    /// authenticated nor bound.
    KmsV1,
    /// A DEK of a seed, and AES-GCM, bound to its path.
    KmsV2,
}

/// One key, or one KMS.
pub(super) struct Way {
    prefix: Vec<u8>,
    pub(super) format: ValueFormat,
    /// Of the key or the KMS; nothing under identity.
    pub(super) name: Arc<str>,
    /// The first key of the first provider.
    pub(super) is_writer: bool,
    by: By,
}

enum By {
    Identity,
    AesCbc(AesCbc),
    AesGcm(AesGcm),
    Secretbox(Key),
    KmsV1(V1),
    KmsV2(V2),
}

pub(super) type Services<'a> = &'a mut dyn FnMut(&KmsProvider) -> Result<Arc<dyn KmsService>>;

/// In the order of the configuration.
pub(super) fn ways(
    providers: Vec<Provider>,
    services: Services<'_>,
    rt: &Arc<dyn Runtime>,
) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    for provider in providers {
        let is_first = ways.is_empty();
        match provider {
            Provider::Identity => ways.push(Way::new(ValueFormat::Identity, "", By::Identity)),
            Provider::AesCbc(keys) => of_keys(&mut ways, ValueFormat::AesCbc, keys, |key| {
                Ok(By::AesCbc(AesCbc::new(key.secret()?)?))
            })?,
            Provider::AesGcm(keys) => of_keys(&mut ways, ValueFormat::AesGcm, keys, |key| {
                Ok(By::AesGcm(AesGcm::new(key.secret()?)?))
            })?,
            Provider::Secretbox(keys) => of_keys(&mut ways, ValueFormat::Secretbox, keys, |key| {
                secretbox(&key)?;
                Ok(By::Secretbox(key))
            })?,
            Provider::Kms(kms) => ways.push(of_kms(&kms, services(&kms)?, is_first, rt)?),
        }
    }
    ways.first_mut().ok_or_else(|| Error::misuse("a resource needs a provider"))?.is_writer = true;
    Ok(ways)
}

fn of_keys(
    ways: &mut Vec<Way>,
    format: ValueFormat,
    keys: Vec<Key>,
    by: impl Fn(Key) -> Result<By>,
) -> Result<()> {
    if keys.is_empty() || keys.iter().any(|key| key.name().is_empty()) {
        return Err(Error::misuse(format!("{format}: it needs a key, and each key a name")));
    }
    for key in keys {
        let name = key.name().to_owned();
        ways.push(Way::new(format, &name, by(key)?));
    }
    Ok(())
}

fn of_kms(
    kms: &KmsProvider,
    service: Arc<dyn KmsService>,
    is_writer: bool,
    rt: &Arc<dyn Runtime>,
) -> Result<Way> {
    if kms.name.is_empty() || (kms.version == KmsVersion::V2 && kms.name.contains(':')) {
        return Err(Error::misuse("kms: its name is empty, or, under v2, has a `:` in it"));
    }
    Ok(match kms.version {
        KmsVersion::V1 => {
            Way::new(ValueFormat::KmsV1, &kms.name, By::KmsV1(V1::new(service, kms.cache_size, rt.clone())))
        }
        KmsVersion::V2 => {
            Way::new(ValueFormat::KmsV2, &kms.name, By::KmsV2(V2::new(service, is_writer, rt.clone())))
        }
    })
}

fn secretbox(key: &Key) -> Result<Secretbox<'_>> {
    let secret = key.secret()?.try_into().map_err(|_| Error::misuse("secretbox: its keys have 32 bytes"))?;
    Ok(Secretbox::new(secret))
}

impl Way {
    fn new(format: ValueFormat, name: &str, by: By) -> Self {
        Self { prefix: format.prefix(name).into_bytes(), format, name: name.into(), is_writer: false, by }
    }

    /// What stands behind the prefix, if the value has it.
    #[inline]
    pub(super) fn body<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let body = value.strip_prefix(&*self.prefix)?;
        // A refusal of identity's is none: others are asked, and the last word is that no prefix matched.
        let is_refused = matches!(self.by, By::Identity) && value.starts_with(ENCRYPTED.as_bytes());
        (!is_refused).then_some(body)
    }

    /// `None`: a KMS must be asked.
    pub(super) fn open_now(&self, path: &[u8], body: &[u8]) -> Result<Option<Opened>> {
        let mut plaintext = Vec::new();
        match &self.by {
            By::Identity => plaintext.extend_from_slice(body),
            By::AesCbc(key) => plaintext = key.open(body)?,
            By::AesGcm(key) => key.open(path, body, &mut plaintext)?,
            By::Secretbox(key) => secretbox(key)?.open(body, &mut plaintext)?,
            By::KmsV1(kms) => return kms.open_now(path, body),
            By::KmsV2(kms) => return kms.open_now(path, body),
        }
        Ok(Some(Opened { plaintext, is_stale: false, key_id: None }))
    }

    /// What [`open_now`](Self::open_now) could not.
    pub(super) async fn open(&self, path: &[u8], body: &[u8]) -> Result<Option<Opened>> {
        match &self.by {
            By::KmsV1(kms) => kms.open(path, body).await.map(Some),
            By::KmsV2(kms) => kms.open(path, body).await.map(Some),
            _ => self.open_now(path, body),
        }
    }

    /// `None`: a KMS must be asked.
    pub(super) fn seal_now(&self, path: &[u8], plaintext: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut out = self.prefix.clone();
        match &self.by {
            By::Identity => out.extend_from_slice(plaintext),
            By::AesCbc(key) => out.extend_from_slice(&key.seal(plaintext)?),
            By::AesGcm(key) => key.seal(path, plaintext, &mut out)?,
            By::Secretbox(key) => secretbox(key)?.seal(plaintext, &mut out)?,
            By::KmsV1(_) => return Ok(None),
            By::KmsV2(kms) => return Ok(kms.seal_now(path, plaintext, &mut out)?.then_some(out)),
        }
        Ok(Some(out))
    }

    /// What [`seal_now`](Self::seal_now) could not.
    pub(super) async fn seal(&self, path: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut out = self.prefix.clone();
        match &self.by {
            By::KmsV1(kms) => kms.seal(path, plaintext, &mut out).await?,
            By::KmsV2(kms) => kms.seal(path, plaintext, &mut out).await?,
            _ => return self.seal_now(path, plaintext).map(Option::unwrap_or_default),
        }
        Ok(out)
    }
}

impl ValueFormat {
    /// As its values begin: up to the body.
    pub(in crate::kubernetes) fn prefix(self, name: &str) -> String {
        let kind = match self {
            Self::Identity => return String::new(),
            Self::AesCbc => "aescbc:v1",
            Self::AesGcm => "aesgcm:v1",
            Self::Secretbox => "secretbox:v1",
            Self::KmsV1 => "kms:v1",
            Self::KmsV2 => "kms:v2",
        };
        format!("{ENCRYPTED}{kind}:{name}:")
    }
}

impl fmt::Display for ValueFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::AesCbc => "aescbc",
            Self::AesGcm => "aesgcm",
            Self::Secretbox => "secretbox",
            Self::KmsV1 => "kms v1",
            Self::KmsV2 => "kms v2",
        })
    }
}
