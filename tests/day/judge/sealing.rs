//! Seals: by which DEK, and if not, why not.
use super::{Judge, short};
use crate::{
    callers::Op, kms::Named, plan::Call, process::Process, promises::*, records::Record, weather::WRAPPING,
};
use libkms::{Error, ErrorKind, Result};
use std::time::Duration;

impl Judge {
    pub(super) fn sealed(&mut self, op: &Op, sealed: Result<Vec<u8>>, now: Duration, process: &Process) {
        match sealed {
            Ok(sealed) => self.was_sealed(op, sealed, now, process),
            Err(e) => {
                self.tally.not_sealed += 1;
                self.was_not_sealed(op, &e, now, process);
            }
        }
    }

    fn was_sealed(&mut self, op: &Op, sealed: Vec<u8>, now: Duration, process: &Process) {
        let (_, keys, dek) = self.read(&sealed);
        self.tally.sealed += 1;
        self.is_in_time(op, dek, now, process);
        self.are_all_keys_there(op, dek, &keys, now, process);
        self.are_keys_current(op, &keys, now, process);
        let messages = self.messages.entry(dek).or_default();
        *messages += 1;
        if *messages > self.services[op.service].messages {
            self.breach(op, now, "one message too many under its DEK");
        }
        self.sealing.insert((op.process, op.tenant), dek);
        let by = (op.service, op.tenant, op.number);
        self.records.add(Record::new(by, op.plaintext.clone(), dek, sealed, keys));
    }

    /// Neither past the ceiling, nor past its time without an outage.
    fn is_in_time(&mut self, op: &Op, dek: usize, now: Duration, process: &Process) {
        let (service, made) = (self.service(op).clone(), self.aws.state().made(dek));
        let over = made.at + service.dek_time;
        let ceiling = over + service.seal_for;
        if made.process != op.process {
            self.breach(op, now, "under another process's DEK");
        }
        if op.began >= ceiling {
            self.breach(op, now, format_args!("under a DEK whose last moment was {:?} ago", now - ceiling));
        }
        if op.began <= over {
            return;
        }
        self.tally.sealed_late += 1;
        // The pause before the next attempt comes after what a KMS needs to be used again, and
        // nobody may come then for as long.
        let from = op.began.saturating_sub(2 * LONGEST_PAUSE + DEADLINE);
        let is_out = |region: &usize| self.weather.is_out(*region, WRAPPING, from, now);
        if !service.regions.iter().any(is_out) && !process.is_overrun(from, now) {
            self.breach(op, now, format_args!("{:?} past its DEK's time, and no outage", now - over));
        }
        let ends_in = process.kms.health().sealing_ends_in;
        if ends_in.is_none_or(|time| now + time > ceiling) {
            self.breach(op, now, format_args!("past its DEK's time, and sealing ends in {ends_in:?}"));
        }
    }

    fn are_all_keys_there(&self, op: &Op, dek: usize, keys: &[Named], now: Duration, process: &Process) {
        let (service, made) = (self.service(op), self.aws.state().made(dek).at);
        let is_missing = |region: &&usize| keys.iter().all(|named| named.region != **region);
        let missing: Vec<_> = service.regions.iter().filter(is_missing).collect();
        let may_be = |region: &usize| {
            let is_bad = self.weather.is_bad(*region, WRAPPING, made, made + DEADLINE);
            !service.all_wrap && (is_bad || process.is_overrun(made, made))
        };
        if keys.is_empty() || !missing.iter().all(|region| may_be(region)) {
            self.breach(op, now, format_args!("without the keys of {missing:?}"));
        }
    }

    /// Where all is well, another current key is noticed.
    fn are_keys_current(&self, op: &Op, keys: &[Named], now: Duration, process: &Process) {
        let from = op.began.saturating_sub(NOTICED);
        let is_unclear = |region: &usize| {
            let calls = [WRAPPING, &[Call::DescribeKey]].concat();
            let long_before = from.saturating_sub(LONGEST_PAUSE);
            self.weather.is_bad(*region, &calls, long_before, now)
                || self.weather.was_misnamed(*region, long_before, now)
        };
        if process.is_overrun(from, now) || self.service(op).regions.iter().any(is_unclear) {
            return;
        }
        for named in keys {
            if !self.aws.state().current(named.region, from, now).contains(named) {
                self.breach(op, now, format_args!("under {named:?}, which is no longer current"));
            }
        }
    }

    fn was_not_sealed(&self, op: &Op, e: &Error, now: Duration, process: &Process) {
        if !self.is_bad_for_wraps(op, op.began, now, process) {
            self.breach(op, now, format_args!("refused, and all is well: {}", short(e)));
        }
        let denied = self.is_denied_for_wraps(op, op.began, now);
        if e.kind() != ErrorKind::Unavailable && !(denied && e.kind() == ErrorKind::Denied) {
            self.breach(op, now, format_args!("{:?}: {}", e.kind(), short(e)));
        }
        // While there is a DEK that seals on.
        let service = self.service(op);
        let dek = self.sealing.get(&(op.process, op.tenant)).filter(|_| service.messages > 1 << 16);
        let Some(dek) = dek else { return };
        let made = self.aws.state().made(*dek).at;
        let ceiling = made + service.dek_time + service.seal_for;
        if now + DEADLINE < ceiling && !self.is_denied_for_wraps(op, made, now) {
            self.breach(
                op,
                now,
                format_args!("refused, with a DEK that seals until {ceiling:?}: {}", short(e)),
            );
        }
    }

    /// Whether no new DEK may be had.
    fn is_bad_for_wraps(&self, op: &Op, from: Duration, to: Duration, process: &Process) -> bool {
        let service = self.service(op);
        let is_bad = |region: &usize| {
            self.weather.is_bad(*region, WRAPPING, from, to)
                || self.weather.current_was_disabled(*region, from, to)
        };
        let mut regions = service.regions.iter();
        let bad = if service.all_wrap { regions.any(is_bad) } else { regions.all(is_bad) };
        bad || process.is_overrun(from, to) || self.is_denied_for_wraps(op, from, to)
    }

    /// Whether a KEK may have said no, which ends sealing.
    fn is_denied_for_wraps(&self, op: &Op, from: Duration, to: Duration) -> bool {
        self.service(op).regions.iter().any(|region| {
            self.weather.is_denied(*region, WRAPPING, from, to)
                || self.weather.current_was_disabled(*region, from, to)
        })
    }
}
