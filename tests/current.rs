//! Which key is current, and what a backend that errs about it may cost.
mod common;

use common::*;
use libkms::{
    Aad, Dek, EncryptionContext, Error, ErrorKind, Freshness, KeyId, Kms, Result, Scope, Wait, WrapPolicy,
    WrappedDek, async_trait, inspect,
    kek::{Fault, KmsBackend, Mock},
    rt::{BoxFuture, Simulated},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

const HALF_A_MINUTE: Duration = Duration::from_secs(31);

/// What it says when it is asked which key is current.
#[derive(Clone, Copy)]
enum Says {
    Key(&'static str),
    Nothing,
    Fails,
    Hangs,
    Panics,
    /// Before there is a future to poll.
    PanicsAtOnce,
}

/// Says what it is told to, wraps under the keys that it is told to, in turn, and opens what
/// has its secret, whatever the key is called.
#[derive(Clone)]
struct Puppet(Arc<Told>);

struct Told {
    secret: u8,
    keys: Mutex<Vec<&'static str>>,
    says: Mutex<Says>,
    wraps: AtomicU64,
    unwraps: AtomicU64,
    questions: AtomicU64,
}

impl Puppet {
    fn new(secret: u8, key: &'static str) -> Self {
        let [wraps, unwraps, questions] = [0; 3].map(AtomicU64::new);
        let (keys, says) = (Mutex::new(vec![key]), Mutex::new(Says::Key(key)));
        Self(Arc::new(Told { secret, keys, says, wraps, unwraps, questions }))
    }

    fn says(&self, says: Says) {
        *self.0.says.lock().unwrap() = says;
    }

    fn wraps_under(&self, keys: &[&'static str]) {
        *self.0.keys.lock().unwrap() = keys.to_vec();
    }

    fn moves_to(&self, key: &'static str) {
        self.wraps_under(&[key]);
        self.says(Says::Key(key));
    }

    fn wraps(&self) -> u64 {
        self.0.wraps.load(Ordering::SeqCst)
    }

    fn unwraps(&self) -> u64 {
        self.0.unwraps.load(Ordering::SeqCst)
    }

    fn questions(&self) -> u64 {
        self.0.questions.load(Ordering::SeqCst)
    }

    fn kms(&self, clock: &Simulated) -> Kms {
        Kms::builder().kek(self.clone()).runtime(clock.clone()).build().unwrap()
    }
}

/// Calls that are written by hand may panic before they give a future.
struct ByHand(Puppet);

#[async_trait]
impl KmsBackend for Puppet {
    fn scheme(&self) -> &str {
        "x-puppet"
    }
    fn accepts(&self, _: &KeyId) -> bool {
        true
    }
    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let nth = self.0.wraps.fetch_add(1, Ordering::SeqCst) as usize;
        let keys = self.0.keys.lock().unwrap().clone();
        let mut wrapped: Vec<u8> = dek.expose()?.iter().map(|b| b ^ self.0.secret).collect();
        wrapped.push(self.0.secret);
        Ok(WrappedDek::new(KeyId::new(keys[nth % keys.len()])?, wrapped))
    }
    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        self.0.unwraps.fetch_add(1, Ordering::SeqCst);
        match wrapped.ciphertext.split_last() {
            Some((secret, dek)) if *secret == self.0.secret => {
                Dek::take(dek.iter().map(|b| b ^ secret).collect::<Vec<_>>())
            }
            _ => Err(Error::new(ErrorKind::Authentication, "wrapped by another one")),
        }
    }
    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.0.questions.fetch_add(1, Ordering::SeqCst);
        let says = *self.0.says.lock().unwrap();
        match says {
            Says::Key(key) => KeyId::new(key).map(Some),
            Says::Nothing => Ok(None),
            Says::Fails => Err(Error::new(ErrorKind::Unavailable, "on purpose")),
            Says::Hangs => std::future::pending().await,
            Says::Panics | Says::PanicsAtOnce => panic!("on purpose"),
        }
    }
}

impl KmsBackend for ByHand {
    fn scheme(&self) -> &str {
        self.0.scheme()
    }
    fn accepts(&self, key_id: &KeyId) -> bool {
        self.0.accepts(key_id)
    }
    fn wrap_dek<'a, 'd, 'c, 'f>(
        &'a self,
        dek: &'d Dek,
        context: &'c EncryptionContext,
    ) -> BoxFuture<'f, Result<WrappedDek>>
    where
        'a: 'f,
        'd: 'f,
        'c: 'f,
    {
        self.0.wrap_dek(dek, context)
    }
    fn unwrap_dek<'a, 'w, 'c, 'f>(
        &'a self,
        wrapped: &'w WrappedDek,
        context: &'c EncryptionContext,
    ) -> BoxFuture<'f, Result<Dek>>
    where
        'a: 'f,
        'w: 'f,
        'c: 'f,
    {
        self.0.unwrap_dek(wrapped, context)
    }
    fn current_key<'a, 'f>(&'a self) -> BoxFuture<'f, Result<Option<KeyId>>>
    where
        'a: 'f,
    {
        let says = *self.0.0.says.lock().unwrap();
        assert!(!matches!(says, Says::PanicsAtOnce), "on purpose");
        self.0.current_key()
    }
}

fn tenant(kms: &Kms, n: u32) -> Scope {
    kms.scope(context(&[("t", &n.to_string())]))
}

fn seal(scope: &Scope) -> Vec<u8> {
    scope.seal(Aad::empty(), b"0123456789").wait().unwrap()
}

fn keys_of(sealed: &[u8]) -> Vec<String> {
    inspect(sealed).unwrap().recipients().iter().map(|r| r.wrapped.key_id.to_string()).collect()
}

/// However many scopes there are, and whatever becomes of the question.
#[test]
fn it_is_asked_at_most_twice_a_minute() {
    for how in [Says::Key("a"), Says::Nothing, Says::Fails, Says::Panics] {
        let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
        kek.says(how);
        let kms = kek.kms(&clock);
        let scopes: Vec<_> = (0..10).map(|n| tenant(&kms, n)).collect();
        let header = inspect(&seal(&scopes[0])).unwrap();
        for _ in 0..300 {
            clock.advance(Duration::from_secs(1));
            for scope in &scopes {
                open(scope, "", &seal(scope)).unwrap();
            }
            clock.block_on(kms.freshness(&header));
        }
        assert_eq!(kek.wraps(), 10);
        // One at first, and ten in five minutes.
        assert!((10..=11).contains(&kek.questions()), "{} questions", kek.questions());
    }
}

/// A wrap may name what was told before: AWS's Encrypt does not say under which material it was.
#[test]
fn wraps_do_not_put_the_question_off() {
    let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
    let kms = kek.kms(&clock);
    let scope = tenant(&kms, 1);
    let old = inspect(&seal(&scope)).unwrap();
    kek.says(Says::Key("b"));
    for n in 2..30 {
        clock.advance(Duration::from_secs(1));
        assert_eq!(keys_of(&seal(&tenant(&kms, n))), ["a"]);
    }
    kek.moves_to("b");
    clock.advance(Duration::from_secs(2));
    assert_eq!(keys_of(&seal(&scope)), ["b"]);
    assert_eq!((kms.freshness(&old).wait(), kek.questions()), (Freshness::Stale, 2));
    // Who does not answer questions is gone by his wraps, for half a minute each.
    kek.says(Says::Nothing);
    clock.advance(HALF_A_MINUTE);
    seal(&tenant(&kms, 1000));
    for n in 1..120 {
        clock.advance(Duration::from_secs(1));
        let new = inspect(&seal(&tenant(&kms, 1000 + n))).unwrap();
        assert_eq!(kms.freshness(&new).wait(), Freshness::Current);
    }
}

/// What it said before may be over: who opens meanwhile is told Unknown.
#[test]
fn while_it_is_asked_nothing_is_current() {
    let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
    let scope = tenant(&kek.kms(&clock), 1);
    let sealed = seal(&scope);
    let freshness = || scope.open(Aad::empty(), &sealed).wait().unwrap().freshness;
    assert_eq!(freshness(), Freshness::Current);
    kek.says(Says::Hangs);
    clock.advance(HALF_A_MINUTE);
    assert_eq!(freshness(), Freshness::Unknown);
    kek.says(Says::Key("b"));
    clock.advance(Duration::from_secs(3));
    clock.advance(HALF_A_MINUTE);
    assert_eq!(freshness(), Freshness::Stale);
}

#[test]
fn a_question_that_fails_does_not_bring_an_old_key_back() {
    for how in [Says::Fails, Says::Nothing, Says::Panics] {
        let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
        let kms = kek.kms(&clock);
        let (one, two) = (tenant(&kms, 1), tenant(&kms, 2));
        let _old = [&one, &two].map(seal);
        kek.moves_to("b");
        clock.advance(HALF_A_MINUTE);
        assert_eq!(keys_of(&seal(&one)), ["b"]);
        kek.says(how);
        clock.advance(HALF_A_MINUTE);
        assert_eq!(keys_of(&seal(&one)), ["b"]);
        assert_eq!(keys_of(&seal(&two)), ["b"], "it was learnt half a minute ago");
        assert_eq!((kek.wraps(), kek.questions()), (4, 3));
    }
}

/// Written by hand, it may panic before there is a future.
#[test]
fn a_question_that_panics_at_once_is_asked_again() {
    let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
    let kms = Kms::builder().kek(ByHand(kek.clone())).runtime(clock.clone()).build().unwrap();
    let scope = tenant(&kms, 1);
    seal(&scope);
    kek.says(Says::PanicsAtOnce);
    clock.advance(HALF_A_MINUTE);
    assert_eq!(keys_of(&seal(&scope)), ["a"]);
    kek.moves_to("b");
    clock.advance(HALF_A_MINUTE);
    assert_eq!(keys_of(&seal(&scope)), ["b"]);
}

/// A recipient stands for one KEK, not for all that call their key so.
#[test]
fn two_keks_of_one_key_are_two_recipients() {
    let [kek, old] = [Puppet::new(1, "k"), Puppet::new(2, "old")];
    let scope = |keks: [&Puppet; 2]| {
        let builder = keks.into_iter().fold(Kms::builder(), |b, kek| b.kek(kek.clone()));
        builder.build().unwrap().scope(EncryptionContext::empty())
    };
    let sealed = seal(&scope([&kek, &old]));
    let twice = scope([&kek, &kek]);
    assert!(twice.open(Aad::empty(), &sealed).wait().unwrap().is_stale(), "it is under the old one as well");
    let moved = twice.rewrap(&sealed).wait().unwrap().expect("there is something to do");
    assert_eq!(keys_of(&moved), ["k", "k"]);
    assert_eq!(twice.open(Aad::empty(), &moved).wait().unwrap().freshness, Freshness::Unknown);
    assert!(twice.rewrap(&moved).wait().unwrap().is_none());
}

/// One of two KEKs has a successor that calls its key as the old one did, which still opens.
#[test]
fn a_rewrap_sees_the_namesake_behind_a_recipient_that_is_current() {
    let clock = Simulated::new();
    let [kek, old, new] = [Puppet::new(1, "a"), Puppet::new(2, "b"), Puppet::new(3, "b")];
    let scope = |builder: libkms::Builder| {
        let kms = builder.runtime(clock.clone()).build().unwrap();
        kms.scope(EncryptionContext::empty())
    };
    let sealed = seal(&scope(Kms::builder().kek(kek.clone()).kek(old.clone())));
    let mover = scope(Kms::builder().kek(kek.clone()).kek(new.clone()).opens_with(old.clone()));
    for _ in 0..2 {
        let opened = mover.open(Aad::empty(), &sealed).wait().unwrap();
        assert_eq!(opened.freshness, Freshness::Unknown, "by the name alone");
    }
    let moved = mover.rewrap(&sealed).wait().unwrap().expect("there is something to do");
    assert_eq!(open(&scope(Kms::builder().kek(new.clone())), "", &moved).unwrap(), b"0123456789");
    // What is done is seen as well, and remembered.
    assert!(mover.rewrap(&moved).wait().unwrap().is_none());
    let before = (kek.unwraps(), new.unwraps());
    assert!(mover.rewrap(&moved).wait().unwrap().is_none());
    assert_eq!((kek.unwraps(), new.unwraps()), before);
}

/// Replicas of a KMS that do not agree yet, or a rotation that comes and goes.
#[test]
fn keys_that_are_named_in_turn_make_no_storm() {
    let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
    let kms = kek.kms(&clock);
    let scopes: Vec<_> = (0..10).map(|n| tenant(&kms, n)).collect();
    kek.wraps_under(&["a", "b"]);
    let second = Duration::from_secs(1);
    for says in [Says::Nothing, Says::Key("a"), Says::Key("b"), Says::Fails] {
        kek.says(says);
        let before = (kek.wraps(), kek.questions());
        for _ in 0..300 {
            clock.advance(second);
            scopes.iter().for_each(|scope| drop(seal(scope)));
        }
        // For each scope at most one for a question's answer, and one for a wrap's.
        let (wraps, questions) = (kek.wraps() - before.0, kek.questions() - before.1);
        assert!(wraps <= 10 * 21 && questions <= 11, "{wraps} wraps, {questions} questions in five minutes");
    }
    // When they agree, all follow within half a minute.
    for key in ["a", "b"] {
        kek.moves_to(key);
        seal(&tenant(&kms, 100));
        clock.advance(HALF_A_MINUTE);
        assert!(scopes.iter().all(|scope| keys_of(&seal(scope)) == [key]));
    }
    // Also those who are told by wraps alone, however often.
    kek.wraps_under(&["c"]);
    kek.says(Says::Nothing);
    for n in 0..HALF_A_MINUTE.as_secs() as u32 {
        seal(&tenant(&kms, 200 + n));
        clock.advance(second);
    }
    seal(&tenant(&kms, 300));
    assert!(scopes.iter().all(|scope| keys_of(&seal(scope)) == ["c"]));
}

/// A reply that disagrees with what is said of the current key is the latest.
#[test]
fn wraps_that_disagree_with_the_current_key_make_no_storm() {
    let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
    kek.says(Says::Key("b"));
    let kms = kek.kms(&clock);
    let scopes: Vec<_> = (0..10).map(|n| tenant(&kms, n)).collect();
    for _ in 0..300 {
        clock.advance(Duration::from_secs(1));
        scopes.iter().for_each(|scope| drop(seal(scope)));
    }
    assert!(kek.wraps() <= 10 + 10 && kek.questions() <= 11, "{} {}", kek.wraps(), kek.questions());
}

#[test]
fn who_waited_and_comes_late_does_not_seal_under_the_key_before() {
    let clock = Simulated::new();
    let slow = Mock::on(clock.clone(), "k");
    slow.then(Fault::Slow(Duration::from_secs(1)));
    let kms = Kms::builder().kek(slow.clone()).runtime(clock.clone()).build().unwrap();
    let scope = tenant(&kms, 1);
    let mut late = Box::pin(scope.seal(Aad::empty(), b"x"));
    assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(Duration::from_secs(1));
    slow.rotate();
    clock.advance(HALF_A_MINUTE);
    assert_eq!(keys_of(&seal(&scope)), ["k/2"]);
    assert_eq!(keys_of(&clock.block_on(late).unwrap()), ["k/2"]);
}

/// A KEK that may fail, and does, is no reason to stay under the key of another that went back.
#[test]
fn a_key_that_moves_back_is_followed_also_when_another_kek_failed() {
    let (clock, kek) = (Simulated::new(), Puppet::new(1, "a"));
    let down = Mock::on(clock.clone(), "b");
    let kms = Kms::builder().kek(kek.clone()).kek(down.clone()).wrap_policy(WrapPolicy::at_least(1));
    let kms = kms.runtime(clock.clone()).build().unwrap();
    seal(&tenant(&kms, 1));
    down.always(Some(Fault::Unavailable));
    kek.moves_to("b");
    let scope = tenant(&kms, 2);
    let seal = || clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap();
    assert_eq!(keys_of(&seal()), ["b"]);
    kek.moves_to("a");
    clock.advance(HALF_A_MINUTE);
    assert_eq!(keys_of(&seal()), ["a"]);
}
