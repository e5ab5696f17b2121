//! What the targets and the maker of their seeds share.
pub mod kubernetes;

use libkms::{Aad, EncryptionContext, Kms, Scope, kek::Keyring};
use std::io::{self, Read};

pub const AAD: Aad<'static> = Aad::new(b"fuzz");

/// What every envelope among the seeds holds.
pub const PLAINTEXT: &[u8] = b"two pounds of tea";

/// A keyring with one key, `fuzz`, the same in every process.
pub const KEYRING: &str = r#"{ "format": "libkms-keyring/1", "keys": [ { "name": "fuzz", "primary": 1,
  "versions": [ { "version": 1, "created": "2026-11-24T00:00:00Z", "state": "enabled",
    "material": "YSBrZXkgZm9yIGZ1enppbmcgaXMgcHVibGljIGtleSE=" } ] } ] }"#;

pub fn keyring() -> Keyring {
    Keyring::parse(KEYRING.as_bytes(), "fuzz").unwrap()
}

/// Of `kms`, for [`PLAINTEXT`].
pub fn scope(kms: &Kms) -> Scope {
    kms.scope(EncryptionContext::new([("purpose", "fuzz")]).unwrap())
}

/// A header with one copy that stores these bytes as its context, right or wrong, and a mac
/// of zeros. `None` if they do not fit.
pub fn header(recipients: u8, context: &[u8]) -> Option<Vec<u8>> {
    let two = |n: usize| u16::try_from(n).ok().map(u16::to_be_bytes);
    let mut header = b"KMSE\x01\x01\x01".to_vec();
    header.extend_from_slice(&[recipients, 0, 0]);
    header.extend_from_slice(&[7; 32]);
    for _ in 0..recipients {
        header.extend_from_slice(b"\x04mock\0\x03m/1\0\x01w");
    }
    header.extend_from_slice(&two(context.len() + 3)?);
    header.push(1);
    header.extend_from_slice(&two(context.len())?);
    header.extend_from_slice(context);
    let len = two(header.len()).filter(|_| header.len() <= 65520)?;
    header[8..10].copy_from_slice(&len);
    header.extend_from_slice(&[0; 16]);
    Some(header)
}

/// Reads at most `step` bytes at once, and is interrupted before each read.
pub struct Dribble<'a> {
    pub bytes: &'a [u8],
    pub step: usize,
    interrupted: bool,
}

impl<'a> Dribble<'a> {
    pub fn new(bytes: &'a [u8], step: usize) -> Self {
        Self { bytes, step, interrupted: false }
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = buf.len().min(self.step);
        self.bytes.read(&mut buf[..n])
    }
}
