//! Kernels of the RustCrypto crates.
use super::wipe_from;
use crate::{
    Error, Result,
    secret::{Locked, told},
};
use aes::cipher::{
    BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    consts::{U12, U16},
};
use aes_gcm::{
    AesGcm, Key, KeyInit,
    aead::{AeadCore, AeadInOut, inout::InOutBuf},
};
use zeroize::Zeroize;

/// An expanded AES-GCM key (SP 800-38D, 96-bit nonces, 128-bit tags).
pub(super) struct Gcm<A>(AesGcm<A, U12>);

pub(super) type Aes256Gcm = Gcm<aes::Aes256>;

impl<A> Gcm<A>
where
    AesGcm<A, U12>: KeyInit + AeadCore<NonceSize = U12, TagSize = U16> + AeadInOut,
{
    pub(super) fn new(key: &Key<AesGcm<A, U12>>) -> Self {
        Self(AesGcm::new(key))
    }

    /// Encrypts in place and gives the tag; `None` beyond 2^36 - 32 bytes.
    pub(super) fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        self.0.encrypt_inout_detached(nonce.into(), aad, InOutBuf::from(data)).ok().map(Into::into)
    }

    /// Decrypts in place, and says whether it is authentic; if not, `data` is all zeros.
    pub(super) fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> bool {
        let inout = InOutBuf::from(&mut *data);
        let is_right = told(self.0.decrypt_inout_detached(nonce.into(), aad, inout, tag.into())).is_ok();
        if !is_right {
            data.zeroize();
        }
        is_right
    }

    /// Encrypts to the end of another buffer; behind it comes the tag. Beyond 2^36 - 32 bytes nothing
    /// is done.
    pub(super) fn seal_onto(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        out.reserve(plaintext.len() + 16);
        out.extend_from_slice(plaintext);
        let Some(tag) = self.seal(nonce, aad, &mut out[start..]) else {
            wipe_from(out, start);
            return false;
        };
        out.extend_from_slice(&tag);
        true
    }

    /// Decrypts what ends in its tag to the end of another buffer; if it is not authentic nothing is
    /// appended.
    pub(super) fn open_onto(&self, nonce: &[u8; 12], aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> bool {
        let Some((ciphertext, tag)) = sealed.split_last_chunk::<16>() else { return false };
        let start = out.len();
        out.extend_from_slice(ciphertext);
        let is_right = self.open(nonce, aad, &mut out[start..], tag);
        if !is_right {
            out.truncate(start);
        }
        is_right
    }
}

/// `$do` with the cipher of whatever size `$aes` has.
macro_rules! on_cipher {
    ($aes:expr, $cipher:ident => $do:expr) => {
        match $aes {
            $crate::arch::Aes::Aes128(key) => {
                let $cipher = key.get()?;
                $do
            }
            $crate::arch::Aes::Aes192(key) => {
                let $cipher = key.get()?;
                $do
            }
            $crate::arch::Aes::Aes256(key) => {
                let $cipher = key.get()?;
                $do
            }
        }
    };
}
#[cfg_attr(not(any(test, feature = "local")), allow(unused_imports))]
pub(crate) use on_cipher;

type Block = aes::cipher::Array<u8, aes::cipher::consts::U16>;

/// An expanded AES key of any size, both directions.
pub(crate) enum Aes {
    Aes128(Locked<aes::Aes128>),
    Aes192(Locked<aes::Aes192>),
    Aes256(Locked<aes::Aes256>),
}

impl Aes {
    /// From 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        if let Ok(k) = <&[u8; 16]>::try_from(key) {
            Ok(Self::Aes128(Locked::new(|| aes::Aes128::new(k.into()))?))
        } else if let Ok(k) = <&[u8; 24]>::try_from(key) {
            Ok(Self::Aes192(Locked::new(|| aes::Aes192::new(k.into()))?))
        } else if let Ok(k) = <&[u8; 32]>::try_from(key) {
            Ok(Self::Aes256(Locked::new(|| aes::Aes256::new(k.into()))?))
        } else {
            Err(wrong_size())
        }
    }
}

pub(super) fn wrong_size() -> Error {
    Error::misuse("an AES key has 16, 24 or 32 bytes")
}

/// Encrypts whole blocks in place.
#[inline(never)]
pub(super) fn seal_cbc(key: &Aes, iv: &[u8; 16], blocks: &mut [u8]) -> Result<()> {
    let (blocks, rest) = Block::slice_as_chunks_mut(blocks);
    assert!(rest.is_empty(), "whole blocks");
    on_cipher!(key, c => cbc::Encryptor::inner_iv_init(c, iv.into()).encrypt_blocks(blocks));
    Ok(())
}

/// Decrypts whole blocks in place.
#[inline(never)]
pub(super) fn open_cbc(key: &Aes, iv: &[u8; 16], blocks: &mut [u8]) -> Result<()> {
    let (blocks, rest) = Block::slice_as_chunks_mut(blocks);
    assert!(rest.is_empty(), "whole blocks");
    on_cipher!(key, c => cbc::Decryptor::inner_iv_init(c, iv.into()).decrypt_blocks(blocks));
    Ok(())
}

/// An expanded AES-256 key that only encrypts blocks.
pub(super) struct Aes256Enc(aes::Aes256Enc);

impl Aes256Enc {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(aes::Aes256Enc::new(key.into()))
    }

    pub(super) fn encrypt(&self, block: u128) -> u128 {
        let mut block = block.to_le_bytes();
        self.0.encrypt_block((&mut block).into());
        u128::from_le_bytes(block)
    }
}
