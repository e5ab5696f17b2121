//! Kubernetes encryption at rest: what its API server stores in etcd, byte for byte, and the
//! EncryptionConfiguration that says how.
mod provider;

pub use provider::{Key, KmsProvider, KmsVersion, Provider};
