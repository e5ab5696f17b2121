//! A DEK under one KEK.
use super::KeyId;
use crate::{Error, Result};

/// Most bytes of a wrapped DEK.
const MAX_WRAPPED: usize = 32768;

/// A DEK under one KEK, as a backend gives it and a header holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct WrappedDek {
    /// The KEK, resolved, version included.
    pub key_id: KeyId,
    /// 1 to 32768 bytes, opaque to all but the backend.
    pub ciphertext: Vec<u8>,
}

impl WrappedDek {
    /// What a backend's wrap answers. Lengths are checked when it goes into a header.
    pub fn new(key_id: KeyId, ciphertext: Vec<u8>) -> Self {
        Self { key_id, ciphertext }
    }

    pub(crate) fn has_a_valid_length(&self) -> bool {
        (1..=MAX_WRAPPED).contains(&self.ciphertext.len())
    }
}

/// One of a header's recipients: which backend wrapped the DEK, under which KEK.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Recipient {
    /// The backend's scheme: `local`, `aws-kms`.
    pub scheme: String,
    /// The wrapped DEK.
    pub wrapped: WrappedDek,
}

impl Recipient {
    pub(crate) fn new(scheme: impl Into<String>, wrapped: WrappedDek) -> Self {
        Self { scheme: scheme.into(), wrapped }
    }
}

/// `a-z 0-9 -`, 1 to 32 bytes.
pub(crate) fn check_scheme(scheme: &[u8]) -> Result<&str> {
    let right = (1..=32).contains(&scheme.len())
        && scheme.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    match std::str::from_utf8(scheme) {
        Ok(s) if right => Ok(s),
        _ => Err(Error::malformed("scheme: 1 to 32 of a-z 0-9 -")),
    }
}
