//! Those who call, and wait.
use crate::{
    forge::forged,
    judge::Judge,
    kms::Named,
    plan::{Deed, Forgery, NIGHTLY, What},
    process::{Answer, Process},
    promises::DEADLINE,
    world::{Called, World},
};
use std::time::Duration;

pub struct Callers {
    world: World,
    waiting: Vec<(Op, Called<Answer>)>,
    begun: u64,
}

/// What a caller waits for.
pub struct Op {
    pub number: u64,
    pub process: u32,
    pub service: usize,
    pub what: What,
    pub tenant: u64,
    /// Of an existing record.
    pub about: Option<About>,
    pub plaintext: Vec<u8>,
    pub began: Duration,
    gives_up_at: Option<Duration>,
    /// Among those of a stampede.
    pub in_stampede: bool,
}

/// A record, as it was when the caller came.
pub struct About {
    pub record: usize,
    pub version: usize,
    pub dek: usize,
    /// Under which keys its DEK is wrapped, of the regions that the process has.
    pub keys: Vec<Named>,
    /// How many there are of all regions.
    pub recipients: usize,
    /// Those of them that the process allows.
    pub allowed: Vec<Named>,
    pub is_remembered: bool,
}

impl Callers {
    pub fn new(world: World) -> Self {
        Self { world, waiting: Vec::new(), begun: 0 }
    }

    pub fn does(&mut self, process: &Process, judge: &mut Judge, deed: &Deed) {
        let records = &judge.records;
        let of_tenant = match deed.what {
            What::Seal => return self.seals(process, deed.tenant, deed.gives_up),
            What::OpenRecent => records.recent(process.service, deed.tenant, deed.pick),
            // The one that rewraps does so for all.
            _ if process.service == NIGHTLY => records.any(deed.pick),
            _ => records.any_of(deed.tenant, deed.pick),
        };
        let Some(record) = of_tenant else { return };
        let version = records.latest(record);
        match deed.what {
            What::Freshness | What::Rewrap => self.asks(process, judge, deed, record, version),
            What::Forge(how) => self.forges(process, judge, record, how, deed.pick),
            _ => self.opens(process, judge, record, version, deed.gives_up),
        }
    }

    pub fn seals(&mut self, process: &Process, tenant: u64, gives_up: Option<Duration>) {
        let plaintext = format!("record {} of tenant {tenant}", self.begun).into_bytes();
        let call = process.seals(tenant, self.begun, plaintext.clone());
        let op = Op { plaintext, ..self.op(process, What::Seal, tenant, gives_up) };
        self.waiting.push((op, call));
    }

    pub fn opens(
        &mut self,
        process: &Process,
        judge: &mut Judge,
        record: usize,
        version: usize,
        gives_up: Option<Duration>,
    ) {
        let about = judge.about(process, record, version, self.world.now());
        let r = judge.records.get(record);
        let call = process.opens(r.tenant, r.aad, r.versions[version].clone());
        let op = self.op(process, What::OpenAny, r.tenant, gives_up);
        self.waiting.push((Op { about: Some(about), ..op }, call));
    }

    fn asks(&mut self, process: &Process, judge: &mut Judge, deed: &Deed, record: usize, version: usize) {
        let about = judge.about(process, record, version, self.world.now());
        let r = judge.records.get(record);
        let sealed = r.versions[version].clone();
        let call = match deed.what {
            What::Rewrap => process.rewraps(r.tenant, sealed),
            _ => process.asks_for_freshness(&sealed),
        };
        let op = self.op(process, deed.what, r.tenant, deed.gives_up);
        self.waiting.push((Op { about: Some(about), ..op }, call));
    }

    /// Several times, since it is refused each time.
    fn forges(&mut self, process: &Process, judge: &mut Judge, record: usize, how: Forgery, pick: u64) {
        let r = judge.records.get(record);
        let (tenant, aad) = (r.tenant, r.aad);
        let forged = forged(&r.versions[judge.records.latest(record)], how, pick);
        for _ in 0..3 {
            let about = judge.about(process, record, judge.records.latest(record), self.world.now());
            let call = process.opens(tenant, aad, forged.clone());
            let op = self.op(process, What::Forge(how), tenant, None);
            self.waiting.push((Op { about: Some(about), ..op }, call));
        }
    }

    /// One wave of it.
    pub fn stampede(&mut self, process: &mut Process, judge: &mut Judge) {
        let now = self.world.now();
        if !process.is_overrun(now, now) && judge.stampede_begins(process, now) {
            process.is_overrun_from(now);
        }
        for record in judge.next_of_stampede(process) {
            self.opens(process, judge, record, judge.records.latest(record), None);
            self.waiting.last_mut().expect("it was pushed").0.in_stampede = true;
        }
    }

    fn op(&mut self, process: &Process, what: What, tenant: u64, gives_up: Option<Duration>) -> Op {
        self.begun += 1;
        let now = self.world.now();
        Op {
            number: self.begun - 1,
            process: process.number,
            service: process.service,
            what,
            tenant,
            about: None,
            plaintext: Vec::new(),
            began: now,
            gives_up_at: gives_up.map(|time| now + time),
            in_stampede: false,
        }
    }
}

/// While they wait.
impl Callers {
    /// Whether any had an answer.
    pub fn poll(&mut self, judge: &mut Judge, processes: &[Process]) -> bool {
        let (now, before) = (self.world.now(), self.waiting.len());
        self.waiting.retain_mut(|(op, call)| {
            match call.poll() {
                Some(answer) => judge.judge(op, answer, now, &processes[op.service]),
                None if now > op.began + 60 * DEADLINE => judge.never_answered(op, now),
                None => return op.gives_up_at.is_none_or(|at| now < at),
            }
            false
        });
        self.waiting.len() < before
    }

    pub fn are_woken(&self) -> bool {
        self.waiting.iter().any(|(_, call)| call.is_woken())
    }

    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn next_who_gives_up(&self) -> Option<Duration> {
        let now = self.world.now();
        self.waiting.iter().filter_map(|(op, _)| op.gives_up_at).filter(|at| *at > now).min()
    }

    /// Their process is over.
    pub fn end_with(&mut self, process: u32) {
        self.waiting.retain(|(op, _)| op.process != process);
    }
}
