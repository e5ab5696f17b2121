//! Observers: what they are told, and what an auditor can refuse.
mod common;

use libkms::{
    Aad, DekPolicy, EncryptionContext, Error, ErrorKind, Freshness, Kms, OutagePolicy, Result, Wait,
    kek::{Fault, Mock},
    observer::{Call, Ending, Event, Observer, Span},
    rt::Simulated,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

const MARKER: &[u8] = b"PLAINTEXTMARKER";

/// Keeps a line for each event.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Lines {
    fn begins(&self, call: &Call<'_>) -> Option<Span> {
        Some(Box::new(format!("{} began", call.operation.name())))
    }

    fn observe(&self, event: &Event<'_>) -> Result<()> {
        let line = match event {
            Event::Called { call, took, ending, span, .. } => {
                let key = call.key_id.map_or("", |id| id.as_str());
                let said = match ending {
                    Ending::Answered(key) => format!("answered {}", key.map_or("-", |id| id.as_str())),
                    Ending::Failed(e) => format!("failed {:?}", e.kind()),
                    Ending::Abandoned => "abandoned".into(),
                    other => format!("{other:?}"),
                };
                let began = span.unwrap().downcast_ref::<String>().unwrap();
                let context = call.context.map_or(0, |c| c.iter().count());
                format!("{began}, {}: {key} {context} {said} {}", call.scheme, took.as_millis())
            }
            Event::NotCalled { call, error, .. } => {
                format!("{} not made {:?}", call.operation.name(), error.kind())
            }
            Event::Unlocked { from, freshness, key_id, .. } => {
                format!("unlocked {} {freshness:?} {key_id}", from.name())
            }
            Event::Health { kek, is_failing, .. } => format!("{kek} fails: {is_failing}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

fn context() -> EncryptionContext {
    EncryptionContext::new([("purpose", "orders")]).unwrap()
}

#[test]
fn every_call_is_told_and_where_each_dek_came_from() {
    let (clock, lines) = (Simulated::new(), Lines::default());
    let mock = Mock::on(clock.clone(), "k");
    let build = || Kms::builder().runtime(clock.clone()).kek(mock.clone()).observer(lines.clone()).build();
    let orders = build().unwrap().scope(context());
    let sealed = clock.block_on(orders.seal(Aad::empty(), MARKER)).unwrap();
    let first = lines.take();
    assert!(first.contains(&"generate began, mock:  1 answered k/1 0".into()), "{first:?}");

    // Another process.
    mock.then(Fault::Slow(Duration::from_millis(30)));
    let orders = build().unwrap().scope(context());
    for _ in 0..2 {
        clock.block_on(orders.open(Aad::empty(), &sealed)).unwrap();
    }
    let told: Vec<_> = lines.take().into_iter().filter(|line| !line.starts_with("current_key")).collect();
    let unwrap = "unwrap began, mock: k/1 1 answered k/1 30";
    assert_eq!(told, [unwrap, "unlocked kms Current k/1", "unlocked memory Current k/1"]);

    let late = Lines::default();
    orders.kms().observe(late.clone());
    mock.rotate();
    clock.advance(Duration::from_secs(31));
    clock.block_on(orders.open(Aad::empty(), &sealed)).unwrap();
    let told = lines.take();
    assert!(told.iter().any(|line| line == "unlocked memory Stale k/1"), "{told:?}");
    assert_eq!(late.take(), told);
}

#[test]
fn failures_and_what_is_not_asked_and_health_are_told() {
    let (clock, lines) = (Simulated::new(), Lines::default());
    let mock = Mock::on(clock.clone(), "k");
    let kms = Kms::builder().runtime(clock.clone()).kek(mock.clone()).observer(lines.clone());
    let kms = kms.outage_policy(OutagePolicy::default().deadline(Duration::from_secs(3))).build().unwrap();
    let orders = kms.scope(context());
    mock.always(Some(Fault::Unavailable));
    (0..3).for_each(|_| drop(clock.block_on(orders.seal(Aad::empty(), MARKER)).unwrap_err()));
    let told = lines.take();
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert!(count("generate began, mock:  1 failed Unavailable") >= 5, "{told:?}");
    assert!(count("generate not made Unavailable") >= 1, "{told:?}");
    assert_eq!(count("fails: true"), 1, "{told:?}");
    mock.always(None);
    clock.advance(Duration::from_secs(60));
    clock.block_on(orders.seal(Aad::empty(), MARKER)).unwrap();
    assert_eq!(lines.take().iter().filter(|line| line.ends_with("fails: false")).count(), 1);
}

#[test]
fn a_call_that_nobody_waits_for_is_told_as_abandoned() {
    let (clock, lines) = (Simulated::new(), Lines::default());
    let (slow, quick) = (Mock::on(clock.clone(), "slow"), Mock::on(clock.clone(), "quick"));
    let sealed = {
        let kms = Kms::builder().runtime(clock.clone()).kek(slow.clone()).kek(quick.clone()).build().unwrap();
        clock.block_on(kms.scope(context()).seal(Aad::empty(), MARKER)).unwrap()
    };
    slow.then(Fault::Hang);
    let kms = Kms::builder().runtime(clock.clone()).kek(slow).kek(quick).observer(lines.clone());
    clock.block_on(kms.build().unwrap().scope(context()).open(Aad::empty(), &sealed)).unwrap();
    let told = lines.take();
    assert!(told.iter().any(|l| l.contains("slow/1 1 abandoned")), "{told:?}");
    assert!(told.iter().any(|l| l.contains("quick/1 1 answered quick/1")), "{told:?}");
}

/// Writes down until told that its disk is full.
#[derive(Clone, Default)]
struct Audit {
    is_full: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
}

impl Observer for Audit {
    fn observe(&self, event: &Event<'_>) -> Result<()> {
        if let Event::Called { .. } = event {
            self.seen.fetch_add(1, SeqCst);
            assert!(!self.panics.load(SeqCst), "an auditor that panics");
            if self.is_full.load(SeqCst) {
                return Err(Error::from(std::io::Error::other("the audit's disk is full")));
            }
        }
        Ok(())
    }
}

#[test]
fn what_is_not_written_down_is_not_done_and_a_mere_observer_stops_nothing() {
    let (mock, audit) = (Mock::new("k"), Audit::default());
    let one = DekPolicy::per_message;
    let build = || {
        Kms::builder()
            .kek(mock.clone())
            .dek_policy(one())
            .audit(audit.clone())
            .build()
            .unwrap()
            .scope(context())
    };
    let sealed = build().seal(Aad::empty(), MARKER).wait().unwrap();
    for full in [&audit.is_full, &audit.panics] {
        full.store(true, SeqCst);
        let before = (mock.calls(), audit.seen.load(SeqCst));
        let sealing = build().seal(Aad::empty(), MARKER).wait().unwrap_err();
        let opening = build().open(Aad::empty(), &sealed).wait().unwrap_err();
        let is_panic = Arc::ptr_eq(full, &audit.panics);
        let kind = if is_panic { ErrorKind::Misuse } else { ErrorKind::Io };
        assert_eq!((sealing.kind(), opening.kind()), (kind, kind), "{sealing} {opening}");
        assert!(is_panic || sealing.to_string().contains("disk is full"), "{sealing}");
        assert!(mock.calls() > before.0 && audit.seen.load(SeqCst) > before.1);
        // The same as a mere observer.
        let scope =
            Kms::builder().kek(mock.clone()).observer(audit.clone()).build().unwrap().scope(context());
        scope.open(Aad::empty(), &scope.seal(Aad::empty(), MARKER).wait().unwrap()).wait().unwrap();
        full.store(false, SeqCst);
    }
    // It was not the KMS that failed.
    let kms = build();
    assert_eq!(kms.open(Aad::empty(), &sealed).wait().unwrap().freshness, Freshness::Current);
    assert_eq!(kms.kms().health().backends[0].degraded_for, None);
}

/// Row 35 of failures.md, of what observers print.
#[test]
fn f35_no_event_shows_plaintext_or_a_key() {
    #[derive(Clone, Default)]
    struct Debugged(Arc<Mutex<String>>);
    impl Observer for Debugged {
        fn observe(&self, event: &Event<'_>) -> Result<()> {
            self.0.lock().unwrap().push_str(&format!("{event:?}\n"));
            Ok(())
        }
    }
    let (mock, debugged) = (Mock::new("k"), Debugged::default());
    let build =
        || Kms::builder().kek(mock.clone()).observer(debugged.clone()).build().unwrap().scope(context());
    let sealed = build().seal(Aad::new(b"AADMARKER"), MARKER).wait().unwrap();
    build().open(Aad::new(b"AADMARKER"), &sealed).wait().unwrap();
    let header = libkms::inspect(&sealed).unwrap();
    let wrapped = &header.recipients()[0].wrapped.ciphertext;
    let text = debugged.0.lock().unwrap().clone();
    assert!(text.contains("Unlocked") && text.contains("Generate"), "{text}");
    for secret in [format!("{wrapped:?}"), "MARKER".into()] {
        assert!(!text.contains(secret.trim_matches(['[', ']'])), "{text}");
    }
}
