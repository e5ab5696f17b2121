//! AWS-LC, through aws-lc-rs.
use super::{AAD, Direction, Nonce, Peer, Tag};
use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, UnboundKey};

#[derive(Clone, Copy)]
pub struct AwsLc;

impl Peer for AwsLc {
    type Key = LessSafeKey;

    fn name(self) -> &'static str {
        "aws-lc-rs"
    }

    fn key(self, bytes: &[u8; 32], _: Direction, _: usize) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).unwrap())
    }

    fn seal(key: &mut LessSafeKey, nonce: &Nonce, data: &mut [u8]) -> Tag {
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(&AAD), data).unwrap();
        tag.as_ref().try_into().unwrap()
    }

    fn open(key: &mut LessSafeKey, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        let nonce = aead::Nonce::assume_unique_for_key(*nonce);
        key.open_in_place_separate_tag(nonce, aead::Aad::from(&AAD), tag, data).is_ok()
    }
}
