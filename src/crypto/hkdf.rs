//! HKDF-Expand with SHA-512 and SHA-256 (RFC 5869, section 2.3).
//!
//! Built on HMAC, since the keys here are shorter than the hash, which the `hkdf` crate
//! refuses as a pseudorandom key. The C2SP specifications expand such keys.
use super::hmac::{hmac_sha256, hmac_sha512};
use crate::{Error, Result, secret::without_residue};
use zeroize::Zeroizing;

/// Fills `out`, at most 255 * 64 bytes, from the pseudorandom key and the concatenation
/// of `info`.
pub(crate) fn expand_sha512(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    expand(hmac_sha512, prk, info, out)
}

/// As [`expand_sha512`], at most 255 * 32 bytes.
#[cfg_attr(not(test), expect(dead_code, reason = "the formats of kubernetes/ derive with it"))]
pub(crate) fn expand_sha256(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    expand(hmac_sha256, prk, info, out)
}

fn expand<const N: usize>(
    hmac: fn(&[u8], &[&[u8]]) -> [u8; N],
    prk: &[u8],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<()> {
    without_residue(|| blocks(hmac, prk, info, out))
}

fn blocks<const N: usize>(
    hmac: fn(&[u8], &[&[u8]]) -> [u8; N],
    prk: &[u8],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<()> {
    if out.len() > 255 * N {
        return Err(Error::limit("HKDF-Expand gives at most 255 blocks"));
    }
    let mut last = Zeroizing::new([0; N]);
    for (i, chunk) in out.chunks_mut(N).enumerate() {
        let counter = [i as u8 + 1];
        let previous: &[u8] = if i == 0 { &[] } else { &*last };
        let parts: Vec<&[u8]> =
            [previous].into_iter().chain(info.iter().copied()).chain([&counter[..]]).collect();
        *last = hmac(prk, &parts);
        chunk.copy_from_slice(&last[..chunk.len()]);
    }
    Ok(())
}
