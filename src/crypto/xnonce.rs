//! The extended nonce of Kubernetes: AES-256-GCM under a key that HKDF-Expand-SHA256 (RFC 5869, section
//! 2.3) makes, of a seed and 32 random bytes, for each message.
use super::{is_authentic, random, was_sealed};
use crate::{
    Error, Result,
    arch::{Aes256Gcm, without_kernel_residue},
    secret::{Locked, without_residue},
};
use sha2::{Digest, Sha256, block_api::compress256};

const INFO: usize = 32;
const NONCE: usize = 12;
/// Bytes of SHA-256.
const BLOCK: usize = 64;

/// A seed for any number of messages, as HMAC has it: a message costs two blocks of SHA-256.
pub(crate) struct XnonceGcm(Locked<Seed>);

/// The states of HMAC's hashes (RFC 2104) behind its key, of the inner and the outer one.
struct Seed([State; 2]);

type State = [u32; 8];

/// FIPS 180-4, section 5.3.3.
const INITIAL: State =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

impl XnonceGcm {
    /// What a sealed message is longer than its plaintext: what its key is derived with, nonce and tag.
    pub(crate) const OVERHEAD: usize = INFO + NONCE + 16;

    /// The seed is as random as a key, and at least as long: callers check it.
    pub(crate) fn new(seed: &[u8]) -> Result<Self> {
        without_residue(|| Locked::new(|| Seed::new(seed))).map(Self)
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
            without_kernel_residue(|| seed.key(info, plaintext.len()).seal_onto(nonce, aad, plaintext, out));
        was_sealed(sealed).inspect_err(|_| out.truncate(start))
    }

    /// Appends the plaintext; nothing is appended, and nothing left in the spare room, on failure.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let ((info, nonce), rest) = cut(sealed).ok_or_else(Error::authentication)?;
        let seed = self.0.get()?;
        is_authentic(without_kernel_residue(|| seed.key(info, rest.len()).open_onto(nonce, aad, rest, out)))
    }
}

type Fresh<'a> = (&'a [u8; INFO], &'a [u8; NONCE]);

fn cut(sealed: &[u8]) -> Option<(Fresh<'_>, &[u8])> {
    let (info, rest) = sealed.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    Some(((info, nonce), rest))
}

impl Seed {
    fn new(seed: &[u8]) -> Self {
        let mut key = [0; BLOCK];
        if seed.len() > BLOCK {
            key[..32].copy_from_slice(&Sha256::digest(seed));
        } else {
            key[..seed.len()].copy_from_slice(seed);
        }
        Self([0x36, 0x5c].map(|pad| hashed(&INITIAL, &key.map(|byte| byte ^ pad))))
    }

    /// For one message of at most `len` bytes.
    #[inline(always)]
    fn key(&self, info: &[u8; INFO], len: usize) -> Aes256Gcm {
        Aes256Gcm::for_messages(&self.expand(info), len)
    }

    /// HKDF's first block: HMAC of the info and the number 1. Not inlined: its stack is free again when
    /// the key is set up.
    #[inline(never)]
    fn expand(&self, info: &[u8; INFO]) -> [u8; 32] {
        let [inner, outer] = &self.0;
        let inner = hashed(inner, &last(info, &[1]));
        bytes(&hashed(outer, &last(&bytes(&inner), &[])))
    }
}

#[inline(always)]
fn hashed(state: &State, block: &[u8; BLOCK]) -> State {
    let mut state = *state;
    compress256(&mut state, std::slice::from_ref(block));
    state
}

/// The last block of a hash, behind one block: the message's end, a bit and the length in bits (FIPS
/// 180-4, section 5.1.1).
#[inline(always)]
fn last(message: &[u8; 32], end: &[u8]) -> [u8; BLOCK] {
    let (mut block, len) = ([0; BLOCK], 32 + end.len());
    block[..32].copy_from_slice(message);
    block[32..len].copy_from_slice(end);
    block[len] = 0x80;
    block[BLOCK - 2..].copy_from_slice(&(8 * (BLOCK + len) as u16).to_be_bytes());
    block
}

#[inline(always)]
fn bytes(state: &State) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.as_chunks_mut().0.iter_mut().zip(state).for_each(|(four, word)| *four = word.to_be_bytes());
    bytes
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
            let mut expected = [0; 32];
            expand_sha256(&seed, &[&info], &mut expected).unwrap();
            assert_eq!(Seed::new(&seed).expand(&info), expected);
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
        let seed = Seed::new(&[7; 32]);
        let (plaintext, mut out) = (vec![1; 1 << 16], Vec::with_capacity(1 << 17));
        let used = depth(|| {
            let key = seed.key(&[1; INFO], plaintext.len());
            std::hint::black_box(key.seal_onto(&[2; 12], b"aad", &plaintext, &mut out));
        });
        assert!(used > 100 && used < stack_that_is_wiped() - 512, "{used} of {}", stack_that_is_wiped());
    }
}
