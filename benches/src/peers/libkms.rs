//! libkms, by the kernels of one path.
use super::{AAD, Direction, Nonce, Peer, Tag};
use libkms::raw::{self, Aes256Gcm, Kernels};

#[derive(Clone, Copy)]
pub struct Libkms(pub Kernels);

impl Peer for Libkms {
    type Key = Aes256Gcm;

    fn name(self) -> &'static str {
        "libkms"
    }

    fn key(self, bytes: &[u8; 32], _: Direction, len: usize) -> Aes256Gcm {
        Aes256Gcm::new(self.0, bytes, len)
    }

    fn seal(key: &mut Aes256Gcm, nonce: &Nonce, data: &mut [u8]) -> Tag {
        key.seal(nonce, &AAD, data).unwrap()
    }

    fn open(key: &mut Aes256Gcm, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        key.open(nonce, &AAD, data, tag).is_ok()
    }

    /// Where it is used: nobody moves a key of ours.
    fn seal_once(self, key: &[u8; 32], nonce: &Nonce, data: &mut [u8]) -> Tag {
        raw::seal_once(self.0, key, nonce, &AAD, data).unwrap()
    }

    fn open_once(self, key: &[u8; 32], nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        raw::open_once(self.0, key, nonce, &AAD, data, tag).is_ok()
    }
}
