//! A day in simulated time, against a model of AWS KMS that fails in every way it can.
//!
//! `LIBKMS_DAY=12345 cargo test --all-features --test day -- --nocapture` lives one day, that
//! of the seed, and tells all of it. `LIBKMS_DAYS=100` with `--ignored many_days` lives a
//! hundred.
mod callers;
mod day;
mod forge;
mod judge;
mod kms;
mod log;
mod plan;
mod process;
mod promises;
mod records;
mod seen;
mod weather;
mod world;

use day::{Day, Report};
use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// One day at a time: the keys in memory are counted.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_day_of_outages_throttles_moved_aliases_and_restarts() {
    if let Some(seed) = number("LIBKMS_DAY") {
        return drop(live(seed));
    }
    let any = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) % 1_000_000;
    [1, 2, 3, any].into_iter().for_each(|seed| drop(live(seed)));
}

#[test]
fn a_seed_is_the_same_day_each_time() {
    let [one, two] = [7, 7].map(live);
    assert_eq!(one.log.hash(), two.log.hash());
    assert_ne!(live(8).log.hash(), one.log.hash());
}

#[test]
#[ignore = "minutes"]
fn many_days() {
    let days = number("LIBKMS_DAYS").unwrap_or(100);
    (1000..1000 + days).for_each(|seed| drop(live(seed)));
}

/// The day of a seed, which must break no promise.
fn live(seed: u64) -> Report {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    println!("LIBKMS_DAY={seed} cargo test --all-features --test day -- --nocapture");
    let (begun, report) = (Instant::now(), Day::live(seed));
    let Report { tally, calls, log } = &report;
    println!("  {calls} calls, {} lines, {:.1?}: {tally:?}", log.len(), begun.elapsed());
    if number("LIBKMS_DAY").is_some() {
        log.print();
    }
    if let Some(broken) = log.breaches() {
        panic!("{broken}\n\nagain: LIBKMS_DAY={seed} cargo test --all-features --test day -- --nocapture");
    }
    report
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
