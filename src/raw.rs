//! The kernels as they are, for `benches/` and `fuzz/` alone: compiled with
//! `--cfg libkms_raw`, and no part of the library.
#[cfg(feature = "plugin")]
mod plugin;

#[cfg(feature = "plugin")]
pub use plugin::Served;

use crate::{
    Result,
    arch::{self, Engine},
    crypto,
};

/// Kernels that this processor has.
#[derive(Clone, Copy)]
pub struct Kernels(Option<Engine>);

impl Kernels {
    /// Of the RustCrypto crates.
    pub const PORTABLE: Self = Self(None);

    /// All that there are here, the fastest last.
    pub fn all() -> Vec<Self> {
        [Self::PORTABLE].into_iter().chain(Engine::all().map(|engine| Self(Some(engine)))).collect()
    }

    pub fn name(self) -> &'static str {
        self.0.map_or("portable", Engine::name)
    }
}

/// An AES-256-GCM key in ordinary memory.
pub struct Aes256Gcm(arch::Aes256Gcm);

impl Aes256Gcm {
    /// For messages of at most `len` bytes.
    pub fn new(kernels: Kernels, key: &[u8; 32], len: usize) -> Self {
        Self(arch::Aes256Gcm::on(kernels.0, key, len))
    }

    pub fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Result<[u8; 16]> {
        self.0.seal(nonce, aad, data)
    }

    pub fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> Result<()> {
        self.0.open(nonce, aad, data, tag)
    }
}

/// An AES-CBC key, of 16, 24 or 32 bytes, for whole blocks.
pub struct AesCbc(arch::CbcKey);

impl AesCbc {
    pub fn new(kernels: Kernels, key: &[u8]) -> Result<Self> {
        arch::CbcKey::on(kernels.0, key).map(Self)
    }

    pub fn seal(&self, iv: &[u8; 16], blocks: &mut [u8]) -> Result<()> {
        self.0.seal(iv, blocks)
    }

    /// Appends what is decrypted of an IV and the blocks behind it.
    pub fn open(&self, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.0.open_onto(sealed, out)
    }
}

/// Sets keys up, many at once, for messages of at most `len` bytes.
pub fn set_batch(kernels: Kernels, keys: &[[u8; 32]], len: usize) {
    arch::set_each(kernels.0, keys, len);
}

/// Encrypts each in place, under a key and with a nonce of its own, and gives the tags.
pub fn seal_batch(
    kernels: Kernels,
    keys: &[[u8; 32]],
    nonces: &[[u8; 12]],
    aad: &[u8],
    batch: &mut [Vec<u8>],
    tags: &mut [[u8; 16]],
) {
    arch::seal_each_in_place(kernels.0, keys, nonces, aad, batch, tags);
}

/// Encrypts one message in place under a key that is used for no other, and gives the tag.
pub fn seal_once(
    kernels: Kernels,
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    data: &mut [u8],
) -> Result<[u8; 16]> {
    arch::Aes256Gcm::on(kernels.0, key, data.len()).seal(nonce, aad, data)
}

/// Decrypts it.
pub fn open_once(
    kernels: Kernels,
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    data: &mut [u8],
    tag: &[u8; 16],
) -> Result<()> {
    arch::Aes256Gcm::on(kernels.0, key, data.len()).open(nonce, aad, data, tag)
}

/// A key of XAES-256-GCM that seals many messages.
pub struct Xaes<'a>(&'a [u8; 32], crypto::XaesSchedule);

impl<'a> Xaes<'a> {
    pub fn new(key: &'a [u8; 32]) -> Result<Self> {
        Ok(Self(key, crypto::Xaes256Gcm::expanded(key)?))
    }

    /// Appends a message under a nonce drawn for it.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        crypto::Xaes256Gcm::with(self.0, &self.1).seal(aad, plaintext, out)
    }

    /// Appends its plaintext.
    pub fn open(&self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        crypto::Xaes256Gcm::with(self.0, &self.1).open(aad, sealed, out)
    }
}

/// As nonces are drawn.
pub fn random() -> Result<[u8; 24]> {
    let mut bytes = [0; 24];
    crypto::random(&mut bytes)?;
    Ok(bytes)
}
