//! The table of DEKs that seal: one slot for each scope in use.
use super::{
    bounded::{Bounded, TableUsage},
    expiry::{Expires, Watch, look_after},
    sealing::SealDek,
};
use crate::{
    EncryptionContext, Error, Result,
    kek::shortened,
    rt::{
        Flight, Runtime,
        sync::{Mutex, MutexGuard, lock},
    },
    secret::forked,
};
use std::{sync::Arc, time::Duration};

type Table = Bounded<EncryptionContext, Arc<Slot>>;

/// The slots of a `Kms`, by context.
pub(super) struct Slots {
    rt: Arc<dyn Runtime>,
    by_context: Mutex<Table>,
    watch: Watch,
}

impl Slots {
    /// Keeps the DEKs of `most` scopes.
    pub(super) fn new(most: usize, rt: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { rt, by_context: Mutex::new(Bounded::new(most)), watch: Watch::default() })
    }

    pub(super) fn usage(&self) -> TableUsage {
        self.by_context().usage(|slot| matches!(*slot.state(), State::Here(_) | State::Kept(_)))
    }

    /// When sealing ends for the first scope, if any goes on in an outage.
    pub(super) fn end(&self) -> Option<Duration> {
        let slots: Vec<_> = self.by_context().values().cloned().collect();
        let now = self.rt.now();
        slots.iter().filter_map(|slot| slot.ends(now)).min()
    }

    /// The slot of a scope: one for all its handles.
    pub(super) fn slot(&self, context: &EncryptionContext) -> Arc<Slot> {
        let fresh = || Arc::new(Slot { context: context.clone(), state: Mutex::default() });
        if forked() {
            // A thread that this process has not may hold the lock. Sealing will say it.
            return fresh();
        }
        self.in_table(context, fresh)
    }

    /// The slot that the table has for the scope of `slot`; that one, if it has none. A
    /// handle's own may have been evicted, and what is not in the table nobody sweeps.
    pub(super) fn of_scope(&self, slot: &Arc<Slot>) -> Arc<Slot> {
        self.in_table(&slot.context, || slot.clone())
    }

    fn in_table(&self, context: &EncryptionContext, else_this: impl FnOnce() -> Arc<Slot>) -> Arc<Slot> {
        let mut slots = self.by_context();
        if let Some(slot) = slots.get(context) {
            return slot.clone();
        }
        let slot = else_this();
        let evicted = slots.insert(context.clone(), slot.clone());
        drop(slots);
        if let Some(evicted) = evicted {
            evicted.empty();
        }
        slot
    }

    pub(super) fn by_context(&self) -> MutexGuard<'_, Table> {
        lock(&self.by_context)
    }
}

impl Expires for Slots {
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let slots: Vec<_> = self.by_context().values().cloned().collect();
        let next = slots.iter().filter_map(|slot| slot.sweep(now)).min();
        drop(slots);
        // An empty slot that no handle has is of no use.
        self.by_context().retain(|slot| Arc::strong_count(slot) > 1 || !slot.is_empty());
        next
    }

    fn rt(&self) -> &Arc<dyn Runtime> {
        &self.rt
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

/// Where the handles of one scope find its DEK.
pub(crate) struct Slot {
    pub(super) context: EncryptionContext,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) enum State {
    #[default]
    Empty,
    Coming(Coming),
    Here(Arc<SealDek>),
    Kept(Kept),
}

/// A flight for a new DEK.
pub(super) struct Coming {
    pub(super) number: u64,
    pub(super) flight: Flight<Result<Arc<SealDek>>>,
    /// What is to seal on if the KMS is unavailable; if that is known already, what seals now.
    pub(super) old: Option<Kept>,
}

/// A DEK that has had its time, or is under a key that has moved, while no new one can be
/// had.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) dek: Arc<SealDek>,
    /// When a new one is tried again, and how long that pause is. Zero: none was tried yet.
    pub(super) retry_at: Duration,
    pub(super) pause: Duration,
}

/// Between two attempts to get a new DEK, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Kept {
    /// Nobody waits for an attempt: the KMS is known to be unavailable. If none was made when it
    /// was time for one, that is not known for long.
    pub(super) fn is_in_an_outage(&self, now: Duration) -> bool {
        !self.pause.is_zero() && now < self.retry_at.saturating_add(LONGEST_PAUSE)
    }

    /// Another attempt failed.
    fn again(self, rt: &dyn Runtime) -> Self {
        let pause = (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let retry_at = rt.now().saturating_add(shortened(pause, rt.random()));
        Self { dek: self.dek, retry_at, pause }
    }
}

impl Slot {
    /// Drops a DEK whose time is over; when the one that stays will be.
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state();
        let (State::Here(dek) | State::Kept(Kept { dek, .. })) = &*state else { return None };
        let ceiling = dek.ceiling();
        if ceiling > now {
            return Some(ceiling);
        }
        let _over = std::mem::take(&mut *state);
        drop(state);
        None
    }

    /// When sealing ends, if it goes on in an outage.
    fn ends(&self, now: Duration) -> Option<Duration> {
        let state = self.state();
        let (State::Kept(kept) | State::Coming(Coming { old: Some(kept), .. })) = &*state else {
            return None;
        };
        kept.is_in_an_outage(now).then(|| kept.dek.ceiling())
    }

    fn is_empty(&self) -> bool {
        matches!(*self.state(), State::Empty)
    }

    /// Its next seal asks the table again.
    fn empty(&self) {
        let mut state = self.state();
        let _gone = std::mem::take(&mut *state);
        drop(state);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What a flight leaves in its slot, whoever still waits for it: the DEK, or nothing.
pub(super) struct Landing {
    pub(super) slots: Arc<Slots>,
    pub(super) slot: Arc<Slot>,
    pub(super) number: u64,
}

impl Landing {
    /// Only a slot that is in the table keeps a DEK: nobody sweeps another.
    pub(super) fn here(&self, dek: &Arc<SealDek>) {
        let slots = self.slots.by_context();
        if slots.get(&self.slot.context).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            self.settle(State::Here(dek.clone()));
        }
        drop(slots);
        look_after(&self.slots);
    }

    /// Without a new DEK the old one seals on, if it is the KMS that is unavailable.
    pub(super) fn failed(&self, error: &Error) {
        let rt = &*self.slots.rt;
        self.settle_with(|old| match old {
            Some(old) if error.is_retryable() && old.dek.may_still_seal(rt.now()) => {
                State::Kept(old.again(rt))
            }
            _ => State::Empty,
        });
        look_after(&self.slots);
    }

    fn settle(&self, to: State) {
        self.settle_with(|_| to);
    }

    fn settle_with(&self, to: impl FnOnce(Option<Kept>) -> State) {
        let mut state = self.slot.state();
        let _flight = match &mut *state {
            State::Coming(coming) if coming.number == self.number => {
                let to = to(coming.old.take());
                std::mem::replace(&mut *state, to)
            }
            _ => return,
        };
        drop(state);
    }
}

impl Drop for Landing {
    /// It panicked: the next call tries again.
    fn drop(&mut self) {
        self.settle(State::Empty);
    }
}
