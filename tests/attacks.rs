//! Attacks on the envelope, by their row in the manual's review of failures.
mod common;
#[path = "common/forge.rs"]
mod forge;

use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead};
use common::*;
use forge::*;
use libkms::{
    Aad, EncryptionContext, ErrorKind, Header, KeyId, Kms, Scope, Wait,
    kek::{Fault, Keyring, KmsBackend, Mock},
};

const ONE: [u8; 32] = [0x11; 32];
const TWO: [u8; 32] = [0x22; 32];

fn glass(dek: [u8; 32]) -> Scope {
    scope(Glass { key_id: "glass/1", dek }, &[])
}

fn kind(result: libkms::Result<Vec<u8>>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// A payload of suite 1 that two DEKs open to two plaintexts.
fn two_faced(context: &EncryptionContext) -> Vec<u8> {
    let nonce = [7; 24];
    let (k1, n1) = xaes(&derive(&ONE, 1, context).payload, &nonce);
    let (k2, n2) = xaes(&derive(&TWO, 1, context).payload, &nonce);
    let sealed = collide((&k1, &n1), (&k2, &n2));
    // The attack works on GCM itself: both keys take it, and read different things.
    let open = |k: &[u8; 32], n: &[u8; 12]| Aes256Gcm::new(k.into()).decrypt(n.into(), &sealed[..]).unwrap();
    assert_ne!(open(&k1, &n1), open(&k2, &n2));
    [&nonce[..], &sealed].concat()
}

#[test]
fn f04_a_payload_for_two_keys_opens_under_one() {
    let context = EncryptionContext::empty();
    let payload = two_faced(&context);
    let mut header = Forged::new(1, &ONE);
    header.recipients.push((b"x-glass".to_vec(), b"glass/2".to_vec(), TWO.to_vec()));
    let envelope = [header.build(&derive(&ONE, 1, &context)), payload].concat();
    assert!(open(&glass(ONE), "", &envelope).is_ok());
    let other = scope(Glass { key_id: "glass/2", dek: TWO }, &[]);
    assert_eq!(kind(open(&other, "", &envelope)), ErrorKind::Authentication);
}

#[test]
fn f63_two_copies_with_two_deks_are_refused_by_name() {
    let context = EncryptionContext::empty();
    let payload = two_faced(&context);
    let first = Forged::new(1, &ONE).two_copies().build(&derive(&ONE, 1, &context));
    let second = Forged::new(1, &TWO).two_copies().build(&derive(&TWO, 1, &context));
    for (a, b) in [(&first, &second), (&second, &first)] {
        let error = Header::parse(&[&a[..], b, &payload].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains("two plaintexts"), "{error}");
    }
    // Each alone opens, to another plaintext: what the refusal is for.
    let open_alone = |copy: &[u8], dek| open(&glass(dek), "", &[copy, copy, &payload].concat()).unwrap();
    assert_ne!(open_alone(&first, ONE), open_alone(&second, TWO));
}

#[test]
fn f63_two_copies_of_two_suites_are_refused_by_name() {
    let context = EncryptionContext::empty();
    let first = Forged::new(1, &ONE).two_copies().build(&derive(&ONE, 1, &context));
    let second = Forged::new(2, &ONE).two_copies().build(&derive(&ONE, 1, &context));
    assert!(Header::parse(&[first, second].concat()).unwrap_err().to_string().contains("two suites"));
}

/// The wrapped DEK is authenticated as bytes: a KMS that ignores some of them does not
/// make the header malleable.
#[test]
fn f09_a_malleable_wrapped_dek_is_refused() {
    let keys = derive(&ONE, 1, &EncryptionContext::empty());
    let mut header = Forged::new(1, &ONE);
    header.recipients[0].2.extend(b"ignored by the KMS");
    let good = header.build(&keys);
    let record = glass(ONE).seal(Aad::empty(), b"x").wait().unwrap();
    let payload = &record[header_len(&record)..];
    assert!(open(&glass(ONE), "", &[&good[..], payload].concat()).is_ok());
    let at = good.len() - 16 - 3;
    let mut bad = good.clone();
    bad[at] ^= 1;
    assert_eq!(kind(open(&glass(ONE), "", &[&bad[..], payload].concat())), ErrorKind::Authentication);
}

/// Every header here has a right mac: only the parser stands in the way.
#[test]
fn f10_only_the_canonical_form_is_parsed() {
    let keys = derive(&ONE, 1, &EncryptionContext::empty());
    let base = Forged::new(1, &ONE);
    let field = |kind: u8, value: &[u8]| [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat();
    type Edit<'a> = Box<dyn Fn(&mut Forged) + 'a>;
    let bad: Vec<(&str, Edit)> = vec![
        ("magic", Box::new(|h| h.magic = b"KMSX".to_vec())),
        ("magic", Box::new(|h| h.magic = b"KMSR".to_vec())),
        ("version", Box::new(|h| h.version = 2)),
        ("suite", Box::new(|h| h.suite = 0)),
        ("suite", Box::new(|h| h.suite = 3)),
        ("copies", Box::new(|h| h.copies = 0)),
        ("copies", Box::new(|h| h.copies = 3)),
        ("recipients", Box::new(|h| h.count = Some(0))),
        ("recipients", Box::new(|h| h.recipients = vec![h.recipients[0].clone(); 17])),
        ("scheme", Box::new(|h| h.count = Some(2))),
        ("fields", Box::new(|h| (h.recipients, h.count) = (vec![h.recipients[0].clone(); 2], Some(1)))),
        ("scheme", Box::new(|h| h.recipients[0].0 = b"Local".to_vec())),
        ("scheme", Box::new(|h| h.recipients[0].0 = vec![])),
        ("scheme", Box::new(|h| h.recipients[0].0 = vec![b'a'; 33])),
        ("key_id", Box::new(|h| h.recipients[0].1 = vec![])),
        ("key_id", Box::new(|h| h.recipients[0].1 = vec![b'a'; 1025])),
        ("key_id", Box::new(|h| h.recipients[0].1 = b"a\nb".to_vec())),
        ("key_id", Box::new(|h| h.recipients[0].1 = b"a\0b".to_vec())),
        ("key_id", Box::new(|h| h.recipients[0].1 = "a\u{85}".into())),
        ("key_id", Box::new(|h| h.recipients[0].1 = vec![0xff])),
        ("wrapped", Box::new(|h| h.recipients[0].2 = vec![])),
        ("wrapped", Box::new(|h| h.recipients[0].2 = vec![1; 32769])),
        ("padding", Box::new(|h| h.padding = vec![0])),
        ("padding", Box::new(|h| h.padding = vec![1; 4])),
        ("header_len", Box::new(|h| h.len = Some(9))),
        ("commitment", Box::new(|h| h.len = Some(40))),
        ("header_len", Box::new(|h| h.len = Some(u16::MAX))),
        ("fields", Box::new(|h| h.fields = field(0x02, b""))),
        ("fields", Box::new(|h| h.fields = field(0x7f, b""))),
        ("fields", Box::new(|h| h.fields = [field(0x81, b""), field(0x80, b"")].concat())),
        ("fields", Box::new(|h| h.fields = [field(0x80, b""), field(0x80, b"")].concat())),
        ("fields", Box::new(|h| h.fields = [field(0x80, b""), field(0x01, &[0, 0])].concat())),
        ("fields", Box::new(|h| h.fields = vec![0x80])),
        ("fields", Box::new(|h| h.fields = vec![0x80, 0, 9, 1])),
        ("context", Box::new(|h| h.fields = field(0x01, b""))),
        ("context", Box::new(|h| h.fields = field(0x01, b"\0\x02\0\x01b\0\0\0\x01a\0\0"))),
        ("context", Box::new(|h| h.fields = field(0x01, b"\0\x02\0\x01a\0\0\0\x01a\0\0"))),
        ("context", Box::new(|h| h.fields = field(0x01, b"\0\0\0"))),
    ];
    assert!(Header::parse(&base.build(&keys)).is_ok());
    for (name, edit) in bad {
        let mut header = base.clone();
        edit(&mut header);
        let error = Header::parse(&[header.build(&keys), vec![0; 100]].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let good: Vec<Edit> = vec![
        Box::new(|h| h.recipients = vec![h.recipients[0].clone(); 16]),
        Box::new(|h| h.recipients[0].2.resize(32768, 0)),
        Box::new(|h| h.recipients[0].1 = vec![b'a'; 1024]),
        Box::new(|h| h.fields = [field(0x80, b"later"), field(0xff, b"")].concat()),
        Box::new(|h| h.fields = [field(0x01, &[0, 0]), field(0x80, b"")].concat()),
    ];
    for edit in good {
        let mut header = base.clone();
        edit(&mut header);
        assert!(Header::parse(&header.build(&keys)).is_ok());
    }
}

#[test]
fn f10_two_copies_stand_where_their_length_says() {
    let keys = derive(&ONE, 1, &EncryptionContext::empty());
    let parse = |edit: &dyn Fn(&mut Forged)| {
        let mut header = Forged::new(1, &ONE).two_copies();
        edit(&mut header);
        let copy = header.build(&keys);
        Header::parse(&[&copy[..], &copy, &[0; 100]].concat())
    };
    assert_eq!(parse(&|_| ()).unwrap().len(), 8192);
    assert_eq!(parse(&|h| h.recipients[0].2.resize(5000, 0)).unwrap().len(), 2 * 8192);
    assert!(parse(&|h| h.padding = vec![0; 5000]).is_err());
    assert!(parse(&|h| h.padding = vec![0; 4]).is_err());
}

/// A DEK that a recipient of one copy gave is held against both (rule 2 for readers).
#[test]
fn a_damaged_copy_may_lend_its_recipient() {
    let keys = derive(&ONE, 1, &EncryptionContext::empty());
    let mut first = Forged::new(1, &ONE).two_copies().build(&keys);
    let mut second = Forged::new(1, &ONE).two_copies();
    second.recipients[0].1 = b"glass/2".to_vec();
    let second = second.build(&keys);
    let last = first.len() - 1;
    first[last] ^= 1;
    let record = glass(ONE).seal(Aad::empty(), b"x").wait().unwrap();
    let sealed = [&first[..], &second, &record[header_len(&record)..]].concat();
    assert_eq!(open(&glass(ONE), "", &sealed).unwrap(), b"x");
}

/// A second copy stands at its own length and nowhere else (rule 5).
#[test]
fn f10_a_second_copy_elsewhere_is_none() {
    let keys = derive(&ONE, 1, &EncryptionContext::empty());
    let mut long = Forged::new(1, &ONE).two_copies();
    long.recipients[0].2.resize(5000, 0);
    let long = long.build(&keys);
    assert_eq!(long.len(), 8192);
    let short = Forged::new(1, &ONE).two_copies().build(&keys);
    let junk = vec![0; 4096];
    // Of 8192 bytes, at 4096; of 4096, at 8192; one copy, at 4096.
    let one = Forged::new(1, &ONE).build(&keys);
    for sealed in [
        [&junk[..], &long].concat(),
        [&junk[..], &junk, &short, &junk].concat(),
        [&junk[..], &one, &junk].concat(),
    ] {
        assert!(Header::parse(&[sealed, vec![0; 200_000]].concat()).is_err());
    }
    // Behind a first copy that is right: lost.
    let lost = Header::parse(&[&short[..], &long].concat()).unwrap();
    assert_eq!((lost.len(), lost.damage()), (8192, Some(libkms::Damage::SecondLost)));
}

#[test]
fn f11_a_key_id_that_is_not_allowed_costs_no_call() {
    let (ours, theirs) = (Mock::new("ours"), Mock::new("theirs"));
    let sealed = scope(theirs.clone(), &[]).seal(Aad::empty(), b"x").wait().unwrap();
    let before = (ours.calls(), theirs.calls());
    let error = open(&scope(ours.clone(), &[]), "", &sealed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoMatchingKek);
    assert!(error.to_string().contains("mock:theirs/1"), "{error}");
    assert_eq!((ours.calls(), theirs.calls()), before);
}

#[test]
fn f58_a_payload_of_another_context_of_the_same_dek_does_not_open() {
    for aad in ["", "row"] {
        let kms = Kms::builder().kek(Glass { key_id: "glass/1", dek: ONE }).build().unwrap();
        let (a, b) = (kms.scope(context(&[("t", "a")])), kms.scope(context(&[("t", "b")])));
        let seal = |s: &Scope| s.seal(Aad::from(aad), b"same").wait().unwrap();
        let (sealed_a, sealed_b) = (seal(&a), seal(&b));
        let (ha, hb) = (header_len(&sealed_a), header_len(&sealed_b));
        for (header, payload) in [(&sealed_a[..ha], &sealed_b[hb..]), (&sealed_b[..hb], &sealed_a[ha..])] {
            let spliced = [header, payload].concat();
            assert_eq!(kind(open(&a, aad, &spliced)), ErrorKind::Authentication);
            assert_eq!(kind(open(&b, aad, &spliced)), ErrorKind::Authentication);
        }
        assert_eq!(kind(open(&b, aad, &sealed_a)), ErrorKind::Authentication);
    }
}

#[test]
fn f02_a_header_under_another_suite_does_not_open() {
    let record = glass(ONE).seal(Aad::empty(), &[1; 100]).wait().unwrap();
    let mut other = record.clone();
    other[5] = 2;
    assert_eq!(kind(open(&glass(ONE), "", &other)), ErrorKind::Authentication);
    let n = header_len(&record);
    let rebuilt = Forged::new(2, &ONE).build(&derive(&ONE, 2, &EncryptionContext::empty()));
    assert_eq!(
        kind(open(&glass(ONE), "", &[&rebuilt[..], &record[n..]].concat())),
        ErrorKind::Authentication
    );
}

/// Cold and warm, a mutant gets the same answer.
#[test]
fn f60_a_hit_replaces_the_unwrapping_and_no_other_check() {
    let kek = Mock::new("k");
    let context = [("a", "b")];
    let record = scope(kek.clone(), &context).seal(Aad::empty(), b"x").wait().unwrap();
    let warm = scope(kek.clone(), &context);
    open(&warm, "", &record).unwrap();
    let fails_alike = |mutant: &[u8], which: &str| {
        let cold = open(&scope(kek.clone(), &context), "", mutant).unwrap_err();
        let warm = open(&warm, "", mutant).unwrap_err();
        assert_eq!((cold.kind(), cold.to_string()), (warm.kind(), warm.to_string()), "{which}");
    };
    for at in 0..record.len() {
        for bit in 0..8 {
            let mut mutant = record.clone();
            mutant[at] ^= 1 << bit;
            fails_alike(&mutant, &format!("byte {at} bit {bit}"));
        }
        fails_alike(&record[..at], &format!("{at} bytes"));
    }
    // A hit makes no call; a recipient that is no longer allowed makes it useless.
    let calls = kek.calls();
    open(&warm, "", &record).unwrap();
    assert_eq!(kek.calls(), calls);
    let mut other = Forged::new(1, &ONE);
    other.recipients[0].1 = b"glass/9".to_vec();
    let empty = EncryptionContext::empty();
    let glass = glass(ONE);
    let record = glass.seal(Aad::empty(), b"x").wait().unwrap();
    open(&glass, "", &record).unwrap();
    let moved = [&other.build(&derive(&ONE, 1, &empty))[..], &record[header_len(&record)..]].concat();
    assert_eq!(kind(open(&glass, "", &moved)), ErrorKind::NoMatchingKek);
}

#[test]
fn f61_two_allow_lists_share_nothing() {
    let (a, b) = (Mock::new("a"), Mock::new("b"));
    let both =
        Kms::builder().kek(a.clone()).kek(b.clone()).build().unwrap().scope(EncryptionContext::empty());
    let record = both.seal(Aad::empty(), b"x").wait().unwrap();
    let (of_a, of_b) = (scope(a.clone(), &[]), scope(b.clone(), &[]));
    open(&of_a, "", &record).unwrap();
    let before = b.calls();
    open(&of_b, "", &record).unwrap();
    assert_eq!(b.calls(), before + 1, "the second asked its own KMS");
    // Denied by its own KMS, it is denied: what the first one learnt does not help.
    b.always(Some(Fault::Denied));
    assert_eq!(kind(open(&scope(b.clone(), &[]), "", &record)), ErrorKind::Denied);
}

#[test]
fn f62_a_forged_header_poisons_nobody() {
    let kek = Mock::new("k");
    let record = scope(kek.clone(), &[]).seal(Aad::empty(), b"x").wait().unwrap();
    let cold = scope(kek, &[]);
    let mut forged = record.clone();
    let mac = header_len(&record) - 1;
    forged[mac] ^= 1;
    assert_eq!(kind(open(&cold, "", &forged)), ErrorKind::Authentication);
    assert_eq!(open(&cold, "", &record).unwrap(), b"x");
    assert_eq!(kind(open(&cold, "", &forged)), ErrorKind::Authentication);
}

/// Key ids are compared whole. (The hostile ARNs of this row are for the AWS backend.)
#[test]
fn f65_key_ids_are_not_matched_by_prefix() {
    let folder = Folder::new("f65");
    let ring = Keyring::create(folder.join("k.json"), "orders").unwrap();
    let accepts = |id: &str| ring.accepts(&KeyId::new(id).unwrap());
    assert!(accepts("orders/1"));
    for id in [
        "orders",
        "orders/",
        "orders/10",
        "orders/11",
        "orders/01",
        "orders/+1",
        "orders/1/",
        "orders/1 ",
        " orders/1",
        "orders//1",
        "Orders/1",
        "xorders/1",
        "orders/-1",
        "orders/4294967297",
        "orders/١",
        "orders/0",
        "order/1",
        "arn:aws:kms:eu-west-1:1:key/orders/1",
    ] {
        assert!(!accepts(id), "{id:?}");
    }
    let mock = Mock::new("k");
    let scope = scope(mock.clone(), &[]);
    for (scheme, id) in
        [("aws-kms", "k/1"), ("mock", "k/1/../1"), ("mock", "k/1#x"), ("x-mock", "k/1"), ("mock", "k")]
    {
        let mut header = Forged::new(1, &ONE);
        header.recipients[0] = (scheme.into(), id.into(), vec![1; 40]);
        let envelope = [header.build(&derive(&ONE, 1, &EncryptionContext::empty())), vec![0; 40]].concat();
        assert_eq!(kind(open(&scope, "", &envelope)), ErrorKind::NoMatchingKek);
    }
    assert_eq!(mock.calls(), 0, "no request leaves");
}

#[test]
fn f06_a_record_is_bound_to_its_row_tenant_and_kek() {
    let kek = Mock::new("k");
    let sealed = scope(kek.clone(), &[("tenant", "a")]).seal(Aad::from("row 1"), b"x").wait().unwrap();
    assert!(open(&scope(kek.clone(), &[("tenant", "a")]), "row 1", &sealed).is_ok());
    assert_eq!(
        kind(open(&scope(kek.clone(), &[("tenant", "a")]), "row 2", &sealed)),
        ErrorKind::Authentication
    );
    assert_eq!(kind(open(&scope(kek, &[("tenant", "b")]), "row 1", &sealed)), ErrorKind::Authentication);
}

/// A stored context binds who names another; keys that are libkms's own open nothing.
#[test]
fn a_stored_context_is_the_one_or_none() {
    let seal = |stored: &[u8]| {
        let mut header = Forged::new(1, &ONE);
        header.fields = [&[1][..], &(stored.len() as u16).to_be_bytes(), stored].concat();
        let named = EncryptionContext::empty();
        let record = glass(ONE).seal(Aad::empty(), b"x").wait().unwrap();
        [&header.build(&derive(&ONE, 1, &named))[..], &record[header_len(&record)..]].concat()
    };
    assert!(open(&glass(ONE), "", &seal(&[0, 0])).is_ok());
    // The mac is right, and yet: what is stored is not what was named.
    let other = seal(b"\0\x01\0\x01a\0\x01b");
    assert_eq!(kind(open(&glass(ONE), "", &other)), ErrorKind::Authentication);
    let warm = glass(ONE);
    open(&warm, "", &seal(&[0, 0])).unwrap();
    assert_eq!(kind(open(&warm, "", &other)), ErrorKind::Authentication);

    let reserved = seal(b"\0\x01\0\x0dlibkms-branch\0\x01b");
    let header = Header::parse(&reserved).unwrap();
    let kms = Kms::builder().kek(Glass { key_id: "glass/1", dek: ONE }).build().unwrap();
    assert_eq!(kms.stored_scope(&header).unwrap_err().kind(), ErrorKind::Misuse);
    let stored = kms.scope(header.stored_context().unwrap().clone());
    assert_eq!(kind(open(&stored, "", &reserved)), ErrorKind::Misuse);
    assert_eq!(stored.seal(Aad::empty(), b"x").wait().unwrap_err().kind(), ErrorKind::Misuse);
}

/// Header bytes say nothing of the plaintext.
#[test]
fn f03_headers_do_not_depend_on_the_plaintext() {
    let scope = glass(ONE);
    let headers = [&b""[..], b"one", &[0; 5000]].map(|p| {
        let sealed = scope.seal(Aad::empty(), p).wait().unwrap();
        sealed[..header_len(&sealed)].to_vec()
    });
    assert!(headers.iter().all(|h| *h == headers[0]));
}

#[test]
fn f21_a_failed_open_changes_nothing() {
    let kek = Mock::new("k");
    let scope = scope(kek.clone(), &[]);
    let good = scope.seal(Aad::empty(), b"x").wait().unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    for _ in 0..3 {
        assert!(open(&scope, "", &bad).is_err());
        assert_eq!(open(&scope, "", &good).unwrap(), b"x");
    }
    assert_eq!(kek.calls(), 2, "one wrap, one unwrap");
}

#[test]
fn references_open_with_their_header_and_no_other() {
    let kek = Mock::new("k");
    let scope = scope(kek.clone(), &[("t", "1")]);
    let sealed = scope.seal_reference(Aad::from("r"), b"plain").wait().unwrap();
    assert_eq!(sealed.record.len(), 5 + 78);
    let open = |aad: &str, header: &[u8], record: &[u8]| {
        scope.open_reference(Aad::from(aad), header, record).wait().map(|o| o.plaintext)
    };
    assert_eq!(open("r", &sealed.header, &sealed.record).unwrap(), b"plain");
    assert_eq!(kind(open("q", &sealed.header, &sealed.record)), ErrorKind::Authentication);
    let longer = [&sealed.header[..], &[0]].concat();
    assert_eq!(kind(open("r", &longer, &sealed.record)), ErrorKind::Malformed);
    let other = common::scope(kek, &[("t", "1")]).seal_reference(Aad::from("r"), b"plain").wait().unwrap();
    assert_eq!(kind(open("r", &other.header, &sealed.record)), ErrorKind::Malformed);
    for at in 0..sealed.record.len() {
        let mut bad = sealed.record.clone();
        bad[at] ^= 1;
        assert!(open("r", &sealed.header, &bad).is_err());
    }
    for n in 0..sealed.record.len() {
        assert!(open("r", &sealed.header, &sealed.record[..n]).is_err());
    }
    // As an envelope: header, then the payload of the record.
    let whole = [&sealed.header[..], &sealed.record[38..]].concat();
    assert_eq!(scope.open(Aad::from("r"), &whole).wait().unwrap().plaintext, b"plain");
}
