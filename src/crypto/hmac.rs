//! HMAC (RFC 2104, FIPS 198-1).
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

/// HMAC-SHA-512 of the concatenated parts.
pub(crate) fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
