//! One deadline for each operation, a quota that is used, and a KMS that is back.
mod common;
#[path = "common/world.rs"]
mod world;

use common::context;
use libkms::{
    Aad, Dek, DekPolicy, EncryptionContext, Error, ErrorKind, Freshness, KeyId, Kms, OutagePolicy, Result,
    SealOptions, WrappedDek, async_trait, inspect,
    kek::{Fault, KmsBackend, Mock},
    rt::{Runtime, Simulated},
};
use std::{
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};
use world::{World, all, seal};

const S: Duration = Duration::from_secs(1);

/// One that says when to come back is asked nothing until then, which nobody waits for.
#[test]
fn a_question_waits_no_longer_for_its_turn_than_for_its_answer() {
    let world = World::new(OutagePolicy::default());
    let sealed = world.clock.block_on(world.scope.seal(Aad::empty(), b"x")).unwrap();
    world.until(29 * S);
    world.kek.then(Fault::Throttled(60 * S));
    let other = world.kms.scope(context(&[("t", "2")]));
    assert!(world.clock.block_on(other.seal(Aad::empty(), b"x")).is_err());
    world.until(31 * S);
    let header = inspect(&sealed).unwrap();
    let (freshness, took) = world.timed(|w| w.clock.block_on(w.kms.freshness(&header)));
    assert!(freshness == Freshness::Unknown && took <= 3 * S, "{freshness:?} after {took:?}");
}

/// Whoever finds a new DEK used up by others waits for another one, and no longer than for one.
#[test]
fn many_messages_and_small_deks_keep_to_the_deadline() {
    let clock = Simulated::new();
    let kek = Mock::on(clock.clone(), "k");
    let policy = DekPolicy::reuse().for_messages(2);
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).dek_policy(policy).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    kek.always(Some(Fault::Slow(2 * S)));
    let mut calls: Vec<_> = (0..10).map(|_| Box::pin(seal(scope.clone()))).collect();
    let said = clock.block_on(all(&mut calls));
    assert!(clock.now() <= 5 * S, "{:?}", clock.now());
    let sealed = said.iter().filter(|said| said.is_ok()).count();
    let in_vain = said.iter().flat_map(|said| said.as_ref().err());
    assert!(sealed == 4 && in_vain.map(Error::kind).all(|kind| kind == ErrorKind::Unavailable));
}

/// Twice as many come as it lets through: half of them are served.
#[test]
fn a_quota_that_is_overrun_is_used_all_the_same() {
    let world = World::new(OutagePolicy::default().calls_per_second(10));
    world.kek.always(Some(Fault::Slow(S / 10)));
    let begun = world.clock.now();
    let come = (0..600).map(|n| {
        let (scope, clock) = (world.kms.scope(context(&[("t", &n.to_string())])), world.clock.clone());
        Box::pin(async move {
            clock.sleep(begun + S * n / 20 - clock.now()).await;
            seal(scope).await
        })
    });
    let said = world.clock.block_on(all(&mut come.collect::<Vec<_>>()));
    let sealed = said.iter().filter(|said| said.is_ok()).count();
    // For half a minute, and those who wait then.
    assert!((300..=360).contains(&sealed), "{sealed} of 600");
}

/// Whether it is back one call tries; those who come meanwhile are not refused for that.
#[test]
fn who_comes_while_one_tries_waits_for_what_comes_of_it() {
    for is_back in [true, false] {
        let world = World::new(OutagePolicy::default());
        let scope = |n: u32| world.kms.scope(context(&[("t", &n.to_string())]));
        world.kek.always(Some(Fault::Unavailable));
        (0..5).for_each(|n| drop(world.clock.block_on(scope(n).seal(Aad::empty(), b"x"))));
        world.clock.advance(60 * S);
        world.kek.always(Some(if is_back { Fault::Slow(S / 10) } else { Fault::Hang }));
        let before = world.kek.calls();
        let mut calls: Vec<_> = (0..20).map(|n| Box::pin(seal(scope(100 + n)))).collect();
        let (said, took) = world.timed(|w| w.clock.block_on(all(&mut calls)));
        let sealed = said.iter().filter(|said| said.is_ok()).count();
        if is_back {
            assert!(sealed == 20 && took <= S / 5, "{sealed} sealed in {took:?}");
        } else {
            assert!(sealed == 0 && took <= 5 * S, "{took:?}");
            assert!(world.kek.calls() - before <= 2, "{} calls", world.kek.calls() - before);
        }
    }
}

/// The deadline ends a call that has just begun: that says nothing of the KMS.
#[test]
fn a_call_that_had_no_time_is_no_failure_of_the_kms() {
    let world = World::new(OutagePolicy::default());
    for _ in 0..5 {
        world.kek.then(Fault::Throttled(S * 48 / 10)).then(Fault::Slow(S / 2));
        assert!(world.timed(World::seal).1 == 5 * S);
    }
    assert_eq!(world.kms.health().backends[0].refused, 0);
    world.kek.then(Fault::Slow(S / 2));
    world.seal().unwrap();
    assert_eq!(world.kms.health().backends[0].degraded_for, None);
    // With the time that a call usually has it does.
    world.until(700 * S);
    world.kek.always(Some(Fault::Hang));
    world.seal().unwrap();
    assert!(world.kms.health().backends[0].degraded_for.is_some());
}

/// A caller that is in no hurry: its future is there, and nobody polls it.
#[test]
fn who_tries_and_does_not_go_on_is_in_nobodys_way_for_long() {
    let world = World::new(OutagePolicy::default());
    let sealed = world.clock.block_on(world.scope.seal(Aad::empty(), b"x")).unwrap();
    let other = world.kms.scope(context(&[("t", "2")]));
    world.kek.always(Some(Fault::Unavailable));
    (0..3).for_each(|_| drop(world.clock.block_on(world.scope.open(Aad::empty(), &sealed))));
    world.clock.advance(60 * S);
    world.kek.always(Some(Fault::Hang));
    let mut rewrap = Box::pin(world.scope.rewrap(&sealed));
    assert!(rewrap.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    world.kek.always(None);
    world.clock.advance(30 * S);
    world.clock.block_on(world.scope.open(Aad::empty(), &sealed)).unwrap();
    world.clock.block_on(other.seal(Aad::empty(), b"x")).unwrap();
    drop(rewrap);
    world.clock.block_on(world.scope.open(Aad::empty(), &sealed)).unwrap();
}

/// To open and to wrap anew is one operation.
#[test]
fn a_rewrap_has_one_deadline() {
    let world = World::new(OutagePolicy::default());
    let sealed = world.clock.block_on(world.scope.seal(Aad::empty(), b"x")).unwrap();
    world.kek.rotate();
    world.clock.advance(60 * S);
    world.kek.then(Fault::Slow(29 * S / 10)).always(Some(Fault::Hang));
    let (rewrapped, took) = world.timed(|w| w.clock.block_on(w.scope.rewrap(&sealed)));
    assert!(rewrapped.unwrap_err().kind() == ErrorKind::Unavailable && took <= 5 * S, "{took:?}");
}

/// Many calls fail at once, so that it is left alone for a second: they have five.
#[test]
fn a_kms_that_is_away_for_a_moment_fails_nobody() {
    let world = World::new(OutagePolicy::default());
    let scope = |n: u32| world.kms.scope(context(&[("t", &n.to_string())]));
    let sealed: Vec<_> = (0..10).map(|n| world.clock.block_on(seal(scope(n))).unwrap()).collect();
    world.kek.always(Some(Fault::Unavailable));
    let (clock, kek) = (world.clock.clone(), world.kek.clone());
    let back = async move {
        clock.sleep(S * 3 / 10).await;
        kek.always(None);
        Ok(())
    };
    let seals = (0..10).map(|n| {
        let scope = scope(100 + n);
        Box::pin(async move { seal(scope).await.map(drop) }) as Pin<Box<dyn Future<Output = _>>>
    });
    let opens = (0..10).zip(&sealed).map(|(n, sealed)| {
        let scope = scope(n);
        Box::pin(async move { scope.open(Aad::empty(), sealed).await.map(drop) }) as _
    });
    let mut calls: Vec<Pin<Box<dyn Future<Output = _>>>> = seals.chain(opens).collect();
    calls.push(Box::pin(back));
    let (said, took) = world.timed(|w| w.clock.block_on(all(&mut calls)));
    let failed: Vec<_> = said.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty() && took <= 2 * S, "{} failed in {took:?}: {:?}", failed.len(), failed.first());
}

/// Takes a while to say which key is current.
struct Ponders(Mock, Simulated);

#[async_trait]
impl KmsBackend for Ponders {
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
        self.0.unwrap_dek(wrapped, context).await
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.1.sleep(S * 9 / 10).await;
        self.0.current_key().await
    }
}

/// To be told which key is current, and to have a DEK under it, is one operation for a stream, too.
#[test]
fn a_stream_has_one_deadline() {
    let clock = Simulated::new();
    let kek = Mock::on(clock.clone(), "k");
    let kms = Kms::builder().kek(Ponders(kek.clone(), clock.clone())).runtime(clock.clone()).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap();
    clock.advance(S);
    kek.rotate();
    clock.advance(60 * S);
    kek.always(Some(Fault::Hang));
    let begun = clock.now();
    let sealer = clock.block_on(scope.sealer_with(Aad::empty(), &SealOptions::new().len(9)));
    assert!(sealer.is_ok() && clock.now() - begun == 5 * S, "{:?}", clock.now() - begun);
}

/// Also one that each time says when to come back.
#[test]
fn one_that_puts_everybody_off_is_degraded() {
    let world = World::new(OutagePolicy::default());
    world.kek.always(Some(Fault::Throttled(60 * S)));
    assert!(world.seal().is_err());
    world.clock.advance(100 * S);
    assert!(world.seal().is_err());
    assert_eq!(world.kms.health().backends[0].degraded_for, Some(100 * S));
    world.kek.always(None);
    world.clock.advance(100 * S);
    world.seal().unwrap();
    assert_eq!(world.kms.health().backends[0].degraded_for, None);
}
