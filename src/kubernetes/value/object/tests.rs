//! What the API server's codec says of bodies: `values bodies 4000` of tests/kubernetes/go.
use super::*;
use crate::ErrorKind;
use base64ct::{Base64, Encoding};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde_json::Value;
use std::io::{BufRead, BufReader};

fn recorded() -> impl Iterator<Item = Value> {
    let file = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/bodies.jsonl.gz"));
    let lines = BufReader::new(GzDecoder::new(file.unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn bytes(of: &Value) -> Vec<u8> {
    Base64::decode_vec(of.as_str().unwrap_or("")).unwrap()
}

#[test]
fn bodies_are_judged_as_the_api_server_judges_them() {
    let mut counts = std::collections::BTreeMap::new();
    for line in recorded() {
        let (body, verdict) = (bytes(&line["body"]), line["is"].as_str().unwrap().to_owned());
        match EncryptedObject::parse(&body) {
            Ok(EncryptedObject { data, source }) => {
                assert_eq!(verdict, "right", "{line}");
                assert_eq!(data, bytes(&line["data"]), "{line}");
                assert_eq!(source.wrapped, bytes(&line["source"]), "{line}");
                assert_eq!(source.key_id.as_bytes(), bytes(&line["key_id"]), "{line}");
                assert_eq!(source.kind == SourceKind::Seed, line["type"] == 1, "{line}");
                let annotations = line["annotations"].as_object();
                assert_eq!(source.annotations.len(), annotations.map_or(0, |all| all.len()), "{line}");
                for (key, value) in annotations.into_iter().flatten() {
                    assert_eq!(source.annotations[&**key], bytes(value), "{line}");
                }
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Malformed);
                let is_broken = e.to_string().contains("is no EncryptedObject");
                assert_eq!(verdict, if is_broken { "broken" } else { "refused" }, "{line}: {e}");
            }
        }
        *counts.entry(verdict).or_insert(0) += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| *count > 500), "{counts:?}");
}

/// What is found by the bytes behind its data would have been parsed to the same.
#[test]
fn a_body_that_is_split_says_what_it_says_whole() {
    let mut split_ones = 0;
    for line in recorded() {
        let body = bytes(&line["body"]);
        let Some((data, rest)) = split(&body).filter(|(_, rest)| is_rest(rest)) else { continue };
        let mut other = Vec::new();
        put_head(5, &mut other);
        other.extend_from_slice(b"other");
        other.extend_from_slice(rest);
        match (EncryptedObject::parse(&body), EncryptedObject::parse(&other)) {
            (Ok(whole), Ok(other)) => {
                assert!(whole.data == data && other.data == b"other" && whole.source == other.source);
                split_ones += 1;
            }
            (whole, other) => assert!(whole.is_err() && other.is_err(), "{line}"),
        }
    }
    assert!(split_ones > 50, "{split_ones}");
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        data in prop::collection::vec(any::<u8>(), 1..200),
        wrapped in prop::collection::vec(any::<u8>(), 1..200),
        key_id in "\\PC{1,40}",
        annotations in prop::collection::btree_map("[a-z]{1,5}(\\.[a-z0-9]{1,5}){1,3}\\.?", prop::collection::vec(any::<u8>(), 0..9), 0..4),
        is_seed in any::<bool>(),
    ) {
        let kind = if is_seed { SourceKind::Seed } else { SourceKind::Key };
        let wrapped = Wrapped { ciphertext: wrapped, key_id, annotations };
        let source = Source::of(kind, &wrapped);
        source.check().unwrap();
        let mut body = Vec::new();
        put_head(data.len(), &mut body);
        body.extend_from_slice(&data);
        body.extend_from_slice(&source.tail());
        let parsed = EncryptedObject::parse(&body).unwrap();
        prop_assert_eq!(parsed.data, &data[..]);
        prop_assert_eq!(&parsed.source, &source);
        prop_assert_eq!(parsed.source.to_wrapped(), wrapped.clone());
        prop_assert!(split(&body).is_some_and(|(_, rest)| is_rest(rest)));
    }

    #[test]
    fn nothing_panics(body in prop::collection::vec(prop_oneof![Just(0x0a), Just(0x12), Just(0x22), Just(0x28), 0..8u8, any::<u8>()], 0..64)) {
        let _ = (EncryptedObject::parse(&body), split(&body), is_rest(&body));
    }
}

#[test]
fn limits_are_looked_at_in_the_servers_order() {
    let body = |kind: u64, data: &[u8], source: usize, key_id: usize, annotations: &[(&str, usize)]| {
        let mut out = Vec::new();
        for (key, len) in annotations {
            let (mut entry, value) = (Vec::new(), vec![0; *len]);
            put_bytes(1, key.as_bytes(), &mut entry);
            put_bytes(2, &value, &mut entry);
            put_bytes(4, &entry, &mut out);
        }
        put_bytes(2, &vec![b'k'; key_id], &mut out);
        put_bytes(3, &vec![0; source], &mut out);
        put_bytes(1, data, &mut out);
        out.push(5 << 3);
        put_varint(kind, &mut out);
        out
    };
    let said = |body: Vec<u8>| EncryptedObject::parse(&body).map(drop).map_err(|e| e.to_string());
    let big = [("a.b", 32 * 1024)];
    let expected = [
        (body(2, b"", 0, 0, &big), "Type"),
        (body(1, b"", 0, 0, &big), "Data"),
        (body(1, b"d", 0, 0, &big), "DEKSource"),
        (body(1, b"d", 1025, 0, &big), "DEKSource"),
        (body(1, b"d", 1024, 0, &big), "keyID"),
        (body(1, b"d", 1024, 1025, &big), "keyID"),
        (body(1, b"d", 1024, 1024, &big), "annotations"),
        (body(1, b"d", 1, 1, &[("a", 0)]), "annotation"),
    ];
    for (body, word) in expected {
        let said = said(body).unwrap_err();
        assert!(said.contains(word), "{said}: not {word}");
    }
    said(body(1, b"d", 1024, 1024, &[("a.b", 16 * 1024 - 3), ("a.c", 16 * 1024 - 3)])).unwrap();
    // Names of domains: 63 bytes a label, 253 in all.
    let label = "a".repeat(63);
    let long = [&*label; 4].join(".");
    for (name, is_one) in [
        (format!("{label}.a"), true),
        (format!("{label}a.a"), false),
        (long[..253].to_owned(), true),
        (format!("{}.", &long[..253]), true),
        (long[..254].to_owned(), false),
    ] {
        assert_eq!(is_domain(&name), is_one, "{name}");
    }
}
