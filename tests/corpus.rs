//! Data of earlier releases: a directory that only grows, and that every release reads.
//!
//! `keys.json` holds the KEK `corpus`; each envelope has the context `corpus=NAME`, NAME its
//! file's name without the ending, the aad `aad`, and a plaintext that its length tells.
mod common;

use common::*;
use libkms::{Aad, Copies, Header, HeaderFile, Scope, SealOptions, Wait, kek::Keyring};
use std::{fs, path::PathBuf};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/v1")
}

fn scope_of(name: &str) -> Scope {
    let keys = fs::read(corpus().join("keys.json")).unwrap();
    scope(Keyring::parse(&keys, "corpus").unwrap(), &[("corpus", name)])
}

#[test]
fn every_envelope_of_every_release_opens() {
    let mut opened = 0;
    for entry in fs::read_dir(corpus()).unwrap() {
        let path = entry.unwrap().path();
        let (stem, ending) = (path.file_stem().unwrap().to_str().unwrap(), path.extension().unwrap());
        let sealed = fs::read(&path).unwrap();
        let len = || stem.rsplit_once('-').unwrap().1.parse::<usize>().unwrap();
        match ending.to_str().unwrap() {
            "kms" => assert!(open(&scope_of(stem), "aad", &sealed).unwrap() == pattern(len()), "{stem}"),
            "kmsr" => {
                let header = fs::read(path.with_extension("header")).unwrap();
                let got = scope_of(stem).open_reference(Aad::from("aad"), &header, &sealed).wait().unwrap();
                assert!(got.plaintext == pattern(len()), "{stem}");
            }
            "header" | "json" => continue,
            other => panic!("{other}: what is that?"),
        }
        opened += 1;
    }
    assert!(opened >= 18, "{opened} envelopes: the corpus only grows");
}

/// Writes what is missing. Run by hand when the format gains something.
#[test]
#[ignore = "writes into the tree"]
fn add_to_the_corpus() {
    let keys = corpus().join("keys.json");
    if !keys.exists() {
        Keyring::create(&keys, "corpus").unwrap();
    }
    let write = |name: String, make: &dyn Fn(&Scope, &str) -> Vec<u8>| {
        let path = corpus().join(&name);
        if !path.exists() {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            fs::write(&path, make(&scope_of(stem), stem)).unwrap();
        }
    };
    for len in [0, 1, 1000] {
        write(format!("record-{len}.kms"), &|s, _| s.seal(Aad::from("aad"), &pattern(len)).wait().unwrap());
        write(format!("reference-{len}.kmsr"), &|s, stem| {
            let sealed = s.seal_reference(Aad::from("aad"), &pattern(len)).wait().unwrap();
            fs::write(corpus().join(stem).with_extension("header"), sealed.header).unwrap();
            sealed.record
        });
    }
    for len in [0, 1, 16384, 20000] {
        write(format!("reference-chunked-{len}.kmsr"), &|s, stem| {
            let header = HeaderFile::at(corpus().join(stem).with_extension("header"));
            let sealer = s.reference_sealer_in(&header, &SealOptions::new().store_context()).unwrap();
            sealer.seal(Aad::from("aad"), &pattern(len)).unwrap()
        });
        for (name, copies) in [("one", Copies::One), ("two", Copies::Two)] {
            let options = SealOptions::new().copies(copies).store_context();
            write(format!("stream-{name}-{len}.kms"), &|s, _| seal_stream(s, "aad", &options, &pattern(len)));
        }
    }
    let one = fs::read(corpus().join("stream-two-1.kms")).unwrap();
    assert_eq!(Header::parse(&one).unwrap().len(), 8192);
}
