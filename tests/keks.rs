//! Several KEKs for one DEK: all wrap, any one opens.
use libkms::{
    Aad, DekPolicy, EncryptionContext, ErrorKind, Freshness, Kms, OutagePolicy, Scope, SealOptions, Wait,
    WrapPolicy, inspect,
    kek::{Fault, Mock},
    rt::{Runtime, Simulated},
};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// A world with three KEKs in it.
struct World {
    clock: Simulated,
    keks: [Mock; 3],
}

impl World {
    fn new() -> Self {
        let clock = Simulated::new();
        let keks = ["a", "b", "c"].map(|name| Mock::on(clock.clone(), name));
        Self { clock, keks }
    }

    fn builder(&self, keks: usize) -> libkms::Builder {
        let builder = Kms::builder().runtime(self.clock.clone()).dek_policy(DekPolicy::per_message());
        self.keks[..keks].iter().fold(builder, |b, kek| b.kek(kek.clone()))
    }

    /// A new `Kms`, which remembers nothing.
    fn scope(&self, keks: usize) -> Scope {
        self.builder(keks).build().unwrap().scope(EncryptionContext::empty())
    }

    fn seal(&self, scope: &Scope) -> libkms::Result<Vec<u8>> {
        self.clock.block_on(scope.seal(Aad::empty(), b"text"))
    }

    fn sealed(&self, keks: usize) -> Vec<u8> {
        self.seal(&self.scope(keks)).unwrap()
    }

    /// What opening takes, and under which key it opened.
    fn open(&self, scope: &Scope, sealed: &[u8]) -> (Duration, libkms::Result<String>) {
        let begun = self.clock.now();
        let opened = self.clock.block_on(scope.open(Aad::empty(), sealed));
        (self.clock.now() - begun, opened.map(|o| o.key_id.to_string()))
    }

    fn calls(&self) -> [u64; 3] {
        self.keks.each_ref().map(Mock::calls)
    }
}

fn keys_of(sealed: &[u8]) -> Vec<String> {
    inspect(sealed).unwrap().recipients().iter().map(|r| r.wrapped.key_id.to_string()).collect()
}

#[test]
fn all_wrap_at_the_same_time() {
    let world = World::new();
    world.keks.iter().for_each(|kek| kek.always(Some(Fault::Slow(100 * MS))));
    let begun = world.clock.now();
    let sealed = world.sealed(3);
    // One makes the DEK, the others wrap it side by side.
    assert_eq!(world.clock.now() - begun, 200 * MS);
    assert_eq!(keys_of(&sealed), ["a/1", "b/1", "c/1"]);
}

#[test]
fn one_that_hangs_costs_the_hedging_delay() {
    let world = World::new();
    let sealed = world.sealed(2);
    world.keks[0].always(Some(Fault::Hang));
    let scope = world.scope(2);
    let (took, key) = world.open(&scope, &sealed);
    assert_eq!((took, key.unwrap().as_str()), (200 * MS, "b/1"));
    // It is doubted now: others are asked first, and nobody waits.
    world.keks[0].always(None);
    let more: Vec<_> = (0..5).map(|_| world.sealed(2)).collect();
    world.keks[0].always(Some(Fault::Hang));
    for sealed in &more {
        assert_eq!(world.open(&scope, sealed).0, Duration::ZERO);
    }
    // After its time it is asked again.
    world.clock.advance(Duration::from_secs(31));
    world.keks[0].always(None);
    assert_eq!(world.open(&scope, &world.sealed(2)).1.unwrap(), "a/1");
}

/// One that fails has the next asked at once, also while another is waited for.
#[test]
fn behind_one_that_hangs_and_one_that_fails_the_third_opens() {
    let world = World::new();
    let sealed = world.sealed(3);
    world.keks[0].always(Some(Fault::Hang));
    world.keks[1].always(Some(Fault::Unavailable));
    let (took, key) = world.open(&world.scope(3), &sealed);
    assert_eq!((took, key.unwrap().as_str()), (200 * MS, "c/1"));
}

#[test]
fn the_hedging_delay_on_the_real_clock() {
    let (a, b) = (Mock::new("a"), Mock::new("b"));
    let scope = || {
        let kms = Kms::builder().kek(a.clone()).kek(b.clone()).build().unwrap();
        kms.scope(EncryptionContext::empty())
    };
    let sealed = scope().seal(Aad::empty(), b"x").wait().unwrap();
    a.always(Some(Fault::Hang));
    let begun = std::time::Instant::now();
    assert_eq!(scope().open(Aad::empty(), &sealed).wait().unwrap().key_id.as_str(), "b/1");
    let took = begun.elapsed();
    assert!(took >= 200 * MS && took < 2900 * MS, "{took:?}");
}

#[test]
fn a_slow_one_is_not_dropped() {
    let world = World::new();
    let sealed = world.sealed(2);
    world.keks[0].always(Some(Fault::Slow(500 * MS)));
    world.keks[1].always(Some(Fault::Unavailable));
    let (took, key) = world.open(&world.scope(2), &sealed);
    assert_eq!((took, key.unwrap().as_str()), (500 * MS, "a/1"));
    world.keks[1].always(Some(Fault::Hang));
    assert_eq!(world.open(&world.scope(2), &sealed).0, 500 * MS);
    world.keks[1].always(Some(Fault::Slow(400 * MS)));
    let (took, key) = world.open(&world.scope(2), &sealed);
    assert_eq!((took, key.unwrap().as_str()), (500 * MS, "a/1"), "600 ms by the other one");
}

#[test]
fn what_a_backend_usually_takes_is_waited_for() {
    let world = World::new();
    let sealed: Vec<_> = (0..20).map(|_| world.sealed(2)).collect();
    world.keks[0].always(Some(Fault::Slow(300 * MS)));
    let scope = world.scope(2);
    let calls = |scope: &Scope, sealed: &Vec<u8>| {
        let before = world.calls();
        world.open(scope, sealed).1.unwrap();
        let after = world.calls();
        [after[0] - before[0], after[1] - before[1]]
    };
    // Nobody knows yet; the other one is quicker and preferred for a while.
    assert_eq!(calls(&scope, &sealed[0]), [1, 1]);
    world.clock.advance(Duration::from_secs(31));
    world.keks[1].always(Some(Fault::Hang));
    assert_eq!(calls(&scope, &sealed[1]), [1, 1]);
    world.keks[1].always(None);
    for sealed in &sealed[2..] {
        assert_eq!(calls(&scope, sealed), [1, 0], "it always takes as long");
    }
    let fixed = world.builder(2).outage_policy(OutagePolicy::default().hedge_after(50 * MS));
    let scope = fixed.build().unwrap().scope(EncryptionContext::empty());
    let (took, key) = world.open(&scope, &sealed[0]);
    assert_eq!((took, key.unwrap().as_str()), (50 * MS, "b/1"));
}

#[test]
fn all_down_is_one_error_that_says_what_each_said() {
    let world = World::new();
    let sealed = world.sealed(3);
    world.keks[0].always(Some(Fault::Hang));
    world.keks[1].always(Some(Fault::Throttled(Duration::from_secs(7))));
    world.keks[2].always(Some(Fault::Denied));
    let (took, error) = world.open(&world.scope(3), &sealed);
    let error = error.unwrap_err();
    assert_eq!(took, 5000 * MS, "the deadline, not that of three");
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Unavailable, Some(Duration::from_secs(7))));
    let said: Vec<_> = error.attempts().iter().map(|a| (a.key_id.as_str(), a.error.kind())).collect();
    use ErrorKind::{Denied, Unavailable};
    assert_eq!(said, [("a/1", Unavailable), ("b/1", Unavailable), ("c/1", Denied)]);
    let text = error.to_string();
    assert!(["no answer within", "throttled", "denied"].iter().all(|t| text.contains(t)), "{text}");
}

#[test]
fn by_default_no_kek_may_fail_to_wrap() {
    let world = World::new();
    world.keks[1].always(Some(Fault::Denied));
    world.keks[2].always(Some(Fault::Hang));
    let error = world.seal(&world.scope(3)).unwrap_err();
    assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Unavailable, 2), "{error}");
    // One alone says what it says.
    world.keks[0].always(Some(Fault::Throttled(Duration::from_secs(9))));
    let error = world.seal(&world.scope(1)).unwrap_err();
    assert_eq!((error.attempts().len(), error.retry_after()), (0, Some(Duration::from_secs(9))));
}

#[test]
fn what_may_fail_is_policy() {
    let world = World::new();
    let scope = |policy: WrapPolicy| {
        let kms = world.builder(3).wrap_policy(policy).build().unwrap();
        kms.scope(EncryptionContext::empty())
    };
    world.keks[0].always(Some(Fault::Unavailable));
    let sealed = world.seal(&scope(WrapPolicy::at_least(2))).unwrap();
    assert_eq!(keys_of(&sealed), ["b/1", "c/1"]);
    assert!(world.seal(&scope(WrapPolicy::at_least(3))).is_err());
    assert!(world.seal(&scope(WrapPolicy::all())).is_err());
    // It opens, is stale, and a rewrap adds the one that was missing, but not before.
    let reader = scope(WrapPolicy::at_least(2));
    let opened = world.clock.block_on(reader.open(Aad::empty(), &sealed)).unwrap();
    assert_ne!(opened.freshness, Freshness::Current);
    assert!(world.clock.block_on(reader.rewrap(&sealed)).is_err(), "a rewrap tolerates no failure");
    world.keks[0].always(None);
    world.clock.advance(Duration::from_secs(31));
    let new = world.clock.block_on(reader.rewrap(&sealed)).unwrap().unwrap();
    assert_eq!(keys_of(&new), ["a/1", "b/1", "c/1"]);

    world.keks[2].always(Some(Fault::Denied));
    let error = world.seal(&scope(WrapPolicy::at_least(1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "not a failure that was tolerated");
    let tolerant = WrapPolicy::at_least(1).tolerate(ErrorKind::Denied);
    world.keks[1].always(Some(Fault::Hang));
    let sealed = world.seal(&scope(tolerant.clone())).unwrap();
    assert_eq!(keys_of(&sealed), ["a/1"]);
    world.keks[0].always(Some(Fault::Denied));
    assert_eq!(world.seal(&scope(tolerant)).unwrap_err().attempts().len(), 3);

    for bad in [0, 4] {
        let built = world.builder(3).wrap_policy(WrapPolicy::at_least(bad)).build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Misuse);
    }
}

/// Seals do not wait for a KEK that hung a moment ago before the others are asked.
#[test]
fn one_that_hangs_does_not_make_the_deks() {
    let world = World::new();
    let kms = world.builder(2).wrap_policy(WrapPolicy::at_least(1)).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    world.keks[0].always(Some(Fault::Hang));
    let took: Vec<_> = (0..10)
        .map(|_| {
            let begun = world.clock.now();
            assert_eq!(keys_of(&world.seal(&scope).unwrap()), ["b/1"]);
            world.clock.now() - begun
        })
        .collect();
    // Its share of the deadline, then all of it, and then it is left alone.
    assert_eq!(took[0], 2500 * MS);
    assert!(
        took.iter().all(|t| *t <= 5000 * MS) && took[4..].iter().filter(|t| t.is_zero()).count() >= 4,
        "{took:?}"
    );
}

/// Row 62: what a forged header makes a KMS say is not the KMS's fault.
#[test]
fn forged_headers_put_no_kek_in_doubt() {
    let world = World::new();
    let sealed = world.sealed(2);
    let scope = world.scope(2);
    let mut forged = sealed.clone();
    let at = forged.windows(3).position(|w| w == b"a/1").unwrap() + 10;
    forged[at] ^= 1;
    world.open(&scope, &forged).1.unwrap_err();
    world.keks[0].then(Fault::Denied);
    world.open(&scope, &sealed).1.unwrap();
    let before = world.calls();
    world.open(&world.scope(2), &sealed).1.unwrap();
    let after = world.calls();
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 0]);
}

/// Who was asked beside a slow one, and had no time to answer, is not blamed.
#[test]
fn one_that_was_asked_a_moment_ago_is_not_doubted() {
    let world = World::new();
    let sealed = [world.sealed(3), world.sealed(3)];
    let scope = world.scope(3);
    world.keks[0].always(Some(Fault::Slow(210 * MS)));
    world.keks[1].always(Some(Fault::Slow(100 * MS)));
    assert_eq!(world.open(&scope, &sealed[0]).1.unwrap(), "a/1");
    world.keks[0].always(Some(Fault::Unavailable));
    world.keks[1].always(None);
    assert_eq!(world.open(&scope, &sealed[1]).1.unwrap(), "b/1", "not c");
}

/// The second copy of a header says of sixteen recipients what it likes.
fn forged_copy(first: u8, differ: bool) -> Vec<u8> {
    let recipient = |n: u8| {
        let wrapped = [if differ { first + n } else { first }; 40];
        [&b"\x04mock\x00\x03a/1\x00\x28"[..], &wrapped].concat()
    };
    let mut copy = b"KMSE\x01\x01\x02\x10\x0f\xf0".to_vec();
    copy.extend([7; 32]);
    copy.extend((0..16).flat_map(recipient));
    // No fields, padding, a mac.
    copy.resize(4096, 0);
    copy
}

/// Each recipient is asked for once, in however many copies and places it stands.
#[test]
fn f62_a_forged_header_costs_a_call_for_each_recipient() {
    for (differ, calls) in [(true, 32), (false, 2)] {
        let world = World::new();
        let forged = [forged_copy(1, differ), forged_copy(101, differ), vec![0; 40]].concat();
        for fault in [None, Some(Fault::Slow(100 * MS))] {
            world.keks[0].always(fault);
            let before = world.calls();
            let error = world.open(&world.scope(2), &forged).1.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Authentication);
            let after = world.calls();
            assert_eq!([after[0] - before[0], after[1] - before[1]], [calls, 0]);
        }
    }
}

/// What names another context than the caller does is no call worth.
#[test]
fn a_stored_context_that_differs_costs_no_call() {
    let world = World::new();
    let kms = world.builder(1).build().unwrap();
    let of = |n: &str| kms.scope(EncryptionContext::new([("t", n)]).unwrap());
    let mut sealed = Vec::new();
    let options = SealOptions::new().store_context().len(1);
    of("1").seal_stream(Aad::empty(), &options, &b"x"[..], &mut sealed).unwrap();
    let before = world.calls();
    assert_eq!(world.open(&of("2"), &sealed).1.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(world.calls(), before);
    world.open(&of("1"), &sealed).1.unwrap();
}
