//! Keyring files.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{
    Dek, EncryptionContext, ErrorKind, Wait,
    kek::{Keyring, KmsBackend},
};

fuzz_target!(|data: &[u8]| {
    let context = EncryptionContext::empty();
    let keyring = match Keyring::parse(data, "a") {
        Ok(keyring) => keyring,
        Err(e) => return assert!(matches!(e.kind(), ErrorKind::Malformed | ErrorKind::Misuse), "{e:?}"),
    };
    let current = keyring.current_key().wait().unwrap().expect("a keyring knows its primary");
    assert!(keyring.accepts(&current), "{current}");

    let dek = Dek::take([7; 32]).unwrap();
    let mut wrapped = match keyring.wrap_dek(&dek, &context).wait() {
        Ok(wrapped) => wrapped,
        Err(e) => return assert_eq!(e.kind(), ErrorKind::Denied, "{e:?}"),
    };
    assert_eq!(wrapped.key_id, current);
    let again = keyring.unwrap_dek(&wrapped, &context).wait().unwrap();
    assert_eq!(again.expose().unwrap(), dek.expose().unwrap());

    let at = data.len() % wrapped.ciphertext.len();
    wrapped.ciphertext[at] ^= 1;
    let refused = keyring.unwrap_dek(&wrapped, &context).wait().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Authentication);
});
