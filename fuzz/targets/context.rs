//! Encryption contexts: one encoding each, and nothing else is taken.
#![no_main]
use libfuzzer_sys::fuzz_target;
use libkms::{EncryptionContext, ErrorKind, Header};
use libkms_fuzz::header;

fuzz_target!(|data: &[u8]| {
    stored(data);
    made(data);
});

/// The bytes as an encoding that a header stores.
fn stored(encoding: &[u8]) {
    let Some(header) = header(1, encoding).and_then(|h| Header::parse(&h).ok()) else { return };
    let parsed = header.stored_context().expect("the header stores one");
    assert_eq!(parsed.encoding(), encoding);
    let reserved = parsed.iter().any(|(key, _)| key.starts_with("libkms-"));
    match EncryptionContext::new(parsed.iter()) {
        Ok(made) => assert!(!reserved && made == *parsed && made.encoding() == encoding),
        Err(e) => assert!(reserved && e.kind() == ErrorKind::Misuse, "{e}"),
    }
}

/// Pairs of text, which a byte that is in no text parts.
fn made(data: &[u8]) {
    let mut texts = data.split(|byte| *byte == 0xff).map(String::from_utf8_lossy);
    let mut pairs = Vec::new();
    while let Some(key) = texts.next() {
        pairs.push((key, texts.next().unwrap_or_default()));
    }
    let context = match EncryptionContext::new(pairs.clone()) {
        Ok(context) => context,
        Err(e) => return assert_eq!(e.kind(), ErrorKind::Misuse),
    };
    let header = header(1, context.encoding()).expect("a context fits into a header");
    assert_eq!(Header::parse(&header).unwrap().stored_context(), Some(&context));
    assert_eq!(context.iter().count(), pairs.len());
    assert!(pairs.iter().all(|(key, value)| context.iter().any(|pair| pair == (key, value))));
    pairs.reverse();
    assert_eq!(EncryptionContext::new(pairs).unwrap(), context);
}
