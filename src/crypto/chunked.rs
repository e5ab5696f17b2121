//! C2SP chunked encryption (<https://c2sp.org/chunked-encryption>), instance
//! Cobblestone-256: HKDF-Expand with SHA-512, chunks of 16 KiB under AES-256-GCM, the last
//! one always shorter.
use super::{expand_sha512, is_authentic, random, was_sealed};
use crate::{
    Error, Result,
    arch::{Aes256Gcm, without_kernel_residue},
    secret::{Locked, same, told, without_residue},
};

/// Bytes of plaintext in every chunk but the last.
pub(crate) const CHUNK: usize = 16 * 1024;
/// Bytes of a chunk's tag.
pub(crate) const TAG: usize = 16;
/// Bytes of the salt.
pub(crate) const SALT: usize = 24;
/// Bytes before the first chunk: the salt, then the commitment.
pub(crate) const HEAD: usize = SALT + 32;
/// What keys are derived for.
const INFO: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
/// A message has at most 2^38 chunks.
pub(crate) const MAX_CHUNKS: u64 = 1 << 38;

/// The key of one message.
pub(crate) struct Cobblestone {
    key: Locked<Aes256Gcm>,
    base_nonce: [u8; 12],
}

impl Cobblestone {
    /// For sealing: a key under a fresh salt, and the message's first bytes.
    pub(crate) fn start(input_key: &[u8; 32], context: &[u8]) -> Result<(Self, [u8; HEAD])> {
        let mut salt = [0; SALT];
        random(&mut salt)?;
        Self::derive(input_key, &salt, context)
    }

    /// For opening: the key of the message that begins with `head`. Authentication if its
    /// commitment is not that of key, salt and context.
    pub(crate) fn of(input_key: &[u8; 32], context: &[u8], head: &[u8; HEAD]) -> Result<Self> {
        let salt = head.first_chunk().expect("HEAD is longer than SALT");
        let (key, expected) = Self::derive(input_key, salt, context)?;
        if bool::from(told(same(&expected, head))) { Ok(key) } else { Err(Error::authentication()) }
    }

    fn derive(input_key: &[u8; 32], salt: &[u8; SALT], context: &[u8]) -> Result<(Self, [u8; HEAD])> {
        without_residue(|| Self::expand(input_key, salt, context))
    }

    fn expand(input_key: &[u8; 32], salt: &[u8; SALT], context: &[u8]) -> Result<(Self, [u8; HEAD])> {
        let okm =
            Locked::<[u8; 32 + 12 + 32]>::fill(|okm| expand_sha512(input_key, &[INFO, salt, context], okm))?;
        let (key, rest) = okm.get()?.split_first_chunk::<32>().expect("76 bytes");
        let (base_nonce, commitment) = rest.split_first_chunk::<12>().expect("44 bytes");
        let mut head = [0; HEAD];
        head[..SALT].copy_from_slice(salt);
        head[SALT..].copy_from_slice(commitment);
        let key = Locked::new(|| Aes256Gcm::for_messages(key, CHUNK))?;
        Ok((Self { key, base_nonce: *base_nonce }, head))
    }

    /// Appends chunk `index`, sealed. One of [`CHUNK`] bytes is not the last; a shorter one is.
    pub(crate) fn seal_chunk(&self, index: u64, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        debug_assert!(plaintext.len() <= CHUNK);
        let (nonce, key) = (self.nonce(index)?, self.key.get()?);
        was_sealed(without_kernel_residue(|| key.seal_onto(&nonce, &[], plaintext, out)))
    }

    /// Appends the plaintext of chunk `index`; on failure nothing, and nothing is left in the
    /// spare room.
    pub(crate) fn open_chunk(&self, index: u64, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (nonce, key) = (self.nonce(index)?, self.key.get()?);
        is_authentic(without_kernel_residue(|| key.open_onto(&nonce, &[], sealed, out)))
    }

    fn nonce(&self, index: u64) -> Result<[u8; 12]> {
        if index >= MAX_CHUNKS {
            return Err(Error::limit("a payload has at most 2^38 chunks"));
        }
        let mut nonce = self.base_nonce;
        nonce[4..].iter_mut().zip(index.to_be_bytes()).for_each(|(n, i)| *n ^= i);
        Ok(nonce)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn raw(key: &[u8; 32], base_nonce: &[u8; 12]) -> Cobblestone {
        let key = Locked::new(|| Aes256Gcm::for_messages(key, CHUNK)).unwrap();
        Cobblestone { key, base_nonce: *base_nonce }
    }

    #[test]
    fn f18_the_chunk_counter_ends_at_its_limit() {
        let (key, _) = Cobblestone::start(&[1; 32], b"").unwrap();
        let out = &mut Vec::new();
        assert!(key.seal_chunk(MAX_CHUNKS - 1, &[0; 4], out).is_ok());
        assert_eq!(key.seal_chunk(MAX_CHUNKS, &[0; 4], out).unwrap_err().kind(), crate::ErrorKind::Limit);
        assert_eq!(key.open_chunk(u64::MAX, &[0; 20], out).unwrap_err().kind(), crate::ErrorKind::Limit);
    }

    #[test]
    fn another_salt_or_context_is_another_commitment() {
        let (_, head) = Cobblestone::start(&[1; 32], b"ctx").unwrap();
        assert!(Cobblestone::of(&[1; 32], b"ctx", &head).is_ok());
        assert!(Cobblestone::of(&[1; 32], b"ctx2", &head).is_err());
        assert!(Cobblestone::of(&[2; 32], b"ctx", &head).is_err());
        for i in 0..HEAD {
            let mut bad = head;
            bad[i] ^= 1;
            assert!(Cobblestone::of(&[1; 32], b"ctx", &bad).is_err());
        }
    }
}
