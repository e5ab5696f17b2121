//! Kubernetes encryption at rest: what its API server stores in etcd, byte for byte, and the
//! EncryptionConfiguration that says how.
//!
//! A [`Transformer`] is made of the [`Provider`]s of a resource, and of a [`KmsService`] for each of them
//! that has its DEKs in a KMS. It reads and writes values by their path, as the API server does; what
//! each format is worth is in the [manual](crate::manual::kubernetes).
mod config;
mod provider;
mod value;

pub use config::{
    ConfigurationText, EncryptionConfiguration, Entry, Gate, KeyRef, NewProvider, ProviderKind, Survey,
};
pub use provider::{Key, KmsProvider, KmsVersion, Provider};
pub use value::{DekSource, KmsService, KmsStatus, Read, Transformer, ValueFormat, Wrapped};
