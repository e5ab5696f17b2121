//! Whole records of peers: a key of its own for each message or each key of a keyset, under
//! keys that are at hand, in ordinary memory.
#[cfg(feature = "esdk")]
use super::aws_esdk::aws_esdk;
use super::{AAD, Direction};
use crate::library::{Burst, Contestant};
use std::{hint::black_box, sync::Arc};

pub fn records(direction: Direction, bytes: usize) -> Vec<Contestant> {
    vec![
        asherah(direction, bytes),
        #[cfg(feature = "esdk")]
        aws_esdk(direction, bytes),
        tink(direction, bytes),
    ]
}

/// Its intermediate key is cached; it takes no AAD.
fn asherah(direction: Direction, bytes: usize) -> Contestant {
    let crypto = Arc::new(asherah::aead::AES256GCM::new());
    let store = Arc::new(asherah::metastore::InMemoryMetastore::new());
    let kms = Arc::new(asherah::kms::StaticKMS::new(crypto.clone(), vec![0; 32]).unwrap());
    let factory =
        asherah::api::new_session_factory(asherah::Config::new("bench", "libkms"), store, kms, crypto);
    let (session, plain) = (factory.get_session("7d3f"), vec![7; bytes]);
    let sealed = session.encrypt(&plain).unwrap();
    let burst: Burst = match direction {
        Direction::Seal => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(session.encrypt(black_box(&plain)).unwrap());
            }
        }),
        Direction::Open => Box::new(move |calls| {
            for _ in 0..calls {
                // It takes the record, and there is no way to it without a copy.
                black_box(session.decrypt(black_box(&sealed).clone()).unwrap());
            }
        }),
    };
    Contestant { name: "Asherah", burst }
}

/// One key of a keyset that is open: no envelope, no commitment, no KMS.
fn tink(direction: Direction, bytes: usize) -> Contestant {
    tink_aead::init();
    let handle = tink_core::keyset::Handle::new(&tink_aead::aes256_gcm_key_template()).unwrap();
    let (aead, plain) = (tink_aead::new(&handle).unwrap(), vec![7; bytes]);
    let sealed = aead.encrypt(&plain, &AAD).unwrap();
    let burst: Burst = match direction {
        Direction::Seal => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(aead.encrypt(black_box(&plain), &AAD).unwrap());
            }
        }),
        Direction::Open => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(aead.decrypt(black_box(&sealed), &AAD).unwrap());
            }
        }),
    };
    Contestant { name: "Tink", burst }
}
