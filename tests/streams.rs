//! Streams: any split, any boundary, any range; nothing else opens.
mod common;

use common::*;
use libkms::{
    Aad, Copies, EncryptionContext, ErrorKind, Header, Scope, SealOptions, Wait,
    kek::Mock,
    stream::{CHUNK, Opening},
};
use proptest::prelude::*;
use std::{
    io::{Cursor, Read, Seek, SeekFrom, Write},
    sync::LazyLock,
};

static SCOPE: LazyLock<Scope> = LazyLock::new(|| scope(Mock::new("k"), &[("purpose", "test")]));

/// Lengths around chunk borders, and any.
fn length() -> impl Strategy<Value = usize> {
    let border = (0usize..4, -2isize..3).prop_map(|(k, d)| (k * CHUNK).saturating_add_signed(d));
    prop_oneof![border, 0usize..4 * CHUNK]
}

/// Cuts `bytes` at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = cuts.iter().map(|c| c % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    at.sort();
    at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
}

fn opening(sealed: &[u8]) -> (Header, Opening) {
    let header = Header::parse(sealed).unwrap();
    let opening = SCOPE.opener(Aad::from("aad"), &header).wait().unwrap();
    (header, opening)
}

fn seal(plaintext: &[u8], options: &SealOptions) -> Vec<u8> {
    seal_stream(&SCOPE, "aad", options, plaintext)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_seals_and_opens(len in length(), cuts in prop::collection::vec(any::<usize>(), 0..8), two: bool) {
        let plain = pattern(len);
        let copies = if two { Copies::Two } else { Copies::One };
        let options = SealOptions::new().copies(copies);
        let mut sealing = SCOPE.sealer_with(Aad::from("aad"), &options).wait().unwrap();
        let expected = sealing.sealed_len(len as u64);
        let mut sealed = Vec::new();
        for piece in pieces(&plain, &cuts) {
            sealing.push(piece, &mut sealed).unwrap();
        }
        sealing.finish(&mut sealed).unwrap();
        prop_assert_eq!(sealed.len() as u64, expected);

        let (header, opening) = opening(&sealed);
        let mut stream = opening.stream();
        let mut out = Vec::new();
        for piece in pieces(&sealed[header.len()..], &cuts) {
            stream.push(piece, &mut out).unwrap();
            prop_assert!(plain.starts_with(&out));
        }
        stream.finish(&mut out).unwrap();
        prop_assert!(out == plain);
    }

    #[test]
    fn any_range_equals_the_slice(len in length(), a: u32, b: u32) {
        let plain = pattern(len);
        let sealed = seal(&plain, &SealOptions::new().len(len as u64));
        let (_, opening) = opening(&sealed);
        let (a, b) = (a as usize % (len + 1), b as usize % (len + 1));
        let (a, b) = (a.min(b), a.max(b));
        let plan = opening.plan(a as u64..b as u64, sealed.len() as u64).unwrap();
        let fetched = &sealed[plan.sealed().start as usize..plan.sealed().end as usize];
        prop_assert!(fetched.len() <= b - a + 2 * (CHUNK + 16));
        let prefix = &sealed[..Header::prefix_len(&sealed).unwrap()];
        prop_assert!(opening.open_range(&plan, prefix, fetched).unwrap() == plain[a..b]);

        let mut file = opening.seekable(Cursor::new(&sealed)).unwrap();
        prop_assert_eq!(file.seek(SeekFrom::Start(a as u64)).unwrap(), a as u64);
        let mut got = vec![0; b - a];
        file.read_exact(&mut got).unwrap();
        prop_assert!(got == plain[a..b]);
        prop_assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), len as u64);
        prop_assert_eq!(file.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn f08_an_edited_payload_never_opens(len in length(), edit in 0..5, at: u32, other: u32) {
        let plain = pattern(len);
        let sealed = seal(&plain, &SealOptions::new().len(len as u64));
        let start = header_len(&sealed);
        let mut bad = sealed.clone();
        let at = start + at as usize % (sealed.len() - start);
        let other = start + other as usize % (sealed.len() - start);
        match edit {
            0 => bad[at] ^= 1 << (other % 8),
            1 => bad.truncate(at),
            2 => bad.insert(at, 7),
            3 => bad.extend_from_slice(&sealed[at..]),
            _ => bad.swap(at, other),
        }
        prop_assume!(bad != sealed);
        prop_assert!(open(&SCOPE, "aad", &bad).is_err());
        prop_assert!(open_by_read(&SCOPE, "aad", &bad).is_err());
    }
}

#[test]
fn f08_chunks_reordered_duplicated_dropped_or_appended_do_not_open() {
    let plain = pattern(3 * CHUNK + 5);
    let sealed = seal(&plain, &SealOptions::new());
    let start = header_len(&sealed) + 56;
    let chunk = |i: usize| &sealed[start + i * (CHUNK + 16)..][..CHUNK + 16];
    let last = &sealed[start + 3 * (CHUNK + 16)..];
    let build = |parts: &[&[u8]]| [&sealed[..start], &parts.concat()].concat();
    assert!(build(&[chunk(0), chunk(1), chunk(2), last]) == sealed);
    for parts in [
        vec![chunk(1), chunk(0), chunk(2), last],
        vec![chunk(0), chunk(0), chunk(2), last],
        vec![chunk(0), chunk(2), last],
        vec![chunk(0), chunk(1), chunk(2)],
        vec![chunk(0), chunk(1), chunk(2), last, last],
        vec![last, chunk(0), chunk(1), chunk(2)],
        vec![last],
    ] {
        assert!(open(&SCOPE, "aad", &build(&parts)).is_err());
        assert!(open_by_read(&SCOPE, "aad", &build(&parts)).is_err());
    }
}

#[test]
fn truncation_at_every_length_fails() {
    for len in [0, 1, 100, CHUNK, CHUNK + 1] {
        let sealed = seal(&pattern(len), &SealOptions::new().len(len as u64));
        for n in 0..sealed.len() {
            assert!(open(&SCOPE, "aad", &sealed[..n]).is_err(), "{len} bytes cut to {n}");
        }
        let record = SCOPE.seal(Aad::from("aad"), &pattern(len)).wait().unwrap();
        for n in 0..record.len() {
            assert!(open(&SCOPE, "aad", &record[..n]).is_err(), "a record of {len} bytes cut to {n}");
        }
    }
}

#[test]
fn a_cut_file_shows_only_authentic_bytes_and_then_an_error() {
    let plain = pattern(2 * CHUNK);
    let sealed = seal(&plain, &SealOptions::new());
    let cut = &sealed[..sealed.len() - 16];
    let header = Header::parse(cut).unwrap();
    let opening = SCOPE.opener(Aad::from("aad"), &header).wait().unwrap();
    let mut reader = opening.reader(&cut[header.len()..]);
    let mut got = Vec::new();
    let error = reader.read_to_end(&mut got).unwrap_err();
    assert_eq!(libkms::Error::in_io(&error).unwrap().kind(), ErrorKind::Authentication);
    assert!(got == plain);
    // The error stays.
    assert!(reader.read(&mut [0; 1]).is_err());
    // And the range reader says nothing of the length it cannot prove.
    assert!(opening.seekable(Cursor::new(cut)).is_err());
}

#[test]
fn a_range_proves_itself_and_the_end_proves_the_length() {
    let plain = pattern(3 * CHUNK);
    let mut sealed = seal(&plain, &SealOptions::new());
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let (_, opening) = opening(&sealed);
    let mut file = opening.seekable(Cursor::new(&sealed)).unwrap();
    let mut got = vec![0; 3 * CHUNK];
    file.read_exact(&mut got).unwrap();
    assert!(got == plain);
    assert!(file.read(&mut [0; 1]).is_err());
    assert!(file.seek(SeekFrom::End(0)).is_err());
}

#[test]
fn adapters_agree_with_each_other() {
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 300_000] {
        let plain = pattern(len);
        let sealing = SCOPE.sealer(Aad::from("aad")).wait().unwrap();
        let mut sealed = Vec::new();
        sealing.reader(&plain[..]).read_to_end(&mut sealed).unwrap();
        let (header, opening) = opening(&sealed);
        let mut writer = opening.writer(Vec::new());
        for piece in sealed[header.len()..].chunks(1000) {
            writer.write_all(piece).unwrap();
        }
        assert!(writer.finish().unwrap() == plain);
        assert!(open_by_read(&SCOPE, "aad", &sealed).unwrap() == plain);
    }
}

#[test]
fn an_announced_length_is_kept() {
    let sealing = |n| SCOPE.sealer_with(Aad::empty(), &SealOptions::new().len(n)).wait().unwrap();
    let mut out = b"before".to_vec();
    assert_eq!(sealing(5).push(b"123456", &mut out).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(sealing(5).finish(&mut out).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(out, b"before");
    let mut failed = sealing(1);
    assert!(failed.push(b"12", &mut out).is_err());
    assert!(failed.push(b"1", &mut out).is_err(), "after an error every call gives it");
}

/// A writer that fails leaves a stream that cannot go on: what it took is not known.
#[test]
fn a_failing_writer_ends_the_stream() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(buf.len()).ok_or_else(|| std::io::Error::other("full"))?;
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = SCOPE.sealer(Aad::empty()).wait().unwrap().writer(Full(20_000));
    assert!(writer.write_all(&pattern(100_000)).is_err());
    assert!(writer.write_all(b"more").is_err());
    assert!(writer.finish().is_err());
}

/// Rule 4 for readers, and row 22: a push that fails gives nothing of what it opened.
#[test]
fn f22_a_failed_push_leaves_the_buffer_as_it_was() {
    let mut sealed = seal(&pattern(2 * CHUNK + 9), &SealOptions::new());
    let start = header_len(&sealed);
    sealed[start + 56 + CHUNK + 16 + 100] ^= 1;
    let (_, opening) = opening(&sealed);
    let mut stream = opening.stream();
    let mut out = Vec::with_capacity(8 * CHUNK);
    out.extend_from_slice(b"mine");
    assert!(stream.push(&sealed[start..], &mut out).is_err());
    assert_eq!(out, b"mine");
    out.resize(out.capacity(), 0xee);
    let opened = pattern(2 * CHUNK);
    assert!(!out.windows(32).any(|w| w == &opened[64..96]), "plaintext in the spare room");
}

#[test]
fn a_first_copy_that_lies_about_its_length_loses_no_payload() {
    // The reader has to search further than the header: what it read is handed on.
    let plain = pattern(200_000);
    let sealed = seal(&plain, &SealOptions::new().copies(Copies::Two));
    assert_eq!(header_len(&sealed), 8192);
    let mut bad = sealed.clone();
    bad[8..10].copy_from_slice(&60_000u16.to_be_bytes());
    assert!(open_by_read(&SCOPE, "aad", &bad).unwrap() == plain);
    let mut from = &bad[..];
    let header = Header::read(&mut from).unwrap();
    assert_eq!(header.len() + header.read_ahead().len() + from.len(), bad.len());
    assert!(!header.read_ahead().is_empty());
}

#[test]
fn the_future_of_a_warm_seal_is_small_and_ready() {
    SCOPE.seal(Aad::empty(), b"x").wait().unwrap();
    let mut seal = Box::pin(SCOPE.seal(Aad::empty(), b"x"));
    let ready = seal.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(ready.is_ready());
    let _: EncryptionContext = SCOPE.context().clone();
}
