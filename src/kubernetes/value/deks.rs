//! DEKs and seeds that a KMS unwrapped: a bounded memory of them, and one call for all who want the same.
use super::{
    object::{Source, SourceKind},
    service::{DekSource, KmsService},
};
use crate::{
    Error, ErrorKind, Result,
    crypto::{AesCbc, AesGcm, XnonceGcm, digest},
    dek::{Bounded, Expires, Watch, look_after},
    kek::uid,
    rt::{
        BoxFuture, Flight, Runtime, launch,
        sync::{Mutex, lock},
    },
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// As long as the API server keeps them.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Sources that are found by the bytes of a value, without being parsed: as many as are in use at the
/// same time. A server makes one when it starts, and when the KEK changes.
const MOST_RECENT: usize = 16;

/// What one DEK source opens with.
pub(super) struct Dek {
    keys: Keys,
    pub(super) key_id: Arc<str>,
    until: Duration,
}

enum Keys {
    Seed(XnonceGcm),
    Gcm(AesGcm),
    /// kms v1 tries both.
    GcmOrCbc(AesGcm, AesCbc),
}

/// Those of one provider.
pub(super) struct Deks(Arc<Inner>);

struct Inner {
    service: Arc<dyn KmsService>,
    rt: Arc<dyn Runtime>,
    known: Mutex<Option<Bounded<Id, Arc<Dek>>>>,
    /// What stands behind the data in values, as is; the one that was found last comes first.
    recent: Mutex<Vec<Recent>>,
    flights: Mutex<HashMap<Id, Flight<Landed>>>,
    watch: Watch,
}

type Recent = (Box<[u8]>, Arc<Dek>);
/// A digest of the source.
type Id = [u8; 32];
type Landed = Result<Arc<Dek>>;

impl Dek {
    pub(super) fn of(kind: SourceKind, secret: &[u8], key_id: &str, until: Duration) -> Result<Self> {
        let is_right = match kind {
            SourceKind::Seed => secret.len() >= 32,
            SourceKind::V1 | SourceKind::Key => [16, 24, 32].contains(&secret.len()),
        };
        if !is_right {
            let what =
                "the KMS returned a DEK that does not have 16, 24 or 32 bytes, or a seed of less than 32";
            return Err(Error::new(ErrorKind::BadReply, what));
        }
        let keys = match kind {
            SourceKind::Seed => Keys::Seed(XnonceGcm::new(secret)?),
            SourceKind::Key => Keys::Gcm(AesGcm::new(secret)?),
            SourceKind::V1 => Keys::GcmOrCbc(AesGcm::new(secret)?, AesCbc::new(secret)?),
        };
        Ok(Self { keys, key_id: key_id.into(), until })
    }

    /// The plaintext, and whether it was sealed in a way that nobody seals in now.
    pub(super) fn open(&self, path: &[u8], sealed: &[u8]) -> Result<(Vec<u8>, bool)> {
        let mut out = Vec::new();
        match &self.keys {
            // Nothing was ever written to no path: the API server breaks there.
            Keys::Seed(_) if path.is_empty() => Err(Error::authentication()),
            Keys::Seed(seed) => seed.open(path, sealed, &mut out).map(|()| (out, false)),
            Keys::Gcm(key) => key.open(path, sealed, &mut out).map(|()| (out, true)),
            Keys::GcmOrCbc(gcm, cbc) => match gcm.open(path, sealed, &mut out) {
                Err(e) if e.kind() == ErrorKind::Authentication => cbc.open(sealed).map(|text| (text, true)),
                opened => opened.map(|()| (out, false)),
            },
        }
    }

    /// Appends; `path` is not empty. A DEK of type 0 opens only: here nobody counts its nonces.
    pub(super) fn seal(&self, path: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match &self.keys {
            Keys::Seed(seed) => seed.seal(path, plaintext, out),
            Keys::GcmOrCbc(gcm, _) => gcm.seal(path, plaintext, out),
            Keys::Gcm(_) => Err(Error::misuse("a DEK of type 0 seals nothing")),
        }
    }
}

/// What a seed makes of a plaintext is longer by this.
pub(super) const SEED_OVERHEAD: usize = XnonceGcm::OVERHEAD;

impl Deks {
    /// Keeps `most`.
    pub(super) fn new(service: Arc<dyn KmsService>, most: usize, rt: Arc<dyn Runtime>) -> Self {
        let known = Mutex::new((most > 0).then(|| Bounded::new(most)));
        let (recent, flights, watch) = (Mutex::default(), Mutex::default(), Watch::default());
        Self(Arc::new(Inner { service, rt, known, recent, flights, watch }))
    }

    /// That of values with this behind their data.
    #[inline]
    pub(super) fn recent(&self, rest: &[u8]) -> Option<Arc<Dek>> {
        let mut recent = lock(&self.0.recent);
        let at = recent.iter().position(|(known, _)| **known == *rest)?;
        if at > 0 {
            recent[..=at].rotate_right(1);
        }
        Some(recent[0].1.clone())
    }

    pub(super) fn known(&self, source: &Source<'_>) -> Option<Arc<Dek>> {
        self.0.known(&id(source))
    }

    /// From the memory, from a call that is under way, or by a call.
    pub(super) async fn get(&self, source: &Source<'_>) -> Landed {
        let id = id(source);
        if let Some(dek) = self.0.known(&id) {
            return Ok(dek);
        }
        let (flight, task) = self.0.join(id, source);
        if let Some(task) = task {
            launch(&*self.0.rt, task);
        }
        flight.await
    }

    /// Lets values be found by what stands behind their data.
    pub(super) fn found_by(&self, rest: &[u8], dek: &Arc<Dek>) {
        let mut recent = lock(&self.0.recent);
        if recent.iter().all(|(known, _)| **known != *rest) {
            recent.insert(0, (rest.into(), dek.clone()));
            recent.truncate(MOST_RECENT);
        }
        drop(recent);
        look_after(&self.0);
    }

    /// One that was made here.
    pub(super) fn insert(&self, source: &Source<'_>, dek: Arc<Dek>) {
        self.0.remember(id(source), dek);
    }

    /// Until when one is remembered that is made now.
    pub(super) fn until(&self) -> Duration {
        self.0.rt.now().saturating_add(REMEMBERED_FOR)
    }
}

impl Inner {
    fn known(&self, id: &Id) -> Option<Arc<Dek>> {
        let known = lock(&self.known);
        known.as_ref()?.get(id).filter(|dek| self.rt.now() < dek.until).cloned()
    }

    fn remember(self: &Arc<Self>, id: Id, dek: Arc<Dek>) {
        // Dropped after the lock.
        let _evicted = lock(&self.known).as_mut().and_then(|known| known.insert(id, dek));
        look_after(self);
    }

    /// The flight under way for this source, or a new one and what launches it.
    fn join(
        self: &Arc<Self>,
        id: Id,
        source: &Source<'_>,
    ) -> (Flight<Landed>, Option<BoxFuture<'static, ()>>) {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&id) {
            return (flight.clone(), None);
        }
        let (me, kind, wrapped) = (self.clone(), source.kind, source.to_wrapped());
        let gone = Gone { inner: self.clone(), id };
        let work = async move {
            let gone = gone;
            // One may have landed since we looked: it is remembered before it leaves the list.
            if let Some(dek) = me.known(&gone.id) {
                return Ok(dek);
            }
            let until = me.rt.now().saturating_add(REMEMBERED_FOR);
            let secret: DekSource = me.service.decrypt(&wrapped, &uid()?).await?;
            let dek = Arc::new(Dek::of(kind, secret.expose()?, &wrapped.key_id, until)?);
            me.remember(gone.id, dek.clone());
            Ok(dek)
        };
        let on_panic = || Err(Error::new(ErrorKind::BadReply, "the KMS service panicked"));
        let (flight, task) = Flight::new(work, on_panic);
        flights.insert(id, flight.clone());
        (flight, Some(task))
    }
}

/// Takes a flight off the list when it lands, fails or panics.
struct Gone {
    inner: Arc<Inner>,
    id: Id,
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.inner.flights).remove(&self.id);
    }
}

impl Expires for Inner {
    fn sweep(&self, now: Duration) -> Option<Duration> {
        let mut recent = lock(&self.recent);
        recent.retain(|(_, dek)| now < dek.until);
        let of_recent = recent.iter().map(|(_, dek)| dek.until).min();
        drop(recent);
        let mut known = lock(&self.known);
        let Some(known) = known.as_mut() else { return of_recent };
        known.retain(|dek| now < dek.until);
        known.values().map(|dek| dek.until).chain(of_recent).min()
    }

    fn rt(&self) -> &Arc<dyn Runtime> {
        &self.rt
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}

/// Of all that a KMS is shown for it.
fn id(source: &Source<'_>) -> Id {
    let kind = [source.kind as u8];
    let parts = [&kind[..], source.wrapped, source.key_id.as_bytes()];
    let annotations = source.annotations.iter().flat_map(|(key, value)| [key.as_bytes(), *value]);
    digest(parts.into_iter().chain(annotations))
}
