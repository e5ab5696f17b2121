//! How a provider, or a key of one, is named.
use crate::{
    Error, Result,
    kubernetes::{Key, KmsVersion, Provider, ValueFormat},
};
use std::{fmt, str::FromStr};

/// The kind of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProviderKind {
    /// Legacy.
    AesCbc,
    /// With a random nonce.
    AesGcm,
    /// Values as they are.
    Identity,
    /// A plugin.
    Kms,
    /// XSalsa20-Poly1305.
    Secretbox,
}

/// A key of a configuration, as `secretbox:key1`; a plugin, `kms:NAME`; or `identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// Of its provider.
    pub kind: ProviderKind,
    /// The key's, or the plugin's; empty for identity.
    pub name: String,
}

impl ProviderKind {
    /// As a configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCbc => "aescbc",
            Self::AesGcm => "aesgcm",
            Self::Identity => "identity",
            Self::Kms => "kms",
            Self::Secretbox => "secretbox",
        }
    }
}

impl FromStr for KeyRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        use ProviderKind::{AesCbc, AesGcm, Identity, Kms, Secretbox};
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let kind = [AesCbc, AesGcm, Identity, Kms, Secretbox].into_iter().find(|k| k.name() == kind);
        match kind {
            Some(kind) if (kind == Identity) == name.is_empty() => Ok(Self { kind, name: name.into() }),
            _ => Err(Error::misuse(
                "a key is named secretbox:NAME, aesgcm:NAME or aescbc:NAME, a plugin kms:NAME, and identity so",
            )),
        }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ProviderKind::Identity => f.write_str("identity"),
            kind => write!(f, "{}:{}", kind.name(), self.name),
        }
    }
}

impl Provider {
    /// Its kind.
    pub fn kind(&self) -> ProviderKind {
        match self {
            Self::AesCbc(_) => ProviderKind::AesCbc,
            Self::AesGcm(_) => ProviderKind::AesGcm,
            Self::Identity => ProviderKind::Identity,
            Self::Kms(_) => ProviderKind::Kms,
            Self::Secretbox(_) => ProviderKind::Secretbox,
        }
    }

    /// Its keys; none of identity and of a plugin.
    pub fn keys(&self) -> &[Key] {
        match self {
            Self::AesCbc(keys) | Self::AesGcm(keys) | Self::Secretbox(keys) => keys,
            Self::Identity | Self::Kms(_) => &[],
        }
    }

    /// What the values of each of its keys begin with, as `k8s:enc:secretbox:v1:key1:`; that of
    /// identity is empty.
    pub fn prefixes(&self) -> Vec<String> {
        self.key_refs().iter().map(|key| self.format().prefix(&key.name)).collect()
    }

    fn format(&self) -> ValueFormat {
        match self {
            Self::AesCbc(_) => ValueFormat::AesCbc,
            Self::AesGcm(_) => ValueFormat::AesGcm,
            Self::Identity => ValueFormat::Identity,
            Self::Kms(kms) if kms.version == KmsVersion::V1 => ValueFormat::KmsV1,
            Self::Kms(_) => ValueFormat::KmsV2,
            Self::Secretbox(_) => ValueFormat::Secretbox,
        }
    }

    /// How each of its keys is named; a plugin and identity once.
    pub fn key_refs(&self) -> Vec<KeyRef> {
        let of = |name: &str| KeyRef { kind: self.kind(), name: name.into() };
        match self {
            Self::Identity => vec![of("")],
            Self::Kms(kms) => vec![of(&kms.name)],
            _ => self.keys().iter().map(|key| of(key.name())).collect(),
        }
    }
}
