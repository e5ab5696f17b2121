//! DEKs that seal.
use super::{
    DekPolicy, Keks,
    bounded::Bounded,
    expiry::{Expires, Watch, look_after},
};
use crate::{
    Copies, Dek, EncryptionContext, Recipient, Result, Suite,
    crypto::Xaes256Gcm,
    envelope::{DerivedKeys, HeaderCopy, Plan},
    kek::panicked,
    rt::{Flight, Runtime, launch, lock},
    secret::{check_fork, forked},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Scopes whose DEK is kept. When there are more, the first one loses it.
const MOST_SCOPES: usize = 10_000;
/// How often a caller waits for a DEK that others then use up before it.
const PATIENCE: usize = 3;

/// A DEK of one scope, ready to seal records, and what it may still seal.
pub(crate) struct SealDek {
    dek: Dek,
    recipients: Vec<Recipient>,
    context: EncryptionContext,
    /// Header and mac of suite 1, the same for every record.
    pub(crate) header: HeaderCopy,
    pub(crate) payload: Xaes256Gcm,
    until: Duration,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl SealDek {
    fn new(
        dek: Dek,
        recipients: Vec<Recipient>,
        context: EncryptionContext,
        policy: &DekPolicy,
        now: Duration,
    ) -> Result<Self> {
        let keys = DerivedKeys::of(&dek, Suite::OneShot, &context)?;
        let plan =
            Plan { suite: Suite::OneShot, copies: Copies::One, recipients: &recipients, context: None };
        Ok(Self {
            header: HeaderCopy::build(&plan, &keys)?,
            payload: Xaes256Gcm::new(keys.payload().expose()?)?,
            dek,
            recipients,
            context,
            until: now.saturating_add(policy.time),
            messages: AtomicU64::new(policy.messages),
            bytes: AtomicU64::new(policy.bytes),
        })
    }

    /// Takes one message of `len` bytes from what is left; whether it was there.
    fn take(&self, now: Duration, len: u64) -> bool {
        let less = |left: &AtomicU64, by: u64| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(by)).is_ok()
        };
        now < self.until && less(&self.messages, 1) && less(&self.bytes, len)
    }

    /// Header and keys of a payload of suite 2.
    pub(crate) fn chunked(&self, copies: Copies, store_context: bool) -> Result<(HeaderCopy, DerivedKeys)> {
        let keys = DerivedKeys::of(&self.dek, Suite::Chunked, &self.context)?;
        let context = store_context.then_some(&self.context);
        let plan = Plan { suite: Suite::Chunked, copies, recipients: &self.recipients, context };
        Ok((HeaderCopy::build(&plan, &keys)?, keys))
    }
}

/// Where the handles of one scope find its DEK.
pub(crate) struct Slot {
    context: EncryptionContext,
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Coming(u64, Flight<Result<Arc<SealDek>>>),
    Here(Arc<SealDek>),
}

impl Slot {
    /// Drops a DEK whose time is over; when the one that stays will be.
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state();
        match &*state {
            State::Here(dek) if dek.until > now => Some(dek.until),
            State::Here(_) => {
                let _over = std::mem::take(&mut *state);
                drop(state);
                None
            }
            _ => None,
        }
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

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// What a flight leaves in its slot, whoever still waits for it: the DEK, or nothing.
struct Landing {
    slots: Arc<Slots>,
    slot: Arc<Slot>,
    number: u64,
}

impl Landing {
    /// Only a slot that is in the table keeps a DEK: nobody sweeps another.
    fn here(&self, dek: &Arc<SealDek>) {
        let slots = self.slots.by_context();
        if slots.get(&self.slot.context).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            self.settle(State::Here(dek.clone()));
        }
        drop(slots);
        look_after(&self.slots);
    }

    fn settle(&self, to: State) {
        let mut state = self.slot.state();
        if matches!(*state, State::Coming(number, _) if number == self.number) {
            let _flight = std::mem::replace(&mut *state, to);
            drop(state);
        }
    }
}

impl Drop for Landing {
    /// It failed, or panicked: the next call tries again.
    fn drop(&mut self) {
        self.settle(State::Empty);
    }
}

/// Makes DEKs and hands them out.
pub(crate) struct Sealer {
    keks: Arc<Keks>,
    policy: DekPolicy,
    rt: Arc<dyn Runtime>,
    slots: Arc<Slots>,
    flights: AtomicU64,
}

type Table = Bounded<EncryptionContext, Arc<Slot>>;

/// The slots of a `Kms`, by context.
struct Slots {
    rt: Arc<dyn Runtime>,
    by_context: Mutex<Table>,
    watch: Watch,
}

impl Slots {
    fn by_context(&self) -> MutexGuard<'_, Table> {
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

impl Sealer {
    pub(crate) fn new(keks: Arc<Keks>, policy: DekPolicy, rt: Arc<dyn Runtime>) -> Self {
        let slots = Slots {
            rt: rt.clone(),
            by_context: Mutex::new(Bounded::new(MOST_SCOPES)),
            watch: Watch::default(),
        };
        Self { keks, policy, rt, slots: Arc::new(slots), flights: AtomicU64::new(0) }
    }

    /// The slot of a scope: one for all its handles.
    pub(crate) fn slot(&self, context: &EncryptionContext) -> Arc<Slot> {
        let fresh = || Arc::new(Slot { context: context.clone(), state: Mutex::default() });
        if forked() {
            // A thread that this process has not may hold the lock. Sealing will say it.
            return fresh();
        }
        self.in_table(context, fresh)
    }

    /// The slot that the table has for a context, `else_this` if it has none: a handle's own
    /// may have been evicted, and what is not in the table nobody sweeps.
    fn in_table(&self, context: &EncryptionContext, else_this: impl FnOnce() -> Arc<Slot>) -> Arc<Slot> {
        let mut slots = self.slots.by_context();
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

    /// The scope's DEK, good for one message of `len` bytes, if it is at hand.
    pub(crate) fn warm(&self, slot: &Slot, len: u64) -> Result<Option<Arc<SealDek>>> {
        check_fork()?;
        match &*slot.state() {
            State::Here(dek) if dek.take(self.rt.now(), len) => Ok(Some(dek.clone())),
            _ => Ok(None),
        }
    }

    /// The same, waiting for the KMS if need be. However many wait, it is asked once.
    pub(crate) async fn dek(&self, slot: &Arc<Slot>, len: u64) -> Result<Arc<SealDek>> {
        let policy = &self.policy;
        if len <= policy.bytes && policy.messages > 1 && !policy.time.is_zero() {
            for _ in 0..PATIENCE {
                check_fork()?;
                let slot = &self.in_table(&slot.context, || slot.clone());
                if let Some(dek) = self.warm(slot, len)? {
                    return Ok(dek);
                }
                let dek = self.join(slot).await?;
                if dek.take(self.rt.now(), len) {
                    return Ok(dek);
                }
            }
        }
        self.own_dek(&slot.context).await
    }

    /// A DEK for one message alone.
    pub(crate) async fn own_dek(&self, context: &EncryptionContext) -> Result<Arc<SealDek>> {
        check_fork()?;
        let (flight, task) = Flight::new(self.fresh(context), || Err(panicked()));
        launch(&*self.rt, task);
        flight.await
    }

    /// The flight under way for this slot, or a new one.
    fn join(&self, slot: &Arc<Slot>) -> Flight<Result<Arc<SealDek>>> {
        let (flight, task) = {
            let mut state = slot.state();
            if let State::Coming(_, flight) = &*state {
                return flight.clone();
            }
            let number = self.flights.fetch_add(1, Ordering::Relaxed);
            let fresh = self.fresh(&slot.context);
            let landing = Landing { slots: self.slots.clone(), slot: slot.clone(), number };
            let work = async move {
                let dek = fresh.await?;
                landing.here(&dek);
                Ok(dek)
            };
            let (flight, task) = Flight::new(work, || Err(panicked()));
            *state = State::Coming(number, flight.clone());
            (flight, task)
        };
        // Outside of the lock: a local backend runs right here.
        launch(&*self.rt, task);
        flight
    }

    fn fresh(
        &self,
        context: &EncryptionContext,
    ) -> impl Future<Output = Result<Arc<SealDek>>> + Send + 'static + use<> {
        let (keks, rt) = (self.keks.clone(), self.rt.clone());
        let (policy, context) = (self.policy.clone(), context.clone());
        async move {
            // Before the call: what the KMS took is part of the DEK's time.
            let now = rt.now();
            let (dek, recipients) = keks.generate(&context).await?;
            SealDek::new(dek, recipients, context, &policy, now).map(Arc::new)
        }
    }
}
