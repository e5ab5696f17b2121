//! HMAC (RFC 2104, FIPS 198-1).
use crate::secret::without_residue;
use hmac::{Hmac, KeyInit, Mac, digest::Output};
use sha2::Sha512;

/// HMAC-SHA-512 of the concatenated parts.
pub(crate) fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    without_residue(|| hmac::<Hmac<Sha512>>(key, parts).into())
}

/// HMAC-SHA-256 of the concatenated parts.
#[cfg(test)]
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    without_residue(|| hmac::<Hmac<sha2::Sha256>>(key, parts).into())
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Output<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes()
}
