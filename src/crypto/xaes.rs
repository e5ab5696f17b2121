//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): AES-256-GCM under a key derived
//! for each message from a 192-bit nonce, which may be drawn at random for ever.
use super::random;
use crate::{
    Error, Result,
    arch::{Aes256Enc, Aes256Gcm, Block},
    secret::without_residue,
};
use zeroize::Zeroizing;

const NONCE: usize = 24;
const TAG: usize = 16;

/// A key for any number of messages, each of at most 2^36 - 32 bytes. It is expanded for each
/// message: ten thousand of these are kept, and an expanded key takes thirty times the room.
#[derive(Clone, Copy)]
pub(crate) struct Xaes256Gcm<'a>(pub(crate) &'a [u8; 32]);

impl Xaes256Gcm<'_> {
    /// What a sealed message is longer than its plaintext: nonce and tag.
    pub(crate) const OVERHEAD: usize = NONCE + TAG;

    /// Appends nonce, ciphertext and tag to `out`; nothing is appended on failure.
    pub(crate) fn seal(self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        without_residue(|| self.seal_with(&nonce, aad, plaintext, out))
    }

    fn seal_with(self, nonce: &[u8; NONCE], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (key, nonce12) = self.message_key(nonce)?;
        let start = out.len();
        out.reserve(plaintext.len() + Self::OVERHEAD);
        out.extend_from_slice(nonce);
        out.extend_from_slice(plaintext);
        match key.seal(&nonce12, aad, &mut out[start + NONCE..]) {
            Ok(tag) => out.extend_from_slice(&tag),
            Err(e) => {
                wipe_from(out, start);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Appends the plaintext to `out`; nothing is appended, and nothing left in its spare
    /// room, on failure.
    pub(crate) fn open(self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        without_residue(|| self.open_payload(aad, sealed, out))
    }

    fn open_payload(self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or_else(Error::authentication)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or_else(Error::authentication)?;
        let (key, nonce12) = self.message_key(nonce)?;
        let start = out.len();
        out.reserve_exact(ciphertext.len());
        out.extend_from_slice(ciphertext);
        key.open(&nonce12, aad, &mut out[start..], tag).inspect_err(|_| wipe_from(out, start))
    }

    fn message_key(self, nonce: &[u8; NONCE]) -> Result<(Aes256Gcm, [u8; 12])> {
        let (context, nonce12) = nonce.split_at(12);
        let cipher = Aes256Enc::new(self.0)?;
        let k1 = subkey(&cipher)?;
        let mut key = Zeroizing::new([0u8; 32]);
        for (i, half) in key.chunks_mut(16).enumerate() {
            let mut m = Block::default();
            m[..4].copy_from_slice(&[0, i as u8 + 1, b'X', 0]);
            m[4..].copy_from_slice(context);
            m.iter_mut().zip(&*k1).for_each(|(m, k)| *m ^= k);
            cipher.encrypt(&mut m)?;
            half.copy_from_slice(&m);
        }
        Ok((Aes256Gcm::new(&key)?, nonce12.try_into().expect("24 - 12 bytes")))
    }
}

/// The CMAC subkey, K1 of the specification.
fn subkey(cipher: &Aes256Enc) -> Result<Zeroizing<[u8; 16]>> {
    let mut l = Block::default();
    cipher.encrypt(&mut l)?;
    let l = Zeroizing::new(u128::from_be_bytes(l.into()));
    // No branch on the secret bit: its mask is all ones or all zeros.
    Ok(Zeroizing::new((*l << 1 ^ (0u128.wrapping_sub(*l >> 127) & 0x87)).to_be_bytes()))
}

/// Cuts `out` back and wipes what is cut: it may be plaintext.
pub(crate) fn wipe_from(out: &mut Vec<u8>, start: usize) {
    use zeroize::Zeroize;
    out[start..].zeroize();
    out.truncate(start);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn seal_with(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Xaes256Gcm(key).seal_with(nonce, aad, plaintext, &mut out).unwrap();
        out
    }

    #[test]
    fn f22_a_failed_open_leaves_nothing() {
        let key = Xaes256Gcm(&[9; 32]);
        let mut sealed = Vec::new();
        key.seal(b"aad", &[0xa5; 1000], &mut sealed).unwrap();
        sealed[500] ^= 1;
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(b"mine");
        assert!(key.open(b"aad", &sealed, &mut out).is_err());
        assert_eq!(out, b"mine");
        out.resize(out.capacity(), 0x11);
        assert!(!out.windows(8).any(|w| w == [0xa5; 8]));
    }

    #[test]
    fn f15_two_seals_of_one_plaintext_differ() {
        let key = Xaes256Gcm(&[9; 32]);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        key.seal(b"", b"same", &mut a).unwrap();
        key.seal(b"", b"same", &mut b).unwrap();
        assert_ne!(a[..24], b[..24]);
        assert_ne!(a[24..], b[24..]);
    }
}
