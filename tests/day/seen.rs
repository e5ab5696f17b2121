//! What a KMS sees of one process: how often it calls, and whether it keeps to what it was told.
use crate::{
    kms::Named,
    plan::Call,
    promises::{ASKED_EVERY, DEADLINE, LONGEST_PAUSE, REMEMBERED},
};
use libkms::Error;
use std::{collections::BTreeMap, time::Duration};

#[derive(Default)]
pub struct Seen {
    pub calls: u64,
    pub failed: u64,
    /// Nobody waited for the reply: it took too long, or another KEK was quicker.
    pub given_up: u64,
    /// What it was told of the current key, and when.
    pub told: Vec<(Duration, Named)>,
    /// Questions under way for the current key.
    pub asking: u32,
    /// Since a wrap or unwrap was answered last, when one first failed, and when one was first given up.
    pub failing: Option<Duration>,
    pub given_up_since: Option<Duration>,
    /// Calls that its quota has left; `None` before the first one.
    left: Option<(Duration, f64)>,
    asked: Option<Duration>,
    /// It was told to stay away: from when, and until when.
    quiet: Option<(Duration, Duration)>,
    /// What was refused for good, and when.
    refused: BTreeMap<Vec<u8>, Duration>,
}

impl Seen {
    /// `Err`: the promise that this call breaks.
    pub fn arrives(&mut self, call: Call, now: Duration, calls_per_second: u32) -> Result<(), String> {
        self.calls += 1;
        let left = self.left(now, calls_per_second) - 1.0;
        self.left = Some((now, left));
        let is_question = call == Call::DescribeKey;
        self.asking += u32::from(is_question);
        let asked = if is_question { self.asked.replace(now) } else { None };
        if left < -0.01 {
            return Err(format!("more than {calls_per_second} calls a second, and a second's worth at once"));
        }
        if self.quiet.is_some_and(|(from, until)| from < now && now < until) {
            return Err(format!("{call:?} before the time that the KMS had named"));
        }
        if asked.is_some_and(|before| now < before + ASKED_EVERY) {
            return Err("which key is current was asked more than twice a minute".into());
        }
        Ok(())
    }

    /// `None`: it was given up.
    pub fn leaves(&mut self, call: Call, now: Duration, said: Option<Option<&Error>>) {
        self.asking -= u32::from(call == Call::DescribeKey);
        let opens_nothing = call == Call::DescribeKey;
        let Some(error) = said else {
            self.given_up += 1;
            if !opens_nothing {
                self.given_up_since.get_or_insert(now);
            }
            return;
        };
        self.failed += u64::from(error.is_some());
        if let Some(time) = error.and_then(Error::retry_after) {
            self.stays_away(now, time);
        }
        match error {
            _ if opens_nothing => {}
            Some(e) if e.is_retryable() => {
                self.failing.get_or_insert(now);
            }
            _ => (self.failing, self.given_up_since) = (None, None),
        }
    }

    /// Calls that wait already still come.
    fn stays_away(&mut self, now: Duration, time: Duration) {
        let until = now + time.min(LONGEST_PAUSE);
        let until = self.quiet.map_or(until, |(_, before)| before.max(until));
        self.quiet = Some((now + DEADLINE, until));
    }

    /// A Decrypt was refused for good, which began then. `Err`: that had been said before.
    pub fn refused(&mut self, ciphertext: &[u8], began: Duration, now: Duration) -> Result<(), String> {
        match self.refused.insert(ciphertext.to_vec(), now) {
            Some(before) if began > before && began < before + REMEMBERED => {
                Err("what was refused is asked for again at once".into())
            }
            _ => Ok(()),
        }
    }

    /// Whether calls wait for the quota.
    pub fn is_busy(&self, now: Duration, calls_per_second: u32) -> bool {
        self.left(now, calls_per_second) < 2.0
    }

    fn left(&self, now: Duration, calls_per_second: u32) -> f64 {
        let rate = f64::from(calls_per_second);
        let left = |(at, left): (Duration, f64)| (left + (now - at).as_secs_f64() * rate).min(rate);
        self.left.map_or(rate, left)
    }
}
