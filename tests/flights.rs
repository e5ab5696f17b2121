//! Many who wait for one call: flights, for sealing and for opening.
mod common;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, Error, ErrorKind, KeyId, Kms, Result, Scope, Wait, WrappedDek, async_trait,
    kek::{Fault, KmsBackend, Mock},
    rt::Simulated,
};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

const MANY: usize = 10_000;

fn seal(scope: &Scope) -> Result<Vec<u8>> {
    scope.seal(Aad::empty(), b"0123456789").wait()
}

type Calls<'a, T> = Vec<Pin<Box<dyn Future<Output = Result<T>> + 'a>>>;

/// All of them at once, on one thread.
async fn all<T>(mut calls: Calls<'_, T>) -> Vec<Result<T>> {
    let mut said: Vec<_> = calls.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (call, said) in calls.iter_mut().zip(&mut said).filter(|(_, said)| said.is_none()) {
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                *said = Some(answer);
            }
        }
        if said.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    said.into_iter().flatten().collect()
}

/// A KMS that takes a while, and a reader and writer that never asked it.
struct World {
    clock: Simulated,
    kek: Mock,
    scope: Scope,
    sealed: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let clock = Simulated::new();
        let kek = Mock::on(clock.clone(), "k");
        let build = || {
            let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
            kms.scope(EncryptionContext::empty())
        };
        let (sealed, scope) = (seal(&build()).unwrap(), build());
        kek.always(Some(Fault::Slow(Duration::from_millis(100))));
        Self { clock, kek, scope, sealed }
    }

    fn opens(&self) -> Calls<'_, ()> {
        let open = |_| Box::pin(async { self.scope.open(Aad::empty(), &self.sealed).await.map(|_| ()) }) as _;
        (0..MANY).map(open).collect()
    }

    fn seals(&self) -> Calls<'_, ()> {
        let seal = |_| Box::pin(async { self.scope.seal(Aad::empty(), b"x").await.map(|_| ()) }) as _;
        (0..MANY).map(seal).collect()
    }
}

#[test]
fn f38_ten_thousand_at_once_make_one_call() {
    for calls in [World::opens, World::seals] {
        let world = World::new();
        let before = world.kek.calls();
        assert!(world.clock.block_on(all(calls(&world))).iter().all(Result::is_ok));
        assert_eq!(world.kek.calls() - before, 1);
    }
}

#[test]
fn f38_with_half_of_them_cancelled_still_one() {
    for calls in [World::opens, World::seals] {
        let world = World::new();
        let before = world.kek.calls();
        let mut calls = calls(&world);
        for call in &mut calls {
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        // The first among them, who began the call.
        let mut nth = 0;
        calls.retain(|_| {
            nth += 1;
            nth % 2 == 0
        });
        world.clock.advance(Duration::from_millis(50));
        let said = world.clock.block_on(all(calls));
        assert!(said.len() == MANY / 2 && said.iter().all(Result::is_ok));
        assert_eq!(world.kek.calls() - before, 1);
    }
}

#[test]
fn a_kms_that_hangs_gives_all_the_same_error_and_the_next_call_tries_again() {
    for calls in [World::opens, World::seals] {
        let world = World::new();
        world.kek.always(Some(Fault::Hang));
        let before = world.kek.calls();
        let said = world.clock.block_on(all(calls(&world)));
        let texts: std::collections::HashSet<_> =
            said.into_iter().map(|r| r.unwrap_err().to_string()).collect();
        assert_eq!(texts.len(), 1);
        assert!(texts.iter().all(|text| text.contains("no answer within")), "{texts:?}");
        assert_eq!(world.kek.calls() - before, 2, "two attempts within the deadline");
        world.kek.always(None);
        assert!(world.clock.block_on(all(calls(&world))).iter().all(Result::is_ok));
        assert_eq!(world.kek.calls() - before, 3);
    }
}

/// Row 62: who comes with a forged header waits for a call of its own.
#[test]
fn f62_ten_thousand_honest_ones_behind_a_forged_header() {
    let world = World::new();
    let mut forged = world.sealed.clone();
    let at = forged.windows(3).position(|w| w == b"k/1").unwrap() + 10;
    forged[at] ^= 1;
    let mut calls: Calls<'_, ()> =
        vec![Box::pin(async { world.scope.open(Aad::empty(), &forged).await.map(|_| ()) })];
    calls.extend(world.opens());
    let before = world.kek.calls();
    let said = world.clock.block_on(all(calls));
    assert_eq!(said[0].as_ref().unwrap_err().kind(), ErrorKind::Authentication);
    assert!(said[1..].iter().all(Result::is_ok));
    assert_eq!(world.kek.calls() - before, 2);
}

#[test]
fn f38_a_thousand_cold_opens_and_first_seals_make_one_call_each() {
    let kek = Mock::new("k");
    let sealed = seal(&scope(kek.clone(), &[])).unwrap();
    kek.always(Some(Fault::Slow(Duration::from_millis(100))));
    let cold = scope(kek.clone(), &[]);
    let before = kek.calls();
    thread::scope(|t| {
        for _ in 0..500 {
            t.spawn(|| open(&cold, "", &sealed).unwrap());
            t.spawn(|| seal(&cold).unwrap());
        }
    });
    assert_eq!(kek.calls() - before, 2);
}

#[test]
fn a_caller_that_goes_away_takes_nothing_from_the_others() {
    let clock = Simulated::new();
    let kek = Mock::on(clock.clone(), "k");
    let sealed = seal(&scope(kek.clone(), &[])).unwrap();
    kek.then(Fault::Slow(Duration::from_secs(1)));
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
    let (cold, before) = (kms.scope(EncryptionContext::empty()), kek.calls());
    let mut first = Box::pin(cold.open(Aad::empty(), &sealed));
    let waker = std::task::Waker::noop();
    assert!(first.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(first);
    clock.block_on(cold.open(Aad::empty(), &sealed)).unwrap();
    assert_eq!(kek.calls() - before, 1);
}

/// Panics in every call, at first or at the second poll.
struct Panics(Arc<AtomicU32>);

#[async_trait]
impl KmsBackend for Panics {
    fn scheme(&self) -> &str {
        "x-panics"
    }
    fn accepts(&self, _: &KeyId) -> bool {
        true
    }
    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("no reactor running");
        }
        Ok(WrappedDek::new(KeyId::new("k")?, dek.expose()?.to_vec()))
    }
    async fn unwrap_dek(&self, _: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            assert!(!asked, "on purpose");
            asked = true;
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await
    }
}

#[test]
fn a_backend_that_panics_is_an_error_and_the_next_call_tries_again() {
    let scope = scope(Panics(Arc::default()), &[]);
    assert_eq!(seal(&scope).unwrap_err().kind(), ErrorKind::BadReply);
    let sealed = seal(&scope).unwrap();
    for _ in 0..2 {
        let error: Error = open(&scope, "", &sealed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadReply, "{error}");
    }
}

#[test]
fn what_nobody_waited_for_is_not_served_later() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    kek.always(Some(Fault::Hang));
    let mut gone = Box::pin(scope.seal(Aad::empty(), b"x"));
    let waker = std::task::Waker::noop();
    assert!(gone.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(gone);
    (0..6).for_each(|_| clock.advance(Duration::from_secs(1)));
    kek.always(None);
    clock.advance(Duration::from_secs(3600));
    let before = kek.calls();
    seal(&scope).unwrap();
    assert_eq!(kek.calls() - before, 1);
}

/// A backend that waits on libkms's own thread would wait for itself: an error, no hang.
struct Waits(Mock);

#[async_trait]
impl KmsBackend for Waits {
    fn scheme(&self) -> &str {
        "x-waits"
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        // Pending once, so that the rest runs on libkms's thread.
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        self.0.always(Some(Fault::Slow(Duration::from_millis(20))));
        self.0.wrap_dek(dek, context).wait()
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        self.0.unwrap_dek(wrapped, context).await
    }
}

#[test]
fn a_backend_that_waits_on_our_thread_is_an_error() {
    let scope = scope(Waits(Mock::new("k")), &[]);
    assert_eq!(seal(&scope).unwrap_err().kind(), ErrorKind::BadReply);
    let kek = Mock::new("other");
    kek.always(Some(Fault::Slow(Duration::from_millis(20))));
    seal(&common::scope(kek, &[])).expect("the thread is alive");
}
