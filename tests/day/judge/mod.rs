//! Whether each answer is one that the manual allows. Naive: it knows what was wrong with the
//! KMS, and when, and nothing of how libkms works.
mod freshness;
mod health;
mod opening;
mod sealing;
mod stampede;

use crate::{
    callers::{About, Op},
    kms::{Aws, Named},
    log::Log,
    plan::{Plan, Service},
    process::{Answer, Process},
    promises::*,
    records::Records,
    weather::Weather,
};
use libkms::{Error, Header, inspect};
use stampede::Stampede;
use std::{collections::BTreeMap, fmt::Display, time::Duration};

pub struct Judge {
    pub records: Records,
    pub tally: Tally,
    services: Vec<Service>,
    weather: Weather,
    aws: Aws,
    log: Log,
    /// The DEK that a process seals with for a tenant.
    sealing: BTreeMap<(u32, u64), usize>,
    /// Messages under a DEK.
    messages: BTreeMap<usize, u64>,
    /// Until when a process surely has an opened DEK.
    remembered: BTreeMap<(u32, usize), Duration>,
    stampedes: BTreeMap<u32, Stampede>,
}

/// What a day had of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub sealed: u64,
    /// In an outage, past a DEK's time.
    pub sealed_late: u64,
    pub not_sealed: u64,
    pub opened: u64,
    /// While the KMS failed, since the DEK was remembered.
    pub opened_from_memory: u64,
    pub not_opened: u64,
    pub forged: u64,
    pub rewrapped: u64,
    pub not_rewrapped: u64,
    pub stampedes: u64,
}

impl Judge {
    pub fn new(plan: &Plan, aws: Aws, log: Log) -> Self {
        Self {
            records: Records::default(),
            tally: Tally::default(),
            services: plan.services.clone(),
            weather: Weather::new(plan.faults.clone(), aws.clone()),
            aws,
            log,
            sealing: BTreeMap::new(),
            messages: BTreeMap::new(),
            remembered: BTreeMap::new(),
            stampedes: BTreeMap::new(),
        }
    }

    pub fn judge(&mut self, op: &Op, answer: Answer, now: Duration, process: &Process) {
        let took = now - op.began;
        let said = self.told(&answer);
        let Op { process: number, what, tenant, .. } = op;
        self.log
            .say(now, format_args!("{number} {what:?} {} for {tenant}: {said}, after {took:?}", op.number));
        if took > DEADLINE {
            self.breach(op, now, format_args!("took {took:?}: {said}"));
        }
        match (answer, &op.about) {
            (Answer::Sealed(sealed), _) => self.sealed(op, sealed, now, process),
            (Answer::Opened(opened), Some(about)) => self.opened(op, about, opened, now, process),
            (Answer::Freshness(told), Some(about)) => self.freshness(op, about, told, now, process),
            (Answer::Rewrapped(new), Some(about)) => self.rewrapped(op, about, new, now, process),
            (_, None) => unreachable!("it is about a record"),
        }
    }

    pub fn never_answered(&self, op: &Op, now: Duration) {
        self.breach(op, now, "has no answer");
    }

    /// What the process can know of a record.
    pub fn about(&self, process: &Process, record: usize, version: usize, now: Duration) -> About {
        let r = self.records.get(record);
        let is_here = |named: &Named| process.clients.iter().any(|client| client.region == named.region);
        let all = &r.keys[version];
        let keys: Vec<_> = all.iter().filter(|named| is_here(named)).copied().collect();
        let allowed: Vec<_> = keys.iter().filter(|named| process.allows(named)).copied().collect();
        let remembered = self.remembered.get(&(process.number, r.dek));
        let is_remembered = !allowed.is_empty() && remembered.is_some_and(|until| now < *until);
        About { record, version, dek: r.dek, recipients: all.len(), keys, allowed, is_remembered }
    }

    /// The keys that a header names, and its DEK. None of another KMS's making are ever sealed.
    fn read(&self, sealed: &[u8]) -> (Header, Vec<Named>, usize) {
        let (header, state) = (inspect(sealed).unwrap(), self.aws.state());
        let keys = header.recipients().iter().map(|r| state.named(&r.wrapped.key_id).unwrap()).collect();
        let dek = state.dek_of(&header.recipients()[0].wrapped.ciphertext).unwrap();
        drop(state);
        (header, keys, dek)
    }

    fn told(&self, answer: &Answer) -> String {
        match answer {
            Answer::Sealed(Err(e)) | Answer::Opened(Err(e)) | Answer::Rewrapped(Err(e)) => {
                format!("{:?}, {}", e.kind(), short(e))
            }
            Answer::Sealed(Ok(sealed)) => format!("well, by DEK {}", self.read(sealed).2),
            Answer::Opened(Ok(opened)) => format!("well, {:?}", opened.freshness),
            Answer::Freshness(freshness) => format!("{freshness:?}"),
            Answer::Rewrapped(Ok(new)) => if new.is_some() { "well" } else { "nothing to do" }.into(),
        }
    }

    fn service(&self, op: &Op) -> &Service {
        &self.services[op.service]
    }

    fn breach(&self, op: &Op, now: Duration, what: impl Display) {
        let (process, number) = (op.process, op.number);
        self.log.breach(now, format_args!("process {process}, {:?} {number}: {what}", op.what));
    }
}

/// What an error says, without the long names of keys.
pub(super) fn short(error: &Error) -> String {
    match error.attempts() {
        [] => error.to_string(),
        attempts => attempts.iter().map(|a| a.error.to_string()).collect::<Vec<_>>().join("; "),
    }
}
