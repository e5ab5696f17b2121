//! Safe constructions over the kernels: no function of this layer that encrypts takes a
//! nonce or a salt from outside, and a failed open leaves no plaintext behind.
#[cfg(feature = "passphrase")]
mod argon2;
#[cfg_attr(not(any(test, feature = "kubernetes")), allow(dead_code))]
mod cbc;
mod chunked;
#[cfg(all(test, target_arch = "x86_64"))]
mod constant_time;
#[cfg(any(test, feature = "kubernetes"))]
mod gcm;
mod hash;
mod hkdf;
mod hmac;
#[cfg(any(test, feature = "local"))]
mod keywrap;
mod random;
#[cfg(any(test, feature = "kubernetes"))]
mod secretbox;
mod xaes;
#[cfg(any(test, feature = "kubernetes"))]
mod xnonce;

pub(crate) use crate::arch::{Message, XaesSchedule, open_many, wipe_from};
#[cfg(feature = "passphrase")]
pub(crate) use argon2::argon2id;
#[cfg(feature = "kubernetes")]
pub(crate) use cbc::AesCbc;
pub(crate) use chunked::{CHUNK, Cobblestone, HEAD as STREAM_HEAD, TAG as CHUNK_TAG};
#[cfg(feature = "kubernetes")]
pub(crate) use gcm::AesGcm;
pub(crate) use hash::digest;
pub(crate) use hkdf::expand_sha512;
pub(crate) use hmac::hmac_sha512;
#[cfg(feature = "local")]
pub(crate) use keywrap::Kwp;
pub(crate) use random::fill as random;
#[cfg(feature = "kubernetes")]
pub(crate) use secretbox::Secretbox;
pub(crate) use xaes::{Xaes256Gcm, is_authentic, seal_many, was_sealed};
#[cfg(feature = "kubernetes")]
pub(crate) use xnonce::XnonceGcm;

#[cfg(test)]
pub(crate) mod vectors;
