//! AES-256-GCM (SP 800-38D) with 96-bit nonces and 128-bit tags, in the processor's own
//! instructions.
//!
//! One source, written over [`lanes::Lanes`], for every instruction set: `key` expands a key,
//! `message` lays a message out in vectors, `bulk` is the inner loop, `hash` is GHASH.
//! `engine` compiles them for each instruction set; where the processor has none of these, the
//! RustCrypto crates serve.
#![allow(clippy::needless_range_loop, reason = "vectors and blocks are counted by one index")]
mod bulk;
#[cfg(all(test, target_arch = "x86_64"))]
pub(super) mod constant_time;
mod data;
mod hash;
mod key;
#[cfg(all(test, target_arch = "x86_64"))]
mod leaking;
mod message;
#[cfg(any(test, feature = "kubernetes"))]
mod sized;
#[cfg(test)]
pub(super) mod tests;
mod xaes;

#[cfg(any(test, feature = "kubernetes"))]
pub(crate) use sized::GcmKey;
pub(crate) use xaes::{Message, XaesKey, XaesSchedule, open_many, seal_many};

pub(super) use data::Data;
pub(super) use key::{Halves, Key, Keys, many, set, set_many};
pub(super) use message::crypt;
pub(super) use xaes::{Rounds, derive, derive_one, prepare};

use super::{Engine, lanes, portable};
#[cfg(any(test, libkms_raw))]
use crate::Result;
use crate::{
    Error,
    secret::{same, told, without_residue, without_residue_below},
};
use zeroize::Zeroize;

/// SP 800-38D, section 5.2.1.1: 2^39 - 256 bits.
const MOST_BYTES: u64 = (1 << 36) - 32;
const TAG: usize = 16;
/// More stack than kernels and what calls them use, for whoever wipes it: a test measures. Frames
/// are larger where little is optimised.
const KERNEL_STACK: usize = if cfg!(debug_assertions) { 8 * 1024 } else { 6 * 1024 };

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

    /// By these kernels; `None`: by the RustCrypto crates.
    pub(crate) fn on(engine: Option<Engine>, key: &[u8; 32], len: usize) -> Self {
        let by = match engine {
            None => Gcm::Portable(portable::Aes256Gcm::new(key.into())),
            // Set where it is: a copy takes as long as a short message.
            Some(engine) => Gcm::Kernel(engine, Key::ZEROS),
        };
        let mut me = Self { by, most: MOST_BYTES.min(len as u64) };
        if let Gcm::Kernel(engine, expanded) = &mut me.by {
            engine.set(expanded, key, Key::blocks(len));
        }
        me
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
    #[cfg(any(test, libkms_raw))]
    pub(crate) fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG]> {
        if data.len() as u64 > self.most {
            return Err(too_long());
        }
        match &self.by {
            Gcm::Portable(key) => key.seal(nonce, aad, data).ok_or_else(too_long),
            Gcm::Kernel(engine, key) => Ok(engine.seal(key, nonce, aad, Data::in_place(data))),
        }
    }

    /// Decrypts in place; on failure `data` is all zeros.
    #[cfg(any(test, libkms_raw))]
    pub(crate) fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<()> {
        let is_right = match &self.by {
            Gcm::Portable(key) => key.open(nonce, aad, data, tag),
            Gcm::Kernel(..) if data.len() as u64 > self.most => false,
            Gcm::Kernel(engine, key) => {
                told(same(&engine.open(key, nonce, aad, Data::in_place(data)), tag)).into()
            }
        };
        if is_right {
            return Ok(());
        }
        data.zeroize();
        Err(Error::authentication())
    }

    /// As [`MessageKey::seal_onto`].
    pub(crate) fn seal_onto(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        plaintext.len() as u64 <= self.most && self.by().seal_onto(nonce, aad, plaintext, out)
    }

    /// As [`MessageKey::open_onto`].
    pub(crate) fn open_onto(&self, nonce: &[u8; 12], aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> bool {
        sealed.len().saturating_sub(TAG) as u64 <= self.most && self.by().open_onto(nonce, aad, sealed, out)
    }

    fn by(&self) -> MessageKey<'_> {
        match &self.by {
            Gcm::Portable(key) => MessageKey::Portable(key),
            Gcm::Kernel(engine, key) => MessageKey::Kernel(*engine, key),
        }
    }
}

/// A key where it lies: one that is kept, or made for one message on a stack that is wiped.
#[derive(Clone, Copy)]
enum MessageKey<'a> {
    Portable(&'a portable::Aes256Gcm),
    Kernel(Engine, &'a Key),
}

/// They say whether it was done, and make no error of it: the memory of one would be filled from a
/// stack that keys were on.
impl MessageKey<'_> {
    /// Encrypts from one buffer to the end of another; behind it comes the tag. Beyond 2^36 - 32
    /// bytes nothing is done.
    fn seal_onto(self, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> bool {
        if plaintext.len() as u64 > MOST_BYTES {
            return false;
        }
        out.reserve(plaintext.len() + TAG);
        let start = out.len();
        let tag = match self {
            Self::Portable(key) => return key.seal_onto(nonce, aad, plaintext, out),
            Self::Kernel(engine, key) => {
                let room = &mut out.spare_capacity_mut()[..plaintext.len()];
                let tag = engine.seal(key, nonce, aad, Data::copied(plaintext, room));
                // SAFETY: the kernel wrote as many bytes as the plaintext has, behind the others.
                unsafe { out.set_len(start + plaintext.len()) };
                tag
            }
        };
        out.extend_from_slice(&tag);
        true
    }

    /// Decrypts what ends in its tag to the end of another buffer; if it is not authentic nothing is
    /// appended, and nothing left in the spare room.
    fn open_onto(self, nonce: &[u8; 12], aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> bool {
        let Some((ciphertext, tag)) = sealed.split_last_chunk::<TAG>() else { return false };
        if ciphertext.len() as u64 > MOST_BYTES {
            return false;
        }
        out.reserve(ciphertext.len());
        let start = out.len();
        let is_right = match self {
            Self::Portable(key) => return key.open_onto(nonce, aad, sealed, out),
            Self::Kernel(engine, key) => {
                let room = &mut out.spare_capacity_mut()[..ciphertext.len()];
                let expected = engine.open(key, nonce, aad, Data::copied(ciphertext, room));
                // SAFETY: the kernel wrote as many bytes as the ciphertext has, behind the others.
                unsafe { out.set_len(start + ciphertext.len()) };
                bool::from(told(same(&expected, tag)))
            }
        };
        if !is_right {
            wipe_from(out, start);
        }
        is_right
    }
}

/// Fills `out` with the key stream of a key that serves nothing else, if this processor has kernels;
/// says whether it did. Limit 2^36 - 32 bytes.
pub(crate) fn key_stream(key: &[u8; 32], out: &mut [u8]) -> bool {
    let Some(engine) = Engine::best() else { return false };
    let mut expanded = Key::ZEROS;
    engine.set(&mut expanded, key, Key::blocks(out.len()));
    out.fill(0);
    engine.seal(&expanded, &[0; 12], &[], Data::in_place(out));
    true
}

/// Messages under keys that serve no other, many keys set at once.
#[cfg(libkms_raw)]
pub(crate) fn seal_each_in_place(
    engine: Option<Engine>,
    keys: &[[u8; 32]],
    nonces: &[[u8; 12]],
    aad: &[u8],
    batch: &mut [Vec<u8>],
    tags: &mut [[u8; TAG]],
) {
    let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
    let mut messages = batch.iter_mut().zip(nonces).zip(tags);
    with_each(engine, keys, longest, |key| {
        let Some(((data, nonce), tag)) = messages.next() else { return };
        *tag = match key {
            MessageKey::Portable(key) => key.seal(nonce, aad, data).expect("a short message"),
            MessageKey::Kernel(engine, key) => engine.seal(key, nonce, aad, Data::in_place(data)),
        };
    });
}

/// Keys alone, for messages of at most `len` bytes.
#[cfg(libkms_raw)]
pub(crate) fn set_each(engine: Option<Engine>, keys: &[[u8; 32]], len: usize) {
    with_each(engine, keys, len, |key| {
        std::hint::black_box(key);
    });
}

#[cfg(libkms_raw)]
fn with_each(engine: Option<Engine>, keys: &[[u8; 32]], len: usize, mut work: impl FnMut(MessageKey<'_>)) {
    let Some(engine) = engine else {
        return keys.iter().for_each(|key| work(MessageKey::Portable(&portable::Aes256Gcm::new(key.into()))));
    };
    without_residue_below::<{ xaes::BATCH_STACK }, _>(|| {
        let mut made = Keys::ZEROS;
        for bytes in keys.chunks(engine.many()) {
            let mut halves = [[0; key::MANY]; 2];
            for (k, key) in bytes.iter().enumerate() {
                let (blocks, _) = key.as_chunks::<16>();
                [halves[0][k], halves[1][k]] = [blocks[0], blocks[1]].map(u128::from_le_bytes);
            }
            engine.set_many(&mut made, &halves, Key::blocks(len));
            made.keys[..bytes.len()].iter().for_each(|key| work(MessageKey::Kernel(engine, key)));
        }
    });
}

/// Of a message that is not sealed.
pub(crate) fn too_long() -> Error {
    Error::limit("more bytes than an AES-GCM message may have: 2^36 - 32, or those its key is for")
}

/// Runs `work` of this module, and wipes what it leaves on the stack and in registers.
#[inline(always)]
pub(crate) fn without_kernel_residue<R>(work: impl FnOnce() -> R) -> R {
    match Engine::best() {
        Some(_) => without_residue_below::<KERNEL_STACK, R>(work),
        None => without_residue(work),
    }
}

/// Cuts `out` back and wipes what is cut: it may be plaintext.
pub(crate) fn wipe_from(out: &mut Vec<u8>, start: usize) {
    out[start..].zeroize();
    out.truncate(start);
}
