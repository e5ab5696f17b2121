//! BoringSSL, through btls: boring, with symbols that are not those of OpenSSL.
use super::{AAD, Direction, Nonce, Peer, Tag};
use btls::aead::{AeadCtx, Algorithm};

#[derive(Clone, Copy)]
pub(super) struct BoringSsl;

impl Peer for BoringSsl {
    type Key = AeadCtx;

    fn name(self) -> &'static str {
        "BoringSSL"
    }

    fn key(self, bytes: &[u8; 32], _: Direction, _: usize) -> AeadCtx {
        AeadCtx::new_default_tag(&Algorithm::aes_256_gcm(), bytes).unwrap()
    }

    fn seal(key: &mut AeadCtx, nonce: &Nonce, data: &mut [u8]) -> Tag {
        let mut tag = [0; 16];
        key.seal_in_place(nonce, data, &mut tag, &AAD).unwrap();
        tag
    }

    fn open(key: &mut AeadCtx, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        key.open_in_place(nonce, data, tag, &AAD).is_ok()
    }
}
