//! What taking a key away does, and what it cannot: as the manual's pages on revocation and
//! shredding say.
mod common;

use common::*;
use libkms::{
    Aad, Dek, DekPolicy, EncryptionContext, ErrorKind, KeyId, Kms, NewFile, Result, Scope, Wait, WrappedDek,
    async_trait, inspect,
    kek::{Keyring, KeyringFile, KmsBackend},
    rt::{Runtime, Simulated},
};
use std::{
    fs,
    future::pending,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

const MINUTE: Duration = Duration::from_secs(60);

struct World {
    folder: Folder,
    clock: Simulated,
}

impl World {
    fn new(name: &str) -> Self {
        let world = Self { folder: Folder::new(name), clock: Simulated::new() };
        Keyring::create(world.ring(), "orders").unwrap();
        world
    }

    fn ring(&self) -> PathBuf {
        self.folder.join("keys.json")
    }

    fn edit(&self) -> KeyringFile {
        KeyringFile::at(self.ring())
    }

    /// As a program that starts now sees a keyring.
    fn program_of(&self, ring: &Path, name: &str) -> Scope {
        let kms = Kms::builder().kek(Keyring::open(ring, name).unwrap()).runtime(self.clock.clone());
        kms.build().unwrap().scope(context(&[("purpose", "orders")]))
    }

    /// One that remembers no DEK.
    fn program_without_memory(&self) -> Scope {
        let kms = Kms::builder().kek(Keyring::open(self.ring(), "orders").unwrap());
        let kms = kms.dek_policy(DekPolicy::reuse().for_time(Duration::ZERO)).runtime(self.clock.clone());
        kms.build().unwrap().scope(context(&[("purpose", "orders")]))
    }

    fn program(&self) -> Scope {
        self.program_of(&self.ring(), "orders")
    }
}

fn seal(scope: &Scope) -> Vec<u8> {
    scope.seal(Aad::from("1"), b"tea").wait().unwrap()
}

fn opens(scope: &Scope, sealed: &[u8]) -> Result<(), ErrorKind> {
    scope.open(Aad::from("1"), sealed).wait().map(drop).map_err(|e| e.kind())
}

fn key_of(sealed: &[u8]) -> String {
    inspect(sealed).unwrap().recipients()[0].wrapped.key_id.to_string()
}

#[test]
fn what_is_disabled_opens_out_of_memory_until_the_deks_time_is_over() {
    let world = World::new("revoked-time");
    let sealed = seal(&world.program());
    let running = world.program();
    opens(&running, &sealed).unwrap();
    world.edit().rotate("orders").unwrap();
    world.edit().disable("orders", 1).unwrap();
    assert_eq!(opens(&world.program(), &sealed), Err(ErrorKind::Denied), "a program that starts now");
    world.clock.advance(10 * MINUTE - Duration::from_secs(1));
    opens(&running, &sealed).unwrap();
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(opens(&running, &sealed), Err(ErrorKind::Denied));
    // Nothing was lost so far.
    world.edit().enable("orders", 1).unwrap();
    opens(&running, &sealed).unwrap();
}

#[test]
fn with_no_time_nothing_is_remembered() {
    let world = World::new("revoked-at-once");
    let running = world.program_without_memory();
    let sealed = [seal(&running), seal(&running)];
    assert_ne!(inspect(&sealed[0]).unwrap().commitment(), inspect(&sealed[1]).unwrap().commitment());
    opens(&running, &sealed[0]).unwrap();
    world.edit().rotate("orders").unwrap();
    world.edit().disable("orders", 1).unwrap();
    assert_eq!(opens(&running, &sealed[0]), Err(ErrorKind::Denied));
    assert_eq!(key_of(&seal(&running)), "orders/2");
}

#[test]
fn nothing_is_sealed_under_a_disabled_version_half_a_minute_after_the_rotation() {
    let world = World::new("revoked-seal");
    let running = world.program();
    assert_eq!(key_of(&seal(&running)), "orders/1");
    world.edit().rotate("orders").unwrap();
    world.edit().disable("orders", 1).unwrap();
    assert_eq!(key_of(&seal(&running)), "orders/1", "nobody knows yet");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(key_of(&seal(&running)), "orders/2");
}

/// A keyring behind a network, as to which key is current.
struct Far {
    kek: Keyring,
    clock: Simulated,
    hangs: Arc<AtomicBool>,
}

const ROUND_TRIP: Duration = Duration::from_millis(50);

#[async_trait]
impl KmsBackend for Far {
    fn scheme(&self) -> &str {
        self.kek.scheme()
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.kek.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.kek.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.kek.unwrap_dek(wrapped, context).await
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.clock.sleep(ROUND_TRIP).await;
        if self.hangs.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        self.kek.current_key().await
    }
}

/// A program that seals now and then waits for the answer, and one that seals all the time
/// does not.
#[test]
fn a_seal_after_a_pause_is_not_under_a_key_that_moved_meanwhile() {
    let (world, hangs) = (World::new("revoked-pause"), Arc::<AtomicBool>::default());
    let clock = &world.clock;
    let kek = Keyring::open(world.ring(), "orders").unwrap();
    let far = Far { kek, clock: clock.clone(), hangs: hangs.clone() };
    let kms = Kms::builder().kek(far).runtime(clock.clone()).build().unwrap();
    let scope = kms.scope(context(&[("purpose", "orders")]));
    let timed = || {
        let begun = clock.now();
        let sealed = clock.block_on(scope.seal(Aad::from("1"), b"tea")).unwrap();
        (key_of(&sealed), clock.now() - begun)
    };
    let second = Duration::from_secs(1);
    timed();
    clock.advance(second);
    world.edit().rotate("orders").unwrap();
    clock.advance(2 * MINUTE);
    let mut first = Box::pin(scope.seal(Aad::from("1"), b"tea"));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(timed(), ("orders/2".into(), ROUND_TRIP), "nor one that comes while it is asked");
    assert_eq!(key_of(&clock.block_on(first).unwrap()), "orders/2");
    assert_eq!(timed(), ("orders/2".into(), Duration::ZERO));

    world.edit().rotate("orders").unwrap();
    let mut under_the_old = 0;
    for _ in 0..100 {
        clock.advance(second);
        let (key, took) = timed();
        assert!(took.is_zero());
        under_the_old += u32::from(key == "orders/2");
    }
    assert!(under_the_old <= 31, "{under_the_old}");

    // Without an answer it goes on as in an outage, and nobody waits long.
    hangs.store(true, Ordering::SeqCst);
    world.edit().rotate("orders").unwrap();
    clock.advance(2 * MINUTE);
    assert_eq!(timed(), ("orders/3".into(), second));
    clock.advance(10 * second);
    assert_eq!(timed(), ("orders/3".into(), Duration::ZERO));
}

/// Who holds a header's DEK to seal more under it asks nobody again.
#[test]
fn a_reference_sealer_goes_on() {
    let world = World::new("revoked-sealer");
    let program = world.program();
    let made = program.seal_reference(Aad::from("1"), b"tea").wait().unwrap();
    let sealer = program.reference_sealer(&made.header).wait().unwrap();
    world.edit().rotate("orders").unwrap();
    world.edit().disable("orders", 1).unwrap();
    world.clock.advance(60 * MINUTE);
    let record = sealer.seal(Aad::from("2"), b"more tea").unwrap();
    let open = |scope: &Scope| scope.open_reference(Aad::from("2"), &made.header, &record).wait();
    assert_eq!(open(&world.program()).unwrap_err().kind(), ErrorKind::Denied);
    world.edit().enable("orders", 1).unwrap();
    assert_eq!(open(&world.program()).unwrap().plaintext, b"more tea");
}

#[test]
fn a_deleted_keyring_stops_no_program_that_has_it_open_and_a_destroyed_version_does() {
    for is_destroyed in [false, true] {
        let world = World::new(&format!("revoked-file-{is_destroyed}"));
        let sealed = seal(&world.program());
        let running = world.program();
        if is_destroyed {
            world.edit().rotate("orders").unwrap();
            world.edit().disable("orders", 1).unwrap();
            world.edit().destroy("orders", 1).unwrap();
            assert_eq!(opens(&running, &sealed), Err(ErrorKind::Denied), "it never opened this before");
        }
        fs::remove_file(world.ring()).unwrap();
        let expected = if is_destroyed { Err(ErrorKind::Denied) } else { Ok(()) };
        for _ in 0..2 {
            assert_eq!(opens(&running, &sealed), expected);
            world.clock.advance(24 * 60 * MINUTE);
        }
    }
}

/// Only sealing anew gives another DEK, and only the key's end closes the copies.
#[test]
fn a_rewrap_takes_nothing_back_and_sealing_anew_does() {
    let world = World::new("revoked-copies");
    let copy = seal(&world.program());
    world.edit().rotate("orders").unwrap();
    let now = world.program();
    let rewrapped = now.rewrap(&copy).wait().unwrap().unwrap();
    let anew = seal(&now);
    let [copied, kept, new] = [&copy, &rewrapped, &anew].map(|sealed| *inspect(sealed).unwrap().commitment());
    assert!(copied == kept && copied != new);
    // The old header fits the new envelope: whoever can write there can put it back.
    let payload = &rewrapped[header_len(&rewrapped)..];
    let put_back = [&copy[..header_len(&copy)], payload].concat();
    assert_eq!(put_back, copy);
    opens(&world.program(), &put_back).unwrap();
    world.edit().disable("orders", 1).unwrap();
    assert_eq!(opens(&world.program(), &put_back), Err(ErrorKind::Denied));
    opens(&world.program(), &rewrapped).unwrap();
}

#[test]
fn one_tenant_is_shredded_and_no_other_and_a_backup_still_opens_it() {
    let world = World::new("shredded");
    let backup = world.folder.join("backup.json");
    for tenant in ["t7", "t8"] {
        world.edit().add(tenant).unwrap();
    }
    fs::copy(world.ring(), &backup).unwrap();
    let of = |tenant: &str| world.program_of(&world.ring(), tenant);
    let sealed = ["t7", "t8"].map(|tenant| seal(&of(tenant)));
    assert_eq!(world.edit().destroy("t7", 1).unwrap_err().kind(), ErrorKind::Misuse, "it wraps");
    world.edit().rotate("t7").unwrap();
    assert_eq!(world.edit().destroy("t7", 1).unwrap_err().kind(), ErrorKind::Misuse, "it is enabled");
    world.edit().disable("t7", 1).unwrap();
    world.edit().destroy("t7", 1).unwrap();
    assert_eq!(opens(&of("t7"), &sealed[0]), Err(ErrorKind::Denied));
    assert_eq!(world.edit().enable("t7", 1).unwrap_err().kind(), ErrorKind::Misuse, "for ever");
    opens(&of("t8"), &sealed[1]).unwrap();
    opens(&world.program_of(&backup, "t7"), &sealed[0]).unwrap();
}

/// As many keys as the page says, of the length that ours have.
#[test]
fn a_keyring_holds_seventy_thousand_keys_and_is_refused_above_16_mib() {
    let world = World::new("many-keys");
    let text = fs::read_to_string(world.ring()).unwrap();
    let begin = text.find("    {").unwrap();
    let end = text.find("\n  ]\n}").unwrap();
    let key = text[begin..end].replace("orders", "tenant-00000");
    let write = |keys: u32, path: &Path| {
        let keys = (0..keys).map(|n| key.replace("tenant-00000", &format!("tenant-{n:05}")));
        let all = keys.collect::<Vec<_>>().join(",\n");
        let mut file = NewFile::create(path, true).unwrap();
        write!(file, "{}{all}{}", &text[..begin], &text[end..]).unwrap();
        file.commit(true).unwrap();
    };
    let many = world.folder.join("many.json");
    write(70_000, &many);
    let scope = world.program_of(&many, "tenant-69999");
    opens(&scope, &seal(&scope)).unwrap();
    KeyringFile::at(&many).rotate("tenant-00001").unwrap();
    write(80_000, &many);
    assert_eq!(Keyring::open(&many, "tenant-00001").unwrap_err().kind(), ErrorKind::Limit);
}
