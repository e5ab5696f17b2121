//! What a day will bring: all of it comes from one seed.
use std::time::Duration;

pub const MS: Duration = Duration::from_millis(1);
pub const S: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// After that nothing fails any more.
const LAST_FAULT: Duration = Duration::from_secs(23 * 3600);

pub const REGIONS: [&str; 2] = ["eu-central-1", "eu-west-1"];
pub const TENANTS: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    GenerateDataKey,
    Encrypt,
    Decrypt,
    DescribeKey,
}
use Call::*;

/// Something that is wrong with a KMS for a while.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub region: usize,
    pub from: Duration,
    pub to: Duration,
    pub calls: &'static [Call],
    pub how: How,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Unavailable,
    Hangs,
    /// Up to that many seconds: some replies come in time, some do not.
    Slow(u64),
    /// So many of a hundred calls fail.
    Flaky(u64),
    /// Others use up the quota: so many calls a second pass.
    Throttled(u64, Option<Duration>),
    Denied,
    /// DescribeKey still names the key before.
    Stale,
    /// Replicas that do not agree name the key before and the current one in turn.
    Flapping,
}
use How::*;

const ALL: &[Call] = &[GenerateDataKey, Encrypt, Decrypt, DescribeKey];
const WRAPS: &[Call] = &[GenerateDataKey, Encrypt];
const NAMES: &[Call] = &[GenerateDataKey, Encrypt, DescribeKey];

/// Each of these is part of every day.
const FAULTS: &[(&[Call], How)] = &[
    (ALL, Unavailable),
    (ALL, Hangs),
    (ALL, Slow(4)),
    (ALL, Flaky(60)),
    (ALL, Throttled(2, Some(Duration::from_secs(20)))),
    (ALL, Throttled(2, Some(Duration::from_secs(90)))),
    (ALL, Throttled(2, None)),
    (ALL, Denied),
    (WRAPS, Unavailable),
    (WRAPS, Hangs),
    (WRAPS, Denied),
    (&[Decrypt], Hangs),
    (&[Decrypt], Unavailable),
    (&[Decrypt], Denied),
    (&[DescribeKey], Hangs),
    (&[DescribeKey], Unavailable),
    (&[DescribeKey], Stale),
    (NAMES, Flapping),
];

/// Of a stampede.
pub const WAVES: u32 = 10;

/// A program that uses libkms.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: &'static str,
    /// The keys that wrap, by their regions.
    pub regions: &'static [usize],
    /// All of them must wrap, else one is enough.
    pub all_wrap: bool,
    /// Whatever key of the account opens; else those that are named and learnt.
    pub accepts_account: bool,
    pub dek_time: Duration,
    pub messages: u64,
    pub seal_for: Duration,
    pub calls_per_second: u32,
    pub most_deks: usize,
}

/// The one that rewraps, by its place among [`Plan::services`].
pub const NIGHTLY: usize = 3;

#[derive(Clone, Debug)]
pub enum Event {
    /// The alias leads to another key: a new one, or one that it led to before.
    Moves(usize, u64),
    /// The key gets other material.
    Rotates(usize),
    /// A key is disabled for a while.
    Disabled(usize, u64, Duration),
    Restarts(usize),
    Does(usize, Deed),
    /// So many at once.
    Rush(usize, Vec<Deed>),
    /// For some seconds, each time: twice as many cold opens as the quota lets through.
    Stampede(usize),
    LooksAtHealth(usize),
}

/// Something that a caller does. `pick` says which record.
#[derive(Clone, Debug)]
pub struct Deed {
    pub what: What,
    pub tenant: u64,
    pub pick: u64,
    /// The caller goes away after so long.
    pub gives_up: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Seal,
    /// One of the tenant's latest.
    OpenRecent,
    OpenAny,
    Freshness,
    Rewrap,
    Forge(Forgery),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// It names a key that nobody allowed.
    Key,
    /// A wrapped DEK that no KMS made.
    Wrap,
    Mac,
    Payload,
}

pub struct Plan {
    pub services: Vec<Service>,
    pub faults: Vec<Fault>,
    /// In the order of their times.
    pub events: Vec<(Duration, Event)>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let services = services(&mut random);
        let faults = faults(&mut random);
        let mut events = Vec::new();
        of_the_keys(&mut random, &faults, &mut events);
        of_the_services(&mut random, &faults, &services, &mut events);
        events.sort_by_key(|(at, _)| *at);
        Self { services, faults, events }
    }
}

fn services(random: &mut Random) -> Vec<Service> {
    let service = |random: &mut Random, name, regions| Service {
        name,
        regions,
        all_wrap: true,
        accepts_account: true,
        dek_time: random.pick(&[2 * MINUTE, 10 * MINUTE, 10 * MINUTE, 30 * MINUTE]),
        messages: 1 << 20,
        seal_for: random.pick(&[Duration::ZERO, 3 * MINUTE, 3 * MINUTE, HOUR]),
        calls_per_second: random.pick(&[12, 25, 50]),
        most_deks: 10_000,
    };
    let orders = service(random, "orders", &[0]);
    let mail = Service { messages: 5, ..service(random, "mail", &[0, 1]) };
    let billing = Service { all_wrap: false, accepts_account: false, ..service(random, "billing", &[1, 0]) };
    let nightly = Service { most_deks: 3, calls_per_second: 50, ..service(random, "nightly", &[0, 1]) };
    vec![orders, mail, billing, nightly]
}

fn faults(random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |random: &mut Random, (calls, how), least, most| {
        let (from, time) = (random.time(10 * MINUTE, LAST_FAULT - MINUTE), random.length(least, most));
        let to = (from + time).min(LAST_FAULT);
        let regions: &[usize] = random.pick(&[&[0], &[0], &[1], &[0, 1]]);
        faults.extend(regions.iter().map(|region| Fault { region: *region, from, to, calls, how }));
    };
    for fault in FAULTS {
        add(random, *fault, 2 * S, 20 * MINUTE);
        let any = random.pick(FAULTS);
        add(random, any, S, MINUTE);
    }
    for _ in 0..3 {
        let any = random.pick(FAULTS);
        add(random, any, 20 * MINUTE, 3 * HOUR);
    }
    faults
}

/// Aliases that move, material that changes, keys that are disabled and come back: also
/// shortly before an outage, and in it.
fn of_the_keys(random: &mut Random, faults: &[Fault], events: &mut Vec<(Duration, Event)>) {
    for region in 0..REGIONS.len() {
        for _ in 0..5 {
            events.push((random.time(MINUTE, DAY - MINUTE), Event::Moves(region, random.next())));
            events.push((random.time(MINUTE, DAY - MINUTE), Event::Rotates(region)));
            let time = random.length(2 * S, 20 * MINUTE);
            let disabled = Event::Disabled(region, random.next(), time);
            events.push((random.time(MINUTE, LAST_FAULT - 20 * MINUTE), disabled));
        }
    }
    for fault in faults {
        if random.chance(40) {
            let at = random.time(fault.from - 40 * S, fault.to);
            events.push((at, Event::Moves(fault.region, random.next())));
        }
    }
}

fn of_the_services(
    random: &mut Random,
    faults: &[Fault],
    services: &[Service],
    events: &mut Vec<(Duration, Event)>,
) {
    for service in 0..services.len() {
        for _ in 0..4 {
            events.push((random.time(MINUTE, DAY - MINUTE), Event::Restarts(service)));
            let fault = random.pick(faults);
            events.push((random.time(fault.from, fault.to), Event::Restarts(service)));
        }
        for _ in 0..100 {
            events.push((random.time(Duration::ZERO, DAY), Event::LooksAtHealth(service)));
        }
        for fault in faults {
            rushes(random, fault, service, events);
        }
        // One rewraps, now and then; the others seal and open.
        if service == NIGHTLY {
            (0..10).for_each(|_| night(random, events));
            continue;
        }
        for tenant in 0..TENANTS {
            of_a_tenant(random, service, tenant, events);
        }
        for _ in 0..2 {
            let at = random.time(8 * HOUR, DAY - MINUTE);
            let waves = (0..WAVES).map(|n| (at + n * S, Event::Stampede(service)));
            events.extend(waves);
        }
    }
}

/// Hours in which much is done, little, or nothing.
fn of_a_tenant(random: &mut Random, service: usize, tenant: u64, events: &mut Vec<(Duration, Event)>) {
    const GAPS: &[u64] = &[10, 40, 40, 100, 100, 100, 300, 300, 1000, 3600];
    for hour in 0..24 {
        let gap = random.pick(GAPS);
        let mut at = hour * HOUR;
        loop {
            at += random.time(Duration::ZERO, Duration::from_secs(2 * gap));
            if at >= (hour + 1) * HOUR {
                break;
            }
            events.push((at, Event::Does(service, deed(random, tenant))));
        }
    }
}

/// Many come at once, in an outage and when it is over.
fn rushes(random: &mut Random, fault: &Fault, service: usize, events: &mut Vec<(Duration, Event)>) {
    let times = [
        random.time(fault.from, fault.to),
        random.time(fault.from, fault.to),
        random.time(fault.to, fault.to + MINUTE),
        fault.to + 34 * S,
    ];
    for at in times {
        if random.chance(50) {
            let deeds = rush(random, service);
            events.push((at, Event::Rush(service, deeds)));
        }
    }
}

fn rush(random: &mut Random, service: usize) -> Vec<Deed> {
    let (tenant, seals) = (random.below(TENANTS), random.chance(30));
    let mut any = |_| match (service, seals) {
        (NIGHTLY, _) => Deed { what: What::Rewrap, ..deed(random, 0) },
        // All of one tenant's: more than a DEK may have messages.
        (_, true) => Deed { what: What::Seal, ..deed(random, tenant) },
        (_, false) => {
            let tenant = random.below(TENANTS);
            deed(random, tenant)
        }
    };
    (0..12).map(&mut any).collect()
}

fn night(random: &mut Random, events: &mut Vec<(Duration, Event)>) {
    let mut at = random.time(HOUR, DAY - 10 * MINUTE);
    for _ in 0..40 {
        at += random.time(Duration::ZERO, 4 * S);
        let what = random.pick(&[What::Rewrap, What::Rewrap, What::Rewrap, What::OpenAny, What::Freshness]);
        events.push((at, Event::Does(NIGHTLY, Deed { what, ..deed(random, 0) })));
    }
}

fn deed(random: &mut Random, tenant: u64) -> Deed {
    let what = match random.below(100) {
        0..40 => What::Seal,
        40..65 => What::OpenRecent,
        65..90 => What::OpenAny,
        90..96 => What::Freshness,
        96 => What::Forge(Forgery::Key),
        97 => What::Forge(Forgery::Wrap),
        98 => What::Forge(Forgery::Mac),
        _ => What::Forge(Forgery::Payload),
    };
    let gives_up = random.chance(8).then(|| random.time(Duration::ZERO, 6 * S));
    Deed { what, tenant, pick: random.next(), gives_up }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, of_a_hundred: u64) -> bool {
        self.below(100) < of_a_hundred
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// To the millisecond.
    pub fn time(&mut self, from: Duration, to: Duration) -> Duration {
        from + MS * self.below(1 + (to - from).as_millis() as u64) as u32
    }

    /// As often between 1 and 10 seconds as between 10 and 100.
    fn length(&mut self, least: Duration, most: Duration) -> Duration {
        let part = self.below(1 << 20) as f64 / (1u64 << 20) as f64;
        let time = least.as_secs_f64() * (most.as_secs_f64() / least.as_secs_f64()).powf(part);
        MS * (time * 1000.0) as u32
    }
}
