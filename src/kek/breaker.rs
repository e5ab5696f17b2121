//! Leaving a KMS alone that fails.
use super::{pause::shortened, places::Places};
use crate::rt::{
    Runtime,
    sync::{Mutex, lock},
    wake,
};
use std::{
    collections::BTreeMap,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// That many failures in a row.
const MOST_FAILURES: u32 = 5;
/// How long it is left alone, at first and at last.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A kind of call. A KMS can fail one and answer the others: it has a quota for each, and keys
/// of which one cannot be used.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Wrap,
    /// Of a key in this place.
    Unwrap(usize),
    Question,
}

impl Call {
    /// Wraps and questions are of the key that was configured.
    pub(super) fn place(self) -> usize {
        if let Self::Unwrap(place) = self { place } else { 0 }
    }
}

/// One for each kind of call, and for unwraps in each place: whoever may write records chooses
/// where they are asked for, and is not to stop those elsewhere.
pub(super) struct Breakers {
    rt: Arc<dyn Runtime>,
    wraps: Breaker,
    unwraps: Places<Breaker>,
    questions: Breaker,
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
    /// The call that tries whether it is back, and when it began.
    probe: Option<(u64, Duration)>,
    /// Those who wait for what becomes of it.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

/// A call that passes. Dropped without a verdict, it was cancelled.
pub(super) struct Pass<'a> {
    all: &'a Breakers,
    call: Call,
    /// Its number, if it is a probe.
    probe: Option<u64>,
}

impl Breakers {
    pub(super) fn new(rt: &Arc<dyn Runtime>) -> Self {
        let its = rt.clone();
        Self {
            rt: rt.clone(),
            wraps: Breaker::new(rt),
            unwraps: Places::new(move || Breaker::new(&its)),
            questions: Breaker::new(rt),
            failing_since: Mutex::default(),
        }
    }

    /// Once it is known what became of the probe under way, if there is one. `Err`: how long
    /// calls of this kind are still left alone.
    pub(super) async fn pass(&self, call: Call) -> Result<Pass<'_>, Duration> {
        let probe = Waiting { breaker: self.of(call), seat: None }.await?;
        Ok(Pass { all: self, call, probe })
    }

    /// For how long it has answered no wrap and no unwrap.
    pub(super) fn failing_for(&self) -> Option<Duration> {
        let since = (*lock(&self.failing_since))?;
        Some(self.rt.now().saturating_sub(since))
    }

    fn of(&self, call: Call) -> &Breaker {
        match call {
            Call::Wrap => &self.wraps,
            Call::Unwrap(place) => self.unwraps.of(place),
            Call::Question => &self.questions,
        }
    }
}

impl Breaker {
    fn new(rt: &Arc<dyn Runtime>) -> Self {
        Self { rt: rt.clone(), state: Mutex::default() }
    }

    fn succeeded(&self) {
        self.change(|state| {
            let next = state.next;
            *state = State { next, waiting: mem::take(&mut state.waiting), ..State::default() };
        });
    }

    fn failed(&self, probe: Option<u64>) {
        let (now, random) = (self.rt.now(), self.rt.random());
        self.change(|state| {
            state.failures = state.failures.saturating_add(1);
            let was_probe = state.ends(probe);
            if was_probe || (state.open.is_none() && state.failures >= MOST_FAILURES) {
                let pause = state.open.map_or(FIRST_PAUSE, |(_, pause)| (2 * pause).min(LONGEST_PAUSE));
                state.open = Some((now.saturating_add(shortened(pause, random)), pause));
            }
        });
    }

    /// Wakes those who wait, if there is no probe any more.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = lock(&self.state);
            change(&mut state);
            if state.probe.is_some() { BTreeMap::new() } else { mem::take(&mut state.waiting) }
        };
        waiting.into_values().for_each(wake);
    }
}

impl State {
    /// A probe that is over; whether it was the one that others wait for.
    fn ends(&mut self, probe: Option<u64>) -> bool {
        let is_it = probe.is_some() && self.probe.map(|(number, _)| number) == probe;
        self.probe.take_if(|_| is_it);
        is_it
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Ready with the number of a probe, if the call that passes is to be one.
struct Waiting<'a> {
    breaker: &'a Breaker,
    seat: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = Result<Option<u64>, Duration>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock, and dropped after it, as any waker.
        let (breaker, waker, now) = (self.breaker, cx.waker().clone(), self.breaker.rt.now());
        let mut state = lock(&breaker.state);
        let Some((until, _)) = state.open else { return Poll::Ready(Ok(None)) };
        if now < until {
            return Poll::Ready(Err(until - now));
        }
        // Whoever took so long was forgotten by its caller.
        if state.probe.is_some_and(|(_, began)| now < began.saturating_add(LONGEST_PAUSE)) {
            let seat = *self.seat.get_or_insert_with(|| state.number());
            let _replaced = state.waiting.insert(seat, waker);
            drop(state);
            return Poll::Pending;
        }
        let number = state.number();
        state.probe = Some((number, now));
        Poll::Ready(Ok(Some(number)))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            let _removed = lock(&self.breaker.state).waiting.remove(&seat);
        }
    }
}

impl Pass<'_> {
    /// Each verdict says whether the KMS fails now, if that has changed.
    pub(super) fn succeeded(self) -> Option<bool> {
        self.all.of(self.call).succeeded();
        let is_asked = !matches!(self.call, Call::Question);
        let was_failing = is_asked && lock(&self.all.failing_since).take().is_some();
        was_failing.then_some(false)
    }

    pub(super) fn failed(self) -> Option<bool> {
        let change = self.is_failing();
        self.all.of(self.call).failed(self.probe);
        change
    }

    /// The KMS is there, and will not answer for now: that is no verdict on whether it is back.
    pub(super) fn put_off(self) -> Option<bool> {
        self.is_failing()
    }

    fn is_failing(&self) -> Option<bool> {
        if matches!(self.call, Call::Question) {
            return None;
        }
        let (now, mut since) = (self.all.rt.now(), lock(&self.all.failing_since));
        let begins = since.is_none();
        since.get_or_insert(now);
        begins.then_some(true)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe.is_some() {
            self.all.of(self.call).change(|state| {
                state.ends(self.probe);
            });
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::rt::Simulated;
    use std::pin::pin;

    fn breakers() -> (Simulated, Breakers) {
        let clock = Simulated::new();
        let rt: Arc<dyn Runtime> = Arc::new(clock.clone());
        (clock, Breakers::new(&rt))
    }

    /// `None`: it waits.
    fn pass(breakers: &Breakers, call: Call) -> Option<Result<Pass<'_>, Duration>> {
        match pin!(breakers.pass(call)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(passed) => Some(passed),
            Poll::Pending => None,
        }
    }

    fn passes(breakers: &Breakers, call: Call) -> Pass<'_> {
        pass(breakers, call).expect("nobody tries").unwrap_or_else(|_| panic!("it passes"))
    }

    fn fails(breakers: &Breakers, call: Call) {
        passes(breakers, call).failed();
    }

    fn left_alone(breakers: &Breakers, call: Call) -> Duration {
        pass(breakers, call).expect("nobody tries").err().expect("left alone")
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let (clock, breakers) = breakers();
        for _ in 0..3 {
            (0..MOST_FAILURES - 1).for_each(|_| fails(&breakers, Call::Wrap));
            passes(&breakers, Call::Wrap).succeeded();
        }
        assert_eq!(breakers.failing_for(), None);
        let told: Vec<_> = (0..MOST_FAILURES).map(|_| passes(&breakers, Call::Wrap).failed()).collect();
        assert_eq!((told[0], &told[1..]), (Some(true), &[None; MOST_FAILURES as usize - 1][..]));
        let left = left_alone(&breakers, Call::Wrap);
        assert!(left <= FIRST_PAUSE && left >= FIRST_PAUSE / 2);
        clock.advance(FIRST_PAUSE);
        assert_eq!(breakers.failing_for(), Some(FIRST_PAUSE));
        let probe = passes(&breakers, Call::Wrap);
        assert!(pass(&breakers, Call::Wrap).is_none(), "one at a time");
        drop(probe);
        let probe = passes(&breakers, Call::Wrap);
        assert_eq!(probe.succeeded(), Some(false));
        (0..3).for_each(|_| drop(passes(&breakers, Call::Wrap)));
        assert_eq!(breakers.failing_for(), None);
    }

    #[test]
    fn its_pauses_grow_to_half_a_minute() {
        let (clock, breakers) = breakers();
        (0..MOST_FAILURES).for_each(|_| fails(&breakers, Call::Unwrap(0)));
        for pause in [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs) {
            let left = left_alone(&breakers, Call::Unwrap(0));
            assert!(left <= pause && left >= pause / 2, "{left:?} of {pause:?}");
            clock.advance(left);
            passes(&breakers, Call::Unwrap(0)).failed();
        }
    }

    #[test]
    fn what_fails_is_left_alone_and_what_answers_is_not() {
        let (clock, breakers) = breakers();
        for _ in 0..MOST_FAILURES {
            passes(&breakers, Call::Unwrap(0)).failed();
            passes(&breakers, Call::Question).succeeded();
        }
        clock.advance(FIRST_PAUSE / 4);
        assert_eq!(breakers.failing_for(), Some(FIRST_PAUSE / 4), "a question opens nothing");
        left_alone(&breakers, Call::Unwrap(0));
        passes(&breakers, Call::Wrap).succeeded();
        assert_eq!(breakers.failing_for(), None);
        left_alone(&breakers, Call::Unwrap(0));
    }

    #[test]
    fn a_place_that_fails_stops_no_other() {
        let (clock, breakers) = breakers();
        for _ in 0..20 * MOST_FAILURES {
            if let Some(Ok(pass)) = pass(&breakers, Call::Unwrap(1)) {
                pass.failed();
            }
            passes(&breakers, Call::Unwrap(0)).succeeded();
            assert_eq!(breakers.failing_for(), None, "not all have failed");
            clock.advance(FIRST_PAUSE / 4);
        }
        left_alone(&breakers, Call::Unwrap(1));
        passes(&breakers, Call::Unwrap(2)).failed();
        clock.advance(LONGEST_PAUSE);
        passes(&breakers, Call::Unwrap(1)).succeeded();
    }

    #[test]
    fn a_probe_that_is_forgotten_says_nothing_when_it_ends() {
        let (clock, breakers) = breakers();
        (0..MOST_FAILURES).for_each(|_| fails(&breakers, Call::Wrap));
        clock.advance(FIRST_PAUSE);
        let forgotten = passes(&breakers, Call::Wrap);
        assert!(pass(&breakers, Call::Wrap).is_none());
        clock.advance(LONGEST_PAUSE);
        let probe = passes(&breakers, Call::Wrap);
        drop(forgotten);
        assert!(pass(&breakers, Call::Wrap).is_none(), "the other one still tries");
        probe.succeeded();
        passes(&breakers, Call::Wrap).succeeded();
    }
}
