//! Whether what is told of a record's keys is true, or was a moment ago.
use super::Judge;
use crate::{
    callers::{About, Op},
    plan::{Call::DescribeKey, What},
    process::Process,
    promises::*,
};
use libkms::Freshness;
use std::time::Duration;

impl Judge {
    pub(super) fn freshness(
        &self,
        op: &Op,
        about: &About,
        told: Freshness,
        now: Duration,
        process: &Process,
    ) {
        let wrong = match told {
            Freshness::Current => self.is_wrongly_current(op, about, now),
            Freshness::Stale if self.can_only_be_current(op, about, now) => {
                Some("it can only be current".into())
            }
            Freshness::Unknown if !self.may_be_unknown(op, now, process) => Some("all is well".into()),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.breach(op, now, format_args!("{told:?}, and {wrong}"));
        }
    }

    /// Why it cannot pass for one that is wrapped as a new one would be.
    pub(super) fn is_wrongly_current(&self, op: &Op, about: &About, now: Duration) -> Option<String> {
        let regions = self.service(op).regions;
        if about.recipients != regions.len() {
            return Some(format!("{} keys wrap it", about.recipients));
        }
        let (state, from) = (self.aws.state(), op.began.saturating_sub(NOTICED));
        regions.iter().find_map(|region| {
            let current = state.current_or_told(*region, op.process, from, now);
            let is_one = about.keys.iter().any(|named| named.region == *region && current.contains(named));
            (!is_one).then(|| format!("of {region}, {current:?} is no key of it"))
        })
    }

    fn can_only_be_current(&self, op: &Op, about: &About, now: Duration) -> bool {
        let regions = self.service(op).regions;
        let (state, from) = (self.aws.state(), op.began.saturating_sub(NOTICED));
        about.recipients == regions.len()
            && about.keys.len() == regions.len()
            && about
                .keys
                .iter()
                .all(|named| state.current_or_told(named.region, op.process, from, now).iter().eq([named]))
    }

    /// While a KMS is being asked, or did not say it when it was asked last.
    fn may_be_unknown(&self, op: &Op, now: Duration, process: &Process) -> bool {
        let waits = op.what == What::Freshness;
        let from = op.began.saturating_sub(NOTICED);
        process.clients.iter().any(|client| {
            let state = self.aws.state();
            let seen = state.seen(op.process, client.region);
            let is_asked = seen.is_some_and(|seen| seen.asking > 0 && !waits);
            let is_busy = seen.is_some_and(|seen| seen.is_busy(now, client.calls_per_second));
            drop(state);
            is_asked || is_busy || self.weather.is_bad(client.region, &[DescribeKey], from, now)
        }) || process.is_overrun(from, now)
    }
}
