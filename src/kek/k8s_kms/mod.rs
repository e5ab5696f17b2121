//! Kubernetes KMS plugins, anyone's: a client, and a backend over it.
mod annotations;
mod backend;
mod client;
mod endpoint;
mod failure;
pub(crate) mod generated;
mod secret;
mod wire;

pub use backend::PluginKms;
pub use client::{PluginClient, PluginStatus, PluginWrapped};
pub use secret::PluginSecret;

pub(crate) use annotations::check as check_annotations;
pub(crate) use endpoint::Endpoint;
#[cfg(libkms_raw)]
pub(crate) use wire::{decode as decode_wrapped, encode as encode_wrapped};

use generated::{v1beta1, v2};
use zeroize::Zeroize;

/// Bytes of a ciphertext, of a key id and of a plaintext.
pub(crate) const MOST: usize = 1024;

// What a client or a server holds of a message is wiped when that is dropped; what the transport
// holds of it is not.
impl Drop for v2::EncryptRequest {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

impl Drop for v2::DecryptResponse {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

impl Drop for v1beta1::EncryptRequest {
    fn drop(&mut self) {
        self.plain.zeroize();
    }
}

impl Drop for v1beta1::DecryptResponse {
    fn drop(&mut self) {
        self.plain.zeroize();
    }
}
