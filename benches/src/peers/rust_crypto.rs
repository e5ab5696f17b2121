//! RustCrypto.
use super::{AAD, Direction, Nonce, Peer, Tag};
use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};

#[derive(Clone, Copy)]
pub(super) struct RustCrypto;

impl Peer for RustCrypto {
    type Key = Aes256Gcm;

    fn name(self) -> &'static str {
        "RustCrypto"
    }

    fn key(self, bytes: &[u8; 32], _: Direction, _: usize) -> Aes256Gcm {
        Aes256Gcm::new(bytes.into())
    }

    fn seal(key: &mut Aes256Gcm, nonce: &Nonce, data: &mut [u8]) -> Tag {
        key.encrypt_inout_detached(nonce.into(), &AAD, data.into()).unwrap().into()
    }

    fn open(key: &mut Aes256Gcm, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        key.decrypt_inout_detached(nonce.into(), &AAD, data.into(), tag.into()).is_ok()
    }
}
