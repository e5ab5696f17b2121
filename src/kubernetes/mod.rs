//! Kubernetes encryption at rest: what its API server stores in etcd, byte for byte, and the
//! EncryptionConfiguration that says how.
mod config;
mod provider;
mod value;

pub use config::{EncryptionConfiguration, Entry, Gate};
pub use provider::{Key, KmsProvider, KmsVersion, Provider};
pub use value::{DekSource, KmsService, KmsStatus, Read, Transformer, ValueFormat, Wrapped};
