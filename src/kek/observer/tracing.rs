//! Into the `tracing` facade.
use super::{Call, Ending, Event, Observer, Span};
use crate::{Freshness, Result};
use tracing::{debug, info, span, trace, warn};

/// Spans and events of the `tracing` crate, with the target `libkms`: a span `kms_call` for each
/// call, with its duration and, if it failed, a warning in it; a warning when a KEK answers no more;
/// at debug level what was sealed under an older key. Contexts are not in them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing;

impl Observer for Tracing {
    fn begins(&self, call: &Call<'_>) -> Option<Span> {
        let key_id = call.key_id.map(|id| id.as_str());
        let operation = call.operation.name();
        let span =
            span!(target: "libkms", tracing::Level::DEBUG, "kms_call", operation, kek = call.kek, key_id);
        Some(Box::new(span))
    }

    fn observe(&self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Called { call, took, ending, span } => {
                let span = span.and_then(|span| span.downcast_ref::<tracing::Span>());
                span.unwrap_or(&tracing::Span::none()).in_scope(|| ended(call, took.as_micros(), *ending));
            }
            Event::NotCalled { call, error } => {
                warn!(target: "libkms", operation = call.operation.name(), kek = call.kek, %error, "not asked");
            }
            Event::Unlocked { from, freshness, key_id } => {
                let from = from.name();
                if *freshness == Freshness::Stale {
                    debug!(target: "libkms", from, %key_id, "opened what is wrapped under an older key");
                } else {
                    trace!(target: "libkms", from, %key_id, "opened");
                }
            }
            Event::Health { kek, is_failing: true, .. } => warn!(target: "libkms", kek, "answers no more"),
            Event::Health { kek, is_failing: false, .. } => info!(target: "libkms", kek, "answers again"),
        }
        Ok(())
    }
}

fn ended(call: &Call<'_>, micros: u128, ending: Ending<'_>) {
    let (operation, kek, micros) =
        (call.operation.name(), call.kek, u64::try_from(micros).unwrap_or(u64::MAX));
    match ending {
        Ending::Answered(key_id) => {
            let key_id = key_id.map(|id| id.as_str());
            debug!(target: "libkms", operation, kek, micros, key_id, "answered");
        }
        Ending::Failed(error) => {
            warn!(target: "libkms", operation, kek, micros, kind = ?error.kind(), %error, "failed");
        }
        Ending::Abandoned => debug!(target: "libkms", operation, kek, micros, "abandoned"),
    }
}
