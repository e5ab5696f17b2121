//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): AES-256-GCM under a key derived
//! for each message from a 192-bit nonce, which may be drawn at random for ever.
use super::random;
use crate::{
    Error, Result,
    arch::{Aes256Enc, Aes256Gcm},
    secret::without_residue,
};

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
        let (key, nonce12) = self.message_key(nonce, plaintext.len());
        let start = out.len();
        out.reserve(plaintext.len() + Self::OVERHEAD);
        out.extend_from_slice(nonce);
        key.seal_onto(nonce12, aad, plaintext, out).inspect_err(|_| out.truncate(start))
    }

    /// Appends the plaintext to `out`; nothing is appended, and nothing left in its spare
    /// room, on failure.
    pub(crate) fn open(self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        without_residue(|| {
            let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or_else(Error::authentication)?;
            let (key, nonce12) = self.message_key(nonce, rest.len());
            key.open_onto(nonce12, aad, rest, out)
        })
    }

    /// The key of a message of `len` bytes at most, and its nonce there.
    fn message_key(self, nonce: &[u8; NONCE], len: usize) -> (Aes256Gcm, &[u8; 12]) {
        let (context, nonce12) = nonce.split_at(12);
        let cipher = Aes256Enc::new(self.0);
        let k1 = subkey(&cipher);
        let mut halves = [[0; 16]; 2];
        for (half, number) in halves.iter_mut().zip(1..) {
            half[..4].copy_from_slice(&[0, number, b'X', 0]);
            half[4..].copy_from_slice(context);
            half.iter_mut().zip(k1).for_each(|(m, k)| *m ^= k);
        }
        cipher.encrypt(&mut halves);
        let key = halves.as_flattened().try_into().expect("twice 16 bytes");
        (Aes256Gcm::for_messages(key, len), nonce12.try_into().expect("24 - 12 bytes"))
    }
}

/// The CMAC subkey, K1 of the specification.
fn subkey(cipher: &Aes256Enc) -> [u8; 16] {
    let mut blocks = [[0; 16]; 2];
    cipher.encrypt(&mut blocks);
    let l = u128::from_be_bytes(blocks[0]);
    // No branch on the secret bit: its mask is all ones or all zeros.
    (l << 1 ^ (0u128.wrapping_sub(l >> 127) & 0x87)).to_be_bytes()
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
