//! What was wrong, and when.
use crate::{
    kms::{Aws, Named},
    plan::{
        Call::{self, *},
        Fault, How,
    },
    promises::*,
};
use std::time::Duration;

pub struct Weather {
    faults: Vec<Fault>,
    aws: Aws,
}

pub const WRAPPING: &[Call] = &[GenerateDataKey, Encrypt];

impl Weather {
    pub fn new(faults: Vec<Fault>, aws: Aws) -> Self {
        Self { faults, aws }
    }

    /// Whether calls of these kinds failed in this time, or so shortly before that they may
    /// not be made again yet.
    pub fn is_bad(&self, region: usize, calls: &[Call], from: Duration, to: Duration) -> bool {
        let fails = |f: &Fault| !matches!(f.how, How::Stale | How::Flapping);
        self.any(region, calls, from.saturating_sub(RECOVERED), to, fails)
    }

    /// The same, and it did not say no, which is no outage.
    pub fn is_out(&self, region: usize, calls: &[Call], from: Duration, to: Duration) -> bool {
        let is_out = |f: &Fault| !matches!(f.how, How::Stale | How::Flapping | How::Denied);
        self.any(region, calls, from.saturating_sub(RECOVERED), to, is_out)
    }

    /// The KMS said no, or did so shortly before.
    pub fn is_denied(&self, region: usize, calls: &[Call], from: Duration, to: Duration) -> bool {
        let from = from.saturating_sub(REMEMBERED + DEADLINE);
        self.any(region, calls, from, to, |f| matches!(f.how, How::Denied))
    }

    /// Whether some key that wrapped in this time, or shortly before, was disabled.
    pub fn current_was_disabled(&self, region: usize, from: Duration, to: Duration) -> bool {
        let from = from.saturating_sub(REMEMBERED + DEADLINE);
        // Replicas that do not agree wrap under the key before, too.
        let since = if self.was_misnamed(region, from, to) { Duration::ZERO } else { from };
        let state = self.aws.state();
        state.current(region, since, to).iter().any(|named| state.is_disabled(region, named.key, from, to))
    }

    pub fn was_disabled(&self, named: &Named, from: Duration, to: Duration) -> bool {
        let from = from.saturating_sub(REMEMBERED + DEADLINE);
        self.aws.state().is_disabled(named.region, named.key, from, to)
    }

    /// Whether other keys were named than the current one.
    pub fn was_misnamed(&self, region: usize, from: Duration, to: Duration) -> bool {
        let misnames = |f: &Fault| matches!(f.how, How::Stale | How::Flapping);
        self.any(region, &[DescribeKey, GenerateDataKey, Encrypt], from, to, misnames)
    }

    fn any(
        &self,
        region: usize,
        calls: &[Call],
        from: Duration,
        to: Duration,
        is_one: impl Fn(&Fault) -> bool,
    ) -> bool {
        let overlaps = |f: &&Fault| f.region == region && f.from <= to && f.to >= from;
        let is_of_these = |f: &&Fault| calls.iter().any(|call| f.calls.contains(call));
        self.faults.iter().filter(overlaps).filter(is_of_these).any(is_one)
    }
}
