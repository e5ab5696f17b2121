//! Leaving a KMS alone that fails.
use super::pause::shortened;
use crate::rt::{
    Runtime,
    sync::{Mutex, lock},
};
use std::{sync::Arc, time::Duration};

/// That many failures in a row.
const MOST_FAILURES: u32 = 5;
/// How long it is left alone, at first and at last.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Lets calls pass until too many in a row failed; then one at a time, after ever longer
/// pauses, until one succeeds.
pub(super) struct Breaker {
    rt: Arc<dyn Runtime>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// Since when there was nothing but failures.
    failing_since: Option<Duration>,
    /// Until then no call passes; how long that pause was.
    open: Option<(Duration, Duration)>,
    is_probing: bool,
}

/// A call that passes. Dropped without a verdict, it was cancelled.
pub(super) struct Pass<'a>(&'a Breaker, bool);

impl Breaker {
    pub(super) fn new(rt: Arc<dyn Runtime>) -> Self {
        Self { rt, state: Mutex::default() }
    }

    /// `Err`: how long it is still left alone.
    pub(super) fn pass(&self) -> Result<Pass<'_>, Duration> {
        let now = self.rt.now();
        let mut state = lock(&self.state);
        let Some((until, pause)) = state.open else { return Ok(Pass(self, false)) };
        if now < until {
            return Err(until - now);
        }
        if state.is_probing {
            return Err(pause);
        }
        state.is_probing = true;
        Ok(Pass(self, true))
    }

    /// For how long it has answered no call.
    pub(super) fn failing_for(&self) -> Option<Duration> {
        let since = lock(&self.state).failing_since?;
        Some(self.rt.now().saturating_sub(since))
    }

    fn succeeded(&self) {
        *lock(&self.state) = State::default();
    }

    fn failed(&self, was_probe: bool) {
        let now = self.rt.now();
        let random = self.rt.random();
        let mut state = lock(&self.state);
        state.failures = state.failures.saturating_add(1);
        state.failing_since.get_or_insert(now);
        let is_open = state.open.is_some();
        if was_probe || (!is_open && state.failures >= MOST_FAILURES) {
            let pause = state.open.map_or(FIRST, |(_, pause)| (2 * pause).min(LONGEST));
            state.open = Some((now.saturating_add(shortened(pause, random)), pause));
        }
    }
}

impl Pass<'_> {
    pub(super) fn succeeded(self) {
        self.0.succeeded();
    }

    pub(super) fn failed(self) {
        self.0.failed(self.1);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.1 {
            lock(&self.0.state).is_probing = false;
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::rt::Simulated;

    fn breaker() -> (Simulated, Breaker) {
        let clock = Simulated::new();
        let breaker = Breaker::new(Arc::new(clock.clone()));
        (clock, breaker)
    }

    fn fail(breaker: &Breaker) {
        breaker.pass().expect("it passes").failed();
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let (clock, breaker) = breaker();
        for _ in 0..3 {
            (0..MOST_FAILURES - 1).for_each(|_| fail(&breaker));
            breaker.pass().ok().unwrap().succeeded();
        }
        assert_eq!(breaker.failing_for(), None);
        (0..MOST_FAILURES).for_each(|_| fail(&breaker));
        assert!(breaker.pass().is_err_and(|left| left <= FIRST && left >= FIRST / 2));
        clock.advance(FIRST);
        assert_eq!(breaker.failing_for(), Some(FIRST));
        let probe = breaker.pass().expect("one");
        assert!(breaker.pass().is_err(), "one at a time");
        drop(probe);
        let probe = breaker.pass().expect("the one before was cancelled");
        probe.succeeded();
        (0..3).for_each(|_| drop(breaker.pass().ok().unwrap()));
        assert_eq!(breaker.failing_for(), None);
    }

    #[test]
    fn its_pauses_grow_to_half_a_minute() {
        let (clock, breaker) = breaker();
        (0..MOST_FAILURES).for_each(|_| fail(&breaker));
        for pause in [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs) {
            let left = breaker.pass().err().expect("left alone");
            assert!(left <= pause && left >= pause / 2, "{left:?} of {pause:?}");
            clock.advance(left);
            fail(&breaker);
        }
    }
}
