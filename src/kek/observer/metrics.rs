//! Into the `metrics` facade.
use super::{Call, Event, Observer};
use crate::Result;
use metrics::{counter, gauge, histogram};

/// Metrics of the `metrics` crate, for whatever recorder the program has:
///
/// | name | kind | labels |
/// |---|---|---|
/// | `libkms_calls_total` | counter | `operation`, `scheme`, `outcome`: `ok`, the kind of the error in lower case, `abandoned` or `not_made` |
/// | `libkms_call_seconds` | histogram | `operation`, `scheme` |
/// | `libkms_unlocked_total` | counter | `from`: `memory`, `kms`, `flight`; `freshness`: `current`, `stale`, `unknown` |
/// | `libkms_kek_failing` | gauge, 0 or 1 | `kek` |
///
/// No label grows with the data: key ids and contexts are not among them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics;

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Called { call, took, ending, .. } => {
                let seconds = took.as_secs_f64();
                histogram!("libkms_call_seconds", "operation" => call.operation.name(), "scheme" => call.scheme.to_owned())
                    .record(seconds);
                count(call, ending.outcome());
            }
            Event::NotCalled { call, .. } => count(call, "not_made".into()),
            Event::Unlocked { from, freshness, .. } => {
                let freshness = format!("{freshness:?}").to_lowercase();
                counter!("libkms_unlocked_total", "from" => from.name(), "freshness" => freshness)
                    .increment(1);
            }
            Event::Health { kek, is_failing, .. } => {
                gauge!("libkms_kek_failing", "kek" => (*kek).to_owned())
                    .set(f64::from(u8::from(*is_failing)));
            }
        }
        Ok(())
    }
}

fn count(call: &Call<'_>, outcome: String) {
    let (operation, scheme) = (call.operation.name(), call.scheme.to_owned());
    counter!("libkms_calls_total", "operation" => operation, "scheme" => scheme, "outcome" => outcome)
        .increment(1);
}
