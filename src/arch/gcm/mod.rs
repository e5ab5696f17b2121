//! AES-256-GCM (SP 800-38D) with 96-bit nonces and 128-bit tags, and AES-256 of single
//! blocks, in the processor's own instructions.
//!
//! One source, written over [`lanes::Lanes`], for every instruction set: `key` expands a key,
//! `message` lays a message out in vectors, `bulk` is the inner loop, `hash` is GHASH.
//! `engine` compiles them for each instruction set and picks one; where the processor has
//! none of these, the RustCrypto crates serve.
#![allow(clippy::needless_range_loop, reason = "vectors and blocks are counted by one index")]
mod bulk;
mod data;
mod engine;
mod hash;
mod key;
mod lanes;
mod message;
mod partial;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use engine::Engine;

use super::portable;
use crate::{Error, Result};
use data::Data;
use key::Key;
use std::mem::MaybeUninit;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// SP 800-38D, section 5.2.1.1: 2^39 - 256 bits.
const MOST_BYTES: u64 = (1 << 36) - 32;
const TAG: usize = 16;

/// An AES-256-GCM key, expanded. It belongs in key memory, or on a stack that is wiped.
pub(crate) struct Aes256Gcm {
    by: Gcm,
    /// Bytes of a message: with fewer powers of H than it needs its tag would be another one.
    most: u64,
}

#[allow(clippy::large_enum_variant, reason = "a key in a box would be in ordinary memory")]
enum Gcm {
    Portable(portable::Aes256Gcm),
    Kernel(Engine, Key),
}

impl Aes256Gcm {
    /// For any messages.
    #[cfg(test)]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::on(Engine::best(), key, usize::MAX)
    }

    /// For messages of at most `len` bytes, AAD not counted: shorter ones need less of the key.
    pub(crate) fn for_messages(key: &[u8; 32], len: usize) -> Self {
        Self::on(Engine::best(), key, len)
    }

    pub(crate) fn on(engine: Option<Engine>, key: &[u8; 32], len: usize) -> Self {
        let by = match engine {
            None => Gcm::Portable(portable::Aes256Gcm::new(key)),
            Some(engine) => {
                let mut expanded = Key::ZEROS;
                engine.set(&mut expanded, key, len.div_ceil(16).saturating_add(3));
                Gcm::Kernel(engine, expanded)
            }
        };
        Self { by, most: MOST_BYTES.min(len as u64) }
    }

    /// Whose kernels serve it.
    #[cfg(test)]
    pub(crate) fn engine(&self) -> Option<Engine> {
        match &self.by {
            Gcm::Portable(_) => None,
            Gcm::Kernel(engine, _) => Some(*engine),
        }
    }

    /// Encrypts in place and gives the tag. Limit beyond 2^36 - 32 bytes.
    pub(crate) fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG]> {
        self.check(data.len())?;
        match &self.by {
            Gcm::Portable(key) => key.seal(nonce, aad, data),
            Gcm::Kernel(engine, key) => Ok(engine.seal(key, nonce, aad, Data::in_place(data))),
        }
    }

    /// Decrypts in place; on failure `data` is all zeros.
    pub(crate) fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<()> {
        let is_right = match &self.by {
            Gcm::Portable(key) => return key.open(nonce, aad, data, tag),
            Gcm::Kernel(..) if self.check(data.len()).is_err() => false,
            Gcm::Kernel(engine, key) => engine.open(key, nonce, aad, Data::in_place(data)).ct_eq(tag).into(),
        };
        if is_right {
            return Ok(());
        }
        data.zeroize();
        Err(Error::authentication())
    }

    /// Encrypts from one buffer to the end of another; behind it comes the tag.
    pub(crate) fn seal_onto(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.check(plaintext.len())?;
        let start = out.len();
        out.reserve(plaintext.len() + TAG);
        let tag = match &self.by {
            Gcm::Kernel(engine, key) => {
                let room = room(out, plaintext.len());
                let tag = engine.seal(key, nonce, aad, Data::copied(plaintext, room));
                // SAFETY: the kernel wrote as many bytes as the plaintext has, behind the others.
                unsafe { out.set_len(start + plaintext.len()) };
                tag
            }
            Gcm::Portable(key) => {
                out.extend_from_slice(plaintext);
                key.seal(nonce, aad, &mut out[start..]).inspect_err(|_| wipe_from(out, start))?
            }
        };
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Decrypts what ends in its tag to the end of another buffer; on failure nothing is
    /// appended, and nothing left in its spare room.
    pub(crate) fn open_onto(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG>().ok_or_else(Error::authentication)?;
        self.check(ciphertext.len()).map_err(|_| Error::authentication())?;
        let start = out.len();
        out.reserve_exact(ciphertext.len());
        match &self.by {
            Gcm::Kernel(engine, key) => {
                let room = room(out, ciphertext.len());
                let expected = engine.open(key, nonce, aad, Data::copied(ciphertext, room));
                // SAFETY: the kernel wrote as many bytes as the ciphertext has, behind the others.
                unsafe { out.set_len(start + ciphertext.len()) };
                if bool::from(expected.ct_eq(tag)) { Ok(()) } else { Err(Error::authentication()) }
            }
            Gcm::Portable(key) => {
                out.extend_from_slice(ciphertext);
                key.open(nonce, aad, &mut out[start..], tag)
            }
        }
        .inspect_err(|_| wipe_from(out, start))
    }

    fn check(&self, len: usize) -> Result<()> {
        if len as u64 <= self.most {
            return Ok(());
        }
        Err(Error::limit("more bytes than an AES-GCM message may have: 2^36 - 32, or those its key is for"))
    }
}

/// The spare room for `len` more bytes, which was reserved.
fn room(out: &mut Vec<u8>, len: usize) -> &mut [MaybeUninit<u8>] {
    &mut out.spare_capacity_mut()[..len]
}

/// Cuts `out` back and wipes what is cut: it may be plaintext.
pub(crate) fn wipe_from(out: &mut Vec<u8>, start: usize) {
    out[start..].zeroize();
    out.truncate(start);
}

/// An expanded AES-256 key that encrypts single blocks.
pub(crate) struct Aes256Enc(Enc);

enum Enc {
    Portable(portable::Aes256Enc),
    Kernel(Engine, [lanes::Block; 16]),
}

impl Aes256Enc {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::on(Engine::best(), key)
    }

    pub(crate) fn on(engine: Option<Engine>, key: &[u8; 32]) -> Self {
        match engine {
            None => Self(Enc::Portable(portable::Aes256Enc::new(key))),
            Some(engine) => {
                let mut rounds = [0; 16];
                engine.expand(&mut rounds, key);
                Self(Enc::Kernel(engine, rounds))
            }
        }
    }

    /// Encrypts both.
    pub(crate) fn encrypt(&self, blocks: &mut [[u8; 16]; 2]) {
        match &self.0 {
            Enc::Portable(key) => blocks.iter_mut().for_each(|block| key.encrypt(block)),
            Enc::Kernel(engine, rounds) => engine.encrypt(rounds, blocks),
        }
    }
}
