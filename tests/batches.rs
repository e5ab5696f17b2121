//! Many records in one call.
mod common;
use common::*;
use libkms::{
    Aad, DekPolicy, EncryptionContext, ErrorKind, Freshness, Kms, Scope, SealOptions, Wait,
    kek::{Fault, Mock},
};

fn kms(threads: usize) -> (Kms, Mock) {
    let mock = Mock::new("orders");
    (Kms::builder().kek(mock.clone()).threads(threads).build().unwrap(), mock)
}

fn scopes(kms: &Kms, count: usize) -> Vec<Scope> {
    (0..count).map(|n| kms.scope(context(&[("tenant", &n.to_string())]))).collect()
}

/// Records of all lengths from nothing on, AAD of their own.
fn records(count: usize) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|i| (format!("record/{i}"), pattern(i * 37 % 5000))).collect()
}

/// What a batch seals opens alone, what is sealed alone opens in a batch, on any number of threads.
#[test]
fn a_batch_is_as_its_records_alone() {
    for (threads, count, tenants) in
        [(1, 0, 1), (1, 1, 1), (1, 2, 2), (1, 16, 1), (1, 65, 7), (3, 500, 64), (2, 5000, 3), (8, 5000, 300)]
    {
        let (kms, _) = kms(threads);
        let (scopes, records) = (scopes(&kms, tenants), records(count));
        let items: Vec<_> = (records.iter().enumerate())
            .map(|(i, (aad, plaintext))| (&scopes[i % tenants], Aad::from(aad.as_str()), &plaintext[..]))
            .collect();
        let mut sealed: Vec<_> =
            kms.seal_batch(&items).wait().into_iter().map(|sealed| sealed.unwrap()).collect();
        assert_eq!(sealed.len(), count);
        for (sealed, (scope, aad, plaintext)) in sealed.iter_mut().zip(&items).step_by(7) {
            assert_eq!(scope.open(*aad, sealed).wait().unwrap().plaintext, *plaintext);
            *sealed = scope.seal(*aad, plaintext).wait().unwrap();
        }
        let to_open: Vec<_> = items.iter().zip(&sealed).map(|((s, aad, _), e)| (*s, *aad, &e[..])).collect();
        let opened = kms.open_batch(&to_open).wait();
        assert_eq!(opened.len(), count);
        for (opened, (_, _, plaintext)) in opened.into_iter().zip(&items) {
            let opened = opened.unwrap();
            assert!(opened.plaintext == *plaintext);
            assert_eq!((opened.freshness, opened.key_id.as_str()), (Freshness::Current, "orders/1"));
        }
    }
}

#[test]
fn one_bad_record_fails_alone() {
    let (kms, _) = kms(1);
    let (scopes, stranger) = (scopes(&kms, 3), self::kms(1).0.scope(EncryptionContext::empty()));
    let stream = seal_stream(&scopes[1], "s", &SealOptions::new(), &pattern(100_000));
    let mut sealed: Vec<_> =
        (0..40).map(|i| scopes[i % 3].seal(Aad::from("a"), &pattern(i * 10)).wait().unwrap()).collect();
    sealed[4].pop();
    sealed[9][0] ^= 1;
    sealed[20] = stream.clone();
    let mut items: Vec<_> =
        sealed.iter().enumerate().map(|(i, e)| (&scopes[i % 3], Aad::from("a"), &e[..])).collect();
    items[11].1 = Aad::from("b");
    items[13].0 = &scopes[0];
    items[15].0 = &stranger;
    items[17].2 = b"";
    items[20] = (&scopes[1], Aad::from("s"), &stream);
    items[21] = (&scopes[1], Aad::from("other"), &stream);
    for (i, opened) in kms.open_batch(&items).wait().into_iter().enumerate() {
        let expected = match i {
            4 | 11 | 13 | 21 => Some(ErrorKind::Authentication),
            9 | 17 => Some(ErrorKind::Malformed),
            15 => Some(ErrorKind::Misuse),
            _ => None,
        };
        assert_eq!(opened.as_ref().err().map(|e| e.kind()), expected, "{i}");
        if let Ok(opened) = opened {
            assert!(opened.plaintext == if i == 20 { pattern(100_000) } else { pattern(i * 10) }, "{i}");
        }
    }
    let items = [(&scopes[0], Aad::from("a"), &b"x"[..]), (&stranger, Aad::from("a"), b"y")];
    let sealed = kms.seal_batch(&items).wait();
    assert!(sealed[0].is_ok());
    assert_eq!(sealed[1].as_ref().unwrap_err().kind(), ErrorKind::Misuse);
}

/// A cold batch asks for each DEK once, and all at the same time; the bounds of a DEK hold.
#[test]
fn a_batch_asks_the_kms_once_for_each_dek() {
    let (kms, mock) = kms(1);
    let (scopes, plaintext) = (scopes(&kms, 10), pattern(100));
    let items: Vec<_> = (0..1000).map(|i| (&scopes[i % 10], Aad::empty(), &plaintext[..])).collect();
    let sealed: Vec<_> = kms.seal_batch(&items).wait().into_iter().map(|sealed| sealed.unwrap()).collect();
    assert_eq!(mock.calls(), 10);
    let items: Vec<_> = items.iter().zip(&sealed).map(|((s, aad, _), e)| (*s, *aad, &e[..])).collect();
    assert!(kms.open_batch(&items).wait().iter().all(Result::is_ok));
    assert_eq!(mock.calls(), 20);

    let few =
        Kms::builder().kek(Mock::new("k")).dek_policy(DekPolicy::reuse().for_messages(7)).build().unwrap();
    let scope = few.scope(EncryptionContext::empty());
    let items = vec![(&scope, Aad::empty(), &plaintext[..]); 100];
    let sealed = few.seal_batch(&items).wait();
    let mut used = std::collections::HashMap::new();
    for sealed in sealed {
        let sealed = sealed.unwrap();
        *used.entry(sealed[..header_len(&sealed)].to_vec()).or_insert(0) += 1;
    }
    assert!(used.values().all(|n| *n <= 7), "{:?}", used.values());
}

/// A KEK that refuses one scope's context refuses the records of that scope alone.
#[test]
fn what_the_kms_refuses_fails_alone() {
    let (kms, mock) = kms(1);
    let (scopes, plaintext) = (scopes(&kms, 2), pattern(100));
    scopes[0].seal(Aad::empty(), b"warm").wait().unwrap();
    mock.always(Some(Fault::Denied));
    let items: Vec<_> = (0..20).map(|i| (&scopes[i % 2], Aad::empty(), &plaintext[..])).collect();
    for (i, sealed) in kms.seal_batch(&items).wait().into_iter().enumerate() {
        assert_eq!(sealed.err().map(|e| e.kind()), (i % 2 == 1).then_some(ErrorKind::Denied));
    }
}

#[test]
fn a_batch_needs_a_thread() {
    let built = Kms::builder().kek(Mock::new("k")).threads(0).build();
    assert_eq!(built.err().map(|e| e.kind()), Some(ErrorKind::Misuse));
}
