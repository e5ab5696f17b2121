//! HKDF-Expand (RFC 5869, section 2.3).
//!
//! Built on HMAC, since the keys here are shorter than the hash, which the `hkdf` crate
//! refuses as a pseudorandom key. The C2SP specifications expand such keys.
use crate::{Error, Result, secret::without_residue};
use hmac::{Hmac, KeyInit, Mac, digest::Output};
use sha2::Sha512;
use zeroize::Zeroize;

/// Fills `out`, at most 255 * 64 bytes, from the pseudorandom key and the concatenation
/// of `info`.
pub(crate) fn expand_sha512(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    without_residue(|| expand::<Hmac<Sha512>>(prk, info, out))
}

/// As [`expand_sha512`], at most 255 * 32 bytes.
#[cfg(test)]
pub(super) fn expand_sha256(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    without_residue(|| expand::<Hmac<sha2::Sha256>>(prk, info, out))
}

fn expand<M: Mac + KeyInit + Clone>(prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    if out.len() > 255 * M::output_size() {
        return Err(Error::limit("HKDF-Expand gives at most 255 blocks"));
    }
    let prk = <M as KeyInit>::new_from_slice(prk).expect("HMAC takes a key of any length");
    let mut last = Output::<M>::default();
    for (i, chunk) in out.chunks_mut(M::output_size()).enumerate() {
        let mut mac = prk.clone();
        if i > 0 {
            mac.update(&last);
        }
        info.iter().for_each(|part| mac.update(part));
        mac.update(&[i as u8 + 1]);
        last = mac.finalize().into_bytes();
        chunk.copy_from_slice(&last[..chunk.len()]);
    }
    last.as_mut_slice().zeroize();
    Ok(())
}
