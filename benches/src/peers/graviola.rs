//! graviola.
use super::{AAD, Direction, Nonce, Peer, Tag};
use graviola::aead::AesGcm;

#[derive(Clone, Copy)]
pub(super) struct Graviola;

impl Peer for Graviola {
    type Key = AesGcm;

    fn name(self) -> &'static str {
        "graviola"
    }

    fn key(self, bytes: &[u8; 32], _: Direction, _: usize) -> AesGcm {
        AesGcm::new(bytes)
    }

    fn seal(key: &mut AesGcm, nonce: &Nonce, data: &mut [u8]) -> Tag {
        let mut tag = [0; 16];
        key.encrypt(nonce, &AAD, data, &mut tag);
        tag
    }

    fn open(key: &mut AesGcm, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        key.decrypt(nonce, &AAD, data, tag).is_ok()
    }
}
