//! More callers than the quota lets through in time: as many as it does are served.
use super::Judge;
use crate::{
    callers::Op,
    plan::{
        Call::{Decrypt, DescribeKey},
        WAVES,
    },
    process::Process,
    promises::*,
};
use std::{collections::BTreeSet, time::Duration};

pub(super) struct Stampede {
    /// Records that are to be opened yet.
    left: Vec<usize>,
    waiting: usize,
    opened: usize,
}

impl Judge {
    /// Whether it does: not if something is wrong with a KMS, or soon will be, or there are too
    /// few records.
    pub fn stampede_begins(&mut self, process: &Process, now: Duration) -> bool {
        let many = 2 * WAVES as usize * process.calls_per_second as usize;
        let left = self.cold(process, many, now);
        let begins = left.len() == many;
        if begins {
            self.tally.stampedes += 1;
            self.stampedes.insert(process.number, Stampede { left, waiting: many, opened: 0 });
        }
        begins
    }

    /// The records of the next wave.
    pub fn next_of_stampede(&mut self, process: &Process) -> Vec<usize> {
        let Some(stampede) = self.stampedes.get_mut(&process.number) else { return Vec::new() };
        let many = stampede.left.len().min(2 * process.calls_per_second as usize);
        stampede.left.drain(..many).collect()
    }

    pub(super) fn of_a_stampede(&mut self, op: &Op, is_opened: bool, now: Duration, process: &Process) {
        let Some(stampede) = self.stampedes.get_mut(&op.process) else { return };
        stampede.waiting -= 1;
        stampede.opened += usize::from(is_opened);
        let (waiting, opened) = (stampede.waiting, stampede.opened);
        let least = WAVES as usize * process.calls_per_second as usize;
        if waiting == 0 && opened < least {
            self.breach(op, now, format_args!("{opened} of a stampede opened, of {least} at least"));
        }
    }

    /// So many records of different DEKs that the process does not have, or fewer.
    fn cold(&self, process: &Process, many: usize, now: Duration) -> Vec<usize> {
        let soon = now + STAMPEDE;
        let is_bad = |region: &usize| {
            self.weather.is_bad(*region, &[Decrypt, DescribeKey], now, soon)
                || self.weather.current_was_disabled(*region, now, soon)
        };
        let service = &self.services[process.service];
        if service.regions.iter().any(is_bad) {
            return Vec::new();
        }
        let mut deks = BTreeSet::new();
        let is_cold = |record: &usize| {
            let about = self.about(process, *record, self.records.latest(*record), now);
            let told = self.aws.state().told(process.number, about.dek);
            let opens = about.allowed.iter().any(|named| !self.weather.was_disabled(named, now, soon));
            opens && told.is_none_or(|(_, ended)| ended + service.dek_time < now) && deks.insert(about.dek)
        };
        (0..self.records.len()).filter(is_cold).take(many).collect()
    }
}
