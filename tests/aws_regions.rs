//! Two regions of AWS KMS, one of which is dead. Of two KEKs: opens go on, and wraps follow the
//! policy. Of one KEK with keys in both: what is in the other region opens as ever.
mod common;
#[path = "common/moto.rs"]
mod moto;
#[path = "common/program.rs"]
mod program;
#[path = "common/proxy.rs"]
mod proxy;

use common::{Folder, context};
use libkms::{
    Aad, Builder, ErrorKind, Freshness, Kms, OutagePolicy, Scope, Wait, WrapPolicy, inspect, kek::AwsKms,
    rt::Simulated,
};
use moto::*;
use program::*;
use proxy::{Answer, Proxy};
use serde_json::json;
use std::{
    fs,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

const REGIONS: [&str; 2] = [REGION, OTHER_REGION];
const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
/// What a call may take is 3 s. Half of that is room for a slow machine, and far more than the
/// 200 ms after which the other region is asked as well.
const SOON: Duration = Duration::from_millis(1500);

struct World {
    proxy: Proxy,
    /// One in each region.
    keys: [String; 2],
}

impl World {
    fn new() -> Self {
        Self { proxy: proxy(), keys: REGIONS.map(|region| new_key_in(region, json!({}))) }
    }

    fn builder(&self) -> Builder {
        let kek = |key| AwsKms::from_client(client(self.proxy.at), key).unwrap();
        self.keys.iter().fold(Kms::builder(), |builder, key| builder.kek(kek(key)))
    }

    fn scope(&self, builder: Builder) -> Scope {
        builder.build().unwrap().scope(context(&[("purpose", "orders")]))
    }

    /// A process that starts now: it knows of no region how it is.
    fn anew(&self) -> Scope {
        self.scope(self.builder())
    }

    fn hurt(&self, region: &str, how: &Answer) {
        self.proxy.forget();
        self.proxy.pass().region(region, how.clone());
    }
}

fn keys_of(record: &[u8]) -> Vec<String> {
    inspect(record).unwrap().recipients().iter().map(|r| r.wrapped.key_id.to_string()).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = work();
    (done, begun.elapsed())
}

/// Either region, reset and hung.
fn each_way() -> impl Iterator<Item = (&'static str, Answer)> {
    REGIONS.into_iter().flat_map(|region| [Answer::ResetBefore, Answer::Hang].map(|how| (region, how)))
}

/// Not for an outage of 5 s in each test.
fn quick() -> OutagePolicy {
    OutagePolicy::default().deadline(900 * MS).call_timeout(400 * MS)
}

#[test]
fn opens_go_on_within_the_hedging_delay_whichever_region_is_dead() {
    let world = World::new();
    let records: Vec<_> = (0..6).map(|_| world.anew().seal(Aad::empty(), b"tea").wait().unwrap()).collect();
    for (region, how) in each_way() {
        world.hurt(region, &how);
        let scope = world.anew();
        for (n, record) in records.iter().enumerate() {
            let (opened, took) = timed(|| scope.open(Aad::empty(), record).wait());
            assert_eq!(opened.unwrap().plaintext, b"tea", "{n} without {region}");
            assert!(took < SOON, "{n} without {region}: {took:?}");
        }
        // Whoever did not answer is asked last from then on.
        let asked = world.proxy.count_in(region);
        assert!(asked < records.len(), "{region} was asked {asked} times");
        world.proxy.pass();
    }
}

#[test]
fn all_must_wrap_unless_the_policy_says_otherwise_and_the_error_names_the_region() {
    let world = World::new();
    for (region, how) in each_way() {
        world.hurt(region, &how);
        let scope = world.scope(world.builder().outage_policy(quick()));
        let (refused, took) = timed(|| scope.seal(Aad::empty(), b"tea").wait().unwrap_err());
        assert!(took < SOON + 1000 * MS, "{took:?}");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_names(&refused.to_string(), region);
    }
}

/// Those that are dead, and not the other one.
fn assert_names(text: &str, dead: &str) {
    let alive = REGIONS.into_iter().find(|region| *region != dead).unwrap();
    assert!(text.contains(dead) && !text.contains(alive), "{text}");
}

/// A program whose clock goes as ours does, and can be moved on.
struct Program {
    clock: Simulated,
    kms: Kms,
}

impl Program {
    fn start(world: &World) -> Self {
        let clock = Simulated::new();
        let builder = world.builder().wrap_policy(WrapPolicy::at_least(1)).outage_policy(quick());
        Self { kms: builder.runtime(clock.clone()).build().unwrap(), clock }
    }

    fn tenant(&self, n: usize) -> Scope {
        self.kms.scope(context(&[("tenant", &n.to_string())]))
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        let (mut future, mut last) = (pin!(future), Instant::now());
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            thread::sleep(MS);
            self.clock.advance(last.elapsed());
            last = Instant::now();
        }
    }

    fn seal(&self, n: usize) -> Vec<u8> {
        self.run(self.tenant(n).seal(Aad::empty(), b"tea")).unwrap()
    }

    fn told(&self, record: &[u8]) -> Freshness {
        self.run(self.kms.freshness(&inspect(record).unwrap()))
    }

    /// Which key is current is asked when that is due, and the answers are there.
    fn pass(&self, time: Duration, record: &[u8]) {
        self.clock.advance(time);
        self.told(record);
    }
}

#[test]
fn with_one_region_wraps_go_on_and_have_both_when_the_other_is_back() {
    let world = World::new();
    let both = world.keys.to_vec();
    for (region, how) in each_way() {
        let program = Program::start(&world);
        let early = program.seal(0);
        assert_eq!((keys_of(&early), program.told(&early)), (both.clone(), Freshness::Current));

        world.hurt(region, &how);
        assert_eq!(keys_of(&program.seal(0)), both, "the DEK that is there");
        let alive: Vec<_> = both.iter().filter(|key| !key.contains(region)).cloned().collect();
        let (lone, took) = timed(|| program.seal(1));
        assert_eq!(keys_of(&lone), alive, "without {region}");
        assert!(took < SOON, "{took:?}");
        assert_eq!(program.told(&lone), Freshness::Stale);
        let refused = program.run(program.tenant(1).rewrap(&lone)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_names(&refused.to_string(), region);
        // Who starts now is in no other case.
        let late = Program::start(&world);
        assert_eq!(keys_of(&late.seal(0)), alive);

        // It is back: new DEKs have both, the one of the outage goes on until its time is over,
        // or, where its key was never told, until it is.
        world.proxy.pass();
        program.pass(31 * S, &lone);
        late.pass(31 * S, &lone);
        assert_eq!(
            [program.seal(2), program.seal(0), late.seal(0)].map(|r| keys_of(&r)),
            [&both, &both, &both].map(Clone::clone)
        );
        assert_eq!((keys_of(&program.seal(1)), program.told(&lone)), (alive.clone(), Freshness::Stale));
        program.pass(600 * S, &lone);
        assert_eq!(keys_of(&program.seal(1)), both);
        let whole = program.run(program.tenant(1).rewrap(&lone)).unwrap().expect("it was stale");
        assert_eq!((keys_of(&whole), program.told(&whole)), (both.clone(), Freshness::Current));
        for region in REGIONS {
            world.hurt(region, &Answer::ResetBefore);
            let scope = world.builder().build().unwrap().scope(context(&[("tenant", "1")]));
            assert_eq!(scope.open(Aad::empty(), &whole).wait().unwrap().plaintext, b"tea");
            world.proxy.pass();
        }
    }
}

/// So many records under the key in this region, each with a DEK of its own.
fn sealed(world: &World, key: &str, count: usize) -> Vec<Vec<u8>> {
    let kms = Kms::builder().kek(AwsKms::from_client(client(world.proxy.at), key).unwrap()).build().unwrap();
    (0..count).map(|n| tenant(&kms, n).seal(Aad::empty(), b"tea").wait().unwrap()).collect()
}

fn tenant(kms: &Kms, n: usize) -> Scope {
    kms.scope(context(&[("tenant", &n.to_string())]))
}

/// One KEK that opens under both keys, and has opened nothing yet.
fn of_both(world: &World) -> Kms {
    let kek = AwsKms::from_client(client(world.proxy.at), &world.keys[0]).unwrap();
    Kms::builder().kek(kek.accept(&world.keys[1]).unwrap()).outage_policy(quick()).build().unwrap()
}

/// Each with one call, and with none put off.
fn all_open_at_once(world: &World, kms: &Kms, records: &[Vec<u8>]) {
    // Which key is current is asked now, and not among them.
    kms.freshness(&inspect(&records[0]).unwrap()).wait();
    let refused = || kms.health().backends[0].refused;
    let before = refused();
    world.proxy.forget();
    for (n, record) in records.iter().enumerate() {
        assert_eq!(tenant(kms, n).open(Aad::empty(), record).wait().unwrap().plaintext, b"tea", "{n}");
    }
    assert_eq!((world.proxy.count("Decrypt"), refused()), (records.len(), before));
}

#[test]
fn of_one_kek_with_keys_in_two_regions_a_dead_one_stops_nothing_in_the_other() {
    let world = World::new();
    let records = world.keys.each_ref().map(|key| sealed(&world, key, 100));
    for dead in [0, 1] {
        let kms = of_both(&world);
        world.hurt(REGIONS[dead], &Answer::ResetBefore);
        for (n, record) in records[dead].iter().enumerate().take(5) {
            let refused = tenant(&kms, n).open(Aad::empty(), record).wait().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unavailable);
        }
        assert!(kms.health().backends[0].refused > 0, "the dead one is left alone");
        all_open_at_once(&world, &kms, &records[1 - dead]);
        assert_eq!(kms.health().backends[0].degraded_for, None);
        world.proxy.pass();
    }
}

#[test]
fn a_region_that_asks_for_a_pause_has_it_alone() {
    let world = World::new();
    let records = world.keys.each_ref().map(|key| sealed(&world, key, 20));
    let busy = Answer::refusal(503, "ServiceUnavailableException").with("retry-after", "30");
    for region in [0, 1] {
        let kms = of_both(&world);
        world.hurt(REGIONS[region], &busy);
        for n in [0, 1] {
            let refused = tenant(&kms, n).open(Aad::empty(), &records[region][n]).wait().unwrap_err();
            assert!(refused.retry_after().is_some(), "{refused}");
        }
        assert_eq!(world.proxy.count_in(REGIONS[region]), 1);
        all_open_at_once(&world, &kms, &records[1 - region]);
        world.proxy.pass();
    }
}

/// One of an account of which every key opens, in the region of the others.
#[test]
fn a_key_that_is_not_available_stops_no_other() {
    let world = World::new();
    let keys = [new_key(), new_key()];
    let records = keys.each_ref().map(|key| sealed(&world, key, 20));
    let kek = AwsKms::from_client(client(world.proxy.at), &world.keys[0]).unwrap();
    let account = keys[0].split(':').nth(4).unwrap();
    let kek = kek.accept_account(account).unwrap();
    let kms = Kms::builder().kek(kek).outage_policy(quick()).build().unwrap();
    world.proxy.key_is(&keys[0], "KeyUnavailableException");
    for (n, record) in records[0].iter().enumerate().take(5) {
        let refused = tenant(&kms, n).open(Aad::empty(), record).wait().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
    }
    assert!(world.proxy.count("Decrypt") > 5, "it is tried again");
    assert!(kms.health().backends[0].degraded_for.is_some(), "nothing was answered yet");
    all_open_at_once(&world, &kms, &records[1]);
}

#[test]
fn the_program_seals_as_the_purpose_says_and_a_rewrap_heals() {
    let (world, folder) = (World::new(), Folder::new("aws-regions"));
    let keks = world.keys.each_ref().map(|key| format!("\"aws-kms:{key}\"")).join(", ");
    let purpose = |name: &str, more: &str| {
        format!(
            "[purpose.{name}]\nkeks = [{keks}]\ncontext = {{ of = \"{name}\" }}\noutage = {{ deadline = \"1s\" }}\n{more}\n"
        )
    };
    fs::write(folder.join("kms.toml"), purpose("strict", "") + &purpose("lenient", "must_wrap = 1")).unwrap();
    let kms = |code: i32, line: &str| {
        let line = format!("{line} --config kms.toml");
        let ran = kms(&folder, &environment(world.proxy.at), &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.status.code(), Some(code), "{line}: {}", said(&ran));
        (String::from_utf8_lossy(&ran.stdout).into_owned(), said(&ran))
    };
    for name in ["a", "b", "c"] {
        fs::write(folder.join(name), name).unwrap();
    }
    kms(0, "seal a --purpose lenient");
    world.hurt(OTHER_REGION, &Answer::ResetBefore);
    kms(0, "seal b --purpose lenient");
    let (_, err) = kms(7, "seal c --purpose strict");
    assert_names(&err, OTHER_REGION);
    assert!(!folder.join("c.kms").exists());
    let keys = |name: &str| keys_of(&fs::read(folder.join(name)).unwrap());
    assert_eq!([keys("a.kms"), keys("b.kms")], [world.keys.to_vec(), vec![world.keys[0].clone()]]);
    let before = fs::read(folder.join("b.kms")).unwrap();
    let (_, err) = kms(7, "rewrap a.kms b.kms --stored-context --purpose lenient");
    assert_names(&err, OTHER_REGION);
    assert_eq!(fs::read(folder.join("b.kms")).unwrap(), before);

    world.proxy.pass();
    let (listed, _) = kms(10, "stale a.kms b.kms --purpose lenient");
    assert_eq!(listed, format!("b.kms  aws-kms:{}\n", world.keys[0]));
    let (report, _) = kms(0, "rewrap a.kms b.kms --stored-context --purpose lenient");
    assert!(report.starts_with("1 rewrapped, 1 current, 0 failed\n"), "{report}");
    for region in REGIONS {
        world.hurt(region, &Answer::ResetBefore);
        for name in ["a", "b"] {
            assert_eq!(kms(0, &format!("open {name}.kms -o - --purpose lenient")).0, name);
        }
        world.proxy.pass();
    }
}
