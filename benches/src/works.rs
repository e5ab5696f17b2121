//! What is measured. To add a work (batches, files): a variant of
//! [`Work`], its line in [`all`], and its contestants in [`Work::contestants`].
use crate::{
    library::{Burst, Contestant, Library, Shared},
    machine::{self, Width},
    messages::{KeyUse, Messages},
    peers::{self, AAD, AwsLc, Direction, Libkms},
};
use libkms::{
    Aad, EncryptionContext, Kms, Scope, Wait,
    kek::Keyring,
    raw::{self, Kernels, Xaes},
};
use std::{cell::RefCell, hint::black_box, rc::Rc};

const K: usize = 1024;
/// Of the tables; the chart has more.
pub const SIZES: [usize; 5] = [64, K, 16 * K, K * K, 64 * K * K];

/// Records of a batch.
const BATCH: usize = 64;

/// A limit of the machine, among the contestants.
pub const LIMITS: [&str; 2] = ["aes", "memory"];
/// Bytes from which on the limits are measured: below, it is the call that takes time.
const LIMITED: usize = 16 * 1024;

const KEYRING: &str = r#"{ "format": "libkms-keyring/1", "keys": [ { "name": "bench", "primary": 1,
  "versions": [ { "version": 1, "created": "2026-11-24T00:00:00Z", "state": "enabled",
    "material": "YSBrZXkgZm9yIGZ1enppbmcgaXMgcHVibGljIGtleSE=" } ] } ] }"#;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Gcm(Direction, KeyUse),
    /// A key alone, for messages of at most so many bytes.
    SetUp,
    /// [`BATCH`] of them, beside one after the other.
    SetUps,
    /// An XAES-256-GCM message under one key, beside a raw call under a key that is expanded.
    Xaes(Direction),
    /// A whole record under a DEK that is there, with context and AAD, beside such a raw call.
    Record(Direction),
    /// A batch of [`BATCH`] messages, each under a key of its own, beside one after the other.
    Batch,
    /// As many whole records under as many DEKs, beside such raw calls.
    Records,
    /// AES-256-CBC on whole blocks, under a key that is expanded.
    Cbc(Direction),
    /// Random bytes, as for a nonce.
    Random,
}

impl Work {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gcm(Direction::Seal, _) => "seal",
            Self::Gcm(Direction::Open, _) => "open",
            Self::SetUp => "setup",
            Self::SetUps => "batch.setup",
            Self::Xaes(Direction::Seal) => "xaes.seal",
            Self::Xaes(Direction::Open) => "xaes.open",
            Self::Record(Direction::Seal) => "scope.seal",
            Self::Record(Direction::Open) => "scope.open",
            Self::Batch => "batch.seal",
            Self::Records => "kms.seal_batch",
            Self::Cbc(Direction::Seal) => "cbc.seal",
            Self::Cbc(Direction::Open) => "cbc.open",
            Self::Random => "random",
        }
    }

    pub fn key(self) -> Option<KeyUse> {
        match self {
            Self::Gcm(_, key) => Some(key),
            Self::SetUp | Self::SetUps | Self::Batch => Some(KeyUse::Fresh),
            Self::Xaes(_) | Self::Record(_) | Self::Records | Self::Cbc(_) => Some(KeyUse::Reused),
            Self::Random => None,
        }
    }

    /// libkms first, then its peers, the limits last.
    pub fn contestants(self, kernels: Kernels, bytes: usize) -> Vec<Contestant> {
        let path = kernels.name();
        let libkms = Libkms(kernels);
        match self {
            Self::Gcm(direction, key) => {
                let messages = Rc::new(RefCell::new(Messages::new(key, bytes, direction)));
                let mut all = vec![libkms.gcm(direction, key, &messages)];
                all.extend(peers::of_path(path).iter().map(|p| p.gcm(direction, key, &messages)));
                if direction == Direction::Seal && key == KeyUse::Reused && bytes >= LIMITED {
                    all.extend(limits(path, &messages));
                }
                all
            }
            Self::SetUp => {
                let mut all = vec![libkms.set_up(bytes)];
                all.extend(peers::of_path(path).iter().map(|p| p.set_up(bytes)));
                all
            }
            Self::SetUps => {
                let mut all = vec![set_ups(kernels, bytes)];
                all.extend(peers::of_path(path).iter().map(|p| times(BATCH, p.set_up(bytes))));
                all
            }
            Self::Xaes(direction) => vec![xaes(direction, bytes), warm(direction, bytes)],
            Self::Record(direction) => {
                let mut all = vec![record(direction, bytes), warm(direction, bytes)];
                all.extend(peers::records(direction, bytes));
                all
            }
            Self::Batch => {
                let messages = Rc::new(RefCell::new(Messages::new(KeyUse::Fresh, bytes, Direction::Seal)));
                let mut all = vec![batch(kernels, bytes)];
                let alone = peers::of_path(path);
                let alone = alone.iter().map(|p| p.gcm(Direction::Seal, KeyUse::Fresh, &messages));
                all.extend(alone.map(|one| times(BATCH, one)));
                all
            }
            Self::Records => vec![records(bytes), times(BATCH, warm(Direction::Seal, bytes))],
            Self::Cbc(direction) => peers::cbc(kernels, direction, bytes),
            Self::Random => peers::random(),
        }
    }
}

/// All works of a path, with the bytes of each call. `best`: this path is what libkms takes here.
pub fn all(best: bool, quick: bool) -> Vec<(Work, usize)> {
    use Direction::{Open, Seal};
    let chart = [256, 4 * K, 64 * K, 256 * K, 4 * K * K, 16 * K * K];
    let mut sizes: Vec<_> = SIZES.into_iter().chain(chart.into_iter().filter(|_| !quick)).collect();
    sizes.sort();
    let mut works = Vec::new();
    for key in [KeyUse::Reused, KeyUse::Fresh] {
        for direction in [Seal, Open] {
            let enough = |bytes: &usize| !quick || key == KeyUse::Reused || *bytes <= 16 * K;
            works.extend(sizes.iter().filter(|b| enough(b)).map(|b| (Work::Gcm(direction, key), *b)));
        }
    }
    works.extend([64, K, 16 * K].map(|bytes| (Work::SetUp, bytes)));
    works.extend([64, 256, K].map(|bytes| (Work::SetUps, bytes)));
    works.extend([64, 256, K].map(|bytes| (Work::Batch, bytes)));
    let both = [Seal, Open];
    works.extend(both.iter().flat_map(|d| [K, 16 * K, K * K].map(|bytes| (Work::Cbc(*d), bytes))));
    if best {
        works.extend(both.iter().flat_map(|d| [64, K].map(|bytes| (Work::Xaes(*d), bytes))));
        works.extend(both.map(|d| (Work::Record(d), K)));
        works.push((Work::Records, 256));
        works.push((Work::Random, 24));
    }
    works
}

/// So many of its calls for one.
fn times(calls: usize, mut of: Contestant) -> Contestant {
    Contestant { name: of.name, burst: Box::new(move |batches| (of.burst)(batches * calls)) }
}

fn set_ups(kernels: Kernels, bytes: usize) -> Contestant {
    let keys = keys();
    let burst: Burst = Box::new(move |calls| {
        (0..calls).for_each(|_| raw::set_batch(kernels, black_box(&keys), bytes));
    });
    Contestant { name: "libkms", burst }
}

fn keys() -> Vec<[u8; 32]> {
    (0..BATCH).map(|i| [i as u8 ^ 0xa5; 32]).collect()
}

fn batch(kernels: Kernels, bytes: usize) -> Contestant {
    let keys = keys();
    let nonces: Vec<_> = (0..BATCH).map(|i| [i as u8; 12]).collect();
    let (mut batch, mut tags) = (vec![vec![7; bytes]; BATCH], vec![[0; 16]; BATCH]);
    let burst: Burst = Box::new(move |calls| {
        for _ in 0..calls {
            raw::seal_batch(kernels, black_box(&keys), &nonces, &AAD, &mut batch, &mut tags);
            black_box(&mut tags);
        }
    });
    Contestant { name: "libkms", burst }
}

fn records(bytes: usize) -> Contestant {
    let (scope, plain) = (scope(), vec![7; bytes]);
    let scopes: Vec<_> = (0..BATCH).map(|i| scope.with("user", i.to_string()).unwrap()).collect();
    let burst: Burst = Box::new(move |calls| {
        let items: Vec<_> = scopes.iter().map(|scope| (scope, Aad::new(&AAD), &plain[..])).collect();
        for _ in 0..calls {
            black_box(scope.kms().seal_batch(black_box(&items)).wait());
        }
    });
    Contestant { name: "libkms", burst }
}

/// The raw call that a whole record is compared to.
fn warm(direction: Direction, bytes: usize) -> Contestant {
    let messages = Rc::new(RefCell::new(Messages::new(KeyUse::Reused, bytes, direction)));
    AwsLc.gcm(direction, KeyUse::Reused, &messages)
}

fn xaes(direction: Direction, bytes: usize) -> Contestant {
    const KEY: [u8; 32] = [9; 32];
    let (plain, mut sealed) = (vec![7; bytes], Vec::with_capacity(bytes + 64));
    let key = Xaes::new(&KEY).unwrap();
    key.seal(&AAD, &plain, &mut sealed).unwrap();
    let mut out = Vec::with_capacity(bytes + 64);
    let burst: Burst = match direction {
        Direction::Seal => Box::new(move |calls| {
            for _ in 0..calls {
                out.clear();
                black_box(&key).seal(&AAD, black_box(&plain), &mut out).unwrap();
                black_box(&mut out);
            }
        }),
        Direction::Open => Box::new(move |calls| {
            for _ in 0..calls {
                out.clear();
                black_box(&key).open(&AAD, black_box(&sealed), &mut out).unwrap();
                black_box(&mut out);
            }
        }),
    };
    Contestant { name: "libkms", burst }
}

fn record(direction: Direction, bytes: usize) -> Contestant {
    let (scope, plain) = (scope(), vec![7; bytes]);
    let sealed = scope.seal(Aad::new(&AAD), &plain).wait().unwrap();
    let burst: Burst = match direction {
        Direction::Seal => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(scope.seal(Aad::new(&AAD), black_box(&plain)).wait().unwrap());
            }
        }),
        Direction::Open => Box::new(move |calls| {
            for _ in 0..calls {
                black_box(scope.open(Aad::new(&AAD), black_box(&sealed)).wait().unwrap());
            }
        }),
    };
    Contestant { name: "libkms", burst }
}

fn scope() -> Scope {
    let kms = Kms::builder().kek(Keyring::parse(KEYRING.as_bytes(), "bench").unwrap()).build().unwrap();
    let context = [("table", "users"), ("column", "email"), ("tenant", "7d3f")];
    kms.scope(EncryptionContext::new(context).unwrap())
}

/// What the machine needs at least for the bytes: the rounds of AES at the width of a path, and
/// reading and writing them in place.
fn limits(path: &str, messages: &Shared) -> Vec<Contestant> {
    let Some(width) = Width::of_path(path) else { return Vec::new() };
    let bytes = messages.borrow().bytes();
    let messages = messages.clone();
    let aes: Burst = Box::new(move |calls| (0..calls).for_each(|_| machine::aes_rounds(width, bytes)));
    let memory: Burst = Box::new(move |calls| {
        let mut messages = messages.borrow_mut();
        (0..calls).for_each(|_| machine::through_memory(width, messages.take().data));
    });
    LIMITS.into_iter().zip([aes, memory]).map(|(name, burst)| Contestant { name, burst }).collect()
}
