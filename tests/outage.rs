//! A KMS that fails: how long sealing goes on, how often it is asked, and what is told.
mod common;
#[path = "common/unsure.rs"]
mod unsure;
#[path = "common/world.rs"]
mod world;

use common::context;
use libkms::{
    Aad, Dek, DekPolicy, EncryptionContext, Error, ErrorKind, KeyId, Kms, OutagePolicy, Result, Wait,
    WrappedDek, async_trait,
    kek::{Fault, KmsBackend, Mock},
    rt::{Runtime, Simulated},
};
use std::time::Duration;
use unsure::Unsure;
use world::World;

const S: Duration = Duration::from_secs(1);

#[test]
fn f37_sealing_goes_on_for_three_minutes_past_a_deks_time_and_then_fails() {
    let world = World::new(OutagePolicy::default());
    let dek = world.seal().unwrap();
    world.kek.always(Some(Fault::Unavailable));
    world.until(605 * S);
    // The first one waits for the attempts; nobody else does.
    let (sealed, took) = world.timed(World::seal);
    assert!(sealed.unwrap() == dek && took <= 5 * S);
    let ends = world.kms.health().sealing_ends_in.expect("an outage");
    assert_eq!(ends + world.clock.now(), 780 * S);
    let before = world.kek.calls();
    while world.clock.now() < 779 * S {
        let (sealed, took) = world.timed(World::seal);
        assert!(sealed.unwrap() == dek && took.is_zero());
        world.clock.advance(S / 2);
    }
    let calls = world.kek.calls() - before;
    assert!((4..=60).contains(&calls), "{calls} calls in three minutes");
    world.until(780 * S);
    assert_eq!(world.seal().unwrap_err().kind(), ErrorKind::Unavailable);
    // It is back, and nothing needs a restart.
    world.kek.always(None);
    world.clock.advance(31 * S);
    assert_ne!(world.seal().unwrap(), dek);
    assert_eq!(world.kms.health().sealing_ends_in, None);
    assert_eq!(world.kms.health().backends[0].degraded_for, None);
}

#[test]
fn it_recovers_within_half_a_minute_by_itself() {
    let world = World::new(OutagePolicy::default());
    let dek = world.seal().unwrap();
    world.kek.always(Some(Fault::Hang));
    world.until(600 * S);
    assert_eq!(world.seal().unwrap(), dek);
    world.kek.always(None);
    let back = world.clock.now();
    while world.seal().unwrap() == dek {
        world.clock.advance(S);
    }
    assert!(world.clock.now() - back <= 31 * S);
}

/// Also if nobody asks any more, and whoever sweeps came by while a new one was on its way.
#[test]
fn f37_a_dek_that_was_kept_goes_at_its_end() {
    let world = World::new(OutagePolicy::default());
    world.seal().unwrap();
    world.kek.always(Some(Fault::Hang));
    world.until(605 * S);
    world.seal().unwrap();
    assert_eq!(world.kms.usage().sealing.held, 1);
    (0..40).for_each(|_| world.clock.advance(5 * S));
    assert_eq!(world.kms.usage().sealing.held, 0);
}

/// Nobody has sealed since: that it goes on is then not known any more.
#[test]
fn an_outage_that_is_long_over_is_none() {
    let world = World::new(OutagePolicy::default().seal_for(3600 * S));
    let dek = world.seal().unwrap();
    world.kek.always(Some(Fault::Unavailable));
    world.until(605 * S);
    assert_eq!(world.seal().unwrap(), dek);
    assert!(world.kms.health().sealing_ends_in.is_some());
    world.kek.always(Some(Fault::Slow(S / 10)));
    world.until(700 * S);
    assert_eq!(world.kms.health().sealing_ends_in, None);
    assert_ne!(world.seal().unwrap(), dek);
}

#[test]
fn what_is_refused_for_good_is_no_outage() {
    for (fault, kind) in [(Fault::Denied, ErrorKind::Denied), (Fault::WrongLength, ErrorKind::BadReply)] {
        let world = World::new(OutagePolicy::default());
        world.seal().unwrap();
        world.kek.always(Some(fault));
        world.until(600 * S);
        let (sealed, took) = world.timed(World::seal);
        assert_eq!((sealed.unwrap_err().kind(), took), (kind, Duration::ZERO), "and not tried again");
        assert_eq!(world.kms.health().sealing_ends_in, None);
    }
}

#[test]
fn without_grace_it_fails_at_once_and_the_bounds_hold_in_an_outage() {
    let world = World::new(OutagePolicy::default().seal_for(Duration::ZERO));
    world.seal().unwrap();
    world.kek.always(Some(Fault::Unavailable));
    world.until(600 * S);
    assert!(world.seal().is_err());

    let clock = Simulated::new();
    let kek = Mock::on(clock.clone(), "k");
    let policy = DekPolicy::reuse().for_messages(5);
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).dek_policy(policy).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let seal = || clock.block_on(scope.seal(Aad::empty(), b"x"));
    seal().unwrap();
    kek.always(Some(Fault::Unavailable));
    clock.advance(600 * S);
    (0..4).for_each(|_| drop(seal().unwrap()));
    assert!(seal().is_err(), "a sixth message under one DEK");
}

/// A key that moved, and a KMS that fails right then: what is there seals on.
#[test]
fn a_rotation_in_an_outage_stops_nobody() {
    let world = World::new(OutagePolicy::default());
    let dek = world.seal().unwrap();
    world.kek.rotate();
    world.kek.always(Some(Fault::Unavailable));
    world.until(40 * S);
    assert_eq!(world.seal().unwrap(), dek);
    world.kek.always(None);
    world.clock.advance(35 * S);
    assert_ne!(world.seal().unwrap(), dek);
}

#[test]
fn what_fails_for_a_moment_is_tried_again() {
    let world = World::new(OutagePolicy::default());
    world.kek.then(Fault::Unavailable).then(Fault::TimedOut);
    let (sealed, took) = world.timed(World::seal);
    assert!(sealed.is_ok() && took < S && world.kek.calls() == 3);
    // One that says when to come back is asked nothing before.
    world.until(600 * S);
    world.kek.then(Fault::Throttled(2 * S));
    let (sealed, took) = world.timed(World::seal);
    assert!(sealed.is_ok() && took >= 2 * S && took < 3 * S, "{took:?}");
    // If that is too late, it is told at once.
    let world = World::new(OutagePolicy::default());
    world.kek.always(Some(Fault::Throttled(60 * S)));
    let (error, took) = world.timed(|w| w.seal().unwrap_err());
    assert_eq!((error.retry_after(), took), (Some(60 * S), Duration::ZERO));
}

#[test]
fn one_that_fails_again_and_again_is_left_alone() {
    let world = World::new(OutagePolicy::default());
    world.kek.always(Some(Fault::Unavailable));
    let scopes: Vec<_> = (0..200).map(|n| world.kms.scope(context(&[("t", &n.to_string())]))).collect();
    for scope in &scopes {
        let error = world.clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        world.clock.advance(S / 10);
    }
    let health = world.kms.health().backends.remove(0);
    assert!(world.kek.calls() < 20 && health.refused > 150, "{} calls, {health:?}", world.kek.calls());
    // The mock does not count the questions for the current key.
    assert!(health.failed == world.kek.calls() && health.calls >= health.failed);
    assert!(health.degraded_for.unwrap() > 20 * S);
    world.kek.always(None);
    world.clock.advance(31 * S);
    for scope in &scopes {
        world.clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap();
    }
    assert_eq!(world.kms.health().backends[0].degraded_for, None);
}

#[test]
fn calls_stay_under_their_quota() {
    let world = World::new(OutagePolicy::default().calls_per_second(10));
    let (_, took) = world.timed(|w| {
        for n in 0..100 {
            let scope = w.kms.scope(context(&[("t", &n.to_string())]));
            w.clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap();
        }
    });
    assert!(took >= 8 * S && took <= 10 * S, "{took:?}");
    // Beyond the deadline nobody waits.
    let world = World::new(OutagePolicy::default().calls_per_second(1));
    let mut calls: Vec<_> = (0..20)
        .map(|n| {
            let scope = world.kms.scope(context(&[("t", &n.to_string())]));
            Box::pin(async move { scope.seal(Aad::empty(), b"x").await })
        })
        .collect();
    let mut said = Vec::new();
    for call in &mut calls {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(answer) = call.as_mut().poll(&mut cx) {
            said.push(answer);
        }
    }
    let refused = said.iter().filter(|answer| answer.is_err()).count();
    assert!(refused >= 13, "{refused} of 20 refused at once");
    assert!(
        said.iter()
            .flat_map(|a| a.as_ref().err())
            .all(|e| e.kind() == ErrorKind::Unavailable && e.retry_after().is_some())
    );
}

/// Denies, as a KMS with a quota does, and counts.
struct Denies(Mock, bool);

#[async_trait]
impl KmsBackend for Denies {
    fn scheme(&self) -> &str {
        "mock"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.0.wrap_dek(dek, context).await
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.0.unwrap_dek(wrapped, context).await.map_err(|e| if self.1 { e.of_the_key() } else { e })
    }
    fn calls_per_second(&self) -> Option<u32> {
        Some(1000)
    }
}

#[test]
fn what_was_refused_is_not_asked_again_for_a_few_seconds() {
    let seal = |kek: &Mock, n: u32| {
        let kms = Kms::builder().kek(kek.clone()).build().unwrap();
        kms.scope(context(&[("t", &n.to_string())])).seal(Aad::empty(), b"x").wait().unwrap()
    };
    for of_the_key in [false, true] {
        let clock = Simulated::new();
        let kek = Mock::on(clock.clone(), "k");
        let sealed = [seal(&kek, 0), seal(&kek, 1)];
        let kms = Kms::builder().kek(Denies(kek.clone(), of_the_key)).runtime(clock.clone()).build().unwrap();
        let open = |n: usize| {
            let scope = kms.scope(context(&[("t", &n.to_string())]));
            clock.block_on(scope.open(Aad::empty(), &sealed[n])).map(|_| ()).map_err(|e: Error| e.kind())
        };
        kek.always(Some(Fault::Denied));
        let before = kek.calls();
        (0..20).for_each(|_| assert_eq!(open(0), Err(ErrorKind::Denied)));
        assert_eq!(kek.calls() - before, 1);
        (0..20).for_each(|_| assert_eq!(open(1), Err(ErrorKind::Denied)));
        assert_eq!(kek.calls() - before, if of_the_key { 1 } else { 2 }, "another header under that key");
        kek.always(None);
        assert!(open(0).is_err());
        clock.advance(5 * S);
        assert_eq!((open(0), open(1)), (Ok(()), Ok(())));
    }
}

/// What is remembered of a key is told of another header shortly before it is over, and not
/// for longer.
#[test]
fn a_refusal_is_over_after_five_seconds_whoever_was_told_of_it() {
    let clock = Simulated::new();
    let kek = Mock::on(clock.clone(), "k");
    let seal = |_| {
        let kms = Kms::builder().kek(kek.clone()).build().unwrap();
        kms.scope(EncryptionContext::empty()).seal(Aad::empty(), b"x").wait().unwrap()
    };
    let sealed = [0, 1].map(seal);
    let kms = Kms::builder().kek(Denies(kek.clone(), true)).runtime(clock.clone()).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let open =
        |n: usize| clock.block_on(scope.open(Aad::empty(), &sealed[n])).map(drop).map_err(|e| e.kind());
    kek.then(Fault::Denied);
    let before = kek.calls();
    assert_eq!(open(0), Err(ErrorKind::Denied));
    clock.advance(5 * S - S / 10);
    assert_eq!((open(1), kek.calls() - before), (Err(ErrorKind::Denied), 1));
    clock.advance(S / 10);
    assert_eq!((open(1), open(0)), (Ok(()), Ok(())));
}

/// Whoever may not seal in a context costs few calls in a loop, and stops no other context, nor a
/// rewrap in this one.
#[test]
fn a_wrap_that_was_refused_is_not_asked_for_again_for_a_few_seconds() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = Kms::builder().kek(Denies(kek.clone(), false)).runtime(clock.clone()).build().unwrap();
    let scope = |n: &str| kms.scope(context(&[("t", n)]));
    let seal = |n| clock.block_on(scope(n).seal(Aad::empty(), b"x")).map_err(|e| e.kind());
    let sealed = Kms::builder().kek(kek.clone()).build().unwrap();
    let sealed = sealed.scope(context(&[("t", "1")])).seal(Aad::empty(), b"x").wait().unwrap();
    kek.always(Some(Fault::Denied));
    let before = kek.calls();
    (0..20).for_each(|_| assert_eq!(seal("1"), Err(ErrorKind::Denied)));
    assert_eq!(kek.calls() - before, 1);
    assert_eq!(kms.health().backends[0].refused, 19);
    kek.always(None);
    kek.rotate();
    assert!(seal("2").is_ok() && seal("1").is_err());
    assert!(clock.block_on(scope("1").rewrap(&sealed)).is_ok());
    clock.advance(5 * S);
    assert!(seal("1").is_ok());
}

/// Opening goes on with what is remembered, however long the KMS is away.
#[test]
fn what_is_remembered_opens_in_an_outage() {
    let world = World::new(OutagePolicy::default());
    let sealed = world.clock.block_on(world.scope.seal(Aad::empty(), b"x")).unwrap();
    let open = || world.clock.block_on(world.scope.open(Aad::empty(), &sealed));
    open().unwrap();
    world.kek.always(Some(Fault::Hang));
    while world.clock.now() < 590 * S {
        assert!(open().is_ok());
        world.clock.advance(10 * S);
    }
    world.until(605 * S);
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn keks_that_do_not_say_which_key_is_current_are_asked_at_once_and_in_time() {
    let clock = Simulated::seeded(7);
    let hanging = |name| Unsure(Mock::on(clock.clone(), name), "hangs");
    let kms = |policy| {
        let builder = Kms::builder().runtime(clock.clone()).outage_policy(policy);
        let builder = ["a", "b", "c"].into_iter().fold(builder, |b, name| b.kek(hanging(name)));
        builder.build().unwrap().scope(EncryptionContext::empty())
    };
    let others = Kms::builder().runtime(clock.clone()).kek(hanging("d")).build().unwrap();
    let others = clock.block_on(others.scope(EncryptionContext::empty()).seal(Aad::empty(), b"x")).unwrap();
    for (policy, most) in [(OutagePolicy::default(), 3 * S), (OutagePolicy::default().deadline(2 * S), 2 * S)]
    {
        let (scope, begun) = (kms(policy), clock.now());
        let error = clock.block_on(scope.open(Aad::empty(), &others)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoMatchingKek);
        assert_eq!(clock.now() - begun, most, "opened");
        clock.advance(60 * S);
        let sealed = clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap();
        // The question that is under way ends in vain; half a minute later comes the next.
        clock.advance(3 * S);
        clock.advance(30 * S);
        let begun = clock.now();
        clock.block_on(scope.rewrap(&sealed)).unwrap();
        assert_eq!(clock.now() - begun, most, "rewrapped");
    }
}
