//! The extended nonce of Kubernetes: AES-256-GCM under a key that HKDF-Expand-SHA256 (RFC 5869, section
//! 2.3) makes, of a seed and 32 random bytes, for each message.
use super::{hkdf::expand, is_authentic, random, was_sealed};
use crate::{
    Error, Result,
    arch::{Aes256Gcm, without_kernel_residue},
    secret::{Locked, without_residue},
};
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

const INFO: usize = 32;
const NONCE: usize = 12;

/// A seed for any number of messages, as HMAC has it: a message costs two blocks of SHA-256.
pub(crate) struct XnonceGcm(Locked<Hmac<Sha256>>);

impl XnonceGcm {
    /// What a sealed message is longer than its plaintext: what its key is derived with, nonce and tag.
    pub(crate) const OVERHEAD: usize = INFO + NONCE + 16;

    /// The seed is as random as a key, and at least as long: callers check it.
    pub(crate) fn new(seed: &[u8]) -> Result<Self> {
        without_residue(|| Locked::new(|| expandable(seed))).map(Self)
    }

    /// Appends info, nonce, ciphertext and tag; nothing is appended on failure.
    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut fresh = [0; INFO + NONCE];
        random(&mut fresh)?;
        let (seed, start) = (self.0.get()?, out.len());
        out.reserve(plaintext.len() + Self::OVERHEAD);
        out.extend_from_slice(&fresh);
        let (info, nonce) = cut(&fresh).ok_or_else(Error::authentication)?.0;
        let sealed =
            without_kernel_residue(|| key(seed, info, plaintext.len()).seal_onto(nonce, aad, plaintext, out));
        was_sealed(sealed).inspect_err(|_| out.truncate(start))
    }

    /// Appends the plaintext; nothing is appended, and nothing left in the spare room, on failure.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let ((info, nonce), rest) = cut(sealed).ok_or_else(Error::authentication)?;
        let seed = self.0.get()?;
        is_authentic(without_kernel_residue(|| key(seed, info, rest.len()).open_onto(nonce, aad, rest, out)))
    }
}

type Fresh<'a> = (&'a [u8; INFO], &'a [u8; NONCE]);

fn cut(sealed: &[u8]) -> Option<(Fresh<'_>, &[u8])> {
    let (info, rest) = sealed.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    Some(((info, nonce), rest))
}

/// HMAC takes a key of any length.
fn expandable(prk: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(prk).expect("HMAC takes a key of any length")
}

/// For one message of at most `len` bytes.
#[inline(always)]
fn key(seed: &Hmac<Sha256>, info: &[u8; INFO], len: usize) -> Aes256Gcm {
    let mut key = [0; 32];
    expand(seed, &[info], &mut key);
    Aes256Gcm::for_messages(&key, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arch::{depth, stack_that_is_wiped},
        crypto::hkdf::expand_sha256,
    };

    #[test]
    fn keys_are_derived_as_rfc_5869_has_it() {
        for size in 32..200 {
            let (seed, info) = (vec![size; usize::from(size)], [size ^ 0x55; INFO]);
            let (mut ours, mut expected) = ([0; 32], [0; 32]);
            expand(&expandable(&seed), &[&info], &mut ours);
            expand_sha256(&seed, &[&info], &mut expected).unwrap();
            assert_eq!(ours, expected);
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            assert!(Aes256Gcm::new(&expected).seal_onto(&[7; NONCE], b"path", b"text", &mut sealed));
            let sealed = [&info, &[7; NONCE][..], &sealed].concat();
            XnonceGcm::new(&seed).unwrap().open(b"path", &sealed, &mut opened).unwrap();
            assert_eq!(opened, b"text");
        }
    }

    #[test]
    fn what_is_sealed_opens_at_its_path_alone() {
        for size in [32, 33, 64, 65, 200] {
            let key = XnonceGcm::new(&vec![size as u8; size]).unwrap();
            for len in [0, 1, 16, 100, 5000] {
                let (plaintext, mut sealed, mut out) = (vec![3; len], Vec::new(), b"mine".to_vec());
                key.seal(b"path", &plaintext, &mut sealed).unwrap();
                assert_eq!(sealed.len(), len + XnonceGcm::OVERHEAD);
                key.open(b"path", &sealed, &mut out).unwrap();
                assert_eq!(out, [b"mine", &plaintext[..]].concat());
                out.truncate(4);
                assert!(key.open(b"other", &sealed, &mut out).is_err());
                for at in 0..sealed.len().min(60) {
                    sealed[at] ^= 1;
                    assert!(key.open(b"path", &sealed, &mut out).is_err());
                    sealed[at] ^= 1;
                    assert!(key.open(b"path", &sealed[..at], &mut out).is_err());
                }
                assert_eq!(out, b"mine");
            }
        }
    }

    /// The hash runs where as much of the stack is wiped as the cipher needs.
    #[test]
    fn less_stack_is_used_than_is_wiped() {
        let seed = expandable(&[7; 32]);
        let used = depth(|| drop(std::hint::black_box(key(&seed, &[1; INFO], 1 << 20))));
        assert!(used > 100 && used < stack_that_is_wiped() - 512, "{used} of {}", stack_that_is_wiped());
    }
}
