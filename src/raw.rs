//! The kernels as they are, for `benches/` and `fuzz/` alone: compiled with
//! `--cfg libkms_raw`, and no part of the library.
use crate::{
    Result,
    arch::{self, Engine},
    crypto,
};

/// An AES-256-GCM key in ordinary memory.
pub struct Aes256Gcm(arch::Aes256Gcm);

impl Aes256Gcm {
    /// By the kernels of this name ([`kernels`]), for messages of at most `len` bytes.
    pub fn new(kernels: &str, key: &[u8; 32], len: usize) -> Self {
        Self(arch::Aes256Gcm::on(engine(kernels), key, len))
    }

    pub fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Result<[u8; 16]> {
        self.0.seal(nonce, aad, data)
    }

    pub fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> Result<()> {
        self.0.open(nonce, aad, data, tag)
    }
}

/// The names of the kernels that this processor has, the fastest last.
pub fn kernels() -> Vec<&'static str> {
    ["portable"].into_iter().chain(Engine::all().map(Engine::name)).collect()
}

/// Appends an XAES-256-GCM message under a nonce drawn for it.
pub fn seal_xaes(key: &[u8; 32], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
    crypto::Xaes256Gcm::new(key).seal(aad, plaintext, out)
}

/// Appends its plaintext.
pub fn open_xaes(key: &[u8; 32], aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
    crypto::Xaes256Gcm::new(key).open(aad, sealed, out)
}

/// As nonces are drawn.
pub fn random() -> Result<[u8; 24]> {
    let mut bytes = [0; 24];
    crypto::random(&mut bytes)?;
    Ok(bytes)
}

fn engine(name: &str) -> Option<Engine> {
    match name {
        "portable" => None,
        _ => Some(Engine::all().find(|e| e.name() == name).expect("a name that kernels() gave")),
    }
}
