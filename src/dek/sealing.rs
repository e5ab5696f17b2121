//! DEKs that seal.
use super::{DekPolicy, Keks, panicked};
use crate::{
    Copies, Dek, EncryptionContext, Recipient, Result, Suite,
    crypto::Xaes256Gcm,
    envelope::{DerivedKeys, HeaderCopy, Plan},
    rt::{Flight, Runtime, launch},
    secret::check_fork,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Scopes whose DEK is kept. When there are more, any one of them loses it.
const MOST_SCOPES: usize = 10_000;

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
        now < self.until && self.take_at_any_time(len)
    }

    fn take_at_any_time(&self, len: u64) -> bool {
        let less = |left: &AtomicU64, by: u64| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(by)).is_ok()
        };
        less(&self.messages, 1) && less(&self.bytes, len)
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes DEKs and hands them out.
pub(crate) struct Sealer {
    keks: Arc<Keks>,
    policy: DekPolicy,
    rt: Arc<dyn Runtime>,
    slots: Mutex<HashMap<EncryptionContext, Arc<Slot>>>,
    flights: AtomicU64,
}

impl Sealer {
    pub(crate) fn new(keks: Arc<Keks>, policy: DekPolicy, rt: Arc<dyn Runtime>) -> Self {
        Self { keks, policy, rt, slots: Mutex::default(), flights: AtomicU64::new(0) }
    }

    /// The slot of a scope: one for all its handles.
    pub(crate) fn slot(&self, context: &EncryptionContext) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(context) {
            return slot.clone();
        }
        if slots.len() >= MOST_SCOPES
            && let Some(any) = slots.keys().next().cloned()
            && let Some(evicted) = slots.remove(&any)
        {
            *evicted.state() = State::Empty;
        }
        let slot = Arc::new(Slot { context: context.clone(), state: Mutex::default() });
        slots.insert(context.clone(), slot.clone());
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
    pub(crate) async fn dek(&self, slot: &Slot, len: u64) -> Result<Arc<SealDek>> {
        if len > self.policy.bytes {
            return self.own_dek(&slot.context).await;
        }
        loop {
            if let Some(dek) = self.warm(slot, len)? {
                return Ok(dek);
            }
            let (number, flight, ours) = self.join(slot);
            let landed = flight.await;
            let mut state = slot.state();
            if matches!(*state, State::Coming(n, _) if n == number) {
                *state = landed.clone().map_or(State::Empty, State::Here);
            }
            drop(state);
            let dek = landed?;
            // Whoever had it made uses it once, however short its time is: else a policy of
            // no time would ask the KMS for ever.
            if dek.take(self.rt.now(), len) || (ours && dek.take_at_any_time(len)) {
                return Ok(dek);
            }
        }
    }

    /// A DEK for one stream alone.
    pub(crate) async fn own_dek(&self, context: &EncryptionContext) -> Result<Arc<SealDek>> {
        check_fork()?;
        let (flight, task) = Flight::new(self.fresh(context), || Err(panicked()));
        launch(&*self.rt, task);
        flight.await
    }

    /// The flight under way for this slot, or a new one, and whether it is new.
    fn join(&self, slot: &Slot) -> (u64, Flight<Result<Arc<SealDek>>>, bool) {
        let (number, flight, task) = {
            let mut state = slot.state();
            if let State::Coming(number, flight) = &*state {
                return (*number, flight.clone(), false);
            }
            let number = self.flights.fetch_add(1, Ordering::Relaxed);
            let (flight, task) = Flight::new(self.fresh(&slot.context), || Err(panicked()));
            *state = State::Coming(number, flight.clone());
            (number, flight, task)
        };
        // Outside of the lock: a local backend runs right here.
        launch(&*self.rt, task);
        (number, flight, true)
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
