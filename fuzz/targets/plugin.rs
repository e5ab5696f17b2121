//! What reaches a KMS plugin's Decrypt, and what a client of plugins has stored.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{ErrorKind, Kms, Wait, raw::Served};
use libkms_fuzz::{PLAINTEXT, keyring};
use std::sync::LazyLock;

static SERVED: LazyLock<Served> =
    LazyLock::new(|| Served::new(&Kms::builder().kek(keyring()).build().unwrap()));

fuzz_target!(|data: &[u8]| {
    if let Some(again) = Served::stored(data) {
        assert_eq!(again, data, "what a client stores has one encoding");
    }
    match SERVED.decrypt(data).wait() {
        Some(Ok(plaintext)) => assert_eq!(plaintext, PLAINTEXT),
        Some(Err(e)) => {
            use ErrorKind::*;
            let kinds = [Authentication, Malformed, NoMatchingKek, Denied];
            assert!(kinds.contains(&e.kind()) && !e.to_string().contains(char::is_control), "{e:?}");
        }
        None => {}
    }
});
