//! The whole life of a key, on a keyring file: sealed by the hundred thousand, rotated,
//! rewrapped by eight workers, the old version destroyed.
mod common;

use common::*;
use libkms::{
    Aad, Copies, Dek, DekPolicy, EncryptionContext, Freshness, Header, KeyId, Kms, Result, Scope,
    SealOptions, Wait, WrappedDek, async_trait, inspect,
    kek::{Keyring, KeyringFile, KmsBackend},
};
use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Mutex},
    thread,
};

const RECORDS: usize = 100_000;
const FILES: usize = 100;
const WORKERS: usize = 8;
/// Each has two DEKs of ten thousand records under the first version.
const TENANTS: usize = 4;
const PER_DEK: u64 = 10_000;

/// A keyring whose wraps and unwraps are counted.
struct Counted(Keyring, Arc<AtomicU64>);

#[async_trait]
impl KmsBackend for Counted {
    fn scheme(&self) -> &str {
        self.0.scheme()
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unwrap_dek(wrapped, context).await
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.0.current_key().await
    }
}

/// As a process that has just started sees the keyring.
struct Process {
    kms: Kms,
    calls: Arc<AtomicU64>,
}

impl Process {
    fn start(keyring: &Path) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let kek = Counted(Keyring::open(keyring, "orders").unwrap(), calls.clone());
        let policy = DekPolicy::reuse().for_messages(PER_DEK);
        Self { kms: Kms::builder().kek(kek).dek_policy(policy).build().unwrap(), calls }
    }

    fn tenant(&self, n: usize) -> Scope {
        self.kms.scope(context(&[("tenant", &(n % TENANTS).to_string())]))
    }

    fn tenants(&self) -> Vec<Scope> {
        (0..TENANTS).map(|n| self.tenant(n)).collect()
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

fn aad(n: usize) -> [u8; 8] {
    n.to_be_bytes()
}

fn plaintext(n: usize) -> Vec<u8> {
    format!("record {n}").into_bytes()
}

/// Each worker takes the next one, until none is left.
fn by_workers(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|t| {
        for _ in 0..WORKERS {
            t.spawn(|| {
                while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < count) {
                    work(n);
                }
            });
        }
    });
}

fn all_open(process: &Process, records: &[Vec<u8>], files: &[PathBuf]) {
    let tenants = process.tenants();
    by_workers(records.len(), |n| {
        let opened = tenants[n % TENANTS].open(Aad::new(&aad(n)), &records[n]).wait().unwrap();
        assert_eq!(opened.plaintext, plaintext(n));
    });
    for (n, path) in files.iter().enumerate() {
        let mut out = Vec::new();
        tenants[n % TENANTS].open_stream(Aad::new(&aad(n)), File::open(path).unwrap(), &mut out).unwrap();
        assert!(out == pattern(1000 * n));
    }
}

/// How many depend on which key, and how many of all are stale.
fn dependants(process: &Process, records: &[Vec<u8>], files: &[PathBuf]) -> (HashMap<String, usize>, usize) {
    let found = Mutex::new((HashMap::new(), 0));
    let look = |header: Header| {
        let freshness = process.kms.freshness(&header).wait();
        let mut found = found.lock().unwrap();
        for recipient in header.recipients() {
            *found.0.entry(recipient.wrapped.key_id.to_string()).or_insert(0) += 1;
        }
        found.1 += usize::from(freshness == Freshness::Stale);
    };
    by_workers(records.len(), |n| look(inspect(&records[n]).unwrap()));
    files.iter().for_each(|path| look(Header::read(File::open(path).unwrap()).unwrap()));
    found.into_inner().unwrap()
}

#[test]
fn f59_a_key_is_made_rotated_and_destroyed_and_nothing_is_lost() {
    let folder = Folder::new("story");
    let keyring = folder.join("keys.json");
    Keyring::create(&keyring, "orders").unwrap();
    let edit = KeyringFile::at(&keyring);

    // Sealed under the first version, the last fifth under the second one.
    let first = Process::start(&keyring);
    let tenants = first.tenants();
    let sealed: Vec<_> = (0..RECORDS).map(|_| Mutex::new(Vec::new())).collect();
    let seal = |tenants: &[Scope], n: usize| {
        let record = tenants[n % TENANTS].seal(Aad::new(&aad(n)), &plaintext(n)).wait().unwrap();
        *sealed[n].lock().unwrap() = record;
    };
    by_workers(RECORDS / 5 * 4, |n| seal(&tenants, n));
    let file = |n: usize| folder.join(&format!("{n}.kms"));
    let files: Vec<_> = (0..FILES).map(file).collect();
    let seal_file = |tenants: &[Scope], n: usize| {
        let copies = if n.is_multiple_of(2) { Copies::Two } else { Copies::One };
        let options = SealOptions::new().copies(copies).len(1000 * n as u64);
        let to = File::create(&files[n]).unwrap();
        tenants[n % TENANTS].seal_stream(Aad::new(&aad(n)), &options, &*pattern(1000 * n), to).unwrap();
    };
    (0..FILES / 2).for_each(|n| seal_file(&tenants, n));
    edit.rotate("orders").unwrap();
    let second = Process::start(&keyring);
    let tenants = second.tenants();
    by_workers(RECORDS / 5, |n| seal(&tenants, RECORDS / 5 * 4 + n));
    (FILES / 2..FILES).for_each(|n| seal_file(&tenants, n));
    let mut records: Vec<_> = sealed.into_iter().map(|r| r.into_inner().unwrap()).collect();

    // All open; what is stale is what was sealed before.
    all_open(&Process::start(&keyring), &records, &files);
    let (keys, stale) = dependants(&second, &records, &files);
    let old = RECORDS / 5 * 4 + FILES / 2;
    assert_eq!((keys["orders/1"], keys["orders/2"], stale), (old, RECORDS + FILES - old, old));

    // Rewrapped by eight workers. A DEK keeps its name and needs two calls, not one a record.
    let worker = Process::start(&keyring);
    let tenants = worker.tenants();
    let done: Vec<_> = records.iter().map(|_| Mutex::new(None)).collect();
    by_workers(RECORDS, |n| {
        *done[n].lock().unwrap() = tenants[n % TENANTS].rewrap(&records[n]).wait().unwrap();
    });
    let deks =
        records.iter().map(|r| *inspect(r).unwrap().commitment()).collect::<std::collections::HashSet<_>>();
    let calls = worker.calls() as usize;
    // Workers that come at the same time may each make the first call for a DEK.
    assert!(calls <= 2 * WORKERS * deks.len(), "{calls} calls for {} DEKs", deks.len());
    for (n, new) in done.into_iter().enumerate() {
        let new = new.into_inner().unwrap();
        assert_eq!(new.is_some(), n < RECORDS / 5 * 4);
        if let Some(new) = new {
            assert_eq!(inspect(&new).unwrap().commitment(), inspect(&records[n]).unwrap().commitment());
            records[n] = new;
        }
    }
    let changed = AtomicUsize::new(0);
    by_workers(FILES, |n| {
        changed
            .fetch_add(usize::from(tenants[n % TENANTS].rewrap_file(&files[n]).unwrap()), Ordering::Relaxed);
    });
    assert_eq!(changed.into_inner(), FILES / 2);

    // Nothing depends on the old version: it can go.
    let (keys, stale) = dependants(&Process::start(&keyring), &records, &files);
    assert_eq!((keys.len(), keys["orders/2"], stale), (1, RECORDS + FILES, 0));
    edit.disable("orders", 1).unwrap();
    edit.destroy("orders", 1).unwrap();
    all_open(&Process::start(&keyring), &records, &files);

    // Ten thousand records of one DEK, cold: one call.
    let one = *inspect(&records[0]).unwrap().commitment();
    let of_one: Vec<_> =
        (0..RECORDS).filter(|n| *inspect(&records[*n]).unwrap().commitment() == one).collect();
    let cold = Process::start(&keyring);
    let scope = cold.tenant(0);
    assert_eq!(of_one.len(), 10_000);
    by_workers(of_one.len(), |i| {
        let n = of_one[i];
        scope.open(Aad::new(&aad(n)), &records[n]).wait().unwrap();
    });
    assert_eq!(cold.calls(), 1);
}
