//! What the types promise.
mod common;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, Error, Header, HeaderStore, KeyId, Kms, MemoryHeaders, Opened,
    ReferenceSealer, References, Scope, Wait,
    kek::{Keyring, KmsBackend, Mock, Schemes},
    rt::Simulated,
    stream::{OpenStream, Opening, Sealing},
};
use std::sync::Arc;

fn send<T: Send>(t: T) -> T {
    t
}

fn shared<T: Send + Sync + 'static>() {}

#[test]
fn handles_are_shared_and_futures_sent() {
    shared::<Kms>();
    shared::<Scope>();
    shared::<Error>();
    shared::<Header>();
    shared::<Opening>();
    shared::<OpenStream>();
    shared::<Sealing>();
    shared::<Dek>();
    shared::<Opened>();
    shared::<Schemes>();
    shared::<Simulated>();
    shared::<Arc<dyn KmsBackend>>();
    shared::<References>();
    shared::<ReferenceSealer>();
    shared::<Arc<dyn HeaderStore>>();
    let scope = scope(Mock::new("k"), &[]);
    let sealed = send(scope.seal(Aad::empty(), b"x")).wait().unwrap();
    let header = Header::parse(&sealed).unwrap();
    send(scope.open(Aad::empty(), &sealed)).wait().unwrap();
    drop(send(scope.sealer(Aad::empty())));
    drop(send(scope.opener(Aad::empty(), &header)));
    drop(send(libkms::kek::from_uri("mock:k")));
    let references = scope.references(MemoryHeaders::new());
    let record = send(references.seal(Aad::empty(), b"x")).wait().unwrap();
    send(references.open(Aad::empty(), &record)).wait().unwrap();
    drop(send(references.rewrap(&[0; 32])));
}

#[test]
fn f35_nothing_secret_is_shown() {
    let marker = [0x5a; 32];
    let shown = |d: &dyn std::fmt::Debug| {
        let text = format!("{d:?}");
        assert!(!text.contains("90, 90") && !text.contains("5a5a") && !text.contains("ZZZZ"), "{text}");
    };
    shown(&Dek::take(marker).unwrap());
    let folder = Folder::new("shown");
    shown(&Keyring::create(folder.join("k"), "k").unwrap());
    let scope = scope(Mock::new("k"), &[("key", "ZZZZ")]);
    let sealed = scope.seal(Aad::new(&marker), &[0x5a; 64]).wait().unwrap();
    shown(&scope);
    shown(&scope.context());
    shown(&Aad::new(&marker));
    shown(&scope.open(Aad::new(&marker), &sealed).wait().unwrap());
    shown(&scope.open(Aad::empty(), &sealed).wait().unwrap_err());
    let kept = scope.seal_reference(Aad::new(&marker), &marker).wait().unwrap();
    shown(&scope.reference_sealer(&kept.header).wait().unwrap());
    let references = scope.references(MemoryHeaders::new());
    shown(&references);
    shown(&references.open(Aad::new(&marker), &kept.record).wait().unwrap());
    shown(&references.open(Aad::empty(), &kept.record).wait().unwrap_err());
    shown(&scope.opener(Aad::new(&marker), &Header::parse(&sealed).unwrap()).wait().unwrap_err());
}

#[test]
fn uris_open_backends_or_say_what_is_missing() {
    let open = |uri: &str| libkms::kek::from_uri(uri).wait().map(|k| k.scheme().to_owned());
    assert_eq!(open("mock:k").unwrap(), "mock");
    let text = |uri: &str| open(uri).unwrap_err().to_string();
    assert!(text("x-none:k").contains("unknown scheme"));
    assert!(text("keys.json").contains("begins with its scheme"));
    assert!(text("mock:k?colour=red").contains("colour"));
    assert!(text("local:").contains("path"));
    let folder = Folder::new("uris");
    let path = folder.join("a b?#.json");
    let encoded = format!("{}/a%20b%3F%23.json", folder.0.display());
    assert!(text(&format!("local:{encoded}#k")).contains("No such file"));
    assert_eq!(open(&format!("local:{encoded}#k?create=true")).unwrap(), "local");
    assert!(path.exists());
    assert_eq!(open(&format!("local:{encoded}#k?create=true")).unwrap(), "local");
    assert!(text(&format!("local:{encoded}#other")).contains("there is k"));
    let own = Schemes::default().with("x-my", |uri| async move { Ok(Mock::new(uri.rest())) });
    assert!(own.from_uri("x-my:k").wait().unwrap().accepts(&KeyId::new("k/1").unwrap()));
}

#[test]
fn contexts_make_scopes() {
    let kms = Kms::builder().kek(Mock::new("k")).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty()).with("tenant", "a").unwrap();
    assert!(*scope.context() == context(&[("tenant", "a")]));
    assert!(scope.with("tenant", "b").is_err());
    let stored = seal_stream(&scope, "", &libkms::SealOptions::new().store_context(), b"x");
    let header = Header::parse(&stored).unwrap();
    assert_eq!(open(&kms.stored_scope(&header).unwrap(), "", &stored).unwrap(), b"x");
    let plain = seal_stream(&scope, "", &libkms::SealOptions::new(), b"x");
    assert!(kms.stored_scope(&Header::parse(&plain).unwrap()).is_err());
}
