//! DEKs that open.
use super::{
    Keks,
    bounded::{Bounded, TableUsage},
    expiry::{Expires, Watch, look_after},
    unwrapping::{Unwrapped, none_matches},
};
use crate::{
    Copies, EncryptionContext, Error, ErrorKind, Header, KeyId, Recipient, Reference, Result, Suite,
    crypto::Xaes256Gcm,
    envelope::{DerivedKeys, Fingerprint, HeaderCopy, PayloadKey},
    kek::{
        Freshness, Refusals, Role,
        observer::{DekFrom, Event},
        panicked,
    },
    rt::{
        BoxFuture, Flight, Runtime, launch,
        sync::{Mutex, lock},
    },
    secret::{check_fork, same},
};
use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

/// An unwrapped DEK, for one suite and context. It cannot seal.
pub(crate) struct OpenDek {
    keys: DerivedKeys,
    suite: Suite,
    /// A header and mac that were verified, and the recipient that held.
    verified: HeaderCopy,
    key_id: KeyId,
    /// What the KEK is for that opened it.
    by: Role,
    until: Duration,
}

impl OpenDek {
    pub(crate) fn one_shot(&self) -> Result<Xaes256Gcm<'_>> {
        match self.suite {
            Suite::OneShot => Ok(Xaes256Gcm::new(self.keys.payload().expose()?)),
            Suite::Chunked => Err(Error::misuse("a chunked payload: use opener()")),
        }
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) fn payload(&self) -> &PayloadKey {
        self.keys.payload()
    }

    /// The mac is checked on a hit as well, unless this is, byte for
    /// byte, the pair that was verified.
    fn holds(&self, copy: &HeaderCopy) -> bool {
        bool::from(same(self.verified.bytes(), copy.bytes())) || copy.verify(&self.keys).is_ok()
    }
}

/// What opening a header gave.
pub(crate) struct Unlocked {
    pub(crate) dek: Arc<OpenDek>,
    pub(crate) key_id: KeyId,
    pub(crate) freshness: Freshness,
}

type Landed = Result<Arc<OpenDek>>;
type Opened = Bounded<Name, Arc<OpenDek>>;
/// Only the same header shares a failure.
type Flights = HashMap<Fingerprint, Flight<Landed>>;

/// What an opened DEK is found by.
#[derive(Clone, PartialEq, Eq)]
struct Name {
    to: Reference,
    context: EncryptionContext,
}

impl Hash for Name {
    /// The commitment is made from the DEK, the suite and the context: it says all.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.to.commitment);
    }
}

/// Unwraps DEKs, and remembers them for its one list of KEKs.
pub(crate) struct Opener(Arc<Inner>);

struct Inner {
    keks: Arc<Keks>,
    time: Duration,
    rt: Arc<dyn Runtime>,
    opened: Mutex<Opened>,
    flights: Mutex<Flights>,
    refused: Refusals<Fingerprint>,
    watch: Watch,
}

impl Expires for Inner {
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let mut opened = lock(&self.opened);
        opened.retain(|dek| dek.until > now);
        let of_deks = opened.values().map(|dek| dek.until).min();
        drop(opened);
        of_deks.into_iter().chain(self.refused.forget(now)).min()
    }

    fn rt(&self) -> &Arc<dyn Runtime> {
        &self.rt
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

impl Opener {
    /// Remembers `most` DEKs, each for `time`.
    pub(crate) fn new(keks: Arc<Keks>, most: usize, time: Duration, rt: Arc<dyn Runtime>) -> Self {
        let (opened, flights) = (Mutex::new(Bounded::new(most)), Mutex::default());
        let (refused, watch) = (Refusals::default(), Watch::default());
        Self(Arc::new(Inner { keks, time, rt, opened, flights, refused, watch }))
    }

    pub(crate) fn usage(&self) -> TableUsage {
        lock(&self.0.opened).usage(|_| true)
    }

    /// The DEK of `header`, verified. One call to the KMS for all who bring the same header
    /// at the same time, none where the DEK is remembered.
    pub(crate) async fn unlock(&self, header: &Header, context: &EncryptionContext) -> Result<Unlocked> {
        check_fork()?;
        let inner = &self.0;
        if let Some(dek) = inner.remembered(header, context) {
            return inner.warm(&dek, header, context, DekFrom::Memory);
        }
        let id = header.fingerprint(context);
        let (dek, from) = match inner.join(id, header, context) {
            Joined::Landed(dek) => (dek, DekFrom::Memory),
            Joined::Flying(flight) => (flight.await?, DekFrom::Flight),
            Joined::New(flight, task) => {
                launch(&*inner.rt, task);
                (flight.await?, DekFrom::Kms)
            }
        };
        inner.warm(&dek, header, context, from)
    }

    /// The DEK of a reference, if it is remembered, and the header that it was verified by
    /// still names a KEK that is allowed.
    pub(crate) fn recall(&self, to: &Reference, context: &EncryptionContext) -> Result<Option<Unlocked>> {
        check_fork()?;
        let now = self.0.rt.now();
        Ok(self.0.by_name(*to, context, now).and_then(|dek| self.0.by_its_header(&dek, now)))
    }

    /// The same of an envelope that begins with that header, byte for byte: it is not parsed once
    /// more. Its one copy, and where the payload begins.
    pub(crate) fn recognize(
        &self,
        sealed: &[u8],
        context: &EncryptionContext,
    ) -> Result<Option<(Unlocked, usize)>> {
        check_fork()?;
        let now = self.0.rt.now();
        let named = Reference::of_envelope(sealed).and_then(|to| self.0.by_name(to, context, now));
        let Some(dek) = named else { return Ok(None) };
        let held = &dek.verified;
        let len = held.bytes().len();
        let begins_so = sealed.get(..len).is_some_and(|first| same(first, held.bytes()).into());
        if !begins_so || held.copies != Copies::One || !held.is_for(context) {
            return Ok(None);
        }
        Ok(self.0.by_its_header(&dek, now).map(|unlocked| (unlocked, len)))
    }
}

impl Inner {
    fn remembered(&self, header: &Header, context: &EncryptionContext) -> Option<Arc<OpenDek>> {
        self.by_name(Reference::of(header), context, self.rt.now())
    }

    fn by_name(&self, to: Reference, context: &EncryptionContext, now: Duration) -> Option<Arc<OpenDek>> {
        let name = Name { to, context: context.clone() };
        let dek = lock(&self.opened).get(&name).cloned();
        dek.filter(|dek| now < dek.until)
    }

    /// By the header that it was verified by, if that still names a KEK that is allowed.
    fn by_its_header(&self, dek: &Arc<OpenDek>, now: Duration) -> Option<Unlocked> {
        let held = &dek.verified;
        let allowed = self.keks.first_accepted(held)?;
        let unlocked = self.unlocked(dek, std::slice::from_ref(held), (held, allowed), now);
        self.tell(&unlocked, DekFrom::Memory);
        Some(unlocked)
    }

    /// A hit replaces the unwrapping and nothing else: some recipient must still be
    /// allowed, and commitment and mac of a copy agree.
    fn warm(
        &self,
        dek: &Arc<OpenDek>,
        header: &Header,
        context: &EncryptionContext,
        from: DekFrom,
    ) -> Result<Unlocked> {
        let copies = header.tries();
        let Some(allowed) = copies.iter().find_map(|copy| self.keks.first_accepted(copy)) else {
            return Err(none_matches(header));
        };
        let holds = |copy: &&HeaderCopy| copy.is_for(context) && dek.holds(copy);
        let copy = copies.iter().find(holds).ok_or_else(Error::authentication)?;
        let unlocked = self.unlocked(dek, copies, (copy, allowed), self.rt.now());
        self.tell(&unlocked, from);
        Ok(unlocked)
    }

    fn tell(&self, unlocked: &Unlocked, from: DekFrom) {
        let observers = self.keks.observers();
        if !observers.is_empty() {
            let Unlocked { freshness, key_id, .. } = unlocked;
            observers.tell(&Event::Unlocked { from, freshness: *freshness, key_id });
        }
    }

    /// `held`: the one of `copies` that this DEK verified.
    fn unlocked(
        &self,
        dek: &Arc<OpenDek>,
        copies: &[HeaderCopy],
        (held, allowed): (&HeaderCopy, &Recipient),
        now: Duration,
    ) -> Unlocked {
        let opened_it = |r: &Recipient| r.wrapped.key_id == dek.key_id;
        let is_there = copies.iter().any(|c| c.recipients().iter().any(opened_it));
        let key_id = if is_there { &dek.key_id } else { &allowed.wrapped.key_id };
        let freshness = match self.keks.freshness(held, now) {
            Freshness::Current if !self.keks.is_sure(held, dek.by) => {
                // The one that opened it is not the one that wraps, if it did open this header.
                let is_other = dek.by == Role::Opens && dek.verified.bytes() == held.bytes();
                if is_other { Freshness::Stale } else { Freshness::Unknown }
            }
            freshness => freshness,
        };
        Unlocked { dek: dek.clone(), key_id: key_id.clone(), freshness }
    }

    /// The flight under way for these bytes, or a new one and what launches it.
    fn join(self: &Arc<Self>, id: Fingerprint, header: &Header, context: &EncryptionContext) -> Joined {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&id) {
            return Joined::Flying(flight.clone());
        }
        // One may have landed since we looked: it is remembered before it leaves the list.
        if let Some(dek) = self.remembered(header, context) {
            return Joined::Landed(dek);
        }
        let (me, header, context) = (self.clone(), header.clone(), context.clone());
        let gone = Gone { inner: self.clone(), id };
        let work = async move {
            // The whole of it moves in here, and goes when this is over.
            let gone = gone;
            if let Some(refused) = me.refused.get(&gone.id, me.rt.now()) {
                return Err(refused);
            }
            match me.unwrap(&header, &context).await {
                Ok(dek) => {
                    look_after(&me);
                    Ok(dek)
                }
                Err(e) => {
                    me.remember(gone.id, &header, &e);
                    Err(e)
                }
            }
        };
        let (flight, task) = Flight::new(work, || Err(panicked()));
        flights.insert(id, flight.clone());
        Joined::New(flight, task)
    }

    /// A refusal for good, where asking again costs something. That of a key is remembered where
    /// it was told: here it would begin anew for each header, when it is nearly over.
    fn remember(self: &Arc<Self>, id: Fingerprint, header: &Header, error: &Error) {
        let is_final = matches!(error.kind(), ErrorKind::Authentication | ErrorKind::Denied);
        if is_final && !error.is_of_the_key() && self.keks.are_limited(header) {
            self.refused.insert(id, error.clone(), self.rt.now());
            look_after(self);
        }
    }

    async fn unwrap(&self, header: &Header, context: &EncryptionContext) -> Landed {
        let until = self.rt.now().saturating_add(self.time);
        let Unwrapped { keys, copy, recipient, by, .. } =
            self.keks.unwrap(header, context, self.keks.deadline()).await?;
        let (verified, key_id) = (copy.clone(), recipient.wrapped.key_id.clone());
        let dek = Arc::new(OpenDek { keys, suite: header.suite(), verified, key_id, by, until });
        let name = Name { to: Reference::of(header), context: context.clone() };
        // Dropped after the lock.
        let _evicted = lock(&self.opened).insert(name, dek.clone());
        Ok(dek)
    }
}

enum Joined {
    Landed(Arc<OpenDek>),
    Flying(Flight<Landed>),
    New(Flight<Landed>, BoxFuture<'static, ()>),
}

/// Takes a flight off the list when it lands, fails or panics.
struct Gone {
    inner: Arc<Inner>,
    id: Fingerprint,
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.inner.flights).remove(&self.id);
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::{
        Aad, DekPolicy, OutagePolicy, WrapPolicy,
        dek::Sealer,
        kek::{Fault, Kek, Mock},
        rt::Simulated,
    };

    const TIME: Duration = Duration::from_secs(600);

    /// Whoever may write records chooses how many are refused, and how long their headers are.
    #[test]
    fn what_was_refused_takes_little_memory_and_not_for_long() {
        assert_eq!(size_of::<Fingerprint>(), 32);
        let (clock, context) = (Simulated::new(), EncryptionContext::empty());
        let (kek, rt): (_, Arc<dyn Runtime>) = (Mock::on(clock.clone(), "k"), Arc::new(clock.clone()));
        let outage = OutagePolicy::default().calls_per_second(1000);
        let its = Kek::new(Arc::new(kek.clone()), Role::Wraps, rt.clone(), &outage).unwrap();
        let keks = Arc::new(Keks::new(vec![its], WrapPolicy::all(), &outage, rt.clone()).unwrap());
        let sealer = Sealer::new(keks.clone(), DekPolicy::reuse(), TIME, 1, rt.clone());
        let dek = clock.block_on(sealer.dek(&sealer.slot(&context), 1)).unwrap();
        let mut sealed = dek.header.all_copies();
        dek.seal(Aad::empty(), b"x", &mut sealed).unwrap();
        let (header, opener) = (Header::parse(&sealed).unwrap(), Opener::new(keks, 1, TIME, rt));
        let open = || clock.block_on(opener.unlock(&header, &context)).map(drop);
        let held = || opener.0.refused.forget(Duration::ZERO).is_some();
        kek.then(Fault::Denied);
        assert_eq!((open().map_err(|e| e.kind()), held()), (Err(ErrorKind::Denied), true));
        (0..10).for_each(|_| clock.advance(Duration::from_secs(1)));
        assert!(!held(), "nobody asked");
        open().unwrap();
    }
}
