//! How a passphrase becomes a key: what the file says of it, which is public.
use super::version::borrowed;
use crate::{Error, Result};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer};
use std::ops::RangeInclusive;

pub(super) const NAME: &str = "argon2id";
const M: RangeInclusive<u32> = 19_456..=4_194_304;
const T: RangeInclusive<u32> = 1..=64;
const P: RangeInclusive<u32> = 1..=64;
const SALT: RangeInclusive<usize> = 16..=64;

/// Argon2id: KiB of memory, passes, lanes, salt.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Kdf {
    pub(super) name: String,
    pub(super) m: u32,
    pub(super) t: u32,
    pub(super) p: u32,
    #[serde(deserialize_with = "salt")]
    pub(super) salt: Vec<u8>,
}

impl Kdf {
    /// Malformed, unless a reader may go by it.
    pub(super) fn check(&self) -> Result<()> {
        let within = |what: &str, range: &RangeInclusive<u32>, n: u32| {
            let said = || format!("kdf: {what}: {} to {}", range.start(), range.end());
            if range.contains(&n) { Ok(()) } else { Err(Error::malformed(said())) }
        };
        if self.name != NAME {
            return Err(Error::malformed(format!("kdf: name: this libkms knows {NAME}")));
        }
        within("m", &M, self.m)?;
        within("t", &T, self.t)?;
        within("p", &P, self.p)?;
        if SALT.contains(&self.salt.len()) {
            Ok(())
        } else {
            Err(Error::malformed("kdf: salt: base64 of 16 to 64 bytes"))
        }
    }

    /// As the file has it.
    pub(super) fn text(&self) -> String {
        let (name, m, t, p) = (&self.name, self.m, self.t, self.p);
        let salt = Base64::encode_string(&self.salt);
        format!("{{ \"name\": \"{name}\", \"m\": {m}, \"t\": {t}, \"p\": {p}, \"salt\": \"{salt}\" }}")
    }
}

/// What is no base64 has no bytes, and is refused for that.
fn salt<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    borrowed(d, |text| Base64::decode_vec(text).unwrap_or_default())
}
