//! Records of which many share one header, and the stores that keep it.
mod common;
#[path = "common/forge.rs"]
mod forge;

use common::*;
use forge::{Forged, Glass, derive};
use libkms::{
    Aad, Copies, Dek, DekPolicy, EncryptionContext, Error, ErrorKind, Freshness, Header, HeaderDirectory,
    HeaderFile, HeaderStore, KeyId, Kms, MemoryHeaders, OutagePolicy, Reference, References, Result, Scope,
    SealOptions, Wait, WrappedDek, async_trait,
    kek::{Keyring, KeyringFile, KmsBackend, Mock},
    rt::Simulated,
};
use std::{
    collections::HashSet,
    fs,
    io::{Cursor, Read, Write},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

const ONE: [u8; 32] = [0x11; 32];
const SIZES: [usize; 6] = [0, 1, 16383, 16384, 16385, 100_000];

/// What a test has a store do first. `None`: it goes on.
type Before = Box<dyn Fn(&Store, Call) -> Option<Result<bool>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Get,
    Insert,
    Replace,
}

/// A store in memory that counts, and does what a test wants.
#[derive(Default)]
struct Store {
    headers: MemoryHeaders,
    gets: AtomicUsize,
    puts: AtomicUsize,
    before: Mutex<Option<Arc<Before>>>,
}

impl Store {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn before(&self, act: impl Fn(&Store, Call) -> Option<Result<bool>> + Send + Sync + 'static) {
        *self.before.lock().unwrap() = Some(Arc::new(Box::new(act)));
    }

    fn as_it_is(&self) {
        *self.before.lock().unwrap() = None;
    }

    fn calls(&self) -> (usize, usize) {
        (self.gets.load(SeqCst), self.puts.load(SeqCst))
    }

    fn meet(&self, call: Call) -> Option<Result<bool>> {
        let act = self.before.lock().unwrap().clone();
        act.and_then(|act| act(self, call))
    }

    fn header_of(&self, record: &[u8]) -> Option<Vec<u8>> {
        self.headers.get(&Reference::parse(record).unwrap().commitment).wait().unwrap()
    }

    /// Whatever is there.
    fn overwrite(&self, commitment: &[u8; 32], header: &[u8]) {
        let old = self.headers.get(commitment).wait().unwrap();
        assert!(self.headers.put(commitment, header, old.as_deref()).wait().unwrap());
    }
}

#[async_trait]
impl HeaderStore for Store {
    async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        self.gets.fetch_add(1, SeqCst);
        match self.meet(Call::Get) {
            Some(Err(e)) => Err(e),
            Some(Ok(_)) => Ok(None),
            None => self.headers.get(commitment).await,
        }
    }

    async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool> {
        self.puts.fetch_add(1, SeqCst);
        match self.meet(if replaces.is_some() { Call::Replace } else { Call::Insert }) {
            Some(said) => said,
            None => self.headers.put(commitment, header, replaces).await,
        }
    }
}

fn glass() -> Scope {
    scope(Glass { key_id: "glass/1", dek: ONE }, &[])
}

fn seal(references: &References, aad: &str, plaintext: &[u8]) -> Result<Vec<u8>> {
    references.seal(Aad::from(aad), plaintext).wait()
}

fn stream(references: &References, aad: &str, options: &SealOptions, plaintext: &[u8]) -> Result<Vec<u8>> {
    let mut writer = references.sealer_with(Aad::from(aad), options).wait()?.writer(Vec::new());
    writer.write_all(plaintext)?;
    Ok(writer.finish()?)
}

fn unseal(references: &References, aad: &str, record: &[u8]) -> Result<Vec<u8>> {
    references.open(Aad::from(aad), record).wait().map(|o| o.plaintext)
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("it fails").kind()
}

#[test]
fn records_of_both_suites_come_back() {
    let folder = Folder::new("references-back");
    let kek = Mock::new("k");
    let of = || scope(kek.clone(), &[("a", "b")]);
    let (memory, directory) = (Store::new(), HeaderDirectory::open(&folder.0).unwrap());
    type Make<'a> = &'a dyn Fn(&Scope) -> References;
    let stores: [Make; 2] = [&|s| s.references(memory.clone()), &|s| s.references(directory.clone())];
    for store in stores {
        let (writer, reader) = (store(&of()), store(&of()));
        for size in SIZES {
            let plaintext = pattern(size);
            let one = seal(&writer, "r", &plaintext).unwrap();
            assert_eq!(one.len(), size + 78);
            let known = stream(&writer, "r", &SealOptions::new().len(size as u64), &plaintext).unwrap();
            assert_eq!(known.len(), 38 + 56 + size + (size / 16384 + 1) * 16);
            let unknown = stream(&writer, "r", &SealOptions::new().store_context(), &plaintext).unwrap();
            for record in [&one, &known, &unknown] {
                for references in [&writer, &reader, &store(&of())] {
                    assert!(unseal(references, "r", record).unwrap() == plaintext);
                    assert_eq!(kind(unseal(references, "q", record)), ErrorKind::Authentication);
                }
            }
        }
        let two = SealOptions::new().copies(Copies::Two);
        assert_eq!(kind(stream(&writer, "", &two, b"x")), ErrorKind::Misuse);
    }
}

/// One call to the KMS and one to the store for ten thousand, to seal and to open.
#[test]
fn ten_thousand_records_have_one_header() {
    let (kek, store) = (Mock::new("k"), Store::new());
    let writer = scope(kek.clone(), &[]).references(store.clone());
    let records: Vec<_> =
        (0..10_000u32).map(|n| writer.seal(Aad::from(&n.to_be_bytes()), b"x").wait().unwrap()).collect();
    assert_eq!((kek.calls(), store.calls()), (1, (0, 1)));
    assert_eq!(format!("{:?}", store.headers), "MemoryHeaders(1)");
    let reader = scope(kek.clone(), &[]).references(store.clone());
    let before = kek.calls();
    for (n, record) in (0..10_000u32).zip(&records) {
        let opened = reader.open(Aad::from(&n.to_be_bytes()), record).wait().unwrap();
        assert_eq!((&opened.plaintext[..], opened.key_id.as_str()), (&b"x"[..], "k/1"));
    }
    assert_eq!((kek.calls() - before, store.calls()), (1, (1, 1)));
}

#[test]
fn a_warm_open_calls_nobody_and_keeps_every_other_check() {
    let (kek, store) = (Mock::new("k"), Store::new());
    let sealed = scope(kek.clone(), &[("t", "1")]).references(store.clone());
    let records =
        [seal(&sealed, "r", b"x").unwrap(), stream(&sealed, "r", &SealOptions::new(), b"x").unwrap()];
    let of_1 = scope(kek.clone(), &[("t", "1")]);
    let reader = of_1.references(store.clone());
    records.iter().for_each(|r| assert_eq!(unseal(&reader, "r", r).unwrap(), b"x"));
    let before = (kek.calls(), store.calls());
    // Whatever the store says now, nobody asks.
    store.before(|_, _| Some(Err(Error::new(ErrorKind::Io, "the store is gone"))));
    for record in &records {
        assert_eq!(unseal(&reader, "r", record).unwrap(), b"x");
        for at in 38..record.len() {
            let mut bad = record.clone();
            bad[at] ^= 1;
            assert_eq!(kind(unseal(&reader, "r", &bad)), ErrorKind::Authentication, "byte {at}");
        }
    }
    assert_eq!((kek.calls(), store.calls()), before);
    // Its name is the commitment: with another it is not remembered, with another suite neither.
    for at in 5..38 {
        let mut bad = records[1].clone();
        bad[at] ^= if at == 5 { 3 } else { 1 };
        assert_eq!(kind(unseal(&reader, "r", &bad)), ErrorKind::Io, "byte {at}");
    }
    // Nor is it in another scope of the same Kms.
    store.as_it_is();
    let other = of_1.with("u", "2").unwrap().references(store.clone());
    assert_eq!(kind(unseal(&other, "r", &records[0])), ErrorKind::Authentication);
}

/// A mock that can be told to accept nothing.
struct Fickle(Mock, Arc<AtomicBool>);

#[async_trait]
impl KmsBackend for Fickle {
    fn scheme(&self) -> &str {
        self.0.scheme()
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.1.load(SeqCst) && self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.0.unwrap_dek(wrapped, context).await
    }
}

/// Row 60, for a hit that needs no header: the allow-list still counts.
#[test]
fn f60_what_is_no_longer_allowed_is_not_recalled() {
    let (accepts, store) = (Arc::new(AtomicBool::new(true)), Store::new());
    let references = scope(Fickle(Mock::new("k"), accepts.clone()), &[]).references(store.clone());
    let record = seal(&references, "", b"x").unwrap();
    unseal(&references, "", &record).unwrap();
    accepts.store(false, SeqCst);
    assert_eq!(kind(unseal(&references, "", &record)), ErrorKind::NoMatchingKek);
    accepts.store(true, SeqCst);
    let before = store.calls();
    assert_eq!(unseal(&references, "", &record).unwrap(), b"x");
    assert_eq!(store.calls(), before);
}

#[test]
fn a_header_that_is_not_there_is_an_error_of_its_own() {
    let folder = Folder::new("references-missing");
    let kek = Mock::new("k");
    let record = seal(&scope(kek.clone(), &[]).references(MemoryHeaders::new()), "", b"x").unwrap();
    let of = || scope(kek.clone(), &[]);
    let before = kek.calls();
    let commitment = Reference::parse(&record).unwrap().commitment;
    for references in
        [of().references(MemoryHeaders::new()), of().references(HeaderDirectory::open(&folder.0).unwrap())]
    {
        assert_eq!(kind(unseal(&references, "", &record)), ErrorKind::NoHeader);
        assert_eq!(kind(references.rewrap(&commitment).wait()), ErrorKind::NoHeader);
    }
    assert_eq!(kek.calls(), before);
    // A directory that is gone for now has not lost them.
    let gone = folder.join("gone");
    fs::create_dir(&gone).unwrap();
    let references = of().references(HeaderDirectory::open(&gone).unwrap());
    fs::remove_dir(&gone).unwrap();
    assert_eq!(kind(unseal(&references, "", &record)), ErrorKind::Io);
    assert_eq!(kind(seal(&references, "", b"x")), ErrorKind::Io);
}

/// Row 62, by way of a store: whatever it says, it opens nothing else, and spoils nothing.
#[test]
fn f62_a_store_that_lies_is_not_believed() {
    let context = EncryptionContext::empty();
    for suite in [1, 2] {
        let keys = derive(&ONE, suite, &context);
        let good = Forged::new(suite, &ONE);
        let mut flipped = good.build(&keys);
        *flipped.last_mut().unwrap() ^= 1;
        let mut other_kek = good.clone();
        other_kek.recipients[0].1 = b"glass/9".to_vec();
        let mut other_context = good.clone();
        other_context.fields = b"\x01\0\x08\0\x01\0\x01a\0\x01b".to_vec();
        let two = good.clone().two_copies().build(&keys);
        let other_suite = Forged::new(3 - suite, &ONE);
        let lies = [
            (vec![], ErrorKind::Malformed),
            (b"KMSE".to_vec(), ErrorKind::Malformed),
            ([good.build(&keys), vec![0]].concat(), ErrorKind::Malformed),
            ([good.build(&keys), good.build(&keys)].concat(), ErrorKind::Malformed),
            (two.repeat(2), ErrorKind::Malformed),
            (two, ErrorKind::Malformed),
            (other_suite.build(&derive(&ONE, 3 - suite, &context)), ErrorKind::Malformed),
            // Another suite that bears the name of this one.
            (other_suite.build(&keys), ErrorKind::Malformed),
            (Forged::new(suite, &[2; 32]).build(&derive(&[2; 32], suite, &context)), ErrorKind::Malformed),
            // Another DEK that bears the name of this one.
            (Forged::new(suite, &[2; 32]).build(&keys), ErrorKind::Authentication),
            (flipped, ErrorKind::Authentication),
            (other_context.build(&keys), ErrorKind::Authentication),
            (other_kek.build(&keys), ErrorKind::NoMatchingKek),
        ];
        let store = Store::new();
        let writer = glass().references(store.clone());
        let record = if suite == 1 {
            seal(&writer, "r", b"x").unwrap()
        } else {
            stream(&writer, "r", &SealOptions::new(), b"x").unwrap()
        };
        let honest = store.header_of(&record).unwrap();
        assert!(honest == good.build(&keys));
        let before = glass().references(store.clone());
        for (i, (lie, error)) in lies.iter().enumerate() {
            store.overwrite(&keys.commitment, lie);
            let reader = glass().references(store.clone());
            assert_eq!(kind(unseal(&reader, "r", &record)), *error, "suite {suite}, {i}");
            assert!(reader.rewrap(&keys.commitment).wait().is_err(), "suite {suite}, {i}");
            assert!(store.header_of(&record).unwrap() == *lie, "a lie was replaced");
            // Who was lied to opens the record as soon as the truth is told, and from then on
            // whatever is said.
            store.overwrite(&keys.commitment, &honest);
            assert_eq!(unseal(&reader, "r", &record).unwrap(), b"x");
            store.overwrite(&keys.commitment, lie);
            assert_eq!(unseal(&reader, "r", &record).unwrap(), b"x");
            // Nothing is sealed on a lie: a process that has not kept it itself looks.
            let late = glass().references(store.clone());
            let sealed =
                if suite == 1 { seal(&late, "", b"y") } else { stream(&late, "", &SealOptions::new(), b"y") };
            // But for one whose mac is right: whoever has the DEK wrapped it for others.
            assert_eq!(sealed.is_ok(), i == 9 || i == 12, "suite {suite}, {i}");
        }
        store.overwrite(&keys.commitment, &honest);
        assert_eq!(unseal(&before, "r", &record).unwrap(), b"x");
    }
}

/// The header is there before the record is, whichever call fails, and however.
#[test]
fn no_record_is_given_out_before_its_header_is_kept() {
    for has_effect in [false, true] {
        for fails_at in 0..12 {
            let (store, n) = (Store::new(), AtomicUsize::new(0));
            store.before(move |_, _| {
                (n.fetch_add(1, SeqCst) == fails_at && !has_effect)
                    .then(|| Err(Error::new(ErrorKind::Unavailable, "scripted")))
            });
            let kms = Kms::builder().kek(Mock::new("k")).dek_policy(DekPolicy::reuse().for_messages(5));
            let scope = kms.build().unwrap().scope(EncryptionContext::empty());
            let references = if has_effect {
                scope.references(Answerless { store: store.clone(), n: AtomicUsize::new(0), fails_at })
            } else {
                scope.references(store.clone())
            };
            let mut failures = 0;
            for i in 0..10 {
                let sealed = match i % 3 {
                    0 => stream(&references, "", &SealOptions::new(), b"x"),
                    1 => stream(&references, "", &SealOptions::new().len(1), b"x"),
                    _ => seal(&references, "", b"x"),
                };
                match sealed {
                    Ok(record) => {
                        assert!(store.header_of(&record).is_some(), "a record without its header");
                        failures += usize::from(unseal(&references, "", &record).is_err());
                        assert_eq!(unseal(&references, "", &record).unwrap(), b"x");
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Unavailable);
                        failures += 1;
                    }
                }
            }
            assert_eq!(failures, 1, "call {fails_at}, {has_effect}");
        }
    }
}

/// A store that does what it is asked, and fails to say so once.
struct Answerless {
    store: Arc<Store>,
    n: AtomicUsize,
    fails_at: usize,
}

impl Answerless {
    fn said<T>(&self, answer: T) -> Result<T> {
        if self.n.fetch_add(1, SeqCst) == self.fails_at {
            return Err(Error::new(ErrorKind::Unavailable, "scripted"));
        }
        Ok(answer)
    }
}

#[async_trait]
impl HeaderStore for Answerless {
    async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        let got = self.store.get(commitment).await?;
        self.said(got)
    }
    async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool> {
        let put = self.store.put(commitment, header, replaces).await?;
        self.said(put)
    }
}

#[test]
fn a_store_that_panics_or_contradicts_itself_is_an_error() {
    let store = Store::new();
    let references = scope(Mock::new("k"), &[]).references(store.clone());
    store.before(|_, call| if call == Call::Insert { panic!("on purpose") } else { None });
    assert_eq!(kind(seal(&references, "", b"x")), ErrorKind::BadReply);
    store.before(|_, call| (call == Call::Insert).then_some(Ok(false)));
    assert_eq!(kind(seal(&references, "", b"x")), ErrorKind::BadReply);
    store.as_it_is();
    let record = seal(&references, "", b"x").unwrap();
    assert_eq!(unseal(&references, "", &record).unwrap(), b"x");
}

#[test]
fn a_thousand_first_seals_make_one_call_each() {
    let (kek, store) = (Mock::new("k"), Store::new());
    store.before(|_, call| {
        if call == Call::Insert {
            thread::sleep(Duration::from_millis(30));
        }
        None
    });
    let references = scope(kek.clone(), &[]).references(store.clone());
    thread::scope(|t| {
        for _ in 0..1000 {
            let references = references.clone();
            t.spawn(move || seal(&references, "", b"x").unwrap());
        }
    });
    assert_eq!((kek.calls(), store.calls()), (1, (0, 1)));
}

/// Whoever waits may go away: the header is kept, and the next seal finds it.
#[test]
fn a_seal_that_is_given_up_leaves_nothing_half_done() {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    /// Puts nothing until it is let.
    struct Slow(Arc<Store>, Arc<AtomicBool>);
    #[async_trait]
    impl HeaderStore for Slow {
        async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
            self.0.get(commitment).await
        }
        async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool> {
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if self.1.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            self.0.put(commitment, header, replaces).await
        }
    }
    let (store, go) = (Store::new(), Arc::new(AtomicBool::new(false)));
    let references = scope(Mock::new("k"), &[]).references(Slow(store.clone(), go.clone()));
    {
        let given_up = pin!(references.seal(Aad::empty(), b"x"));
        assert!(given_up.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    go.store(true, SeqCst);
    let record = seal(&references, "", b"x").unwrap();
    assert_eq!(store.calls().1, 1);
    assert_eq!(unseal(&references, "", &record).unwrap(), b"x");
}

/// Two that begin with the same DEK: one inserts, the other finds it.
/// What a store takes is part of a DEK's time.
#[test]
fn a_dek_whose_time_is_over_when_its_header_is_kept_seals_nothing() {
    struct Late(Simulated, MemoryHeaders, Mutex<Vec<u64>>);
    #[async_trait]
    impl HeaderStore for Late {
        async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
            self.1.get(commitment).await
        }
        async fn put(&self, commitment: &[u8; 32], header: &[u8], instead: Option<&[u8]>) -> Result<bool> {
            let seconds = self.2.lock().unwrap().pop().unwrap_or(0);
            libkms::rt::Runtime::sleep(&self.0, Duration::from_secs(seconds)).await;
            self.1.put(commitment, header, instead).await
        }
    }
    let references = |clock: &Simulated, takes: &[u64], policy: DekPolicy| {
        let strict = OutagePolicy::default().seal_for(Duration::ZERO);
        let kms = Kms::builder().kek(Mock::new("k")).dek_policy(policy).runtime(clock.clone());
        let scope = kms.outage_policy(strict).build().unwrap().scope(EncryptionContext::empty());
        scope.references(Late(clock.clone(), MemoryHeaders::default(), Mutex::new(takes.to_vec())))
    };
    let clock = Simulated::new();
    let seal = |references: &References| clock.block_on(references.seal(Aad::empty(), b"x"));
    let stream = |references: &References| {
        let options = SealOptions::new().len(1);
        clock.block_on(references.sealer_with(Aad::empty(), &options)).map(|_| ())
    };
    let minutes = |references: &References, seal: &dyn Fn(&References) -> Result<()>| {
        let begun = libkms::rt::Runtime::now(&clock);
        (seal(references), (libkms::rt::Runtime::now(&clock) - begun).as_secs() / 60)
    };
    for seal in [&(|r: &References| seal(r).map(|_| ())) as &dyn Fn(&References) -> Result<()>, &stream] {
        let (said, took) = minutes(&references(&clock, &[599], DekPolicy::reuse()), seal);
        assert!(said.is_ok() && took == 9);
        let (said, took) = minutes(&references(&clock, &[599, 600], DekPolicy::reuse()), seal);
        assert!(said.is_ok() && took == 19, "with another DEK");
        let always = references(&clock, &[600; 9], DekPolicy::reuse());
        assert_eq!(kind(minutes(&always, seal).0), ErrorKind::Unavailable);
        // One of its own waits for its one message.
        let (said, took) = minutes(&references(&clock, &[3600], DekPolicy::per_message()), seal);
        assert!(said.is_ok() && took == 60);
    }
}

#[test]
fn several_writers_insert_at_once() {
    let folder = Folder::new("references-writers");
    let directory = HeaderDirectory::open(&folder.0).unwrap();
    let records: Vec<_> = thread::scope(|t| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let directory = directory.clone();
                t.spawn(move || {
                    // The same DEK everywhere, by a KMS that hands out one.
                    let references = glass().references(directory);
                    (0..50).map(|_| seal(&references, "", b"x").unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    assert_eq!(directory.commitments().unwrap(), [derive(&ONE, 1, &EncryptionContext::empty()).commitment]);
    let reader = glass().references(directory.clone());
    assert!(records.iter().all(|r| unseal(&reader, "", r).unwrap() == b"x"));

    // Of those who insert different bytes one is told that it did, and those bytes stay.
    for store in [Arc::new(directory) as Arc<dyn HeaderStore>, Arc::new(MemoryHeaders::new())] {
        for round in 0..20u8 {
            let commitment = [round; 32];
            let won: Vec<_> = thread::scope(|t| {
                let put = |n: u8| store.put(&commitment, &[n; 100], None).wait().unwrap();
                let threads: Vec<_> = (0..4).map(|n| t.spawn(move || put(n))).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let winners: Vec<_> = (0..4u8).filter(|n| won[usize::from(*n)]).collect();
            assert_eq!(winners.len(), 1);
            assert_eq!(store.get(&commitment).wait().unwrap(), Some(vec![winners[0]; 100]));
            // And of those who replace them.
            let old = [winners[0]; 100];
            let won: Vec<_> = thread::scope(|t| {
                let put = |n: u8| store.put(&commitment, &[n + 10; 90], Some(&old)).wait().unwrap();
                let threads: Vec<_> = (0..4).map(|n| t.spawn(move || put(n))).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let winners: Vec<_> = (0..4u8).filter(|n| won[usize::from(*n)]).collect();
            assert_eq!(winners.len(), 1);
            assert_eq!(store.get(&commitment).wait().unwrap(), Some(vec![winners[0] + 10; 90]));
            assert!(!store.put(&commitment, b"late", Some(&old)).wait().unwrap());
            assert!(!store.put(&[99; 32], b"nothing to replace", Some(&old)).wait().unwrap());
            assert_eq!(store.get(&[99; 32]).wait().unwrap(), None);
        }
    }
}

#[test]
fn a_header_that_was_rewrapped_meanwhile_will_do() {
    let (clock, a, b) = (Simulated::new(), Mock::new("a"), Mock::new("b"));
    let of = |kek: &Mock, old: &Mock| {
        let kms = Kms::builder().runtime(clock.clone()).kek(kek.clone()).opens_with(old.clone());
        kms.build().unwrap().scope(EncryptionContext::empty())
    };
    let (of_a, of_b, store) = (of(&a, &b), of(&b, &a), Store::new());
    let header = of_a.seal_reference(Aad::empty(), b"x").wait().unwrap().header;
    let new = of_b.rewrap_header(&header).wait().unwrap().unwrap();
    let commitment = *Header::parse(&header).unwrap().commitment();
    store.overwrite(&commitment, &new);
    let references = of_a.references(store.clone());
    let record = seal(&references, "", b"x").unwrap();
    assert_eq!(store.header_of(&record), Some(new), "it is left as it is");
    assert_eq!(store.calls(), (1, 1));
    assert_eq!(unseal(&references, "", &record).unwrap(), b"x");
}

#[test]
fn rewraps_change_the_header_alone() {
    let folder = Folder::new("references-rewrap");
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let of = || {
        let kms = Kms::builder().runtime(clock.clone()).kek(kek.clone()).build().unwrap();
        kms.scope(EncryptionContext::empty())
    };
    let directory = HeaderDirectory::open(&folder.0).unwrap();
    let references = of().references(directory.clone());
    let one = seal(&references, "", b"x").unwrap();
    let two = stream(&references, "", &SealOptions::new(), b"x").unwrap();
    let all = directory.commitments().unwrap();
    let named: HashSet<_> = [&one, &two].map(|r| Reference::parse(r).unwrap().commitment).into();
    assert_eq!(all.iter().copied().collect::<HashSet<_>>(), named);
    let rewrap = || all.iter().map(|c| references.rewrap(c).wait().unwrap()).collect::<Vec<_>>();
    assert_eq!(rewrap(), [false, false]);
    kek.rotate();
    clock.advance(Duration::from_secs(60));
    assert_eq!(references.open(Aad::empty(), &one).wait().unwrap().freshness, Freshness::Stale);
    assert_eq!(rewrap(), [true, true]);
    assert_eq!(rewrap(), [false, false]);
    let cold = of().references(directory.clone());
    for record in [&one, &two] {
        let opened = cold.open(Aad::empty(), record).wait().unwrap();
        assert_eq!((opened.key_id.as_str(), opened.freshness), ("k/2", Freshness::Current));
    }
    // Another scope's header is not its to rewrap, and one under another's name is nobody's.
    let other = scope(kek.clone(), &[("t", "1")]).references(directory.clone());
    assert_eq!(kind(other.rewrap(&all[0]).wait()), ErrorKind::Authentication);
    let headers = all.iter().map(|c| directory.get(c).wait().unwrap().unwrap()).collect::<Vec<_>>();
    assert!(directory.put(&all[0], &headers[1], Some(&headers[0])).wait().unwrap());
    assert_eq!(kind(references.rewrap(&all[0]).wait()), ErrorKind::Malformed);
}

/// Who comes second finds what the first one wrote, and leaves it.
#[test]
fn a_rewrap_that_comes_second_overwrites_nothing() {
    let (a, b, old) = (Mock::new("a"), Mock::new("b"), Mock::new("old"));
    let of = |kek: &Mock| {
        let kms = Kms::builder().kek(kek.clone()).opens_with(old.clone());
        kms.opens_with(a.clone()).opens_with(b.clone()).build().unwrap().scope(EncryptionContext::empty())
    };
    let store = Store::new();
    let record = seal(&of(&old).references(store.clone()), "", b"x").unwrap();
    let commitment = Reference::parse(&record).unwrap().commitment;
    let stale = store.header_of(&record).unwrap();
    let by_b = of(&b).rewrap_header(&stale).wait().unwrap().unwrap();
    // Just before the first replacement, another one.
    let (seen, theirs) = (Arc::new(Mutex::new(Vec::new())), by_b.clone());
    let told = seen.clone();
    store.before(move |store, call| {
        if call == Call::Replace {
            let mut seen = told.lock().unwrap();
            if seen.is_empty() {
                assert!(store.headers.put(&commitment, &theirs, Some(&stale)).wait().unwrap());
            }
            seen.push(store.headers.get(&commitment).wait().unwrap().unwrap());
        }
        None
    });
    assert!(of(&a).references(store.clone()).rewrap(&commitment).wait().unwrap());
    assert!(*seen.lock().unwrap() == [by_b.clone(), by_b], "what the other wrote was seen, then replaced");
    store.as_it_is();
    assert_eq!(unseal(&of(&a).references(store.clone()), "", &record).unwrap(), b"x");
    // Where nothing is left to do, nothing is done.
    assert!(!of(&a).references(store.clone()).rewrap(&commitment).wait().unwrap());
    // And nobody tries for ever.
    store.before(|_, call| (call == Call::Replace).then_some(Ok(false)));
    assert_eq!(kind(of(&b).references(store.clone()).rewrap(&commitment).wait()), ErrorKind::Unavailable);
}

#[test]
fn rewraps_readers_and_writers_meet() {
    let folder = Folder::new("references-meet");
    let (ring, headers) = (folder.join("keys.json"), folder.join("headers"));
    fs::create_dir(&headers).unwrap();
    Keyring::create(&ring, "k").unwrap();
    let open = || {
        let scope = scope(Keyring::open(&ring, "k").unwrap(), &[]);
        scope.references(HeaderDirectory::open(&headers).unwrap())
    };
    let first = seal(&open(), "", b"x").unwrap();
    let stop = AtomicBool::new(false);
    let records = thread::scope(|t| {
        let rewraps: Vec<_> = (0..2)
            .map(|_| {
                t.spawn(|| {
                    for _ in 0..15 {
                        KeyringFile::at(&ring).rotate("k").unwrap();
                        let (all, references) = (HeaderDirectory::open(&headers).unwrap(), open());
                        for commitment in all.commitments().unwrap() {
                            references.rewrap(&commitment).wait().unwrap();
                        }
                    }
                })
            })
            .collect();
        let mine = t.spawn(|| {
            let mut records = Vec::new();
            while !stop.load(SeqCst) && records.len() < 200 {
                assert_eq!(unseal(&open(), "", &first).unwrap(), b"x");
                records.push(seal(&open(), "", b"x").unwrap());
            }
            records
        });
        rewraps.into_iter().for_each(|r| r.join().unwrap());
        stop.store(true, SeqCst);
        mine.join().unwrap()
    });
    let reader = open();
    assert!(records.iter().all(|r| unseal(&reader, "", r).unwrap() == b"x"));
}

#[test]
fn f12_a_name_in_the_directory_is_hexadecimal_whatever_the_record_says() {
    let folder = Folder::new("references-names");
    let inner = folder.join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.join("x.kmsh"), b"outside").unwrap();
    let references = scope(Mock::new("k"), &[]).references(HeaderDirectory::open(&inner).unwrap());
    for name in
        [[b'/'; 32], [0; 32], *b"../../../../../../../../../../x\0", *b"../x\0xxxxxxxxxxxxxxxxxxxxxxxxxxx"]
    {
        let record = [&b"KMSR\x01\x01"[..], &name, &[0; 40]].concat();
        assert_eq!(kind(unseal(&references, "", &record)), ErrorKind::NoHeader);
    }
    let record = seal(&references, "", b"x").unwrap();
    let commitment = Reference::parse(&record).unwrap().commitment;
    let hex: String = commitment.iter().map(|b| format!("{b:02x}")).collect();
    assert!(inner.join(format!("{hex}.kmsh")).is_file());
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn what_lies_in_the_directory_besides_is_left_alone() {
    let folder = Folder::new("references-strays");
    let directory = HeaderDirectory::open(&folder.0).unwrap();
    let references = scope(Mock::new("k"), &[]).references(directory.clone());
    let record = seal(&references, "", b"x").unwrap();
    for stray in ["README", ".libkms-0123456789abcdef.tmp", "ABCD.kmsh", &format!("{}.kmsh", "A".repeat(64))]
    {
        fs::write(folder.join(stray), b"stray").unwrap();
    }
    assert_eq!(directory.commitments().unwrap(), [Reference::parse(&record).unwrap().commitment]);
    let place = |c: u8| folder.join(&(format!("{c:02x}").repeat(32) + ".kmsh"));
    // In the place of a header: a directory, a fifo, what has no end, a link to nothing.
    fs::create_dir(place(1)).unwrap();
    assert!(Command::new("mkfifo").arg(place(2)).status().unwrap().success());
    fs::write(place(3), vec![b'K'; 65537]).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place(4)).unwrap();
    std::os::unix::fs::symlink(folder.join("nowhere"), place(5)).unwrap();
    let get = |c: u8| directory.get(&[c; 32]).wait();
    let kinds = [1, 2, 3, 4].map(|c| kind(get(c)));
    use ErrorKind::{Malformed, Misuse};
    assert_eq!(kinds, [Misuse, Misuse, Malformed, Misuse]);
    assert_eq!(get(5).unwrap(), None);
    assert!(!directory.put(&[5; 32], b"x", None).wait().unwrap(), "no link is followed to write");
    assert!(!folder.join("nowhere").exists());
    for c in [1, 2, 3, 4] {
        assert!(!directory.put(&[c; 32], b"x", None).wait().unwrap());
        assert!(directory.put(&[c; 32], b"x", Some(b"y")).wait().is_err(), "{c}");
    }
    assert_eq!(kind(directory.put(&[6; 32], &[0; 65537], None).wait()), ErrorKind::Limit);
    assert_eq!(kind(HeaderDirectory::open(folder.join("README"))), ErrorKind::Misuse);
    assert_eq!(kind(HeaderDirectory::open(folder.join("none"))), ErrorKind::Io);
}

/// Root rewraps what a service reads.
#[cfg(unix)]
#[test]
fn a_header_that_is_replaced_stays_its_owners() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let folder = Folder::new("references-owner");
    let file = HeaderFile::at(folder.join("H"));
    assert!(file.insert(b"old").unwrap());
    let mut owner = (fs::metadata(file.path()).unwrap().uid(), fs::metadata(file.path()).unwrap().gid());
    if chown(file.path(), Some(4242), Some(4243)).is_ok() {
        owner = (4242, 4243);
    }
    // Wider than the umask has new files, and narrower.
    for (mode, old, new) in [(0o666, b"old", b"new"), (0o600, b"new", b"old")] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(file.replace(old, new).unwrap());
        let about = fs::metadata(file.path()).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o777), (owner.0, owner.1, mode));
    }
}

const KILLED: &str = "LIBKMS_WRITES_HEADERS_TO";

/// The process that [`a_writer_that_is_killed_leaves_whole_headers`] kills.
#[test]
#[ignore = "writes until it is killed"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(KILLED) else { return };
    let directory = HeaderDirectory::open(Path::new(&path)).unwrap();
    for n in 0u64.. {
        let commitment: [u8; 32] = std::array::from_fn(|i| ((n / 16) >> (8 * (i % 8))) as u8);
        let bytes = vec![n as u8; 60_000];
        match directory.get(&commitment).wait().unwrap() {
            None => assert!(directory.put(&commitment, &bytes, None).wait().unwrap()),
            Some(old) => assert!(directory.put(&commitment, &bytes, Some(&old)).wait().unwrap()),
        }
    }
}

#[cfg(unix)]
#[test]
fn a_writer_that_is_killed_leaves_whole_headers() {
    let folder = Folder::new("references-killed");
    let directory = HeaderDirectory::open(&folder.0).unwrap();
    let mut seen = 0;
    for round in 0..8 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--ignored"])
            .env(KILLED, &folder.0)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // It is at work, whatever the machine does besides.
        let mut waited = 0;
        while directory.commitments().unwrap().len() <= seen && waited < 12_000 {
            thread::sleep(Duration::from_millis(5));
            waited += 1;
        }
        thread::sleep(Duration::from_millis(7 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let all = directory.commitments().unwrap();
        assert!(all.len() > seen, "it wrote nothing");
        for commitment in &all {
            let header = directory.get(commitment).wait().unwrap().unwrap();
            assert_eq!(header.len(), 60_000);
            assert!(header.iter().all(|b| *b == header[0]), "half of one, half of another");
        }
        // The next writer begins with a directory of its own: this one has all numbers.
        seen = 0;
        for commitment in all {
            let name: String = commitment.iter().map(|b| format!("{b:02x}")).collect();
            fs::remove_file(folder.join(&(name + ".kmsh"))).unwrap();
        }
    }
}

#[test]
fn more_is_sealed_under_a_header_that_was_kept() {
    let kek = Mock::new("k");
    let of = |context: &[(&str, &str)]| scope(kek.clone(), context);
    let made = of(&[("t", "1")]).seal_reference(Aad::empty(), b"x").wait().unwrap();
    let opener = of(&[("t", "1")]);
    opener.open_reference(Aad::empty(), &made.header, &made.record).wait().unwrap();
    let before = kek.calls();
    let sealer = opener.reference_sealer(&made.header).wait().unwrap();
    assert_eq!(kek.calls(), before + 1, "what was opened does not seal: the KMS is asked anew");
    assert_eq!(sealer.header(), made.header);
    let record = sealer.seal(Aad::from("r"), b"y").unwrap();
    let opened = opener.open_reference(Aad::from("r"), &made.header, &record).wait().unwrap();
    assert_eq!(opened.plaintext, b"y");
    assert_eq!(record[..38], made.record[..38]);
    assert_eq!(kind(sealer.sealer(Aad::empty(), None)), ErrorKind::Misuse, "suite 1");
    let longer = [&made.header[..], &[0]].concat();
    let mut forged = made.header.clone();
    *forged.last_mut().unwrap() ^= 1;
    let cases = [
        (of(&[]), &made.header, ErrorKind::Authentication),
        (opener.clone(), &longer, ErrorKind::Malformed),
        (opener, &forged, ErrorKind::Authentication),
        (scope(Mock::new("other"), &[("t", "1")]), &made.header, ErrorKind::NoMatchingKek),
    ];
    for (scope, header, error) in cases {
        assert_eq!(kind(scope.reference_sealer(header).wait()), error);
    }
}

#[test]
fn a_header_file_is_made_once_and_serves_all() {
    let folder = Folder::new("references-file");
    let kek = Mock::new("k");
    let file = HeaderFile::at(folder.join("header"));
    let of = || scope(kek.clone(), &[("t", "1")]);
    let options = SealOptions::new().store_context();
    let records: Vec<_> = thread::scope(|t| {
        let seal = || {
            let sealer = of().reference_sealer_in(&file, &options).unwrap();
            let mut out = Vec::new();
            sealer.seal_stream(Aad::from("r"), None, &pattern(40_000)[..], &mut out).unwrap();
            [out, sealer.seal(Aad::from("r"), &pattern(40_000)).unwrap()]
        };
        let threads: Vec<_> = (0..8).map(|_| t.spawn(seal)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let header = file.read().unwrap().unwrap();
    let parsed = Header::parse(&header).unwrap();
    assert!(parsed.stored_context() == Some(of().context()));
    let scope = of();
    for record in &records {
        let reference = Reference::parse(record).unwrap();
        assert_eq!(reference.commitment, *parsed.commitment());
        let opened = scope.open_reference(Aad::from("r"), &header, record).wait().unwrap();
        assert!(opened.plaintext == pattern(40_000));
        // As a stream, and from anywhere.
        let mut from = &record[..];
        let of_record = Reference::read(&mut from).unwrap().header(&header).unwrap();
        assert_eq!((of_record.len(), from.len()), (38, record.len() - 38));
        assert_eq!(of_record.plaintext_len(record.len() as u64).unwrap(), 40_000);
        assert_eq!(reference.plaintext_len(record.len() as u64).unwrap(), 40_000);
        let mut out = Vec::new();
        scope.open_payload(Aad::from("r"), &of_record, from, &mut out).unwrap();
        assert!(out == pattern(40_000));
        let mut out = Vec::new();
        scope.open_range(Aad::from("r"), &of_record, Cursor::new(record), 20_000..39_000, &mut out).unwrap();
        assert!(out == pattern(40_000)[20_000..39_000]);
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    let two = SealOptions::new().copies(Copies::Two);
    assert_eq!(kind(scope.reference_sealer_in(&file, &two)), ErrorKind::Misuse);
    let directory = HeaderFile::at(&folder.0);
    assert_eq!(kind(scope.reference_sealer_in(&directory, &options)), ErrorKind::Misuse);
    let nowhere = HeaderFile::at(folder.join("none/header"));
    assert_eq!(kind(scope.reference_sealer_in(&nowhere, &options)), ErrorKind::Io);
    // Of one that was rewrapped, records of before and after open alike.
    let new = Kms::builder().kek(Mock::new("new")).opens_with(kek.clone());
    let new = new.build().unwrap().scope(context(&[("t", "1")]));
    assert!(new.rewrap_file(file.path()).unwrap());
    assert!(!new.rewrap_file(file.path()).unwrap());
    let sealer = new.reference_sealer_in(&file, &options).unwrap();
    assert_ne!(sealer.header(), header);
    let later = sealer.seal(Aad::from("r"), b"later").unwrap();
    for (header, record) in [(&header[..], &later), (sealer.header(), &records[0]), (sealer.header(), &later)]
    {
        assert!(new.open_reference(Aad::from("r"), header, record).wait().is_ok());
    }
}

#[test]
fn by_streams_and_ranges_through_a_store() {
    let store = Store::new();
    let kek = Mock::new("k");
    let references = scope(kek.clone(), &[]).references(store.clone());
    let text = pattern(100_000);
    let record = stream(&references, "r", &SealOptions::new(), &text).unwrap();
    let cold = scope(kek, &[]).references(store.clone());
    for _ in 0..2 {
        let mut from = &record[..];
        let reference = Reference::read(&mut from).unwrap();
        let opening = cold.opener(Aad::from("r"), &reference).wait().unwrap();
        let mut out = Vec::new();
        opening.reader(from).read_to_end(&mut out).unwrap();
        assert!(out == text);
        let len = record.len() as u64;
        let plan = opening.plan(50_000..60_000, len).unwrap();
        let at = plan.sealed();
        let fetched = &record[at.start as usize..at.end as usize];
        assert!(opening.open_range(&plan, &record[..200], fetched).unwrap() == text[50_000..60_000]);
        let mut seeking = opening.seekable(Cursor::new(&record)).unwrap();
        let mut out = Vec::new();
        seeking.read_to_end(&mut out).unwrap();
        assert!(out == text);
    }
    assert_eq!(store.calls(), (1, 1));
    let one = seal(&references, "", b"x").unwrap();
    assert_eq!(kind(cold.opener(Aad::empty(), &Reference::parse(&one).unwrap()).wait()), ErrorKind::Misuse);
    for n in 0..38 {
        assert_eq!(kind(Reference::read(&record[..n])), ErrorKind::Malformed);
    }
    assert_eq!(kind(Reference::parse(&record[..38 + 71])), ErrorKind::Malformed);
    for n in [38 + 72, 5000, record.len() - 1] {
        assert_eq!(kind(unseal(&cold, "r", &record[..n])), ErrorKind::Authentication, "{n}");
    }
}

/// The policy's bounds hold for each that seals, streams of unknown length included.
#[test]
fn f17_the_bounds_hold_under_a_kept_header() {
    let policy = DekPolicy::reuse().for_messages(5).for_bytes(100_000);
    let kms = Kms::builder().kek(Mock::new("k")).dek_policy(policy).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let folder = Folder::new("references-bounds");
    let file = HeaderFile::at(folder.join("header"));
    let fresh = || scope.reference_sealer_in(&file, &SealOptions::new()).unwrap();
    let sealer = fresh();
    for _ in 0..5 {
        sealer.seal(Aad::empty(), b"x").unwrap();
    }
    let error = sealer.seal(Aad::empty(), b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("another header"), "{error}");
    let sealer = fresh();
    assert_eq!(kind(sealer.seal(Aad::empty(), &pattern(100_001))), ErrorKind::Limit);
    assert_eq!(kind(sealer.sealer(Aad::empty(), Some(100_001))), ErrorKind::Limit);
    let mut two = [(); 2].map(|()| sealer.sealer(Aad::empty(), None).unwrap());
    let mut out = Vec::new();
    two[0].push(&pattern(60_000), &mut out).unwrap();
    assert_eq!(kind(two[1].push(&pattern(60_000), &mut out)), ErrorKind::Limit);
    two[0].push(&pattern(40_000), &mut out).unwrap();
    let [first, _] = two;
    first.finish(&mut out).unwrap();
    let header = file.read().unwrap().unwrap();
    let opened = scope.open_reference(Aad::empty(), &header, &out).wait().unwrap();
    assert!(opened.plaintext[..60_000] == pattern(60_000) && opened.plaintext.len() == 100_000);
    assert_eq!(kind(sealer.seal(Aad::empty(), b"x")), ErrorKind::Limit);
    let one = scope.seal_reference(Aad::empty(), b"x").wait().unwrap().header;
    let sealer = scope.reference_sealer(&one).wait().unwrap();
    assert_eq!(kind(sealer.seal(Aad::empty(), &pattern(100_001))), ErrorKind::Limit);
    sealer.seal(Aad::empty(), &pattern(100_000)).unwrap();
    assert_eq!(kind(sealer.seal(Aad::empty(), b"x")), ErrorKind::Limit);
    // However many seal at once.
    let sealer = fresh();
    let sealed = AtomicUsize::new(0);
    thread::scope(|t| {
        for _ in 0..20 {
            t.spawn(|| sealed.fetch_add(usize::from(sealer.seal(Aad::empty(), b"x").is_ok()), SeqCst));
        }
    });
    assert_eq!(sealed.into_inner(), 5);
}

#[test]
fn a_header_alone_is_rewrapped_and_a_reference_is_not() {
    let folder = Folder::new("references-alone");
    let kek = Mock::new("k");
    let of_k = scope(kek.clone(), &[]);
    let file = HeaderFile::at(folder.join("header"));
    let sealer = of_k.reference_sealer_in(&file, &SealOptions::new()).unwrap();
    let record = folder.join("record");
    fs::write(&record, sealer.seal(Aad::empty(), b"x").unwrap()).unwrap();
    let error = of_k.rewrap_file(&record).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("header is kept elsewhere"), "{error}");
    assert!(!of_k.rewrap_file(file.path()).unwrap());
    let new = Kms::builder().kek(Mock::new("new")).opens_with(kek).build().unwrap();
    let new = new.scope(EncryptionContext::empty());
    // A header with two copies and no payload is no more one alone than one that was cut.
    let two = seal_stream(&of_k, "", &SealOptions::new().copies(Copies::Two), b"");
    fs::write(folder.join("two"), &two[..8192]).unwrap();
    let mut cut = file.read().unwrap().unwrap();
    cut.push(0);
    fs::write(folder.join("cut"), &cut).unwrap();
    for name in ["two", "cut"] {
        assert_eq!(kind(new.rewrap_file(folder.join(name))), ErrorKind::Malformed, "{name}");
    }
    assert!(new.rewrap_file(file.path()).unwrap());
    let header = file.read().unwrap().unwrap();
    assert_eq!(Header::parse(&header).unwrap().recipients()[0].wrapped.key_id.as_str(), "new/1");
    let opened = new.open_reference(Aad::empty(), &header, &fs::read(&record).unwrap()).wait().unwrap();
    assert_eq!(opened.plaintext, b"x");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 4);
}
