//! Kubernetes KMS plugins, anyone's: a client, and a backend over it.
#[cfg(feature = "plugin")]
mod annotations;
#[cfg(feature = "plugin")]
mod backend;
#[cfg(feature = "plugin")]
mod client;
mod domain;
#[cfg(feature = "plugin")]
mod endpoint;
#[cfg(feature = "plugin")]
mod failure;
#[cfg(feature = "plugin")]
mod fitness;
#[cfg(feature = "plugin")]
pub(crate) mod generated;
mod secret;
mod uid;
#[cfg(feature = "plugin")]
mod wipe;
#[cfg(feature = "plugin")]
mod wire;
mod wrapped;

#[cfg(feature = "plugin")]
pub use backend::PluginKms;
#[cfg(feature = "plugin")]
pub use client::PluginClient;
pub use secret::DekSource;
pub use wrapped::{KmsStatus, Wrapped};

#[cfg(feature = "plugin")]
pub(crate) use annotations::{Annotations, check as check_annotations};
pub(crate) use domain::is_domain;
#[cfg(feature = "plugin")]
pub(crate) use endpoint::Endpoint;
pub(crate) use uid::uid;
#[cfg(all(feature = "plugin", libkms_raw))]
pub(crate) use wire::{decode as decode_wrapped, encode as encode_wrapped};

/// Bytes of a ciphertext, of a key id and of a plaintext.
pub(crate) const MOST: usize = 1024;
