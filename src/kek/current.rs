//! Which key of a KEK would wrap now, as far as that is known.
use super::{Kek, standing::nanos, told::Asked};
use crate::{
    KeyId,
    rt::{
        Flight, launch,
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering},
            lock,
        },
        unless,
    },
};
use std::{sync::Arc, time::Duration};

/// `current_key` may be a call: what it said is good for this long.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// Who seals more often than this has it asked in time, and never waits for the answer.
const PAUSE: Duration = Duration::from_secs(1);

/// What the backend said last, to a wrap or when it was asked.
#[derive(Default)]
pub(super) struct Current {
    state: Mutex<State>,
    /// When it is to be asked again, in nanoseconds of the runtime's clock. Not under the
    /// lock, since every seal looks here.
    due: AtomicU64,
    /// Nobody had it asked in time: from then on until it answers, the key may have moved long
    /// ago. 0 before the first answer.
    overdue: AtomicU64,
    changes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// `None`: it cannot tell, or was not asked yet.
    said: Option<KeyId>,
    /// What it said when last it could tell.
    named: Option<KeyId>,
    /// Whether it could when it was asked last.
    answers: bool,
    /// When the reply to a wrap last counted as a change, and whether one did not count since.
    moved: Option<Duration>,
    owed: bool,
    asking: Option<Flight<Option<KeyId>>>,
}

impl State {
    fn says(&mut self, key: Option<KeyId>) {
        if key.is_some() {
            self.named.clone_from(&key);
        }
        self.said = key;
    }
}

enum Answer {
    Known(Option<KeyId>),
    Asking(Flight<Option<KeyId>>),
}

impl Kek {
    /// The key that would wrap now; `None` if that cannot be told. Who asks does not wait:
    /// while the backend is being asked it is unknown, for an old answer would have what is
    /// stale taken for current.
    pub(crate) fn current_key(self: &Arc<Self>, now: Duration) -> Option<KeyId> {
        match self.answer(now) {
            Answer::Known(key) => key,
            // A local backend has answered by now.
            Answer::Asking(_) => {
                let state = lock(&self.current.state);
                if state.asking.is_some() { None } else { state.said.clone() }
            }
        }
    }

    /// The same, waiting for the answer where the backend must be asked, until `by`.
    pub(crate) async fn current_key_told(self: &Arc<Self>, by: Duration) -> Option<KeyId> {
        match self.answer(self.rt.now()) {
            Answer::Known(key) => key,
            Answer::Asking(flight) => {
                unless(self.rt.sleep(by.saturating_sub(self.rt.now())), flight).await.flatten()
            }
        }
    }

    /// How often another key than before was named. Has the backend asked when that is due.
    pub(crate) fn changes(self: &Arc<Self>, now: Duration) -> u64 {
        if nanos(now) >= self.current.due.load(Ordering::Relaxed) {
            self.answer(now);
        }
        self.changes_so_far()
    }

    /// The same, and nobody is asked.
    pub(crate) fn changes_so_far(&self) -> u64 {
        self.current.changes.load(Ordering::Acquire)
    }

    /// Whether the key may have moved long ago, and nobody asked.
    pub(crate) fn is_overdue(&self, now: Duration) -> bool {
        let at = self.current.overdue.load(Ordering::Relaxed);
        at != 0 && nanos(now) >= at
    }

    /// A wrap named this key.
    pub(super) fn learn(&self, key: KeyId) {
        let mut state = lock(&self.current.state);
        let now = self.rt.now();
        let is_another = state.named.as_ref().is_some_and(|named| *named != key);
        let is_soon = state.moved.is_some_and(|at| now < at.saturating_add(GOOD_FOR));
        // Replicas that do not agree name two keys in turn. If each time were a change, every
        // DEK would be replaced each time.
        state.owed |= is_another;
        if state.owed && !is_soon {
            state.moved = Some(now);
            self.count_change(&mut state);
        }
        // Of one that answers this may be what it was told before: AWS's Encrypt does not say
        // which material it used. So it is asked all the same.
        if !state.answers {
            self.is_known(now);
        }
        state.says(Some(key));
    }

    /// A DEK was made under another key than the one named last: all are to be looked at
    /// again, if not at once.
    pub(crate) fn look_again(&self) {
        lock(&self.current.state).owed = true;
    }

    fn is_known(&self, now: Duration) {
        let due = now.saturating_add(GOOD_FOR);
        self.current.due.store(nanos(due), Ordering::Relaxed);
        self.current.overdue.store(nanos(due.saturating_add(PAUSE)), Ordering::Relaxed);
    }

    /// Asked in time, it is as if known, until the answer is there.
    fn is_being_asked(&self, now: Duration) {
        if nanos(now) < self.current.overdue.load(Ordering::Relaxed) {
            self.is_known(now);
        }
        self.current.due.store(nanos(now.saturating_add(GOOD_FOR)), Ordering::Relaxed);
    }

    fn count_change(&self, state: &mut State) {
        state.owed = false;
        self.current.changes.fetch_add(1, Ordering::Release);
    }

    /// One question at a time, and at most two a minute.
    fn answer(self: &Arc<Self>, now: Duration) -> Answer {
        let (flight, task) = {
            let mut state = lock(&self.current.state);
            if let Some(flight) = &state.asking {
                return Answer::Asking(flight.clone());
            }
            if nanos(now) < self.current.due.load(Ordering::Relaxed) {
                return Answer::Known(state.said.clone());
            }
            let me = self.clone();
            let (flight, task) = Flight::new(async move { me.ask().await }, || None);
            self.is_being_asked(now);
            state.asking = Some(flight.clone());
            (flight, task)
        };
        launch(&*self.rt, task);
        Answer::Asking(flight)
    }

    async fn ask(&self) -> Option<KeyId> {
        // Somebody may wait for it: its turn is not waited for longer than its answer.
        let by = self.rt.now().saturating_add(self.timeout);
        let said = self.once(&Asked::CURRENT_KEY, by, async { self.backend.current_key().await }).await;
        let key = said.and_then(|said| said).ok().flatten();
        let asked = {
            let mut state = lock(&self.current.state);
            if state.owed || (key.is_some() && key != state.named) {
                self.count_change(&mut state);
            }
            self.is_known(self.rt.now());
            state.answers = key.is_some();
            state.says(key.clone());
            state.asking.take()
        };
        // Outside of the lock: wakers are dropped with it.
        drop(asked);
        key
    }

    /// The key that was named last, however long ago, and whatever could not be told since.
    pub(crate) fn last_said(&self) -> Option<KeyId> {
        lock(&self.current.state).named.clone()
    }
}
