//! AES-CBC (SP 800-38A) on whole blocks, under keys of 16, 24 or 32 bytes.
//!
//! A block that is opened needs the ciphertext alone, so many are opened at once; sealing goes
//! from block to block. Written over [`Lanes`](super::lanes::Lanes), as `gcm` is; where the
//! processor has no kernels, the RustCrypto crates serve.
mod blocks;
#[cfg(all(test, target_arch = "x86_64"))]
mod constant_time;
mod key;
#[cfg(test)]
mod tests;

pub(super) use blocks::{open, seal};
pub(super) use key::{Key, set};

use super::{Aes, Engine, portable};
use crate::{
    Result,
    secret::{Locked, without_residue, without_residue_below},
};

pub(crate) const BLOCK: usize = 16;
/// More stack than sealing and opening use, for whoever wipes it: a test measures. It is less than
/// GCM's: to wipe that much would take as long as to open some KiB.
const KERNEL_STACK: usize = if cfg!(debug_assertions) { 4 * 1024 } else { 1024 };

/// An AES-CBC key, expanded both ways.
pub(crate) struct CbcKey(By);

enum By {
    Portable(Aes),
    Kernel(Engine, Locked<Key>),
}

impl CbcKey {
    /// Misuse, if the key does not have 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        Self::on(Engine::best(), key)
    }

    /// By these kernels; `None`: by the RustCrypto crates.
    pub(crate) fn on(engine: Option<Engine>, key: &[u8]) -> Result<Self> {
        let Some(engine) = engine else { return Ok(Self(By::Portable(Aes::new(key)?))) };
        if !matches!(key.len(), 16 | 24 | 32) {
            return Err(portable::wrong_size());
        }
        let expand = || {
            let mut expanded = Key::of_size(key.len());
            engine.set_cbc(&mut expanded, key);
            expanded
        };
        Ok(Self(By::Kernel(engine, Locked::new(expand)?)))
    }

    /// Encrypts whole blocks in place.
    pub(crate) fn seal(&self, iv: &[u8; BLOCK], blocks: &mut [u8]) -> Result<()> {
        match &self.0 {
            By::Portable(key) => portable::seal_cbc(key, iv, blocks)?,
            By::Kernel(engine, key) => engine.seal_cbc(key.get()?.sealing(), iv, blocks),
        }
        Ok(())
    }

    /// Appends what is decrypted of an IV and the whole blocks behind it.
    pub(crate) fn open_onto(&self, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (iv, blocks) = sealed.split_first_chunk().expect("an IV");
        let (start, len) = (out.len(), blocks.len());
        out.reserve(len);
        match &self.0 {
            By::Portable(key) => {
                out.extend_from_slice(blocks);
                portable::open_cbc(key, iv, &mut out[start..])?;
            }
            By::Kernel(engine, key) => {
                engine.open_cbc(key.get()?.opening(), sealed, &mut out.spare_capacity_mut()[..len]);
                // SAFETY: the kernel wrote as many bytes behind the others.
                unsafe { out.set_len(start + len) };
            }
        }
        Ok(())
    }
}

/// Seals or opens under a key that is expanded, and wipes what that leaves on the stack and in
/// registers.
#[inline(always)]
pub(crate) fn without_cbc_residue<R>(work: impl FnOnce() -> R) -> R {
    match Engine::best() {
        Some(_) => without_residue_below::<KERNEL_STACK, R>(work),
        None => without_residue(work),
    }
}
