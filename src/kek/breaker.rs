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

/// A kind of call. A KMS can fail one and answer the others: it has a quota for each, and keys
/// of which one cannot be used.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Wrap,
    Unwrap,
    Question,
}

/// One for each kind of call.
pub(super) struct Breakers {
    each: [Breaker; 3],
    /// Since when no wrap and no unwrap was answered.
    failing_since: Mutex<Option<Duration>>,
}

/// Lets calls pass until too many in a row failed; then one at a time, after ever longer
/// pauses, until one succeeds.
struct Breaker {
    rt: Arc<dyn Runtime>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// Until then no call passes; how long that pause was.
    open: Option<(Duration, Duration)>,
    is_probing: bool,
}

/// A call that passes. Dropped without a verdict, it was cancelled.
pub(super) struct Pass<'a> {
    all: &'a Breakers,
    call: Call,
    is_probe: bool,
}

impl Breakers {
    pub(super) fn new(rt: &Arc<dyn Runtime>) -> Self {
        let each = [(); 3].map(|()| Breaker { rt: rt.clone(), state: Mutex::default() });
        Self { each, failing_since: Mutex::default() }
    }

    /// `Err`: how long calls of this kind are still left alone.
    pub(super) fn pass(&self, call: Call) -> Result<Pass<'_>, Duration> {
        let is_probe = self.of(call).pass()?;
        Ok(Pass { all: self, call, is_probe })
    }

    /// For how long it has answered no wrap and no unwrap.
    pub(super) fn failing_for(&self) -> Option<Duration> {
        let since = (*lock(&self.failing_since))?;
        Some(self.each[0].rt.now().saturating_sub(since))
    }

    fn of(&self, call: Call) -> &Breaker {
        &self.each[call as usize]
    }
}

impl Breaker {
    /// Whether the call that passes is a probe. `Err`: how long there is none.
    fn pass(&self) -> Result<bool, Duration> {
        let now = self.rt.now();
        let mut state = lock(&self.state);
        let Some((until, pause)) = state.open else { return Ok(false) };
        if now < until {
            return Err(until - now);
        }
        if state.is_probing {
            return Err(pause);
        }
        state.is_probing = true;
        Ok(true)
    }

    fn succeeded(&self) {
        *lock(&self.state) = State::default();
    }

    fn failed(&self, was_probe: bool) {
        let now = self.rt.now();
        let random = self.rt.random();
        let mut state = lock(&self.state);
        state.failures = state.failures.saturating_add(1);
        let is_open = state.open.is_some();
        if was_probe || (!is_open && state.failures >= MOST_FAILURES) {
            let pause = state.open.map_or(FIRST, |(_, pause)| (2 * pause).min(LONGEST));
            state.open = Some((now.saturating_add(shortened(pause, random)), pause));
        }
    }
}

impl Pass<'_> {
    pub(super) fn succeeded(self) {
        if !matches!(self.call, Call::Question) {
            *lock(&self.all.failing_since) = None;
        }
        self.all.of(self.call).succeeded();
    }

    pub(super) fn failed(self) {
        let breaker = self.all.of(self.call);
        if !matches!(self.call, Call::Question) {
            lock(&self.all.failing_since).get_or_insert(breaker.rt.now());
        }
        breaker.failed(self.is_probe);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            lock(&self.all.of(self.call).state).is_probing = false;
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::rt::Simulated;

    fn breakers() -> (Simulated, Breakers) {
        let clock = Simulated::new();
        let rt: Arc<dyn Runtime> = Arc::new(clock.clone());
        (clock, Breakers::new(&rt))
    }

    fn fail(breakers: &Breakers, call: Call) {
        breakers.pass(call).ok().expect("it passes").failed();
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let (clock, breakers) = breakers();
        let (pass, fail) = (|| breakers.pass(Call::Wrap), || fail(&breakers, Call::Wrap));
        for _ in 0..3 {
            (0..MOST_FAILURES - 1).for_each(|_| fail());
            pass().ok().unwrap().succeeded();
        }
        assert_eq!(breakers.failing_for(), None);
        (0..MOST_FAILURES).for_each(|_| fail());
        assert!(pass().is_err_and(|left| left <= FIRST && left >= FIRST / 2));
        clock.advance(FIRST);
        assert_eq!(breakers.failing_for(), Some(FIRST));
        let probe = pass().ok().expect("one");
        assert!(pass().is_err(), "one at a time");
        drop(probe);
        let probe = pass().ok().expect("the one before was cancelled");
        probe.succeeded();
        (0..3).for_each(|_| drop(pass().ok().unwrap()));
        assert_eq!(breakers.failing_for(), None);
    }

    #[test]
    fn its_pauses_grow_to_half_a_minute() {
        let (clock, breakers) = breakers();
        (0..MOST_FAILURES).for_each(|_| fail(&breakers, Call::Unwrap));
        for pause in [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs) {
            let left = breakers.pass(Call::Unwrap).err().expect("left alone");
            assert!(left <= pause && left >= pause / 2, "{left:?} of {pause:?}");
            clock.advance(left);
            fail(&breakers, Call::Unwrap);
        }
    }

    #[test]
    fn what_fails_is_left_alone_and_what_answers_is_not() {
        let (clock, breakers) = breakers();
        let answers = |call| breakers.pass(call).ok().expect("it passes").succeeded();
        for _ in 0..MOST_FAILURES {
            fail(&breakers, Call::Unwrap);
            answers(Call::Question);
        }
        clock.advance(FIRST / 4);
        assert_eq!(breakers.failing_for(), Some(FIRST / 4), "a question opens nothing");
        assert!(breakers.pass(Call::Unwrap).is_err());
        answers(Call::Wrap);
        assert_eq!(breakers.failing_for(), None);
        assert!(breakers.pass(Call::Unwrap).is_err());
    }
}
