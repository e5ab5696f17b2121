//! OpenSSL 3, through openssl: built from source, since distributions are years behind.
use super::{AAD, Direction, Nonce, Peer, Tag};
use openssl::{cipher::Cipher, cipher_ctx::CipherCtx};
use std::sync::LazyLock;

#[derive(Clone, Copy)]
pub(super) struct OpenSsl;

/// Looked up once: its algorithms are found by name.
static GCM: LazyLock<Cipher> = LazyLock::new(|| Cipher::fetch(None, "AES-256-GCM", None).unwrap());

impl Peer for OpenSsl {
    /// A context with its key in it; a nonce alone begins the next message.
    type Key = CipherCtx;

    fn name(self) -> &'static str {
        "OpenSSL"
    }

    fn key(self, bytes: &[u8; 32], direction: Direction, _: usize) -> CipherCtx {
        let mut context = CipherCtx::new().unwrap();
        match direction {
            Direction::Seal => context.encrypt_init(Some(&GCM), Some(bytes), None).unwrap(),
            Direction::Open => context.decrypt_init(Some(&GCM), Some(bytes), None).unwrap(),
        }
        context
    }

    fn seal(key: &mut CipherCtx, nonce: &Nonce, data: &mut [u8]) -> Tag {
        let mut tag = [0; 16];
        key.encrypt_init(None, None, Some(nonce)).unwrap();
        key.cipher_update(&AAD, None).unwrap();
        key.cipher_update_inplace(data, data.len()).unwrap();
        key.cipher_final(&mut []).unwrap();
        key.tag(&mut tag).unwrap();
        tag
    }

    fn open(key: &mut CipherCtx, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        key.decrypt_init(None, None, Some(nonce)).unwrap();
        key.cipher_update(&AAD, None).unwrap();
        key.cipher_update_inplace(data, data.len()).unwrap();
        key.set_tag(tag).unwrap();
        key.cipher_final(&mut []).is_ok()
    }
}
