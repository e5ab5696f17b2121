//! The adapters of observers: what a program's subscriber and recorder get.
use libkms::{
    Aad, EncryptionContext, Kms, OutagePolicy,
    kek::{Fault, Mock},
    observer::{Metrics, Tracing},
    rt::Simulated,
};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};

const MARKER: &[u8] = b"PLAINTEXTMARKER";

/// Seals, opens twice in another process, and seals once more while the KMS is away.
fn story(build: impl Fn() -> libkms::Builder) {
    let (clock, context) = (Simulated::new(), EncryptionContext::new([("tenant", "CONTEXTMARKER")]).unwrap());
    let mock = Mock::on(clock.clone(), "k");
    let short = OutagePolicy::default().deadline(Duration::from_secs(3));
    let scope = || {
        let kms = build().runtime(clock.clone()).kek(mock.clone()).outage_policy(short.clone());
        kms.build().unwrap().scope(context.clone())
    };
    let sealed = clock.block_on(scope().seal(Aad::empty(), MARKER)).unwrap();
    let orders = scope();
    mock.then(Fault::Slow(Duration::from_millis(40)));
    for _ in 0..2 {
        clock.block_on(orders.open(Aad::empty(), &sealed)).unwrap();
    }
    mock.always(Some(Fault::Unavailable));
    (0..3).for_each(|_| drop(clock.block_on(orders.seal(Aad::empty(), MARKER)).unwrap_err()));
    mock.always(None);
    clock.advance(Duration::from_secs(60));
    clock.block_on(orders.seal(Aad::empty(), MARKER)).unwrap();
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "libkms"
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut line = format!("span {}", attributes.metadata().name());
        attributes.record(&mut Fields(&mut line));
        let mut lines = self.0.lock().unwrap();
        lines.push(line);
        span::Id::from_u64(lines.len() as u64)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, id: &span::Id) {
        self.0.lock().unwrap().push(format!("enter {}", id.into_u64()));
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn f35_calls_are_spans_and_failures_warnings_without_secrets_or_contexts() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || story(|| Kms::builder().observer(Tracing)));
    let lines = lines.0.lock().unwrap();
    let at = |what: &str| {
        lines.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {lines:#?}"))
    };
    let span = at(r#"span kms_call operation="unwrap" kek="mock" key_id="k/1""#);
    let entered = at(&format!("enter {}", span + 1));
    let answered = &lines[entered + 1];
    assert!(answered.starts_with("DEBUG message=answered operation=\"unwrap\""), "{answered}");
    assert!(answered.contains("micros=40000 key_id=\"k/1\""), "{answered}");
    at("TRACE message=opened from=\"kms\" key_id=k/1");
    at("TRACE message=opened from=\"memory\"");
    at("WARN message=failed operation=\"generate\" kek=\"mock\"");
    at("kind=Unavailable");
    at("WARN message=not asked operation=\"generate\"");
    assert!(at("WARN message=answers no more kek=\"mock\"") < at("INFO message=answers again kek=\"mock\""));
    assert!(!lines.iter().any(|line| line.contains("MARKER")), "{lines:#?}");
}

/// What was counted, set and recorded, by name and labels.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, f64>>>);

struct One(Counted, String);

impl One {
    fn add(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn put(&self, value: f64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.put(value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.put(value);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Counted {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        Arc::new(One(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

#[test]
fn calls_hits_and_health_are_counted() {
    let counted = Counted::default();
    metrics::with_local_recorder(&counted, || story(|| Kms::builder().observer(Metrics)));
    let counted = counted.0.lock().unwrap();
    let of = |name: &str| *counted.get(name).unwrap_or_else(|| panic!("{name}: {counted:#?}"));
    assert_eq!(of("libkms_calls_total{operation=generate,scheme=mock,outcome=ok}"), 2.0);
    assert_eq!(of("libkms_calls_total{operation=unwrap,scheme=mock,outcome=ok}"), 1.0);
    assert!(of("libkms_calls_total{operation=generate,scheme=mock,outcome=unavailable}") >= 2.0);
    assert!(of("libkms_calls_total{operation=generate,scheme=mock,outcome=not_made}") >= 1.0);
    assert_eq!(of("libkms_call_seconds{operation=unwrap,scheme=mock}"), 0.04);
    assert_eq!(of("libkms_unlocked_total{from=kms,freshness=current}"), 1.0);
    assert_eq!(of("libkms_unlocked_total{from=memory,freshness=current}"), 1.0);
    assert_eq!(of("libkms_kek_failing{kek=mock}"), 0.0);
    assert!(!counted.keys().any(|name| name.contains("MARKER") || name.contains("k/1")), "{counted:#?}");
}
