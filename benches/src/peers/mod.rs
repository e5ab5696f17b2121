//! Each library behind one small trait.
#[cfg(feature = "esdk")]
mod aws_esdk;
mod aws_lc;
mod boring_ssl;
mod cbc;
mod graviola;
mod libkms;
mod open_ssl;
mod random;
mod records;
mod ring;
mod rust_crypto;

pub use self::libkms::Libkms;
pub use aws_lc::AwsLc;
pub use cbc::{cbc, check_cbc};
pub use random::random;
pub use records::records;

use crate::library::Library;

pub type Nonce = [u8; 12];
pub type Tag = [u8; 16];
/// As in a record of TLS 1.2.
pub const AAD: [u8; 13] = *b"thirteenbytes";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Seal,
    Open,
}

/// An implementation of AES-256-GCM.
pub trait Peer: Copy + 'static {
    type Key;

    /// As it stands in the tables.
    fn name(self) -> &'static str;

    /// Expanded, for messages of at most `len` bytes.
    fn key(self, bytes: &[u8; 32], direction: Direction, len: usize) -> Self::Key;

    /// In place, under [`AAD`].
    fn seal(key: &mut Self::Key, nonce: &Nonce, data: &mut [u8]) -> Tag;

    /// In place, under [`AAD`]; whether it is authentic.
    fn open(key: &mut Self::Key, nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool;

    /// Under a key for this message alone.
    fn seal_once(self, key: &[u8; 32], nonce: &Nonce, data: &mut [u8]) -> Tag {
        Self::seal(&mut self.key(key, Direction::Seal, data.len()), nonce, data)
    }

    fn open_once(self, key: &[u8; 32], nonce: &Nonce, data: &mut [u8], tag: &Tag) -> bool {
        Self::open(&mut self.key(key, Direction::Open, data.len()), nonce, data, tag)
    }
}

/// Which instructions of a peer a variable of the environment, read when the process starts,
/// takes away: [`environment`].
const AVX512: &str = ":~0xC0030000";
const VAES: &str = ":~0x60000000000";

/// Against whom the kernels of this path are measured: who uses no wider instructions.
pub fn of_path(path: &str) -> Vec<Box<dyn Library>> {
    let mut peers: Vec<Box<dyn Library>> =
        vec![Box::new(AwsLc), Box::new(boring_ssl::BoringSsl), Box::new(open_ssl::OpenSsl)];
    // The others heed no variable: ring's widest kernels have 256 bits, the rest take all there is.
    if path == "vaes256" || path == "vaes512" {
        peers.push(Box::new(ring::Ring));
    }
    if path == "vaes512" {
        peers.push(Box::new(graviola::Graviola));
        peers.push(Box::new(rust_crypto::RustCrypto));
    }
    peers
}

/// What `OPENSSL_ia32cap` must be for them.
pub fn environment(path: &str) -> Option<&'static str> {
    match path {
        "vaes256" => Some(AVX512),
        "aesni" => Some(VAES),
        _ => None,
    }
}

/// Their versions, from the lock file.
pub fn versions() -> Vec<(&'static str, &'static str)> {
    let packages = include_str!("../../Cargo.lock").split("[[package]]");
    let field = |package: &'static str, name: &str| package.split_once(name)?.1.split('"').nth(1);
    // The newest: other peers have older ones among their dependencies.
    let of = |name: &str| packages.clone().filter(|p| field(p, "name =") == Some(name)).last();
    CRATES.iter().filter_map(|name| Some((*name, field(of(name)?, "version =")?))).collect()
}

/// OpenSSL's and BoringSSL's sources are in these.
const CRATES: &[&str] = &[
    "aws-lc-rs",
    "btls-sys",
    "openssl-src",
    "ring",
    "graviola",
    "aes-gcm",
    "asherah",
    "aws-esdk",
    "tink-aead",
];
