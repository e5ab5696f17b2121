//! DEKs that seal.
use super::{
    DekPolicy, Keks,
    bounded::TableUsage,
    slots::{Coming, Kept, Landing, Slot, Slots, State},
};
use crate::{
    Aad, Copies, Dek, EncryptionContext, Error, ErrorKind, Header, KeyId, Recipient, Result, Suite,
    crypto::{Xaes256Gcm, XaesSchedule},
    envelope::{DerivedKeys, HeaderCopy, PayloadKey, Plan},
    kek::panicked,
    rt::{
        Flight, Runtime, launch,
        sync::atomic::{AtomicU64, Ordering},
        unless,
    },
    secret::check_fork,
    stream::take_from,
};
use std::{sync::Arc, time::Duration};

/// How often a caller waits for a DEK that others then use up before it.
const PATIENCE: usize = 3;
/// How long a caller that comes after a pause waits to be told which key is current. Then it
/// is as in an outage.
const TIME_TO_TELL: Duration = Duration::from_secs(1);

/// A DEK of one scope, ready to seal records, and what it may still seal.
pub(crate) struct SealDek {
    dek: Dek,
    recipients: Vec<Recipient>,
    pub(super) context: EncryptionContext,
    /// Header and mac of suite 1, the same for every record.
    pub(crate) header: HeaderCopy,
    payload: PayloadKey,
    schedule: XaesSchedule,
    until: Duration,
    /// Past its time, while no new one can be had.
    ceiling: Duration,
    messages: AtomicU64,
    bytes: AtomicU64,
    /// What those KEKs had said that did not wrap it.
    missing: Vec<Option<KeyId>>,
    /// Up to which change of the KEKs it is known to be wrapped as a new one would be.
    checked: AtomicU64,
}

impl SealDek {
    fn new(
        dek: Dek,
        recipients: Vec<Recipient>,
        (changes, missing): (u64, Vec<Option<KeyId>>),
        context: EncryptionContext,
        policy: &DekPolicy,
        seal_for: Duration,
        now: Duration,
    ) -> Result<Self> {
        let keys = DerivedKeys::of(&dek, Suite::OneShot, &context)?;
        let plan =
            Plan { suite: Suite::OneShot, copies: Copies::One, recipients: &recipients, context: None };
        Ok(Self {
            header: HeaderCopy::build(&plan, &keys)?,
            payload: keys.payload().clone(),
            schedule: Xaes256Gcm::expanded(keys.payload().expose()?)?,
            dek,
            recipients,
            context,
            until: now.saturating_add(policy.time),
            ceiling: now.saturating_add(policy.time).saturating_add(seal_for),
            messages: AtomicU64::new(policy.messages),
            bytes: AtomicU64::new(policy.bytes),
            missing,
            checked: AtomicU64::new(changes),
        })
    }

    /// Appends nonce, ciphertext and tag of a record.
    pub(crate) fn seal(&self, aad: Aad<'_>, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.cipher()?.seal(aad.as_bytes(), plaintext, out)
    }

    /// Appends the header of a record of `len` bytes, and makes room for the whole of it.
    pub(crate) fn begin(&self, len: usize, out: &mut Vec<u8>) {
        out.reserve(self.header.bytes().len() + len + Xaes256Gcm::OVERHEAD);
        out.extend_from_slice(self.header.bytes());
    }

    /// The key of its records.
    pub(crate) fn cipher(&self) -> Result<Xaes256Gcm<'_>> {
        Ok(Xaes256Gcm::with(self.payload.expose()?, &self.schedule))
    }

    /// Whether it is wrapped as a new one would be, as far as is known. `changes`: of the
    /// KEKs, so far.
    fn is_current(&self, keks: &Keks, changes: u64) -> bool {
        if self.checked.load(Ordering::Relaxed) == changes {
            return true;
        }
        let is = keks.still_says(&self.recipients, &self.missing);
        if is {
            self.checked.store(changes, Ordering::Relaxed);
        }
        is
    }

    /// Whether it may seal anything, in an outage at least.
    pub(crate) fn may_still_seal(&self, now: Duration) -> bool {
        now < self.ceiling
    }

    fn is_in_time(&self, now: Duration) -> bool {
        now < self.until
    }

    /// When it seals nothing more, whatever happens.
    pub(super) fn ceiling(&self) -> Duration {
        self.ceiling
    }

    /// Takes one message of `len` bytes from what is left, in its time; whether it was there.
    fn take(&self, now: Duration, len: u64) -> bool {
        self.is_in_time(now) && self.take_bytes(len)
    }

    /// The same past its time, up to the ceiling.
    fn take_late(&self, now: Duration, len: u64) -> bool {
        self.may_still_seal(now) && self.take_bytes(len)
    }

    fn take_bytes(&self, len: u64) -> bool {
        take_from(&self.messages, 1).is_ok() && take_from(&self.bytes, len).is_ok()
    }

    /// Whether it is good for more than these bytes.
    fn is_good_for_more(&self, now: Duration, than: u64) -> bool {
        self.is_in_time(now)
            && self.messages.load(Ordering::Relaxed) > 0
            && self.bytes.load(Ordering::Relaxed) > than
    }

    /// Whether `header`, of one copy, is one of this DEK: it may have been rewrapped.
    pub(crate) fn made(&self, header: &Header) -> Result<bool> {
        let keys = DerivedKeys::of(&self.dek, header.suite(), &self.context)?;
        Ok(header.tries().iter().all(|copy| copy.is_for(&self.context) && copy.verify(&keys).is_ok()))
    }

    /// Header and keys of a payload of suite 2.
    pub(crate) fn chunked(&self, copies: Copies, store_context: bool) -> Result<(HeaderCopy, DerivedKeys)> {
        let keys = DerivedKeys::of(&self.dek, Suite::Chunked, &self.context)?;
        let context = store_context.then_some(&self.context);
        let plan = Plan { suite: Suite::Chunked, copies, recipients: &self.recipients, context };
        Ok((HeaderCopy::build(&plan, &keys)?, keys))
    }
}

/// Makes DEKs and hands them out.
pub(crate) struct Sealer {
    pub(super) keks: Arc<Keks>,
    pub(super) policy: DekPolicy,
    seal_for: Duration,
    pub(super) rt: Arc<dyn Runtime>,
    pub(super) slots: Arc<Slots>,
    flights: AtomicU64,
}

impl Sealer {
    /// Keeps the DEKs of `most` scopes.
    pub(crate) fn new(
        keks: Arc<Keks>,
        policy: DekPolicy,
        seal_for: Duration,
        most: usize,
        rt: Arc<dyn Runtime>,
    ) -> Self {
        let slots = Slots::new(most, rt.clone());
        Self { keks, policy, seal_for, slots, rt, flights: AtomicU64::new(0) }
    }

    /// How long some scope still seals, if no new DEK can be had.
    pub(crate) fn ends_in(&self) -> Option<Duration> {
        Some(self.slots.end()?.saturating_sub(self.rt.now()))
    }

    pub(crate) fn usage(&self) -> TableUsage {
        self.slots.usage()
    }

    /// What bounds its DEKs.
    pub(crate) fn policy(&self) -> &DekPolicy {
        &self.policy
    }

    /// The slot of a scope: one for all its handles.
    pub(crate) fn slot(&self, context: &EncryptionContext) -> Arc<Slot> {
        self.slots.slot(context)
    }

    /// The scope's DEK, good for one message of `len` bytes, if it is at hand.
    pub(crate) fn warm(&self, slot: &Slot, len: u64) -> Result<Option<Arc<SealDek>>> {
        check_fork()?;
        let now = self.rt.now();
        if self.may_be_of_long_ago(slot, now) {
            return Ok(None);
        }
        match self.look(slot, len, now) {
            Found::Good(dek) => Ok(Some(dek)),
            _ => Ok(None),
        }
    }

    /// The same, waiting for the KMS if need be. However many wait, it is asked once.
    pub(crate) async fn dek(&self, slot: &Arc<Slot>, len: u64) -> Result<Arc<SealDek>> {
        self.dek_by(self.keks.deadline(), slot, len).await
    }

    async fn dek_by(&self, by: Duration, slot: &Arc<Slot>, len: u64) -> Result<Arc<SealDek>> {
        if !self.is_shared(len) {
            return self.own_dek_by(by, &slot.context).await;
        }
        self.catch_up(&self.slots.of_scope(slot)).await;
        for turn in 0..PATIENCE {
            check_fork()?;
            let slot = &self.slots.of_scope(slot);
            let landed = match self.join(slot, len, by) {
                Joined::Good(dek) => return Ok(dek),
                // Its deadline is no later than this one.
                Joined::Coming(flight) if turn == 0 => flight.await,
                Joined::Coming(flight) => self.in_time(by, flight).await,
            };
            let dek = match landed {
                Ok(dek) => dek,
                // The old one may do, now that no new one can be had.
                Err(e) => return self.warm(slot, len)?.ok_or(e),
            };
            // Who waited may come late.
            let now = self.rt.now();
            if dek.is_current(&self.keks, self.keks.changes(now)) && dek.take(now, len) {
                return Ok(dek);
            }
        }
        self.own_dek_by(by, &slot.context).await
    }

    async fn in_time<T>(&self, by: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        let time_is_over = self.rt.sleep(by.saturating_sub(self.rt.now()));
        let said = "each new DEK was used up, or its key moved, before it was this message's turn";
        unless(time_is_over, work).await.unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, said)))
    }

    /// A DEK for a stream of `len` bytes: the scope's, but if that much is not left there,
    /// one of its own, and the scope goes on with what is left; unless a new one for the scope
    /// would have more left, or the old one's time is over, or its key has moved.
    pub(crate) async fn stream_dek(&self, slot: &Arc<Slot>, len: u64) -> Result<Arc<SealDek>> {
        check_fork()?;
        let by = self.keks.deadline();
        self.catch_up(slot).await;
        match self.look(slot, len, self.rt.now()) {
            Found::Good(dek) => Ok(dek),
            Found::Short => self.own_dek_by(by, &slot.context).await,
            Found::Coming(_) | Found::Spent | Found::Nothing => self.dek_by(by, slot, len).await,
        }
    }

    /// Whether the policy lets a message of this length share a DEK.
    fn is_shared(&self, len: u64) -> bool {
        len <= self.policy.bytes && self.policy.messages > 1 && !self.policy.time.is_zero()
    }

    /// A DEK for one message alone, however long that takes.
    pub(crate) async fn own_dek(&self, context: &EncryptionContext) -> Result<Arc<SealDek>> {
        self.own_dek_by(self.keks.deadline(), context).await
    }

    async fn own_dek_by(&self, by: Duration, context: &EncryptionContext) -> Result<Arc<SealDek>> {
        check_fork()?;
        let (flight, task) = Flight::new(self.fresh(context, Duration::MAX, by), || Err(panicked()));
        launch(&*self.rt, task);
        flight.await
    }

    /// Whether the slot's DEK may be under a key that moved while nobody asked: by the time of
    /// the next seal, that key may be disabled, and what it wrapped rewrapped and looked through.
    fn may_be_of_long_ago(&self, slot: &Slot, now: Duration) -> bool {
        self.keks.are_overdue(now) && matches!(&*slot.state(), State::Here(dek) if dek.is_in_time(now))
    }

    async fn catch_up(&self, slot: &Slot) {
        if self.may_be_of_long_ago(slot, self.rt.now()) {
            let by = self.rt.now().saturating_add(TIME_TO_TELL);
            self.keks.current_told(by).await;
        }
    }

    /// What the slot has for a message of `len` bytes, which is taken from what is left.
    fn look(&self, slot: &Slot, len: u64, now: Duration) -> Found {
        // Before the lock: a backend may be asked here which key is current.
        let changes = self.keks.changes(now);
        self.look_at(&slot.state(), len, now, changes)
    }

    fn look_at(&self, state: &State, len: u64, now: Duration, changes: u64) -> Found {
        let late = |kept: &Kept| kept.is_in_an_outage(now) && kept.dek.take_late(now, len);
        match state {
            State::Here(dek) if !dek.is_current(&self.keks, changes) => Found::Spent,
            State::Here(dek) if dek.take(now, len) => Found::Good(dek.clone()),
            State::Here(dek) if dek.is_good_for_more(now, self.policy.bytes.saturating_sub(len)) => {
                Found::Short
            }
            State::Kept(kept) if now < kept.retry_at && late(kept) => Found::Good(kept.dek.clone()),
            State::Coming(Coming { old: Some(kept), .. }) if late(kept) => Found::Good(kept.dek.clone()),
            State::Here(_) | State::Kept(_) => Found::Spent,
            State::Coming(coming) => Found::Coming(coming.flight.clone()),
            State::Empty => Found::Nothing,
        }
    }

    /// The slot's DEK, the flight under way for it, or a new one.
    /// `by`: when a new flight must land.
    fn join(&self, slot: &Arc<Slot>, len: u64, by: Duration) -> Joined {
        let now = self.rt.now();
        let changes = self.keks.changes(now);
        let (flight, task, _spent) = {
            let mut state = slot.state();
            match self.look_at(&state, len, now, changes) {
                Found::Good(dek) => return Joined::Good(dek),
                Found::Coming(flight) => return Joined::Coming(flight),
                Found::Short | Found::Spent | Found::Nothing => {}
            }
            let old = match &*state {
                State::Here(dek) => Some(Kept { dek: dek.clone(), retry_at: now, pause: Duration::ZERO }),
                State::Kept(kept) => Some(kept.clone()),
                State::Coming(_) | State::Empty => None,
            };
            let number = self.flights.fetch_add(1, Ordering::Relaxed);
            let fresh = self.fresh(&slot.context, self.policy.time, by);
            let landing = Landing { slots: self.slots.clone(), slot: slot.clone(), number };
            let work = async move {
                let made = fresh.await;
                match &made {
                    Ok(dek) => landing.here(dek),
                    Err(e) => landing.failed(e),
                }
                made
            };
            let (flight, task) = Flight::new(work, || Err(panicked()));
            let coming = Coming { number, flight: flight.clone(), old };
            let spent = std::mem::replace(&mut *state, State::Coming(coming));
            (flight, task, spent)
        };
        // Outside of the lock: a local backend runs right here.
        launch(&*self.rt, task);
        match self.look(slot, len, self.rt.now()) {
            // In an outage nobody waits for an attempt.
            Found::Good(dek) => Joined::Good(dek),
            _ => Joined::Coming(flight),
        }
    }

    pub(super) fn fresh(
        &self,
        context: &EncryptionContext,
        time: Duration,
        by: Duration,
    ) -> impl Future<Output = Result<Arc<SealDek>>> + Send + 'static + use<> {
        let (keks, rt) = (self.keks.clone(), self.rt.clone());
        let policy = self.policy.clone().for_time(time);
        let (seal_for, context) = (self.seal_for, context.clone());
        async move {
            // Before the call: what the KMS took is part of the DEK's time.
            let now = rt.now();
            let said = keks.last_said();
            let (dek, recipients) = keks.generate(&context, by).await?;
            let born = keks.born(&recipients, said);
            SealDek::new(dek, recipients, born, context, &policy, seal_for, now).map(Arc::new)
        }
    }
}

enum Joined {
    Good(Arc<SealDek>),
    Coming(Flight<Result<Arc<SealDek>>>),
}

/// What a slot has for a caller.
enum Found {
    Good(Arc<SealDek>),
    Coming(Flight<Result<Arc<SealDek>>>),
    /// One that is good, but not for that many bytes.
    Short,
    /// One that does not do: its time is over, it has sealed enough, or a key has moved.
    Spent,
    Nothing,
}
