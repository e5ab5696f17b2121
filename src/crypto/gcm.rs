//! AES-GCM with a random 96-bit nonce, as Kubernetes has it, under keys of 16, 24 or 32 bytes. Random
//! nonces collide: whoever counts keeps to 2^32 messages of a key (SP 800-38D, section 8.3), and
//! Kubernetes to 200,000.
use super::{is_authentic, random, was_sealed};
use crate::{Error, Result, arch::GcmKey, secret::without_residue};

const NONCE: usize = 12;

/// A key, expanded, in key memory.
pub(crate) struct AesGcm(GcmKey);

impl AesGcm {
    /// What a sealed message is longer than its plaintext: nonce and tag.
    pub(crate) const OVERHEAD: usize = NONCE + 16;

    /// Misuse, if the key does not have 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        without_residue(|| GcmKey::new(key)).map(Self)
    }

    /// Appends nonce, ciphertext and tag; nothing is appended on failure.
    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let start = out.len();
        out.reserve(plaintext.len() + Self::OVERHEAD);
        out.extend_from_slice(&nonce);
        let sealed = self.0.seal_onto(&nonce, aad, plaintext, out);
        sealed.and_then(was_sealed).inspect_err(|_| out.truncate(start))
    }

    /// Appends the plaintext; nothing is appended, and nothing left in the spare room, on failure.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or_else(Error::authentication)?;
        self.0.open_onto(nonce, aad, rest, out).and_then(is_authentic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_each_size_open_what_they_seal_and_nothing_else() {
        for size in [16, 24, 32] {
            let key = AesGcm::new(&vec![9; size]).unwrap();
            for len in [0, 1, 16, 100, 5000] {
                let (plaintext, mut sealed, mut out) = (vec![3; len], Vec::new(), b"mine".to_vec());
                key.seal(b"path", &plaintext, &mut sealed).unwrap();
                assert_eq!(sealed.len(), len + AesGcm::OVERHEAD);
                key.open(b"path", &sealed, &mut out).unwrap();
                assert_eq!(out, [b"mine", &plaintext[..]].concat());
                out.truncate(4);
                assert!(key.open(b"other", &sealed, &mut out).is_err());
                for at in [0, 12, sealed.len() - 1] {
                    sealed[at] ^= 1;
                    assert!(key.open(b"path", &sealed, &mut out).is_err());
                    sealed[at] ^= 1;
                }
                for cut in 0..sealed.len().min(40) {
                    assert!(key.open(b"path", &sealed[..cut], &mut out).is_err());
                }
                assert_eq!(out, b"mine");
            }
        }
        assert!((0..64).all(|n| AesGcm::new(&vec![0; n]).is_ok() == [16, 24, 32].contains(&n)));
    }
}
