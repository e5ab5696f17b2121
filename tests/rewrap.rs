//! The same payload under other KEKs.
mod common;
#[path = "common/forge.rs"]
mod forge;

use common::*;
use forge::{Forged, Glass, derive};
use libkms::{
    Aad, Copies, EncryptionContext, ErrorKind, Freshness, Header, Kms, Result, Scope, SealOptions, Wait,
    kek::{Fault, Keyring, KeyringFile, Mock},
    rt::Simulated,
};
use std::{thread, time::Duration};

/// A scope on a clock of its own, so that a rotation is seen at once.
fn on(clock: &Simulated, keks: &[&Mock], opens: &[&Mock]) -> Scope {
    let kms = keks.iter().fold(Kms::builder().runtime(clock.clone()), |b, k| b.kek((*k).clone()));
    let kms = opens.iter().fold(kms, |b, k| b.opens_with((*k).clone()));
    kms.build().unwrap().scope(context(&[("a", "b")]))
}

fn rewrap(scope: &Scope, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
    scope.rewrap(sealed).wait()
}

fn keys_of(sealed: &[u8]) -> Vec<String> {
    Header::parse(sealed).unwrap().recipients().iter().map(|r| r.wrapped.key_id.to_string()).collect()
}

#[test]
fn the_payload_keeps_every_byte_and_the_dek_its_name() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let scope = on(&clock, &[&kek], &[]);
    let stored = SealOptions::new().store_context();
    let envelopes = [
        scope.seal(Aad::from("r"), b"text").wait().unwrap(),
        seal_stream(&scope, "r", &stored.clone().copies(Copies::One), &pattern(40_000)),
        seal_stream(&scope, "r", &stored.copies(Copies::Two), &pattern(40_000)),
    ];
    for sealed in &envelopes {
        assert!(rewrap(&scope, sealed).unwrap().is_none(), "it is current");
    }
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    for sealed in &envelopes {
        let new = rewrap(&scope, sealed).unwrap().expect("it is stale");
        let (before, after) = (Header::parse(sealed).unwrap(), Header::parse(&new).unwrap());
        assert_eq!((keys_of(sealed), keys_of(&new)), (vec!["k/1".into()], vec!["k/2".into()]));
        assert_eq!(before.commitment(), after.commitment());
        assert_eq!((before.suite(), before.copies()), (after.suite(), after.copies()));
        assert!(before.stored_context() == after.stored_context());
        assert!(sealed[before.len()..] == new[after.len()..]);
        assert!(open(&scope, "r", &new).unwrap() == open(&scope, "r", sealed).unwrap());
        assert!(!scope.open(Aad::from("r"), &new).wait().unwrap().is_stale());
        assert!(rewrap(&scope, &new).unwrap().is_none());
        assert!(after.damage().is_none());
    }
}

#[test]
fn keks_are_added_and_dropped() {
    let (clock, a, b) = (Simulated::new(), Mock::new("a"), Mock::new("b"));
    let of_a = on(&clock, &[&a], &[]);
    let sealed = of_a.seal(Aad::empty(), b"x").wait().unwrap();
    let both = rewrap(&on(&clock, &[&a, &b], &[]), &sealed).unwrap().unwrap();
    assert_eq!(keys_of(&both), ["a/1", "b/1"]);
    assert_eq!(open(&on(&clock, &[&b], &[]), "", &both).unwrap(), b"x");
    let only_b = rewrap(&on(&clock, &[&b], &[&a]), &both).unwrap().unwrap();
    assert_eq!(keys_of(&only_b), ["b/1"]);
    let error = open(&of_a, "", &only_b).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoMatchingKek);
    // What only opens wraps nothing; what cannot wrap changes nothing.
    let reader = on(&clock, &[], &[&a]);
    assert_eq!(rewrap(&reader, &sealed).unwrap_err().kind(), ErrorKind::Misuse);
    b.always(Some(Fault::Unavailable));
    let error = clock.block_on(on(&clock, &[&a, &b], &[]).rewrap(&sealed)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Key ids tell nothing where two keyrings have a key of one name.
#[test]
fn two_keks_of_one_name_are_told_apart() {
    let (clock, old, new) = (Simulated::new(), Mock::new("k"), Mock::new("k"));
    let sealed = on(&clock, &[&old], &[]).seal(Aad::empty(), b"x").wait().unwrap();
    let both = on(&clock, &[&new], &[&old]);
    let moved = rewrap(&both, &sealed).unwrap().expect("another KEK wrapped it");
    assert_eq!(keys_of(&sealed), keys_of(&moved));
    assert_eq!(open(&on(&clock, &[&new], &[]), "", &moved).unwrap(), b"x");
    assert!(open(&on(&clock, &[&old], &[]), "", &moved).is_err());
    assert!(rewrap(&both, &moved).unwrap().is_none(), "the right one did");
    let kms = Kms::builder().kek(new.clone()).opens_with(old.clone()).build().unwrap();
    let freshness = |sealed: &[u8]| kms.freshness(&Header::parse(sealed).unwrap()).wait();
    assert_eq!((freshness(&sealed), freshness(&moved)), (Freshness::Unknown, Freshness::Unknown));
    // A KEK of another name beside it confuses nobody.
    let other = Kms::builder().kek(new).opens_with(Mock::new("other")).build().unwrap();
    assert_eq!(other.freshness(&Header::parse(&moved).unwrap()).wait(), Freshness::Current);
}

#[test]
fn files_of_one_dek_share_the_calls() {
    for copies in [Copies::One, Copies::Two] {
        let folder = Folder::new(&format!("rewrap-calls-{}", copies as u8));
        let (clock, kek) = (Simulated::new(), Mock::new("k"));
        let scope = on(&clock, &[&kek], &[]);
        let file = |n: usize| folder.join(&format!("{n}.kms"));
        for n in 0..20 {
            let options = SealOptions::new().len(5000).copies(copies);
            std::fs::write(file(n), seal_stream(&scope, "", &options, &pattern(5000))).unwrap();
        }
        kek.rotate();
        clock.advance(Duration::from_secs(60));
        let before = kek.calls();
        assert!((0..20).all(|n| scope.rewrap_file(file(n)).unwrap()));
        assert_eq!(kek.calls() - before, 2, "an unwrap and a wrap");
        for n in 0..20 {
            let sealed = std::fs::read(file(n)).unwrap();
            assert!(keys_of(&sealed) == ["k/2"] && Header::parse(&sealed).unwrap().damage().is_none());
            assert!(open(&scope, "", &sealed).unwrap() == pattern(5000));
        }
    }
}

#[test]
fn what_is_not_authentic_is_not_rewrapped() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let scope = on(&clock, &[&kek], &[]);
    let sealed = scope.seal(Aad::empty(), b"x").wait().unwrap();
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let header = header_len(&sealed);
    for at in 0..header {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(rewrap(&scope, &bad).is_err(), "byte {at}");
    }
    let other = Kms::builder().kek(kek.clone()).build().unwrap().scope(EncryptionContext::empty());
    assert_eq!(rewrap(&other, &sealed).unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(rewrap(&scope, &sealed[..header + 39]).unwrap_err().kind(), ErrorKind::Malformed);
    // The payload is not read: what was wrong with it still is.
    let mut bad = sealed.clone();
    *bad.last_mut().unwrap() ^= 1;
    let new = rewrap(&scope, &bad).unwrap().unwrap();
    assert_eq!(open(&scope, "", &new).unwrap_err().kind(), ErrorKind::Authentication);
}

#[test]
fn a_lost_copy_is_mended_even_under_a_current_key() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let scope = on(&clock, &[&kek], &[]);
    let sealed = seal_stream(&scope, "", &SealOptions::new(), &pattern(100));
    for range in [0..4096, 4096..8192, 4000..4090] {
        let mut bad = sealed.clone();
        bad[range].fill(0xa5);
        assert!(Header::parse(&bad).unwrap().damage().is_some());
        let new = rewrap(&scope, &bad).unwrap().unwrap();
        assert!(Header::parse(&new).unwrap().damage().is_none());
        assert!(open(&scope, "", &new).unwrap() == pattern(100));
    }
}

/// Fields that this version does not know are kept; a long header gets a longer place.
#[test]
fn fields_and_places_are_kept() {
    let dek = [9; 32];
    let keys = derive(&dek, 1, &EncryptionContext::empty());
    let mut forged = Forged::new(1, &dek).two_copies();
    forged.fields = b"\x80\0\x05later".to_vec();
    forged.recipients[0].2.resize(5000, 1);
    let copy = forged.build(&keys);
    assert_eq!(copy.len(), 8192);
    let glass = scope(Glass { key_id: "glass/1", dek }, &[]);
    let record = glass.seal(Aad::empty(), b"x").wait().unwrap();
    let sealed = [&copy[..], &copy, &record[header_len(&record)..]].concat();
    let new_kek = Mock::new("new");
    let kms = Kms::builder().kek(new_kek).opens_with(Glass { key_id: "glass/1", dek });
    let scope = kms.build().unwrap().scope(EncryptionContext::empty());
    let new = rewrap(&scope, &sealed).unwrap().unwrap();
    assert_eq!(header_len(&new), 2 * 8192, "the place stays");
    assert!(new[..8192].windows(8).any(|w| w == b"\x80\0\x05later"));
    assert_eq!(open(&scope, "", &new).unwrap(), b"x");
}

/// Row 59: the name of the DEK stays, so that a million records stay one DEK.
#[test]
fn f59_ten_thousand_records_of_one_dek_stay_one_dek() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let scope = on(&clock, &[&kek], &[]);
    let records: Vec<_> =
        (0..10_000u32).map(|n| scope.seal(Aad::from(&n.to_be_bytes()), b"x").wait().unwrap()).collect();
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let before = kek.calls();
    let rewrapped: Vec<Vec<u8>> = thread::scope(|t| {
        let workers: Vec<_> = records
            .chunks(1250)
            .map(|part| {
                let scope = &scope;
                t.spawn(move || part.iter().map(|r| rewrap(scope, r).unwrap().unwrap()).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    assert_eq!(rewrapped.len(), 10_000);
    assert!(kek.calls() - before <= 16, "an unwrap and a wrap for each worker at most");
    let (cold, before) = (on(&clock, &[&kek], &[]), kek.calls());
    for (n, record) in (0..10_000u32).zip(&rewrapped) {
        let opened = cold.open(Aad::from(&n.to_be_bytes()), record).wait().unwrap();
        assert_eq!(opened.key_id.as_str(), "k/2");
    }
    assert_eq!(kek.calls() - before, 1);
}

#[test]
fn references_are_rewrapped_by_their_header_alone() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let scope = on(&clock, &[&kek], &[]);
    let sealed = scope.seal_reference(Aad::empty(), b"x").wait().unwrap();
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    let new = scope.rewrap_header(&sealed.header).wait().unwrap().unwrap();
    assert_eq!(keys_of(&new), ["k/2"]);
    let opened = scope.open_reference(Aad::empty(), &new, &sealed.record).wait().unwrap();
    assert_eq!(opened.plaintext, b"x");
    let longer = [&sealed.header[..], &[0]].concat();
    assert_eq!(scope.rewrap_header(&longer).wait().unwrap_err().kind(), ErrorKind::Malformed);
}

/// The story on a real keyring: rotated, rewrapped, the old version destroyed.
#[test]
fn after_a_rewrap_nothing_depends_on_the_old_version() {
    let folder = Folder::new("rewrap");
    let path = folder.join("keys.json");
    let file = KeyringFile::at(&path);
    let open_ring = || scope(Keyring::open(&path, "k").unwrap(), &[]);
    Keyring::create(&path, "k").unwrap();
    let records: Vec<_> = (0..50).map(|_| open_ring().seal(Aad::empty(), b"x").wait().unwrap()).collect();
    file.rotate("k").unwrap();
    let worker = open_ring();
    let rewrapped: Vec<_> = records.iter().map(|r| rewrap(&worker, r).unwrap().unwrap()).collect();
    file.disable("k", 1).unwrap();
    file.destroy("k", 1).unwrap();
    assert!(rewrapped.iter().all(|r| open(&open_ring(), "", r).is_ok()));
    assert!(records.iter().all(|r| open(&open_ring(), "", r).is_err()));
}

fn sealed_file(scope: &Scope, folder: &Folder, copies: Copies, len: usize) -> std::path::PathBuf {
    let path = folder.join("file.kms");
    std::fs::write(&path, seal_stream(scope, "", &SealOptions::new().copies(copies), &pattern(len))).unwrap();
    path
}

fn inode(path: &std::path::Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap())
}

#[test]
fn files_are_rewrapped_in_place_or_replaced() {
    for (copies, in_place) in [(Copies::Two, true), (Copies::One, false)] {
        let folder = Folder::new(&format!("rewrap-file-{in_place}"));
        let (clock, kek) = (Simulated::new(), Mock::new("k"));
        let scope = on(&clock, &[&kek], &[]);
        let path = sealed_file(&scope, &folder, copies, 100_000);
        let (before, ino) = (std::fs::read(&path).unwrap(), inode(&path));
        assert!(!scope.rewrap_file(&path).unwrap(), "it is current");
        kek.rotate();
        clock.advance(Duration::from_secs(60));
        assert!(scope.rewrap_file(&path).unwrap());
        assert!(!scope.rewrap_file(&path).unwrap());
        let after = std::fs::read(&path).unwrap();
        assert_eq!(inode(&path) == ino, in_place);
        assert_eq!(keys_of(&after), ["k/2"]);
        assert!(after[header_len(&after)..] == before[header_len(&before)..]);
        assert!(open(&scope, "", &after).unwrap() == pattern(100_000));
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
        // Both copies are new: each alone opens.
        for lost in [0..4096, 4096..8192] {
            let mut bytes = after.clone();
            if in_place {
                bytes[lost].fill(0);
                assert_eq!(keys_of(&bytes), ["k/2"]);
                // And a tear is healed by the next rewrap.
                std::fs::write(&path, &bytes).unwrap();
                assert!(scope.rewrap_file(&path).unwrap());
                assert!(Header::parse(&std::fs::read(&path).unwrap()).unwrap().damage().is_none());
            }
        }
    }
}

/// A KEK whose wraps are long: its header needs a longer place.
struct Long(Glass);

#[libkms::async_trait]
impl libkms::kek::KmsBackend for Long {
    fn scheme(&self) -> &str {
        self.0.scheme()
    }
    fn accepts(&self, key_id: &libkms::KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &libkms::Dek, context: &EncryptionContext) -> Result<libkms::WrappedDek> {
        let mut wrapped = self.0.wrap_dek(dek, context).await?;
        wrapped.ciphertext.resize(5000, 7);
        Ok(wrapped)
    }
    async fn unwrap_dek(&self, w: &libkms::WrappedDek, context: &EncryptionContext) -> Result<libkms::Dek> {
        self.0.unwrap_dek(w, context).await
    }
}

#[test]
fn a_header_too_long_for_its_place_makes_a_new_file() {
    let folder = Folder::new("rewrap-long");
    let kek = Mock::new("k");
    let path = sealed_file(&scope(kek.clone(), &[]), &folder, Copies::Two, 50_000);
    let long = Kms::builder().kek(Long(Glass { key_id: "glass/1", dek: [0; 32] })).opens_with(kek);
    let long = long.build().unwrap().scope(EncryptionContext::empty());
    let ino = inode(&path);
    assert!(long.rewrap_file(&path).unwrap());
    assert_ne!(inode(&path), ino);
    let after = std::fs::read(&path).unwrap();
    assert_eq!(header_len(&after), 2 * 8192);
    assert!(open(&long, "", &after).unwrap() == pattern(50_000));
}

#[test]
fn rewraps_and_readers_meet() {
    let folder = Folder::new("rewrap-meet");
    let ring = folder.join("keys.json");
    Keyring::create(&ring, "k").unwrap();
    let open_ring = || scope(Keyring::open(&ring, "k").unwrap(), &[]);
    let path = sealed_file(&open_ring(), &folder, Copies::Two, 30_000);
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|t| {
        let rewraps: Vec<_> = (0..2)
            .map(|_| {
                t.spawn(|| {
                    for _ in 0..25 {
                        KeyringFile::at(&ring).rotate("k").unwrap();
                        open_ring().rewrap_file(&path).unwrap();
                    }
                })
            })
            .collect();
        let reader = t.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                assert!(open(&open_ring(), "", &std::fs::read(&path).unwrap()).unwrap() == pattern(30_000));
            }
        });
        rewraps.into_iter().for_each(|r| r.join().unwrap());
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        reader.join().unwrap();
    });
    let after = std::fs::read(&path).unwrap();
    assert!(Header::parse(&after).unwrap().damage().is_none());
    assert!(open(&open_ring(), "", &after).unwrap() == pattern(30_000));
}

#[test]
fn files_that_cannot_be_rewrapped_stay_as_they_are() {
    let folder = Folder::new("rewrap-not");
    let kek = Mock::new("k");
    let of_k = scope(kek.clone(), &[]);
    let path = sealed_file(&of_k, &folder, Copies::Two, 1000);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(
        scope(Mock::new("other"), &[]).rewrap_file(&path).unwrap_err().kind(),
        ErrorKind::NoMatchingKek
    );
    assert_eq!(
        scope(kek.clone(), &[("a", "b")]).rewrap_file(&path).unwrap_err().kind(),
        ErrorKind::Authentication
    );
    assert_eq!(of_k.rewrap_file(folder.join("missing")).unwrap_err().kind(), ErrorKind::Io);
    assert!(std::fs::read(&path).unwrap() == before);
    let mut short = before.clone();
    short.truncate(8192 + 71);
    std::fs::write(&path, &short).unwrap();
    assert_eq!(of_k.rewrap_file(&path).unwrap_err().kind(), ErrorKind::Malformed);
    // Both macs are wrong: nothing proves either.
    let mut bad = before;
    bad[4095] ^= 1;
    bad[8191] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert_eq!(of_k.rewrap_file(&path).unwrap_err().kind(), ErrorKind::Authentication);
    assert!(std::fs::read(&path).unwrap() == bad);
}

/// The second keyring of a name has keys that are called like those of the first.
#[test]
fn two_keyrings_may_call_their_keys_the_same() {
    let folder = Folder::new("same-names");
    let [old, new] = ["old.json", "new.json"].map(|name| {
        let uri = format!("local:{}#orders?create=true", folder.join(name).display());
        libkms::kek::from_uri(&uri).wait().unwrap()
    });
    let scope = |builder: libkms::Builder| builder.build().unwrap().scope(EncryptionContext::empty());
    let sealed = scope(Kms::builder().kek(old.clone())).seal(Aad::empty(), b"x").wait().unwrap();
    assert_eq!(keys_of(&sealed), ["orders/1"]);
    let mover = scope(Kms::builder().kek(new.clone()).opens_with(old.clone()));
    let header = libkms::inspect(&sealed).unwrap();
    assert_eq!(mover.kms().freshness(&header).wait(), Freshness::Unknown, "by the name alone");
    for _ in 0..2 {
        assert!(mover.open(Aad::empty(), &sealed).wait().unwrap().is_stale(), "cold and warm");
    }
    for _ in 0..2 {
        let moved = rewrap(&mover, &sealed).unwrap().expect("there is something to do");
        assert_eq!(keys_of(&moved), ["orders/1"]);
        assert_eq!(open(&scope(Kms::builder().kek(new.clone())), "", &moved).unwrap(), b"x");
        assert!(rewrap(&mover, &moved).unwrap().is_none());
        assert!(!mover.open(Aad::empty(), &moved).wait().unwrap().is_stale());
    }
}

/// Records that need nothing are not asked for one by one.
#[test]
fn what_is_current_is_remembered_too() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let writer = on(&clock, &[&kek], &[]);
    let records: Vec<_> = (0..100).map(|_| writer.seal(Aad::empty(), b"x").wait().unwrap()).collect();
    let (worker, before) = (on(&clock, &[&kek], &[]), kek.calls());
    assert!(records.iter().all(|r| rewrap(&worker, r).unwrap().is_none()));
    assert_eq!(kek.calls() - before, 1);
    kek.rotate();
    clock.advance(std::time::Duration::from_secs(31));
    assert!(records.iter().all(|r| rewrap(&worker, r).unwrap().is_some()));
}
