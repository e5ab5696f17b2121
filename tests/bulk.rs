//! Streams on several threads: what one thread does, and nothing hangs, whoever fails.
mod common;
#[path = "common/ends.rs"]
mod ends;

use common::*;
use ends::{Bits, Broken, Full, Meeting, Watched};
use libkms::{
    Aad, DekPolicy, Error, ErrorKind, Header, HeaderFile, Kms, Result, Scope, SealOptions, Wait,
    kek::Mock,
    stream::{CHUNK, Sealing},
};
use std::{
    fs,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
    thread,
};

static SCOPE: LazyLock<Scope> = LazyLock::new(|| scope(Mock::new("k"), &[("purpose", "test")]));
const THREADS: [usize; 4] = [1, 2, 3, 8];
/// Chunks of the first batch, and of every other one.
const BATCHES: [usize; 2] = [4, 16];
const SEALED_CHUNK: usize = CHUNK + 16;
/// Salt and commitment.
const HEAD: usize = 56;

fn on(threads: usize) -> Scope {
    SCOPE.clone().threads(threads)
}

fn aad() -> Aad<'static> {
    Aad::from("aad")
}

fn sealing(options: &SealOptions) -> Sealing {
    SCOPE.sealer_with(aad(), options).wait().unwrap()
}

/// By the adapter, which has no threads.
fn sealed_by_one(plain: &[u8]) -> Vec<u8> {
    let mut to = sealing(&SealOptions::new()).writer(Vec::new());
    to.write_all(plain).unwrap();
    to.finish().unwrap()
}

/// What is authentic of a payload, whether or not it is whole.
fn authentic(sealed: &[u8]) -> Vec<u8> {
    let header = Header::parse(sealed).unwrap();
    let opening = SCOPE.opener(aad(), &header).wait().unwrap();
    let (mut stream, mut out) = (opening.stream(), Vec::new());
    for byte in sealed[header.len()..].chunks(SEALED_CHUNK) {
        stream.push(byte, &mut out).unwrap();
    }
    out
}

/// What `open_stream` wrote, and what it said.
fn opened(threads: usize, from: impl Read + Send) -> (Vec<u8>, Result<u64>) {
    let mut out = Vec::new();
    let told = on(threads).open_stream(aad(), from, &mut out);
    (out, told.map(|outcome| outcome.bytes))
}

/// Around the borders of chunks and batches.
fn lengths() -> impl Iterator<Item = usize> {
    let [first, other] = BATCHES;
    let chunks = [0, 1, first, first + 1, first + other, first + 2 * other, first + 7 * other];
    chunks.into_iter().flat_map(|n| [-1, 0, 1, 77].map(|d| (n * CHUNK).saturating_add_signed(d)))
}

#[test]
fn any_number_of_threads_seals_and_opens_what_one_does() {
    for (len, threads) in lengths().flat_map(|len| THREADS.map(|n| (len, n))) {
        let plain = pattern(len);
        for options in [SealOptions::new(), SealOptions::new().len(len as u64)] {
            let mut sealed = Vec::new();
            let outcome = on(threads).seal_stream(aad(), &options, &plain[..], &mut sealed).unwrap();
            assert_eq!(outcome.bytes, len as u64);
            assert_eq!(sealed.len() as u64, sealing(&options).sealed_len(len as u64));
            assert!(open(&SCOPE, "aad", &sealed).unwrap() == plain, "{len} bytes sealed on {threads}");
        }
        let sealed = sealed_by_one(&plain);
        let (out, told) = opened(threads, &sealed[..]);
        assert!(out == plain && told.unwrap() == len as u64, "{len} bytes opened on {threads}");
        let mut out = b"before".to_vec();
        on(threads).open_into(aad(), &sealed, &mut out).wait().unwrap();
        assert!(out.strip_prefix(b"before").unwrap() == plain, "{len} bytes in memory on {threads}");
    }
}

#[test]
fn it_does_not_matter_how_much_a_read_gives() {
    let plain = pattern(25 * CHUNK + 9);
    for (threads, most) in THREADS.into_iter().zip([1, 1000, CHUNK, 70_000]) {
        let mut sealed = Vec::new();
        on(threads).seal_stream(aad(), &SealOptions::new(), Bits::of(&plain, most), &mut sealed).unwrap();
        assert!(open(&SCOPE, "aad", &sealed).unwrap() == plain, "{most} at a time on {threads}");
        let (out, told) = opened(threads, Bits::of(&sealed, most));
        assert!(told.is_ok() && out == plain, "{most} at a time on {threads}");
    }
}

#[test]
fn what_came_before_a_reader_fails_is_written_and_then_it_is_told() {
    let plain = pattern(60 * CHUNK);
    let sealed = sealed_by_one(&plain);
    let start = header_len(&sealed) + HEAD;
    for (at, threads) in [0, 1, 3, 4, 5, 19, 20, 21, 45].into_iter().flat_map(|n| THREADS.map(|t| (n, t))) {
        let mut out = Vec::new();
        let from = Broken::behind(&plain[..at * CHUNK + 5]);
        let e = on(threads).seal_stream(aad(), &SealOptions::new(), from, &mut out).unwrap_err();
        assert!(e.kind() == ErrorKind::Io && e.to_string().contains("broken"), "{e}");
        assert!(out.is_empty() || authentic(&out) == plain[..at * CHUNK], "{at} chunks on {threads}");
        assert!(at == 0 || !out.is_empty());

        let (out, told) = opened(threads, Broken::behind(&sealed[..start + at * SEALED_CHUNK + 5]));
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Io);
        assert!(out == plain[..at * CHUNK], "{at} chunks on {threads}");
    }
}

#[test]
fn a_writer_that_fails_ends_it_and_is_not_called_again() {
    let plain = pattern(90 * CHUNK);
    let sealed = sealed_by_one(&plain);
    for (room, threads) in
        [0, 1, 100_000, 500_000, 1_200_000].into_iter().flat_map(|n| THREADS.map(|t| (n, t)))
    {
        let mut to = Full::with(room);
        let told = on(threads).seal_stream(aad(), &SealOptions::new(), &plain[..], &mut to);
        assert!(told.unwrap_err().to_string().contains("full"));
        let mut to = Full::with(room);
        let told = on(threads).open_stream(aad(), &sealed[..], &mut to);
        assert!(told.unwrap_err().to_string().contains("full"));
        assert!(plain.starts_with(&to.taken));
    }
    let mut to = Full::with(usize::MAX);
    to.flushes = false;
    assert!(on(3).open_stream(aad(), &sealed[..], &mut to).is_err(), "it could not be flushed");
}

#[test]
fn a_panic_goes_on_where_it_was_called_from() {
    let plain = pattern(90 * CHUNK);
    for (at, threads) in [0, 10, 300_000, 1_000_000].into_iter().flat_map(|n| THREADS.map(|t| (n, t))) {
        let mut from = Broken::behind(&plain[..at]);
        from.panics = true;
        let seal = || on(threads).seal_stream(aad(), &SealOptions::new(), &mut from, Vec::new());
        let panic = catch_unwind(AssertUnwindSafe(seal)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the reader broke"));
        let mut to = Full::with(at);
        to.panics = true;
        let seal = || on(threads).seal_stream(aad(), &SealOptions::new(), &plain[..], &mut to);
        let panic = catch_unwind(AssertUnwindSafe(seal)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the writer broke"));
    }
}

#[test]
fn f08_nothing_is_written_behind_an_altered_chunk() {
    let plain = pattern(44 * CHUNK + 100);
    let sealed = sealed_by_one(&plain);
    let start = header_len(&sealed) + HEAD;
    for (chunk, threads) in (0..45).flat_map(|n| THREADS.map(|t| (n, t))) {
        let mut bad = sealed.clone();
        bad[start + chunk * SEALED_CHUNK + 50] ^= 1;
        let (out, told) = opened(threads, &bad[..]);
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Authentication);
        assert!(out == plain[..chunk * CHUNK], "chunk {chunk} on {threads}");
        let mut out = b"before".to_vec();
        assert!(on(threads).open_into(aad(), &bad, &mut out).wait().is_err());
        assert_eq!(out, b"before");
    }
    // Two of them: the first one is told, the second not reached.
    let mut bad = sealed.clone();
    bad[start + 6 * SEALED_CHUNK] ^= 1;
    bad[start + 30 * SEALED_CHUNK] ^= 1;
    assert!(THREADS.into_iter().all(|n| opened(n, &bad[..]).0 == plain[..6 * CHUNK]));
    // Chunks of one stream in another order.
    let mut bad = sealed.clone();
    bad[start + 20 * SEALED_CHUNK..].rotate_left(SEALED_CHUNK);
    assert!(THREADS.into_iter().all(|n| opened(n, &bad[..]).0 == plain[..20 * CHUNK]));
}

#[test]
fn what_is_cut_shows_authentic_bytes_and_then_an_error() {
    let plain = pattern(37 * CHUNK);
    let sealed = sealed_by_one(&plain);
    let start = header_len(&sealed) + HEAD;
    for (chunks, threads) in (0..=37).flat_map(|n| THREADS.map(|t| (n, t))) {
        for more in [0, 1, 15] {
            let (out, told) = opened(threads, &sealed[..start + chunks * SEALED_CHUNK + more]);
            let none = if chunks == 0 { ErrorKind::Malformed } else { ErrorKind::Authentication };
            assert_eq!(told.unwrap_err().kind(), none, "{chunks} chunks and {more} on {threads}");
            assert!(out == plain[..chunks * CHUNK]);
        }
    }
    for cut in [start - 1, start - HEAD] {
        assert_eq!(opened(2, &sealed[..cut]).1.unwrap_err().kind(), ErrorKind::Malformed);
    }
    let longer = [&sealed[..], b"more"].concat();
    assert!(THREADS.into_iter().all(|n| opened(n, &longer[..]).0 == plain));
    assert!(THREADS.into_iter().all(|n| opened(n, &longer[..]).1.is_err()));
}

#[test]
fn announced_lengths_and_budgets_are_kept() {
    let plain = pattern(50 * CHUNK);
    for (threads, off) in THREADS.into_iter().flat_map(|t| [-1, 1, -(20 * CHUNK as i64)].map(|d| (t, d))) {
        let options = SealOptions::new().len((plain.len() as u64).saturating_add_signed(off));
        let mut out = Vec::new();
        let told = on(threads).seal_stream(aad(), &options, &plain[..], &mut out);
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Misuse);
        assert!(open(&SCOPE, "aad", &out).is_err(), "no last chunk was written");
    }
    let folder = Folder::new("bulk-budget");
    let policy = DekPolicy::default().for_bytes(70 * CHUNK as u64);
    let kms = Kms::builder().kek(Mock::new("k")).dek_policy(policy).build().unwrap();
    let scope = kms.scope(context(&[])).threads(3);
    let file = HeaderFile::at(folder.join("header"));
    let sealer = scope.reference_sealer_in(&file, &SealOptions::new()).unwrap();
    let seal = |len| sealer.seal_stream(aad(), len, &plain[..], Vec::new()).map(drop).map_err(|e| e.kind());
    assert_eq!(seal(None), Ok(()));
    assert_eq!(seal(None), Err(ErrorKind::Limit));
    assert_eq!(seal(Some(plain.len() as u64)), Err(ErrorKind::Limit));
}

#[test]
fn what_is_held_is_bounded() {
    let plain = pattern(600 * CHUNK);
    for threads in THREADS {
        let watched = Watched::default();
        let (from, to) = (watched.reader(&plain), watched.slow_writer());
        on(threads).seal_stream(aad(), &SealOptions::new(), from, to).unwrap();
        let most = watched.most_held();
        assert!(most > 0 && most <= (threads * BATCHES[1] + 1) * CHUNK, "{most} bytes on {threads}");
    }
}

#[test]
fn threads_are_as_many_as_were_said_and_none_for_what_is_short() {
    for (len, threads) in [(900 * CHUNK, 1), (3 * CHUNK, 8), (900 * CHUNK, 3), (900 * CHUNK, 8)] {
        let watched = Watched::default();
        let plain = pattern(len);
        let (from, to) = (watched.reader(&plain), watched.slow_writer());
        on(threads).seal_stream(aad(), &SealOptions::new(), from, to).unwrap();
        let used = watched.threads();
        assert!(used.contains(&thread::current().id()));
        let most = if len < 4 * CHUNK { 1 } else { threads };
        assert!(used.len() <= most, "{} for {threads}", used.len());
    }
}

#[test]
fn one_reads_while_another_writes() {
    let plain = pattern(40 * CHUNK);
    let meeting = Meeting::default();
    let told = on(2).seal_stream(aad(), &SealOptions::new(), meeting.reader(&plain), meeting.writer());
    told.unwrap();
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let sealed = sealed_by_one(b"x");
    let folder = Folder::new("bulk-numbers");
    fs::write(folder.join("a"), b"x").unwrap();
    let is_misuse = |e: Error| e.kind() == ErrorKind::Misuse && e.to_string().contains("1 to 256");
    for threads in [0, 257, usize::MAX] {
        let scope = on(threads);
        assert!(is_misuse(scope.seal_stream(aad(), &SealOptions::new(), &b""[..], Vec::new()).unwrap_err()));
        assert!(is_misuse(scope.open_stream(aad(), &sealed[..], Vec::new()).unwrap_err()));
        assert!(is_misuse(scope.open(aad(), &sealed).wait().unwrap_err()));
        assert!(is_misuse(scope.seal_file(aad(), folder.join("a"), folder.join("b")).unwrap_err()));
        assert!(is_misuse(
            scope
                .with("a", "b")
                .unwrap()
                .threads(threads)
                .open_stream(aad(), &sealed[..], Vec::new())
                .unwrap_err()
        ));
    }
    assert!(on(256).open(aad(), &sealed).wait().is_ok());
}

#[test]
fn files_come_back_on_several_threads() {
    let folder = Folder::new("bulk-files");
    let (a, b, c) = (folder.join("a"), folder.join("a.kms"), folder.join("b"));
    // More than is written before the disk is told.
    let plain = pattern(1700 * CHUNK + 5);
    fs::write(&a, &plain).unwrap();
    for (seals, opens) in [(1, 3), (3, 1), (8, 2)] {
        let sealed = on(seals).seal_file(aad(), &a, &b).unwrap();
        let opened = on(opens).open_file(aad(), &b, &c).unwrap();
        assert_eq!((sealed.bytes, opened.bytes), (plain.len() as u64, plain.len() as u64));
        assert!(fs::read(&c).unwrap() == plain);
        let mut bad = fs::read(&b).unwrap();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        fs::write(&b, &bad).unwrap();
        fs::remove_file(&c).unwrap();
        assert_eq!(on(opens).open_file(aad(), &b, &c).unwrap_err().kind(), ErrorKind::Authentication);
        assert!(!c.exists());
        fs::remove_file(&b).unwrap();
    }
}
