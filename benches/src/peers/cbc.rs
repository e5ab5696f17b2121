//! AES-256-CBC on whole blocks behind an IV, without padding, each under a key that is expanded.
use super::{Direction, of_path};
use crate::library::Contestant;
use aes_gcm::{KeyInit, aes::Aes256};
use aws_lc_rs::cipher::{self, AES_256, UnboundCipherKey};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use libkms::raw::{AesCbc, Kernels};
use openssl::{cipher::Cipher, cipher_ctx::CipherCtx};
use std::hint::black_box;

const KEY: [u8; 32] = [9; 32];
const IV: [u8; 16] = [4; 16];

/// Takes an IV, blocks, and room for one more, which OpenSSL wants. What it opens is in their place, or appended to the other buffer.
type Call = Box<dyn FnMut(&mut [u8], &mut Vec<u8>)>;

/// libkms first.
pub fn cbc(kernels: Kernels, direction: Direction, bytes: usize) -> Vec<Contestant> {
    let contestant = |(name, mut call): (&'static str, Call)| {
        let (mut message, mut out) = (message(bytes), Vec::with_capacity(bytes));
        let burst = Box::new(move |calls| {
            for _ in 0..calls {
                out.clear();
                call(black_box(&mut message), black_box(&mut out));
            }
        });
        Contestant { name, burst }
    };
    all(kernels, direction).into_iter().map(contestant).collect()
}

/// Panics if one does not make of messages what aws-lc-rs makes of them.
pub fn check_cbc(kernels: Kernels) {
    for n in [1, 4, 8, 31, 64, 100, 1000] {
        let mut expected = message(16 * n);
        aws_lc(Direction::Seal)(&mut expected, &mut Vec::new());
        for (name, mut seal) in all(kernels, Direction::Seal) {
            let mut made = message(16 * n);
            seal(&mut made, &mut Vec::new());
            assert!(made == expected, "{name}: another ciphertext of {n} blocks");
        }
        for (name, mut open) in all(kernels, Direction::Open) {
            let (mut opened, mut apart) = (expected.clone(), Vec::new());
            open(&mut opened, &mut apart);
            let opened = if apart.is_empty() { blocks(&mut opened) } else { &mut apart[..] };
            let expected = &mut message(16 * n);
            assert!(opened == blocks(expected), "{name}: opens {n} blocks to something else");
        }
    }
}

fn message(bytes: usize) -> Vec<u8> {
    IV.into_iter().chain((0..bytes + 16).map(|i| (i ^ i >> 7) as u8)).collect()
}

fn blocks(message: &mut [u8]) -> &mut [u8] {
    let end = message.len() - 16;
    &mut message[16..end]
}

fn all(kernels: Kernels, direction: Direction) -> Vec<(&'static str, Call)> {
    let mut all = vec![
        ("libkms", libkms(kernels, direction)),
        ("aws-lc-rs", aws_lc(direction)),
        ("OpenSSL", open_ssl(direction)),
    ];
    // As for AES-256-GCM: it takes what the processor has.
    if of_path(kernels.name()).iter().any(|peer| peer.called() == "RustCrypto") {
        all.push(("RustCrypto", rust_crypto(direction)));
    }
    all
}

fn libkms(kernels: Kernels, direction: Direction) -> Call {
    let key = AesCbc::new(kernels, &KEY).unwrap();
    match direction {
        Direction::Seal => Box::new(move |message, _| key.seal(&IV, blocks(message)).unwrap()),
        Direction::Open => {
            Box::new(move |message, out| key.open(&message[..message.len() - 16], out).unwrap())
        }
    }
}

fn aws_lc(direction: Direction) -> Call {
    let key = UnboundCipherKey::new(&AES_256, &KEY).unwrap();
    match direction {
        Direction::Seal => {
            let key = cipher::EncryptingKey::cbc(key).unwrap();
            Box::new(move |message, _| {
                let iv = cipher::EncryptionContext::Iv128(IV.into());
                key.less_safe_encrypt(blocks(message), iv).unwrap();
            })
        }
        Direction::Open => {
            let key = cipher::DecryptingKey::cbc(key).unwrap();
            Box::new(move |message, _| {
                let iv = cipher::DecryptionContext::Iv128(IV.into());
                key.decrypt(blocks(message), iv).unwrap();
            })
        }
    }
}

fn open_ssl(direction: Direction) -> Call {
    let cipher = Cipher::fetch(None, "AES-256-CBC", None).unwrap();
    let mut context = CipherCtx::new().unwrap();
    match direction {
        Direction::Seal => context.encrypt_init(Some(&cipher), Some(&KEY), Some(&IV)).unwrap(),
        Direction::Open => context.decrypt_init(Some(&cipher), Some(&KEY), Some(&IV)).unwrap(),
    }
    Box::new(move |message, _| {
        match direction {
            Direction::Seal => context.encrypt_init(None, None, Some(&IV)).unwrap(),
            Direction::Open => context.decrypt_init(None, None, Some(&IV)).unwrap(),
        }
        context.set_padding(false);
        let blocks = &mut message[16..];
        context.cipher_update_inplace(blocks, blocks.len() - 16).unwrap();
    })
}

fn rust_crypto(direction: Direction) -> Call {
    let key = Aes256::new(&KEY.into());
    match direction {
        Direction::Seal => Box::new(move |message, _| {
            let blocks = cbc::cipher::Block::<Aes256>::slice_as_chunks_mut(blocks(message)).0;
            cbc::Encryptor::inner_iv_init(&key, &IV.into()).encrypt_blocks(blocks);
        }),
        Direction::Open => Box::new(move |message, _| {
            let blocks = cbc::cipher::Block::<Aes256>::slice_as_chunks_mut(blocks(message)).0;
            cbc::Decryptor::inner_iv_init(&key, &IV.into()).decrypt_blocks(blocks);
        }),
    }
}
