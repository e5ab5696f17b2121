//! HKDF-Expand with SHA-512 (RFC 5869, section 2.3).
//!
//! Built on HMAC, since the keys here are shorter than the hash, which the `hkdf` crate
//! refuses as a pseudorandom key. The C2SP specifications expand such keys.
use super::hmac::hmac_sha512;
use crate::{Error, Result};
use zeroize::Zeroizing;

/// Fills `out`, at most 255 * 64 bytes, from the pseudorandom key and the concatenation
/// of `info`.
pub(crate) fn expand_sha512(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    if out.len() > 255 * 64 {
        return Err(Error::limit("HKDF-Expand gives at most 255 blocks"));
    }
    let mut last = Zeroizing::new([0; 64]);
    for (i, chunk) in out.chunks_mut(64).enumerate() {
        let counter = [i as u8 + 1];
        let previous: &[u8] = if i == 0 { &[] } else { &*last };
        let parts: Vec<&[u8]> =
            [previous].into_iter().chain(info.iter().copied()).chain([&counter[..]]).collect();
        *last = hmac_sha512(prk, &parts);
        chunk.copy_from_slice(&last[..chunk.len()]);
    }
    Ok(())
}
