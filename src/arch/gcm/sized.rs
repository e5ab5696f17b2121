//! Keys that stay, of 16, 24 or 32 bytes. The kernels have the last size, and the RustCrypto crates
//! the others.
use super::{Aes256Gcm, portable, without_kernel_residue};
use crate::{
    Result,
    secret::{Locked, without_residue},
};

/// An AES-GCM key of any size, expanded, in key memory.
pub(crate) struct GcmKey(By);

enum By {
    Aes128(Locked<portable::Gcm<aes::Aes128>>),
    Aes192(Locked<portable::Gcm<aes::Aes192>>),
    Aes256(Locked<Aes256Gcm>),
}

impl GcmKey {
    /// Misuse, if the key does not have 16, 24 or 32 bytes. The caller wipes the stack.
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        let by = if let Ok(key) = <&[u8; 16]>::try_from(key) {
            By::Aes128(Locked::new(|| portable::Gcm::new(key.into()))?)
        } else if let Ok(key) = <&[u8; 24]>::try_from(key) {
            By::Aes192(Locked::new(|| portable::Gcm::new(key.into()))?)
        } else if let Ok(key) = <&[u8; 32]>::try_from(key) {
            By::Aes256(Locked::new(|| Aes256Gcm::for_messages(key, usize::MAX))?)
        } else {
            return Err(portable::wrong_size());
        };
        Ok(Self(by))
    }

    /// As [`Aes256Gcm::seal_onto`].
    pub(crate) fn seal_onto(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        Ok(match &self.0 {
            By::Aes128(key) => {
                let key = key.get()?;
                without_residue(|| key.seal_onto(nonce, aad, plaintext, out))
            }
            By::Aes192(key) => {
                let key = key.get()?;
                without_residue(|| key.seal_onto(nonce, aad, plaintext, out))
            }
            By::Aes256(key) => {
                let key = key.get()?;
                without_kernel_residue(|| key.seal_onto(nonce, aad, plaintext, out))
            }
        })
    }

    /// As [`Aes256Gcm::open_onto`].
    pub(crate) fn open_onto(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        Ok(match &self.0 {
            By::Aes128(key) => {
                let key = key.get()?;
                without_residue(|| key.open_onto(nonce, aad, sealed, out))
            }
            By::Aes192(key) => {
                let key = key.get()?;
                without_residue(|| key.open_onto(nonce, aad, sealed, out))
            }
            By::Aes256(key) => {
                let key = key.get()?;
                without_kernel_residue(|| key.open_onto(nonce, aad, sealed, out))
            }
        })
    }
}
