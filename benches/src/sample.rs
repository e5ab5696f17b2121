//! Bursts of all contestants, interleaved: A B C, B C A, ... in one process.
use crate::{library::Contestant, machine};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// Of a burst: long enough for the clock, short enough that nothing happens meanwhile.
const BURST: Duration = Duration::from_micros(30);
/// Longer ones are not thrown away because another process ran meanwhile, which would take
/// nearly all: the time it ran is subtracted.
const LONG: f64 = 1e6;
/// A probe that took so much longer than usual says that somebody shares the core.
const DISTURBED: f64 = 1.12;
const FEWEST: usize = 7;

/// Nanoseconds for a call.
pub struct Timing {
    pub name: &'static str,
    pub median: f64,
    pub quartiles: [f64; 2],
    pub dropped: usize,
    pub bursts: usize,
}

/// One for a whole run: what is quiet is learnt from all its probes.
pub struct Sampler {
    probes: Vec<f64>,
    switches: Switches,
}

struct Sample {
    ns: f64,
    probe: f64,
    switched: bool,
}

impl Default for Sampler {
    fn default() -> Self {
        let mut probes: Vec<_> = (0..2000).map(|_| machine::probe()).collect();
        probes.sort_by(f64::total_cmp);
        Self { probes, switches: Switches::new() }
    }
}

impl Sampler {
    /// Rounds of bursts until this time is over, in the same order as the contestants.
    pub fn measure(&mut self, contestants: &mut [Contestant], time: Duration) -> Vec<Timing> {
        let calls: Vec<_> = contestants.iter_mut().map(calls).collect();
        let mut samples: Vec<Vec<Sample>> = contestants.iter().map(|_| Vec::new()).collect();
        let begun = Instant::now();
        let mut round = 0;
        while round < FEWEST || begun.elapsed() < time {
            for turn in 0..contestants.len() {
                let i = (round + turn) % contestants.len();
                samples[i].push(self.sample(&mut contestants[i], calls[i]));
            }
            round += 1;
        }
        self.learn(&samples);
        let quiet = self.probes[self.probes.len() / 20];
        contestants.iter().zip(samples).map(|(c, samples)| timing(c.name, samples, quiet)).collect()
    }

    fn sample(&self, contestant: &mut Contestant, calls: usize) -> Sample {
        // Its code and data come into the caches, where they find room.
        (contestant.burst)(calls.div_ceil(4));
        let (probe, before) = (machine::probe(), self.switches.now());
        let begun = Instant::now();
        (contestant.burst)(calls);
        let ns = begun.elapsed().as_nanos() as f64;
        let after = self.switches.now();
        let waited = (after.waited - before.waited) as f64;
        let ns = (ns - waited) / calls as f64;
        Sample { ns, probe: probe.max(machine::probe()), switched: after.count != before.count }
    }

    fn learn(&mut self, samples: &[Vec<Sample>]) {
        self.probes.extend(samples.iter().flatten().map(|sample| sample.probe));
        self.probes.sort_by(f64::total_cmp);
    }
}

/// How many are a burst.
fn calls(contestant: &mut Contestant) -> usize {
    let mut calls = 1;
    loop {
        let begun = Instant::now();
        (contestant.burst)(calls);
        let took = begun.elapsed();
        if took >= BURST {
            return calls;
        }
        let wanted = calls as f64 * BURST.as_nanos() as f64 / took.as_nanos().max(1) as f64;
        calls = (wanted.ceil() as usize).clamp(calls + 1, 4 * calls);
    }
}

fn timing(name: &'static str, samples: Vec<Sample>, quiet: f64) -> Timing {
    let bursts = samples.len();
    let calm = |s: &&Sample| s.probe < quiet * DISTURBED && (!s.switched || s.ns > LONG);
    let mut kept: Vec<_> = samples.iter().filter(calm).map(|s| s.ns).collect();
    if kept.len() < FEWEST {
        // Nothing better is to be had; the quartiles tell.
        kept = samples.iter().map(|s| s.ns).collect();
    }
    kept.sort_by(f64::total_cmp);
    let at = |quarter: usize| kept[(kept.len() - 1) * quarter / 4];
    Timing { name, median: at(2), quartiles: [at(1), at(3)], dropped: bursts - kept.len(), bursts }
}

/// How often this thread was taken off its core, and how long it waited to be let on again.
struct Switches(Option<File>);

#[derive(Default)]
struct Switched {
    waited: u64,
    count: u64,
}

impl Switches {
    fn new() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    /// Zeros where the system does not tell.
    fn now(&self) -> Switched {
        let mut text = [0; 80];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = str::from_utf8(&text[..read]).unwrap_or_default();
        let mut numbers = text.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0));
        Switched { waited: numbers.next().unwrap_or(0), count: numbers.next().unwrap_or(0) }
    }
}
