//! What the KEKs are asked, as Prometheus reads it.
use super::numbers::Text;
use crate::{
    Result,
    observer::{DekFrom, Event, Observer, Operation},
    rt::sync::{Mutex, lock},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Of every call to a KMS so far, and of every seed that was unwrapped.
#[derive(Clone, Default)]
pub(super) struct OfKms(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    /// By operation, KEK and outcome.
    calls: BTreeMap<(&'static str, String, String), u64>,
    /// By operation: so many, and how long they took.
    times: BTreeMap<&'static str, (u64, Duration)>,
    unlocked: BTreeMap<&'static str, u64>,
}

impl Observer for OfKms {
    fn observe(&self, event: &Event<'_>) -> Result<()> {
        let mut counts = lock(&self.0);
        match event {
            Event::Called { call, took, ending, .. } => {
                counts.call(call.operation, call.kek, ending.outcome());
                let (number, time) = counts.times.entry(call.operation.name()).or_default();
                (*number, *time) = (*number + 1, time.saturating_add(*took));
            }
            Event::NotCalled { call, .. } => counts.call(call.operation, call.kek, "not_made".into()),
            Event::Unlocked { from, .. } => *counts.unlocked.entry(from.name()).or_default() += 1,
            Event::Health { .. } => {}
        }
        Ok(())
    }
}

impl Counts {
    fn call(&mut self, operation: Operation, kek: &str, outcome: String) {
        *self.calls.entry((operation.name(), kek.into(), outcome)).or_default() += 1;
    }
}

impl OfKms {
    pub(super) fn text(&self, out: &mut Text) {
        let counts = lock(&self.0);
        let help = "Calls to the KMS, and those that were not made, by what was asked and how it ended.";
        out.family("libkms_calls_total", "counter", help);
        for ((operation, kek, outcome), number) in &counts.calls {
            let kek = escaped(kek);
            let labels = format!("operation=\"{operation}\",kek=\"{kek}\",outcome=\"{outcome}\"");
            out.line("libkms_calls_total", &labels, number);
        }
        out.family("libkms_call_seconds", "summary", "How long they took.");
        for (operation, (number, time)) in &counts.times {
            let labels = format!("operation=\"{operation}\"");
            out.line("libkms_call_seconds_sum", &labels, time.as_secs_f64());
            out.line("libkms_call_seconds_count", &labels, number);
        }
        out.family(
            "libkms_unlocked_total",
            "counter",
            "Seeds that were unwrapped, by where they were found.",
        );
        for from in [DekFrom::Memory, DekFrom::Kms, DekFrom::Flight] {
            let number = counts.unlocked.get(from.name()).copied().unwrap_or(0);
            out.line("libkms_unlocked_total", &format!("from=\"{}\"", from.name()), number);
        }
    }
}

/// In a label.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
