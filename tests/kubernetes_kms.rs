//! The KMS behind the values of kms v1 and v2: how often it is asked, and what its failures cost.
use libkms::{
    Error, ErrorKind, Result, Wait,
    kubernetes::{KmsVersion, Provider, Transformer},
    rt::Simulated,
};
use std::{sync::Arc, thread, time::Duration};

#[allow(dead_code, reason = "each test uses some of it")]
#[path = "kubernetes/remote.rs"]
mod remote;
use remote::Remote;

const PATH: &str = "/registry/secrets/default/db";

struct World {
    clock: Simulated,
    kms: Arc<Remote>,
    by: Transformer,
}

impl World {
    fn new(version: KmsVersion) -> Self {
        let (clock, kms) = (Simulated::new(), Remote::new(&remote::kms(version, "vault")));
        let by = on(clock.clone(), &kms, version, 1000);
        Self { clock, kms, by }
    }

    /// Another API server, with an empty memory and the same KMS.
    fn restarted(&self) -> Self {
        let by = on(self.clock.clone(), &self.kms, KmsVersion::V2, 1000);
        self.kms.calls();
        Self { clock: self.clock.clone(), kms: self.kms.clone(), by }
    }

    fn write(&self) -> Result<Vec<u8>> {
        self.clock.block_on(self.by.write(PATH, b"text"))
    }

    /// Whether it is stale.
    fn read(&self, value: &[u8]) -> Result<bool> {
        let read = self.clock.block_on(self.by.read(PATH, value))?;
        assert_eq!(read.plaintext, b"text");
        Ok(read.stale)
    }

    fn seconds(&self, seconds: u64) {
        (0..seconds).for_each(|_| self.clock.advance(Duration::from_secs(1)));
    }
}

fn on(clock: Simulated, kms: &Arc<Remote>, version: KmsVersion, cache_size: i32) -> Transformer {
    let mut provider = remote::kms(version, "vault");
    provider.cache_size = cache_size;
    let providers = vec![Provider::Kms(provider), Provider::Identity];
    Transformer::on(clock, providers, |_| Ok(kms.clone() as _)).unwrap()
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|e: Error| e.kind())
}

#[test]
fn a_thousand_values_of_one_seed_cost_three_calls() {
    let world = World::new(KmsVersion::V2);
    let values: Vec<_> = (0..1000).map(|_| world.write().unwrap()).collect();
    assert_eq!(world.kms.calls(), ["status", "encrypt"]);
    assert!(values.iter().all(|value| !world.read(value).unwrap()), "its own seed is known");
    assert_eq!(world.kms.calls(), [""; 0]);
    let world = world.restarted();
    assert!(values.iter().all(|value| !world.read(value).unwrap()));
    assert_eq!(world.kms.calls(), ["status", "decrypt"]);
    world.by.try_read(PATH, &values[0]).unwrap().unwrap();
}

/// They may be awaited on a runtime of many threads.
#[test]
fn reading_and_writing_go_from_thread_to_thread() {
    fn travels<T: Send>(_: &T) {}
    let world = World::new(KmsVersion::V2);
    travels(&world.by);
    travels(&world.by.write(PATH, b"text"));
    travels(&world.by.read(PATH.to_owned(), b"text"));
}

#[test]
fn f38_many_readers_of_one_seed_make_one_call() {
    let world = World::new(KmsVersion::V2);
    let value = world.write().unwrap();
    let kms = &world.kms;
    let by =
        Transformer::new(vec![Provider::Kms(remote::kms(KmsVersion::V2, "vault"))], |_| Ok(kms.clone() as _));
    let by = by.unwrap();
    kms.calls();
    kms.set(|state| state.takes = Duration::from_millis(100));
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| assert_eq!(by.read(PATH, &value).wait().unwrap().plaintext, b"text"));
        }
    });
    assert_eq!(kms.calls(), ["status", "decrypt"]);
}

/// Row 37: the API server's times.
#[test]
fn f37_writes_stop_three_minutes_after_the_last_good_answer_and_reads_go_on() {
    for fails in [true, false] {
        let world = World::new(KmsVersion::V2);
        let value = world.write().unwrap();
        world.kms.calls();
        world.kms.set(|state| match fails {
            true => state.fails = Some(ErrorKind::Unavailable),
            false => state.healthz = Some("sick".into()),
        });
        for _ in 0..179 {
            world.seconds(1);
            world.write().unwrap();
        }
        // Every minute, and every ten seconds while it fails.
        let asked = world.kms.calls().len();
        assert!((10..=14).contains(&asked), "{asked}");
        world.seconds(1);
        let refused = if fails { ErrorKind::Unavailable } else { ErrorKind::BadReply };
        assert_eq!(kind(world.write()), Some(refused));
        assert!(!world.read(&value).unwrap());
        assert!(world.by.try_write(PATH, b"text").unwrap().is_none());
        world.seconds(3600);
        assert_eq!(kind(world.write()), Some(refused));
        assert!(!world.read(&value).unwrap());
        world.kms.set(|state| (state.fails, state.healthz) = (None, None));
        world.kms.calls();
        world.write().unwrap();
        assert_eq!(world.kms.calls(), ["status"], "the old seed is good again");
    }
}

#[test]
fn another_key_brings_another_seed_within_a_minute_and_makes_the_old_values_stale() {
    let world = World::new(KmsVersion::V2);
    let old = world.write().unwrap();
    world.kms.calls();
    world.kms.set(|state| state.key_id = Some("kek/new".into()));
    world.seconds(59);
    assert!(!world.read(&old).unwrap());
    world.seconds(1);
    // This write has the KMS asked; whoever comes next has its answer.
    world.write().unwrap();
    let new = world.write().unwrap();
    assert_eq!(world.kms.calls(), ["status", "encrypt"]);
    let read = world.clock.block_on(world.by.read(PATH, &new)).unwrap();
    assert!(!read.stale && read.key_id.as_deref() == Some("kek/new"));
    assert!(world.read(&old).unwrap());
}

/// Row 46.
#[test]
fn f46_where_status_and_encrypt_name_two_keys_the_old_seed_stays_until_its_end() {
    let world = World::new(KmsVersion::V2);
    let old = world.write().unwrap();
    world.kms.set(|state| {
        state.key_id = Some("kek/new".into());
        state.encrypts_as = Some("kek/other".into());
    });
    world.seconds(60);
    for _ in 0..119 {
        let value = world.write().unwrap();
        let read = world.clock.block_on(world.by.read(PATH, &value)).unwrap();
        assert!(read.stale && read.key_id.as_deref() == Some("kek/vault"));
        world.seconds(1);
    }
    world.seconds(1);
    assert_eq!(kind(world.write()), Some(ErrorKind::BadReply));
    assert!(world.read(&old).unwrap());
    world.kms.set(|state| state.encrypts_as = None);
    let new = world.write().unwrap();
    assert!(!world.read(&new).unwrap());
}

/// Row 45: a KMS that is not there, or not fit to be used, costs an error and nothing else.
#[test]
fn f45_a_kms_that_is_not_fit_is_told_and_asked_again() {
    let world = World::new(KmsVersion::V2);
    let value = world.write().unwrap();
    let cold = world.restarted();
    cold.kms.set(|state| state.fails = Some(ErrorKind::Unavailable));
    assert_eq!(kind(cold.read(&value)), Some(ErrorKind::Unavailable));
    assert_eq!(kind(cold.write()), Some(ErrorKind::Unavailable));
    assert!(cold.by.try_read(PATH, &value).unwrap().is_none());
    assert!(cold.read(b"text").unwrap(), "identity needs no KMS");
    cold.kms.set(|state| state.fails = None);
    for key_id in [String::new(), "k".repeat(1025)] {
        cold.kms.set(|state| state.key_id = Some(key_id));
        assert_eq!(kind(cold.write()), Some(ErrorKind::BadReply));
        assert_eq!(kind(cold.read(&value)), Some(ErrorKind::BadReply));
    }
    cold.kms.set(|state| state.key_id = None);
    assert!(!cold.read(&value).unwrap());
    cold.write().unwrap();
}

/// What another provider wrote is stale anyhow: no key needs to be asked for.
#[test]
fn an_old_kms_that_still_decrypts_is_enough_to_read() {
    let world = World::new(KmsVersion::V2);
    let value = world.write().unwrap();
    let providers = vec![Provider::Identity, Provider::Kms(remote::kms(KmsVersion::V2, "vault"))];
    let by = Transformer::on(world.clock.clone(), providers, |_| Ok(world.kms.clone() as _)).unwrap();
    world.kms.calls();
    let read = world.clock.block_on(by.read(PATH, &value)).unwrap();
    assert!(read.stale && read.plaintext == b"text");
    assert_eq!(world.kms.calls(), ["decrypt"]);
}

/// Row 21: a value that does not open leaves what is remembered as it was, and is not asked for twice
/// at the same time.
#[test]
fn f21_what_does_not_open_changes_nothing() {
    let world = World::new(KmsVersion::V2);
    let value = world.write().unwrap();
    world.kms.calls();
    let body = b"k8s:enc:kms:v2:vault:".len();
    // The tag; the DEK source, of which this KMS says that it is not its own.
    for (at, kind_of_it) in [(body + 60, ErrorKind::Authentication), (value.len() - 55, ErrorKind::Denied)] {
        let mut forged = value.clone();
        forged[at] ^= 1;
        assert_eq!(kind(world.read(&forged)), Some(kind_of_it));
        assert!(!world.read(&value).unwrap());
    }
    assert_eq!(world.kms.calls(), ["decrypt"]);
}

#[test]
fn deks_go_when_their_day_is_over() {
    let world = World::new(KmsVersion::V2);
    let value = world.write().unwrap();
    let cold = world.restarted();
    cold.read(&value).unwrap();
    cold.kms.calls();
    (0..24 * 60 - 1).for_each(|_| cold.clock.advance(Duration::from_secs(60)));
    cold.read(&value).unwrap();
    assert!(!cold.kms.calls().contains(&"decrypt"));
    (0..2).for_each(|_| cold.clock.advance(Duration::from_secs(60)));
    cold.read(&value).unwrap();
    assert!(cold.kms.calls().contains(&"decrypt"));
}

#[test]
fn v1_has_a_dek_for_each_value_and_keeps_as_many_as_it_is_told() {
    let world = World::new(KmsVersion::V1);
    let values: Vec<_> = (0..10).map(|_| world.write().unwrap()).collect();
    assert_eq!(world.kms.calls(), ["encrypt"; 10]);
    assert!(values.iter().all(|value| !world.read(value).unwrap()));
    assert_eq!(world.kms.calls(), [""; 0], "it made them itself");
    for (cache_size, asked) in [(1000, 10), (4, 20), (-1, 20)] {
        let by = on(world.clock.clone(), &world.kms, KmsVersion::V1, cache_size);
        for value in values.iter().chain(&values) {
            world.clock.block_on(by.read(PATH, value)).unwrap();
        }
        assert_eq!(world.kms.calls().len(), asked, "{cache_size}");
    }
}

#[test]
fn deks_and_seeds_of_other_sizes_are_refused() {
    use libkms::{async_trait, kubernetes::*};
    struct Gives(usize);
    #[async_trait]
    impl KmsService for Gives {
        async fn encrypt(&self, _: &[u8], _: &str) -> Result<Wrapped> {
            unreachable!("nobody writes")
        }
        async fn decrypt(&self, _: &Wrapped, _: &str) -> Result<DekSource> {
            DekSource::take(vec![7; self.0])
        }
        async fn status(&self) -> Result<KmsStatus> {
            unreachable!("nobody writes")
        }
    }
    let of = |version, len| {
        let providers = vec![Provider::Identity, Provider::Kms(remote::kms(version, "vault"))];
        Transformer::new(providers, |_| Ok(Arc::new(Gives(len)))).unwrap()
    };
    let seed = World::new(KmsVersion::V2).write().unwrap();
    let mut dek = seed.clone();
    *dek.last_mut().unwrap() = 0;
    let v1 = World::new(KmsVersion::V1).write().unwrap();
    let said = |version, len: usize, value: &[u8]| kind(of(version, len).read(PATH, value).wait());
    for len in [1, 15, 16, 17, 24, 31, 32, 33, 64, 1024] {
        let aes = if [16, 24, 32].contains(&len) { ErrorKind::Authentication } else { ErrorKind::BadReply };
        assert_eq!(said(KmsVersion::V1, len, &v1), Some(aes), "{len}");
        assert_eq!(said(KmsVersion::V2, len, &dek), Some(aes), "{len}");
        let hkdf = if len >= 32 { ErrorKind::Authentication } else { ErrorKind::BadReply };
        assert_eq!(said(KmsVersion::V2, len, &seed), Some(hkdf), "{len}");
    }
}
