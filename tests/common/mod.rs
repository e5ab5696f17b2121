//! What several test files share.
#![allow(dead_code, reason = "each test file uses its own part")]
use libkms::{Aad, EncryptionContext, Header, Kms, Result, Scope, SealOptions, Wait, kek::KmsBackend};
use std::path::PathBuf;

/// A scope of one KEK, everything else as by default.
pub fn scope(kek: impl KmsBackend, context: &[(&str, &str)]) -> Scope {
    Kms::builder().kek(kek).build().unwrap().scope(self::context(context))
}

pub fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.iter().copied()).unwrap()
}

/// Seals a stream in memory.
pub fn seal_stream(scope: &Scope, aad: &str, options: &SealOptions, plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    scope.seal_stream(Aad::from(aad), options, plaintext, &mut out).unwrap();
    out
}

/// Opens what is whole in memory.
pub fn open(scope: &Scope, aad: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    scope.open(Aad::from(aad), sealed).wait().map(|o| o.plaintext)
}

/// Opens by `Read`, as a file is.
pub fn open_by_read(scope: &Scope, aad: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    scope.open_stream(Aad::from(aad), sealed, &mut out).map(|_| out)
}

/// Bytes that tell where they are.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |b: &[u8]| {
        let bits = b.iter().chain(&[0; 2]).take(3).fold(0u32, |n, b| n << 8 | u32::from(*b));
        let digit =
            |i: usize| if i <= b.len() { DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

pub fn header_len(sealed: &[u8]) -> usize {
    Header::parse(sealed).unwrap().len()
}

/// A directory of this test's own, gone when it ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("libkms-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
