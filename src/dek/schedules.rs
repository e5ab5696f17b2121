//! Who runs next is tried at random, by shuttle, many times over: flights, the table of
//! DEKs that seal and that of opened ones, and what the policy bounds. Run as tests/run does.
use super::{Keks, OpenDek, Opener, Rewrapper, SealDek, Sealer, Slot, WrapPolicy, slots::State};
use crate::{
    Aad, Dek, DekPolicy, EncryptionContext, ErrorKind, Header, KeyId, OutagePolicy, Result, WrappedDek,
    kek::{Kek, KmsBackend, Role},
    rt::{BoxFuture, Flight, Runtime, launch, sync::Mutex, sync::lock},
};
use shuttle::{Config, Runner, future::block_on, scheduler::RandomScheduler, thread};
use std::{
    collections::HashMap,
    future::{pending, poll_fn, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

const SCHEDULES: usize = 5000;
const NEVER: Duration = Duration::from_secs(1 << 20);

fn check(run: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    // Ciphers, and the stack that is wiped behind them.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(SCHEDULES), config).run(run);
}

/// Time stands still, a time-out never comes, and background work is a thread of its own.
struct World;

impl Runtime for World {
    fn now(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        if time >= NEVER { Box::pin(pending()) } else { Box::pin(ready(())) }
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        thread::spawn(|| block_on(task));
    }
}

/// Not at once: others run in between.
async fn elsewhere() {
    let mut asked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A KMS far away: what it wraps under is its version, which moves.
#[derive(Clone, Default)]
struct Far(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    version: u32,
    calls: u32,
    /// That many calls panic first.
    panics: u32,
}

impl Far {
    fn call(&self) -> u32 {
        let mut said = lock(&self.0);
        said.calls += 1;
        if said.panics > 0 {
            said.panics -= 1;
            drop(said);
            panic!("on purpose");
        }
        said.version
    }

    fn calls(&self) -> u32 {
        lock(&self.0).calls
    }
}

#[async_trait::async_trait]
impl KmsBackend for Far {
    fn scheme(&self) -> &str {
        "x-far"
    }

    fn accepts(&self, _: &KeyId) -> bool {
        true
    }

    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        elsewhere().await;
        let version = self.call();
        // No cipher: what is tried here is who runs next.
        Ok(WrappedDek::new(KeyId::new(format!("k/{version}"))?, dek.expose()?.to_vec()))
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        elsewhere().await;
        self.call();
        Dek::take(wrapped.ciphertext.clone())
    }
}

fn keks(far: &Far) -> Arc<Keks> {
    let patient = OutagePolicy::default().call_timeout(NEVER).deadline(NEVER);
    let kek = Kek::new(Arc::new(far.clone()), Role::Wraps, Arc::new(World), &patient).unwrap();
    Arc::new(Keks::new(vec![kek], WrapPolicy::all(), &patient, Arc::new(World)).unwrap())
}

fn sealer(far: &Far, policy: DekPolicy, most: usize) -> Arc<Sealer> {
    Arc::new(Sealer::new(keks(far), policy, NEVER, most, Arc::new(World)))
}

fn tenant(n: u32) -> EncryptionContext {
    EncryptionContext::new([("tenant", n.to_string())]).unwrap()
}

fn name(dek: &SealDek) -> [u8; 32] {
    *dek.header.commitment()
}

/// What sealing one record does: the warm path, then the other.
fn take(sealer: &Sealer, slot: &Arc<Slot>, len: u64) -> Result<Arc<SealDek>> {
    match sealer.warm(slot, len)? {
        Some(dek) => Ok(dek),
        None => block_on(sealer.dek(slot, len)),
    }
}

/// Polls once, then goes away.
fn give_up(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

fn threads<T: Send + 'static>(work: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = work.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|t| t.join().unwrap()).collect()
}

#[test]
fn a_flight_runs_once_and_lands_for_all_who_stay() {
    check(|| {
        let runs = Arc::new(Mutex::new(0));
        let counted = runs.clone();
        let work = async move {
            elsewhere().await;
            *lock(&counted) += 1;
            7
        };
        let (flight, task) = Flight::new(work, || 0);
        let mut work: Vec<Box<dyn FnOnce() -> i32 + Send>> = Vec::new();
        for leaves in [false, true, false] {
            let flight = flight.clone();
            work.push(Box::new(move || {
                if leaves {
                    give_up(flight);
                    return 7;
                }
                block_on(flight)
            }));
        }
        drop(flight);
        work.push(Box::new(move || {
            launch(&World, task);
            7
        }));
        assert_eq!(threads(work), [7; 4]);
        assert_eq!(*lock(&runs), 1);
    });
}

#[test]
fn f17_no_schedule_passes_the_bounds_of_a_dek() {
    check(|| {
        let far = Far::default();
        let sealer = sealer(&far, DekPolicy::reuse().for_messages(3).for_bytes(100), 10);
        let work = (0..3).map(|n| {
            let sealer = sealer.clone();
            Box::new(move || {
                let slot = sealer.slot(&tenant(1));
                let lens = [30 + n, 45, 20];
                lens.map(|len| (name(&take(&sealer, &slot, len).unwrap()), len))
            }) as _
        });
        let mut used = HashMap::new();
        for (name, len) in threads(work.collect()).into_iter().flatten() {
            let (messages, bytes) = used.entry(name).or_insert((0, 0u64));
            (*messages, *bytes) = (*messages + 1, *bytes + len);
        }
        assert!(used.values().all(|(messages, bytes)| *messages <= 3 && *bytes <= 100), "{used:?}");
        assert_eq!(far.calls() as usize, used.len(), "no DEK was made that seals nothing");
    });
}

#[test]
fn first_seals_share_one_call_whoever_goes_away() {
    check(|| {
        let far = Far::default();
        let sealer = sealer(&far, DekPolicy::reuse(), 10);
        let work = [false, true, false].map(|leaves| {
            let sealer = sealer.clone();
            Box::new(move || {
                let slot = sealer.slot(&tenant(1));
                if leaves {
                    give_up(sealer.dek(&slot, 1));
                    return None;
                }
                Some(name(&take(&sealer, &slot, 1).unwrap()))
            }) as _
        });
        let names: Vec<_> = threads(Vec::from(work)).into_iter().flatten().collect();
        assert!(names[0] == names[1] && far.calls() == 1);
    });
}

/// Handles of evicted scopes go on, the table keeps to its size, nobody waits for ever.
#[test]
fn a_table_too_small_for_its_scopes() {
    check(|| {
        let far = Far::default();
        let sealer = sealer(&far, DekPolicy::reuse().for_messages(4), 1);
        let work = (0..3).map(|n| {
            let sealer = sealer.clone();
            Box::new(move || {
                let slot = sealer.slot(&tenant(n % 2));
                for _ in 0..2 {
                    let dek = take(&sealer, &slot, 1).unwrap();
                    assert_eq!(dek.context, tenant(n % 2), "another scope's DEK");
                }
                assert!(sealer.usage().held <= 1);
                slot
            }) as _
        });
        let mut full = threads::<Arc<Slot>>(work.collect());
        full.retain(|slot| matches!(*slot.state(), State::Here(_)));
        assert!(full.windows(2).all(|two| Arc::ptr_eq(&two[0], &two[1])), "a DEK that nobody sweeps");
    });
}

/// Once a new key was named, nothing more is sealed under the old one.
#[test]
fn a_key_that_moves_ends_the_deks_of_all() {
    check(|| {
        let far = Far::default();
        let sealer = sealer(&far, DekPolicy::reuse(), 10);
        let key = |dek: &SealDek| dek.header.recipients()[0].wrapped.key_id.to_string();
        let one = sealer.slot(&tenant(1));
        assert_eq!(key(&take(&sealer, &one, 1).unwrap()), "k/0");
        lock(&far.0).version = 1;
        let work = (0..3).map(|n| {
            let sealer = sealer.clone();
            Box::new(move || {
                if n == 0 {
                    // Another scope learns it.
                    assert_eq!(key(&take(&sealer, &sealer.slot(&tenant(2)), 1).unwrap()), "k/1");
                    return key(&take(&sealer, &sealer.slot(&tenant(1)), 1).unwrap());
                }
                take(&sealer, &sealer.slot(&tenant(1)), 1).unwrap();
                "k/1".into()
            }) as _
        });
        assert!(threads(work.collect()).iter().all(|key: &String| key == "k/1"));
        assert_eq!(key(&take(&sealer, &one, 1).unwrap()), "k/1");
    });
}

#[test]
fn a_backend_that_panics_fails_its_waiters_and_the_next_call_tries_again() {
    check(|| {
        let far = Far::default();
        let sealer = sealer(&far, DekPolicy::reuse(), 10);
        lock(&far.0).panics = 1;
        let work = (0..2).map(|_| {
            let sealer = sealer.clone();
            Box::new(move || take(&sealer, &sealer.slot(&tenant(1)), 1).map(|dek| name(&dek))) as _
        });
        for failed in threads::<Result<_>>(work.collect()).into_iter().filter_map(Result::err) {
            assert_eq!(failed.kind(), ErrorKind::BadReply);
        }
        take(&sealer, &sealer.slot(&tenant(1)), 1).unwrap();
        assert!(far.calls() <= 3);
    });
}

/// Cold opens of one DEK, a forged header among them: one call for each header.
#[test]
fn f62_a_forged_header_fails_nobody_else() {
    check(|| {
        let far = Far::default();
        let sealer = sealer(&far, DekPolicy::reuse(), 10);
        let mut sealed = Vec::new();
        let dek = take(&sealer, &sealer.slot(&tenant(1)), 1).unwrap();
        sealed.extend_from_slice(dek.header.bytes());
        dek.seal(Aad::empty(), b"x", &mut sealed).unwrap();
        let honest = Header::parse(&sealed).unwrap();
        let at = sealed.windows(3).position(|w| w == b"k/0").unwrap() + 5;
        sealed[at] ^= 1;
        let forged = Header::parse(&sealed).unwrap();
        let opener = Arc::new(Opener::new(keks(&far), 1, NEVER, Arc::new(World)));
        let before = far.calls();
        let work = [&forged, &honest, &honest].map(|header| {
            let (opener, header) = (opener.clone(), header.clone());
            Box::new(move || block_on(opener.unlock(&header, &tenant(1))).map(|u| u.dek)) as _
        });
        let opened: Vec<Result<Arc<OpenDek>>> = threads(Vec::from(work));
        assert_eq!(opened[0].as_ref().err().map(|e| e.kind()), Some(ErrorKind::Authentication));
        assert!(opened[1].is_ok() && opened[2].is_ok());
        assert!(far.calls() - before <= 2, "{} calls", far.calls() - before);
    });
}

#[test]
fn rewraps_of_one_header_agree() {
    check(|| {
        let far = Far::default();
        let old = take(
            &sealer(&far, DekPolicy::reuse(), 1),
            &sealer(&far, DekPolicy::reuse(), 1).slot(&tenant(1)),
            1,
        );
        let header = Header::parse(&[old.unwrap().header.bytes(), &[0; 40][..]].concat()).unwrap();
        lock(&far.0).version = 1;
        let rewrapper = Arc::new(Rewrapper::new(keks(&far)));
        let work = (0..2).map(|_| {
            let (rewrapper, header) = (rewrapper.clone(), header.clone());
            Box::new(move || block_on(rewrapper.rewrap(&header, &tenant(1))).unwrap().unwrap()) as _
        });
        for new in threads::<Arc<crate::envelope::HeaderCopy>>(work.collect()) {
            assert_eq!(new.recipients()[0].wrapped.key_id.as_str(), "k/1");
            assert_eq!(new.commitment(), header.commitment());
        }
    });
}
