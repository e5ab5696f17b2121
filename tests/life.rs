//! The life of a DEK: how much it seals, how long it is remembered, what a KMS that fails
//! does to it.
mod common;
#[path = "common/unsure.rs"]
mod unsure;

use common::*;
use libkms::{
    Aad, DekPolicy, EncryptionContext, ErrorKind, Freshness, Kms, OutagePolicy, Result, Scope, Wait,
    kek::{Fault, KmsBackend, Mock},
    rt::{BoxFuture, Runtime, Simulated},
};
use std::{
    collections::HashSet,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use unsure::Unsure;

fn with_policy(kek: &Mock, policy: DekPolicy) -> Scope {
    let kms = Kms::builder().kek(kek.clone()).dek_policy(policy).build().unwrap();
    kms.scope(EncryptionContext::empty())
}

fn seal(scope: &Scope) -> Result<Vec<u8>> {
    scope.seal(Aad::empty(), b"0123456789").wait()
}

#[test]
fn one_dek_seals_a_million_messages_and_not_more() {
    let kek = Mock::new("k");
    let scope = with_policy(&kek, DekPolicy::reuse().for_messages(100));
    (0..1000).for_each(|_| drop(seal(&scope).unwrap()));
    assert_eq!(kek.calls(), 10);
    assert_eq!(DekPolicy::default(), DekPolicy::reuse().for_messages(1 << 20).for_bytes(64 << 30));
}

#[test]
fn f17_the_bound_of_messages_holds_under_concurrency() {
    let kek = Mock::new("k");
    let scope = with_policy(&kek, DekPolicy::reuse().for_messages(50));
    let sealed = std::sync::Mutex::new(std::collections::HashMap::new());
    thread::scope(|t| {
        for _ in 0..8 {
            t.spawn(|| {
                for _ in 0..500 {
                    let name = *libkms::inspect(&seal(&scope).unwrap()).unwrap().commitment();
                    *sealed.lock().unwrap().entry(name).or_insert(0) += 1;
                }
            });
        }
    });
    let sealed = sealed.into_inner().unwrap();
    assert!(sealed.values().all(|n| *n <= 50) && sealed.values().sum::<i32>() == 4000);
}

#[test]
fn bytes_and_time_end_a_dek_too() {
    let kek = Mock::new("k");
    let scope = with_policy(&kek, DekPolicy::reuse().for_bytes(95));
    (0..20).for_each(|_| drop(seal(&scope).unwrap()));
    assert_eq!(kek.calls(), 3, "nine messages of ten bytes each");
    scope.seal(Aad::empty(), &[0; 96]).wait().unwrap();
    assert_eq!(kek.calls(), 4, "a message above the bound has a DEK of its own");
    seal(&scope).unwrap();

    let kek = Mock::new("k");
    let scope = with_policy(&kek, DekPolicy::reuse().for_time(Duration::ZERO));
    (0..5).for_each(|_| drop(seal(&scope).unwrap()));
    assert_eq!(kek.calls(), 5, "a DEK of no time seals the one message it was made for");

    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    seal(&scope).unwrap();
    clock.advance(Duration::from_secs(599));
    seal(&scope).unwrap();
    assert_eq!(kek.calls(), 1);
    clock.advance(Duration::from_secs(1));
    seal(&scope).unwrap();
    assert_eq!(kek.calls(), 2);
}

#[test]
fn a_dek_for_every_message_if_wanted() {
    let kek = Mock::new("k");
    let scope = with_policy(&kek, DekPolicy::per_message());
    let names: HashSet<_> =
        (0..10).map(|_| *libkms::inspect(&seal(&scope).unwrap()).unwrap().commitment()).collect();
    assert_eq!((names.len(), kek.calls()), (10, 10));
}

#[test]
fn policies_outside_the_format_are_refused() {
    for n in [0, (1 << 32) + 1, u64::MAX] {
        let built = Kms::builder().kek(Mock::new("k")).dek_policy(DekPolicy::reuse().for_messages(n)).build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Misuse);
    }
    assert_eq!(Kms::builder().build().unwrap_err().kind(), ErrorKind::Misuse);
    let only_opens = Kms::builder().opens_with(Mock::new("k")).build().unwrap();
    assert_eq!(seal(&only_opens.scope(EncryptionContext::empty())).unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn handles_of_one_scope_share_a_dek() {
    let kek = Mock::new("k");
    let kms = Kms::builder().kek(kek.clone()).build().unwrap();
    let tenant = |n: u32| kms.scope(EncryptionContext::empty()).with("tenant", n.to_string()).unwrap();
    for n in 0..30 {
        seal(&tenant(n % 3)).unwrap();
    }
    assert_eq!(kek.calls(), 3);
}

#[test]
fn faults_become_errors_of_their_kind_and_a_later_call_tries_again() {
    for (fault, kind) in [
        (Fault::Unavailable, ErrorKind::Unavailable),
        (Fault::TimedOut, ErrorKind::Unavailable),
        (Fault::Throttled(Duration::from_secs(7)), ErrorKind::Unavailable),
        (Fault::Denied, ErrorKind::Denied),
        (Fault::WrongLength, ErrorKind::BadReply),
    ] {
        let clock = Simulated::new();
        let kek = Mock::on(clock.clone(), "k");
        let build = || Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
        let sealed = seal(&build().scope(EncryptionContext::empty())).unwrap();
        let [writer, reader] = [build(), build()].map(|kms| kms.scope(EncryptionContext::empty()));
        let seal = || clock.block_on(writer.seal(Aad::empty(), b"x"));
        let open = || clock.block_on(reader.open(Aad::empty(), &sealed));
        kek.always(Some(fault.clone()));
        for error in [seal().unwrap_err(), open().unwrap_err()] {
            assert_eq!(error.kind(), kind, "{fault:?}: {error}");
            let later = matches!(fault, Fault::Throttled(_)).then_some(Duration::from_secs(7));
            assert_eq!(error.retry_after(), later, "{fault:?}");
        }
        kek.always(None);
        clock.advance(Duration::from_secs(7));
        assert!(seal().is_ok() && open().is_ok(), "{fault:?}");
    }
}

#[test]
fn replies_that_no_kms_should_give_are_not_believed() {
    let kek = Mock::new("k");
    let cold = || scope(kek.clone(), &[]);
    // Wrapped under a key that this backend would not open: written nowhere.
    kek.then(Fault::WrongKeyId);
    assert_eq!(seal(&cold()).unwrap_err().kind(), ErrorKind::BadReply);
    // A DEK that is noise, or another record's: the commitment tells.
    let (one, two) = (seal(&cold()).unwrap(), seal(&cold()).unwrap());
    kek.then(Fault::Garbage);
    assert_eq!(open(&cold(), "", &one).unwrap_err().kind(), ErrorKind::Authentication);
    open(&cold(), "", &one).unwrap();
    kek.then(Fault::Duplicate);
    assert_eq!(open(&cold(), "", &two).unwrap_err().kind(), ErrorKind::Authentication);
    // A wrap of another DEK, or noise: sealed, it is lost. `generate_dek` cannot tell; the
    // contract suite can.
    kek.then(Fault::Garbage);
    let lost = seal(&cold()).unwrap();
    assert_eq!(open(&cold(), "", &lost).unwrap_err().kind(), ErrorKind::Authentication);
}

#[test]
fn a_kms_that_hangs_is_given_up_in_time() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let outage = OutagePolicy::default().seal_for(Duration::ZERO);
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).outage_policy(outage).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let sealed = seal(&scope).unwrap();
    kek.always(Some(Fault::Hang));
    clock.advance(Duration::from_secs(700));
    let before = libkms::rt::Runtime::now(&clock);
    let error = clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(libkms::rt::Runtime::now(&clock) - before, Duration::from_secs(5), "all attempts");
    let error = clock.block_on(scope.open(Aad::empty(), &sealed)).unwrap_err();
    assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Unavailable, 1));
    kek.always(None);
    clock.advance(Duration::from_secs(31));
    assert!(clock.block_on(scope.open(Aad::empty(), &sealed)).is_ok());

    // The same on the real clock, from a bare thread.
    kek.always(Some(Fault::Hang));
    let outage = OutagePolicy::default().deadline(Duration::from_millis(50));
    let kms = Kms::builder().kek(kek).outage_policy(outage).build().unwrap();
    let started = Instant::now();
    assert!(seal(&kms.scope(EncryptionContext::empty())).is_err());
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[test]
fn freshness_is_what_a_new_dek_would_be() {
    let clock = Simulated::new();
    let (a, b) = (Mock::new("a"), Mock::new("b"));
    let build = |f: &dyn Fn() -> libkms::Builder| {
        f().runtime(clock.clone()).build().unwrap().scope(EncryptionContext::empty())
    };
    let freshness = |scope: &Scope, sealed: &[u8]| scope.open(Aad::empty(), sealed).wait().unwrap().freshness;
    let of_a = build(&|| Kms::builder().kek(a.clone()));
    let old = seal(&of_a).unwrap();
    assert_eq!(freshness(&of_a, &old), Freshness::Current);
    a.rotate();
    clock.advance(Duration::from_secs(31));
    let opened = of_a.open(Aad::empty(), &old).wait().unwrap();
    assert!(opened.is_stale());
    assert_eq!(opened.key_id.as_str(), "a/1");
    let both = build(&|| Kms::builder().kek(a.clone()).kek(b.clone()));
    let new = seal(&both).unwrap();
    assert_eq!(freshness(&both, &new), Freshness::Current);
    assert_eq!(freshness(&both, &old), Freshness::Stale);
    assert_eq!(freshness(&of_a, &new), Freshness::Stale, "one KEK too many");
    let reader = build(&|| Kms::builder().opens_with(a.clone()));
    assert_eq!(freshness(&reader, &new), Freshness::Unknown);
}

#[test]
fn any_one_of_several_keks_opens_and_the_error_says_what_each_said() {
    let (a, b) = (Mock::new("a"), Mock::new("b"));
    let both = || {
        let kms = Kms::builder().kek(a.clone()).kek(b.clone()).build().unwrap();
        kms.scope(EncryptionContext::empty())
    };
    let sealed = seal(&both()).unwrap();
    a.always(Some(Fault::Unavailable));
    assert_eq!(open(&both(), "", &sealed).unwrap(), b"0123456789");
    b.always(Some(Fault::Denied));
    let error = open(&both(), "", &sealed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let said: Vec<_> = error.attempts().iter().map(|t| (t.key_id.as_str(), t.error.kind())).collect();
    assert_eq!(said, [("a/1", ErrorKind::Unavailable), ("b/1", ErrorKind::Denied)]);
    assert!(seal(&both()).is_err(), "every KEK must wrap");
}

#[test]
fn an_opened_dek_is_remembered_for_its_time() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let scope = || {
        let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
        kms.scope(EncryptionContext::empty())
    };
    let sealed = seal(&scope()).unwrap();
    let reader = scope();
    let calls = |n| assert_eq!(kek.calls(), n);
    calls(1);
    (0..10).for_each(|_| drop(open(&reader, "", &sealed).unwrap()));
    calls(2);
    clock.advance(Duration::from_secs(600));
    open(&reader, "", &sealed).unwrap();
    calls(3);
}

#[test]
fn sealing_into_a_buffer_appends_or_leaves_it() {
    let kek = Mock::new("k");
    let scope = scope(kek.clone(), &[]);
    let mut out = b"before".to_vec();
    scope.seal_into(Aad::empty(), b"x", &mut out).wait().unwrap();
    assert!(out.starts_with(b"beforeKMSE"));
    let mut back = b"also".to_vec();
    scope.open_into(Aad::empty(), &out[6..], &mut back).wait().unwrap();
    assert_eq!(back, b"alsox");
    assert!(scope.open_into(Aad::from("other"), &out[6..], &mut back).wait().is_err());
    assert_eq!(back, b"alsox");
}

#[test]
fn a_dek_for_every_message_does_not_make_callers_queue() {
    let kek = Mock::new("k");
    let scope = with_policy(&kek, DekPolicy::per_message());
    kek.always(Some(Fault::Slow(Duration::from_millis(500))));
    let started = Instant::now();
    thread::scope(|t| (0..40).for_each(|_| drop(t.spawn(|| seal(&scope).unwrap()))));
    assert_eq!(kek.calls(), 40);
    // One after the other would take twenty seconds.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn f37_keys_go_when_their_time_is_over_also_when_nobody_asks() {
    // In a process of its own: other tests hold keys as well.
    if std::env::var_os("LIBKMS_TEST_ALONE").is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "f37_keys_go_when_their_time_is_over_also_when_nobody_asks"]);
        assert!(again.env("LIBKMS_TEST_ALONE", "1").output().unwrap().status.success());
        return;
    }
    let keys = || {
        let r = libkms::secret::residency();
        r.locked + r.unlocked
    };
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let strict = OutagePolicy::default().seal_for(Duration::ZERO);
    let build = Kms::builder().kek(kek.clone()).runtime(clock.clone());
    let kms = build.outage_policy(strict.clone()).build().unwrap();
    seal(&kms.scope(EncryptionContext::empty())).unwrap();
    let before = keys();
    let scopes: Vec<_> = (0..30).map(|n| kms.scope(context(&[("t", &n.to_string())]))).collect();
    let sealed: Vec<_> = scopes.iter().map(|s| seal(s).unwrap()).collect();
    scopes.iter().zip(&sealed).for_each(|(s, sealed)| drop(open(s, "", sealed).unwrap()));
    assert!(keys() > before + 100);
    clock.advance(Duration::from_secs(300));
    assert!(keys() > before + 100);
    clock.advance(Duration::from_secs(301));
    assert!(keys() <= before, "{} keys, {before} before", keys());
    // And on the real clock.
    let short = DekPolicy::reuse().for_time(Duration::from_millis(50));
    let kms = Kms::builder().kek(kek).dek_policy(short).outage_policy(strict).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let before = keys();
    let sealed = seal(&scope).unwrap();
    open(&scope, "", &sealed).unwrap();
    let asked = Instant::now();
    while keys() > before {
        assert!(asked.elapsed() < Duration::from_secs(20), "{} keys, {before} before", keys());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_the_kms_took_is_part_of_a_deks_time() {
    let clock = Simulated::new();
    let kek = Mock::on(clock.clone(), "k");
    let patient =
        OutagePolicy::default().call_timeout(Duration::from_secs(60)).deadline(Duration::from_secs(60));
    let kms = Kms::builder().kek(kek.clone()).outage_policy(patient).runtime(clock.clone()).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    kek.then(Fault::Slow(Duration::from_secs(10))).then(Fault::Slow(Duration::from_secs(10)));
    let sealed = clock.block_on(scope.seal(Aad::empty(), b"x")).unwrap();
    clock.block_on(scope.open(Aad::empty(), &sealed)).unwrap();
    clock.advance(Duration::from_secs(579));
    seal(&scope).unwrap();
    assert_eq!(kek.calls(), 2, "599 seconds after it was asked for");
    clock.advance(Duration::from_secs(1));
    seal(&scope).unwrap();
    assert_eq!(kek.calls(), 3);
    clock.advance(Duration::from_secs(9));
    open(&scope, "", &sealed).unwrap();
    assert_eq!(kek.calls(), 3);
    clock.advance(Duration::from_secs(1));
    open(&scope, "", &sealed).unwrap();
    assert_eq!(kek.calls(), 4);
}

/// A world where nothing runs in the background, as without a thread: nobody sweeps.
struct Unswept(Simulated);

impl Runtime for Unswept {
    fn now(&self) -> Duration {
        self.0.now()
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn spawn(&self, _: BoxFuture<'static, ()>) {}
}

#[test]
fn f37_a_dek_whose_time_is_over_does_not_serve_where_nobody_sweeps() {
    let (clock, kek) = (Simulated::new(), Mock::new("k"));
    let kms = Kms::builder().kek(kek.clone()).runtime(Unswept(clock.clone())).build().unwrap();
    let scope = kms.scope(EncryptionContext::empty());
    let sealed = seal(&scope).unwrap();
    open(&scope, "", &sealed).unwrap();
    clock.advance(Duration::from_secs(599));
    seal(&scope).unwrap();
    open(&scope, "", &sealed).unwrap();
    assert_eq!((kek.calls(), kms.usage().sealing.held, kms.usage().opening.held), (2, 1, 1));
    clock.advance(Duration::from_secs(1));
    open(&scope, "", &sealed).unwrap();
    assert_eq!(kek.calls(), 3);
    seal(&scope).unwrap();
    assert_eq!(kek.calls(), 4);
}

#[test]
fn an_open_does_not_wait_to_be_told_which_key_is_current() {
    for how in ["hangs", "panics", "says nothing"] {
        let mock = Mock::new("k");
        let patient =
            OutagePolicy::default().call_timeout(Duration::from_secs(60)).deadline(Duration::from_secs(60));
        let build = || {
            let kms = Kms::builder().kek(Unsure(mock.clone(), how)).outage_policy(patient.clone());
            kms.build().unwrap().scope(EncryptionContext::empty())
        };
        let sealed = seal(&build()).unwrap();
        let started = Instant::now();
        let opened = build().open(Aad::empty(), &sealed).wait().unwrap();
        assert_eq!(opened.freshness, Freshness::Unknown, "{how}");
        assert!(started.elapsed() < Duration::from_secs(30), "{how}");
    }
}

#[test]
fn shared_backends_are_backends() {
    let kek: Arc<dyn KmsBackend> = Arc::new(Mock::new("k"));
    let kms = Kms::builder().kek(kek.clone()).opens_with(Arc::new(Mock::new("old"))).build().unwrap();
    seal(&kms.scope(EncryptionContext::empty())).unwrap();
    let many = (0..17).fold(Kms::builder(), |b, _| b.kek(kek.clone()));
    assert_eq!(many.build().unwrap_err().kind(), ErrorKind::Misuse);
}

#[test]
fn a_header_tells_whether_it_is_stale() {
    let clock = Simulated::new();
    let (kek, other) = (Mock::on(clock.clone(), "k"), Mock::new("other"));
    let kms = Kms::builder().kek(kek.clone()).runtime(clock.clone()).build().unwrap();
    let sealed = seal(&kms.scope(EncryptionContext::empty())).unwrap();
    let header = libkms::inspect(&sealed).unwrap();
    let freshness = |kms: &Kms| clock.block_on(kms.freshness(&header));
    assert_eq!(freshness(&kms), Freshness::Current);
    let fresh = || Kms::builder().runtime(clock.clone());
    assert_eq!(freshness(&fresh().kek(kek.clone()).build().unwrap()), Freshness::Current, "it was asked");
    kek.rotate();
    clock.advance(Duration::from_secs(31));
    assert_eq!(freshness(&kms), Freshness::Stale);
    assert_eq!(freshness(&fresh().kek(other.clone()).build().unwrap()), Freshness::Stale);
    assert_eq!(freshness(&fresh().opens_with(kek.clone()).build().unwrap()), Freshness::Unknown);
    let slow = Unsure(kek.clone(), "hangs");
    let slow = fresh().kek(slow).build().unwrap();
    assert_eq!(freshness(&slow), Freshness::Unknown, "it does not answer");
}
