//! NaCl's secretbox: XSalsa20-Poly1305 (Bernstein, "Cryptography in NaCl", sections 9 and 10), as old
//! clusters have it in etcd. There is no AAD: what is sealed is bound to nothing but its key.
use super::random;
use crate::{
    Error, Result,
    secret::{same, told, without_residue},
};
use poly1305::{Poly1305, universal_hash::KeyInit};
use salsa20::{
    XSalsa20,
    cipher::{KeyIvInit, StreamCipher},
};

const NONCE: usize = 24;
const TAG: usize = 16;

/// Under a random nonce each: a key is good for any number of messages.
#[derive(Clone, Copy)]
pub(crate) struct Secretbox<'a>(&'a [u8; 32]);

impl<'a> Secretbox<'a> {
    /// What a sealed message is longer than its plaintext.
    pub(crate) const OVERHEAD: usize = NONCE + TAG;

    pub(crate) fn new(key: &'a [u8; 32]) -> Self {
        Self(key)
    }

    /// Appends nonce, tag and ciphertext, in this order.
    pub(crate) fn seal(self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        self.seal_with(&nonce, plaintext, out);
        Ok(())
    }

    fn seal_with(self, nonce: &[u8; NONCE], plaintext: &[u8], out: &mut Vec<u8>) {
        out.reserve(plaintext.len() + Self::OVERHEAD);
        out.extend_from_slice(nonce);
        let start = out.len();
        out.extend_from_slice(&[0; TAG]);
        out.extend_from_slice(plaintext);
        without_residue(|| {
            let (mut stream, mac) = self.begin(nonce);
            let (tag, text) = out[start..].split_at_mut(TAG);
            stream.apply_keystream(text);
            tag.copy_from_slice(&mac.compute_unpadded(text));
        });
    }

    /// Appends the plaintext; on failure nothing is decrypted.
    pub(crate) fn open(self, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (nonce, rest) = sealed.split_first_chunk().ok_or_else(Error::authentication)?;
        let (tag, text) = rest.split_first_chunk::<TAG>().ok_or_else(Error::authentication)?;
        let is_right = without_residue(|| {
            let (mut stream, mac) = self.begin(nonce);
            let is_right = told(same(&mac.compute_unpadded(text), tag)).into();
            if is_right {
                let start = out.len();
                out.extend_from_slice(text);
                stream.apply_keystream(&mut out[start..]);
            }
            is_right
        });
        if is_right { Ok(()) } else { Err(Error::authentication()) }
    }

    /// The first half of the first block is the key of the tag, and the text's stream goes on behind it.
    fn begin(self, nonce: &[u8; NONCE]) -> (XSalsa20, Poly1305) {
        let (mut stream, mut key) = (XSalsa20::new(self.0.into(), nonce.into()), [0; 32]);
        stream.apply_keystream(&mut key);
        (stream, Poly1305::new((&key).into()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn seal_with(key: &[u8; 32], nonce: &[u8; 24], plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Secretbox::new(key).seal_with(nonce, plaintext, &mut out);
        out
    }

    #[test]
    fn what_is_sealed_opens_and_no_flipped_bit_does() {
        let key = Secretbox::new(&[7; 32]);
        for len in (0..70).chain([127, 128, 1000, 4096]) {
            let (plaintext, mut sealed, mut opened) = (vec![0x5a; len], Vec::new(), b"mine".to_vec());
            key.seal(&plaintext, &mut sealed).unwrap();
            assert_eq!(sealed.len(), len + Secretbox::OVERHEAD);
            key.open(&sealed, &mut opened).unwrap();
            assert_eq!(opened, [b"mine", &plaintext[..]].concat());
            for bit in (0..8 * sealed.len()).step_by(7) {
                sealed[bit / 8] ^= 1 << (bit % 8);
                assert!(key.open(&sealed, &mut opened).is_err());
                sealed[bit / 8] ^= 1 << (bit % 8);
            }
            for cut in 0..sealed.len().min(60) {
                assert!(key.open(&sealed[..cut], &mut opened).is_err());
            }
            assert_eq!(opened.len(), 4 + len, "nothing was appended");
        }
    }
}
