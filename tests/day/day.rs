//! A day: what the plan has happens at its time, and each answer is judged.
use crate::{
    callers::Callers,
    judge::{Judge, Tally},
    kms::Aws,
    log::Log,
    plan::{DAY, Event, NIGHTLY, Plan, REGIONS, S},
    process::Process,
    promises::DEADLINE,
    world::{Host, World},
};
use libkms::{Aad, EncryptionContext, Kms, Wait, kek::Mock, rt::Simulated, secret::residency};
use std::{mem, time::Duration};

pub struct Day {
    plan: Plan,
    world: World,
    aws: Aws,
    log: Log,
    judge: Judge,
    callers: Callers,
    /// One of each service.
    processes: Vec<Process>,
    /// Those that are over, and since when: nothing may be left of them.
    ended: Vec<(Duration, u32, Host)>,
    started: u32,
}

/// How a day was.
pub struct Report {
    pub tally: Tally,
    pub calls: u64,
    pub log: Log,
}

impl Day {
    /// All of it.
    pub fn live(seed: u64) -> Report {
        warm_up();
        let before = keys_in_memory();
        let mut day = Self::new(seed);
        for (at, event) in mem::take(&mut day.plan.events) {
            day.until(at);
            day.happens(event);
        }
        day.until(DAY);
        day.evening();
        let left = keys_in_memory() - before;
        // Another test's thread may end meanwhile, and its random generator with it.
        day.check(left <= 0, || format!("{left} keys are left in memory"));
        let calls = day.aws.state().calls();
        Report { tally: day.judge.tally, calls, log: day.log }
    }

    fn new(seed: u64) -> Self {
        let plan = Plan::new(seed);
        let (world, log) = (World::new(seed), Log::default());
        let aws = Aws::new(world.clone(), log.clone(), seed, &REGIONS, plan.faults.clone());
        let judge = Judge::new(&plan, aws.clone(), log.clone());
        plan.faults.iter().for_each(|fault| log.say(fault.from, format_args!("is planned: {fault:?}")));
        let (callers, processes, ended) = (Callers::new(world.clone()), Vec::new(), Vec::new());
        let mut day = Self { plan, world, aws, log, judge, callers, processes, ended, started: 0 };
        (0..day.plan.services.len()).for_each(|service| day.starts(service));
        day
    }

    fn happens(&mut self, event: Event) {
        let now = self.world.now();
        match event {
            Event::Moves(region, pick) => self.aws.moves(region, pick),
            Event::Rotates(region) => self.aws.rotates(region),
            Event::Disabled(region, pick, time) => self.aws.disables(region, pick, time),
            Event::Restarts(service) => self.restarts(service),
            Event::Does(service, deed) => self.callers.does(&self.processes[service], &mut self.judge, &deed),
            Event::Rush(service, deeds) => {
                for deed in &deeds {
                    self.callers.does(&self.processes[service], &mut self.judge, deed);
                }
            }
            Event::Stampede(service) => {
                self.callers.stampede(&mut self.processes[service], &mut self.judge);
            }
            Event::LooksAtHealth(service) => {
                self.settle();
                self.judge.health(now, &self.processes[service]);
            }
        }
    }

    /// When all is over everything opens, nothing is held too long, and nothing is left behind.
    fn evening(&mut self) {
        self.until(DAY + 2 * DEADLINE);
        for process in &self.processes {
            self.callers.seals(process, 0, None);
        }
        self.until(self.world.now() + S);
        // A process that has asked for none of them opens all that was ever sealed.
        self.restarts(NIGHTLY);
        for (record, version) in self.judge.records.all_versions() {
            self.callers.opens(&self.processes[NIGHTLY], &mut self.judge, record, version, None);
            while self.callers.are_waiting() {
                self.next(Duration::MAX);
            }
        }
        // Keys go when their time is over, also when nobody asks.
        let longest = self.plan.services.iter().map(|s| s.dek_time + s.seal_for).max().unwrap_or_default();
        self.until(self.world.now() + longest + 3 * DEADLINE);
        for process in &self.processes {
            let usage = process.kms.usage();
            let held = usage.sealing.held + usage.opening.held;
            self.check(held == 0, || format!("process {} holds {held} DEKs", process.number));
        }
        while !self.processes.is_empty() {
            self.ends(0);
        }
        self.until(self.world.now() + 13 * DEADLINE);
        self.check(self.ended.is_empty(), || "what was over was not looked at".into());
    }

    fn check(&self, holds: bool, else_say: impl FnOnce() -> String) {
        if !holds {
            self.log.breach(self.world.now(), else_say());
        }
    }
}

/// Who runs.
impl Day {
    fn starts(&mut self, service: usize) {
        let number = self.started;
        self.started += 1;
        let plan = &self.plan.services[service];
        self.processes.insert(service, Process::start(number, service, plan, &self.aws, &self.world));
        self.log.say(self.world.now(), format_args!("{} starts as process {number}", plan.name));
    }

    fn restarts(&mut self, service: usize) {
        self.ends(service);
        self.starts(service);
    }

    fn ends(&mut self, service: usize) {
        let Process { number, host, kms, .. } = self.processes.remove(service);
        drop(kms);
        self.callers.end_with(number);
        self.ended.push((self.world.now(), number, host));
    }

    /// A minute later nothing runs for them any more.
    fn look_at_the_ended(&mut self) {
        let now = self.world.now();
        let is_due = |(since, ..): &(Duration, u32, Host)| now >= *since + 12 * DEADLINE;
        for (_, number, host) in self.ended.extract_if(.., |ended| is_due(ended)) {
            let alive = host.alive();
            if alive > 0 {
                self.log.breach(now, format_args!("{alive} tasks and timers are left of process {number}"));
            }
        }
    }
}

/// How time goes.
impl Day {
    fn until(&mut self, then: Duration) {
        while self.world.now() < then {
            self.next(then);
        }
    }

    /// Up to when something happens.
    fn next(&mut self, most: Duration) {
        self.settle();
        let next = [self.world.next_timer(), self.callers.next_who_gives_up()].into_iter().flatten().min();
        self.world.advance_to(next.map_or(most, |next| next.min(most)));
        self.settle();
        self.look_at_the_ended();
    }

    /// Everything that can go on now does.
    fn settle(&mut self) {
        loop {
            let answered = self.callers.poll(&mut self.judge, &self.processes);
            if !(self.world.turn() || answered || self.callers.are_woken()) {
                return;
            }
        }
    }
}

/// This thread's random numbers have a page of key memory, from the first seal on.
fn warm_up() {
    let kms = Kms::builder().kek(Mock::new("any")).runtime(Simulated::new()).build().unwrap();
    kms.scope(EncryptionContext::empty()).seal(Aad::empty(), b"x").wait().unwrap();
}

/// Keys that are held, wherever.
fn keys_in_memory() -> isize {
    let residency = residency();
    (residency.locked + residency.unlocked).cast_signed()
}
