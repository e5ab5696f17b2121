//! Opens, forged ones among them, and rewraps.
use super::{Judge, short};
use crate::{
    callers::{About, Op},
    kms::Named,
    plan::{
        Call::{Decrypt, DescribeKey},
        Forgery, What,
    },
    process::Process,
    promises::*,
    weather::WRAPPING,
};
use libkms::{Error, ErrorKind, Opened, Result};
use std::time::Duration;

impl Judge {
    pub(super) fn opened(
        &mut self,
        op: &Op,
        about: &About,
        opened: Result<Opened>,
        now: Duration,
        process: &Process,
    ) {
        if op.in_stampede {
            self.of_a_stampede(op, opened.is_ok(), now, process);
        }
        match (op.what, opened) {
            (What::Forge(how), opened) => self.forged(op, about, how, opened, now, process),
            (_, Ok(opened)) => {
                self.tally.opened += 1;
                self.was_opened(op, about, &opened, now, process);
            }
            (_, Err(e)) => {
                self.tally.not_opened += 1;
                self.was_not_opened(op, about, &e, now, process);
            }
        }
    }

    fn was_opened(&mut self, op: &Op, about: &About, opened: &Opened, now: Duration, process: &Process) {
        if opened.plaintext != self.records.get(about.record).plaintext {
            self.breach(op, now, "another plaintext");
        }
        let named = self.aws.state().named(&opened.key_id);
        if named.is_none_or(|named| !about.keys.contains(&named)) {
            self.breach(op, now, format_args!("opened by {:?}, which it does not name", opened.key_id));
        }
        self.freshness(op, about, opened.freshness, now, process);
        if about.is_remembered {
            let is_bad = |named: &Named| self.weather.is_bad(named.region, &[Decrypt], now, now);
            self.tally.opened_from_memory += u64::from(about.keys.iter().any(is_bad));
            if now > op.began {
                self.breach(op, now, format_args!("waited {:?} for a DEK that is there", now - op.began));
            }
        }
        self.remember(op, about, now);
        let is_well = |named: &Named| !self.is_bad_for_opens(op, named, now);
        let waited = now - op.began > HEDGED && !process.is_overrun(op.began, now);
        if waited && about.allowed.len() > 1 && about.allowed.iter().any(is_well) {
            self.breach(op, now, format_args!("waited {:?}, and a KEK is well", now - op.began));
        }
    }

    /// Whoever waited for a Decrypt has the DEK remembered; from when on is known to the second.
    fn remember(&mut self, op: &Op, about: &About, now: Duration) {
        let service = &self.services[op.service];
        let told = self.aws.state().told(op.process, about.dek);
        let Some((began, ended)) = told.filter(|_| now > op.began && service.most_deks > 1000) else {
            return;
        };
        if op.began <= began && ended <= now {
            let until = began + service.dek_time.saturating_sub(DEADLINE);
            self.remembered.insert((op.process, about.dek), until);
        }
    }

    fn was_not_opened(&mut self, op: &Op, about: &About, e: &Error, now: Duration, process: &Process) {
        if about.is_remembered {
            return self.breach(op, now, format_args!("refused, and its DEK is there: {}", short(e)));
        }
        let is_overrun = process.is_overrun(op.began.saturating_sub(NOTICED), now);
        if about.allowed.is_empty() {
            let is_right = match e.kind() {
                ErrorKind::NoMatchingKek => !self.must_know_a_key(op, about, now),
                _ => about.keys.iter().any(|named| self.is_bad_for_opens(op, named, now)),
            };
            if !(is_right || is_overrun) {
                self.breach(op, now, format_args!("refused: {}", short(e)));
            }
            return;
        }
        if !(is_overrun || about.allowed.iter().all(|named| self.is_bad_for_opens(op, named, now))) {
            self.breach(op, now, format_args!("refused, and a KEK is well: {}", short(e)));
        }
        let was_denied = |named: &Named| {
            self.weather.was_disabled(named, op.began, now)
                || self.weather.is_denied(named.region, &[Decrypt], op.began, now)
        };
        let is_denied = e.kind() == ErrorKind::Denied && about.allowed.iter().any(was_denied);
        if e.kind() != ErrorKind::Unavailable && !is_denied {
            self.breach(op, now, format_args!("{:?}: {}", e.kind(), short(e)));
        }
    }

    /// Whether one of its keys is the current one, for so long that asking would have told.
    fn must_know_a_key(&self, op: &Op, about: &About, now: Duration) -> bool {
        let from = op.began.saturating_sub(NOTICED);
        about.keys.iter().any(|named| {
            !self.weather.is_bad(named.region, &[DescribeKey], from, now)
                && !self.weather.was_misnamed(named.region, from, now)
                && self.aws.state().current(named.region, from, now).iter().eq([named])
        })
    }

    fn is_bad_for_opens(&self, op: &Op, named: &Named, now: Duration) -> bool {
        self.weather.is_bad(named.region, &[Decrypt], op.began, now)
            || self.weather.was_disabled(named, op.began, now)
    }

    fn forged(
        &mut self,
        op: &Op,
        about: &About,
        how: Forgery,
        opened: Result<Opened>,
        now: Duration,
        process: &Process,
    ) {
        self.tally.forged += 1;
        let Err(e) = opened else { return self.breach(op, now, "a forged record opened") };
        let bad = about.keys.iter().any(|named| self.is_bad_for_opens(op, named, now));
        let may_not_be_asked = bad || process.is_overrun(op.began, now);
        let is_right = match e.kind() {
            ErrorKind::NoMatchingKek => how == Forgery::Key || about.allowed.is_empty(),
            ErrorKind::Authentication => how != Forgery::Key,
            ErrorKind::Unavailable | ErrorKind::Denied => how != Forgery::Key && may_not_be_asked,
            _ => false,
        };
        if !is_right {
            self.breach(op, now, format_args!("{:?}: {}", e.kind(), short(&e)));
        }
    }

    pub(super) fn rewrapped(
        &mut self,
        op: &Op,
        about: &About,
        new: Result<Option<Vec<u8>>>,
        now: Duration,
        process: &Process,
    ) {
        match new {
            Ok(Some(new)) => {
                self.tally.rewrapped += 1;
                self.was_rewrapped(op, about, new, now);
            }
            Ok(None) => {
                if let Some(wrong) = self.is_wrongly_current(op, about, now) {
                    self.breach(op, now, format_args!("nothing to do, and {wrong}"));
                }
            }
            Err(e) => {
                self.tally.not_rewrapped += 1;
                self.was_not_rewrapped(op, about, &e, now, process);
            }
        }
    }

    fn was_rewrapped(&mut self, op: &Op, about: &About, new: Vec<u8>, now: Duration) {
        let (header, keys, dek) = self.read(&new);
        let old = &self.records.get(about.record).versions[about.version];
        if dek != about.dek || !old.ends_with(&new[header.len()..]) {
            self.breach(op, now, "a rewrap altered more than the header");
        }
        let regions = self.service(op).regions.to_vec();
        let is_of = |(named, region): (&Named, &usize)| named.region == *region;
        if keys.len() != regions.len() || !keys.iter().zip(&regions).all(is_of) {
            self.breach(op, now, format_args!("rewrapped under {keys:?}"));
        }
        // A header that was rewrapped before is known, as long as its keys pass for current.
        let from = op.began.saturating_sub(NOTICED);
        for named in &keys {
            if !self.aws.state().current_or_told(named.region, op.process, from, now).contains(named) {
                self.breach(op, now, format_args!("rewrapped under {named:?}, which was not current"));
            }
        }
        self.records.rewrapped(about.record, new, keys);
    }

    /// A rewrap needs one KEK that opens, and all that wrap.
    fn was_not_rewrapped(&self, op: &Op, about: &About, e: &Error, now: Duration, process: &Process) {
        let opens = about.allowed.iter().any(|named| !self.is_bad_for_opens(op, named, now));
        let wraps = !self.service(op).regions.iter().any(|region| {
            self.weather.is_bad(*region, WRAPPING, op.began, now)
                || self.weather.current_was_disabled(*region, op.began, now)
        });
        if opens && wraps && !process.is_overrun(op.began, now) {
            self.breach(op, now, format_args!("refused, and all is well: {}", short(e)));
        }
        if !matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Denied) {
            self.breach(op, now, format_args!("{:?}: {}", e.kind(), short(e)));
        }
    }
}
