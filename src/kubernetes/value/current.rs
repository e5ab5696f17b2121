//! Which key a kms v2 provider wraps with now, and the seed that writes, as the API server has them:
//! asked every minute, every ten seconds while that fails; a new seed when the key changes; and no
//! write when the last good answer is three minutes old.
use super::{
    deks::{Dek, Deks},
    object::{Source, SourceKind},
    service::{KmsService, KmsStatus},
};
use crate::{
    Error, ErrorKind, Result,
    kek::uid,
    rt::{
        BoxFuture, Flight, Runtime, launch,
        sync::{Mutex, lock},
    },
    secret::{Locked, check_fork},
};
use std::{sync::Arc, time::Duration};

const ASKED_EVERY: Duration = Duration::from_secs(60);
const AFTER_A_FAILURE: Duration = Duration::from_secs(10);
const GOOD_FOR: Duration = Duration::from_secs(180);

/// Of one provider.
pub(super) struct Current(Arc<Inner>);

struct Inner {
    service: Arc<dyn KmsService>,
    deks: Arc<Deks>,
    rt: Arc<dyn Runtime>,
    state: Mutex<State>,
    asking: Mutex<Option<Flight<Result<()>>>>,
}

#[derive(Default)]
struct State {
    version: Option<String>,
    /// What the last answer named, good or not, and until when it counts.
    key_id: Option<(Arc<str>, Duration)>,
    seed: Option<Writing>,
    /// Whether anybody writes: without that no seed is made.
    writes: bool,
    ask_at: Duration,
}

struct Writing {
    seed: Arc<Seed>,
    until: Duration,
}

/// What writes.
pub(super) struct Seed {
    pub(super) dek: Arc<Dek>,
    /// What stands behind the data of its values.
    pub(super) tail: Vec<u8>,
}

impl Current {
    pub(super) fn new(service: Arc<dyn KmsService>, deks: Arc<Deks>, rt: Arc<dyn Runtime>) -> Self {
        let (state, asking) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { service, deks, rt, state, asking }))
    }

    /// Whether this is the key that wraps now; `None` if the KMS is to be asked first.
    pub(super) fn is(&self, key_id: &str) -> Option<bool> {
        let now = self.0.rt.now();
        let state = lock(&self.0.state);
        let (current, until) = state.key_id.as_ref()?;
        let is_it = (now < *until).then(|| **current == *key_id);
        let ask = now >= state.ask_at;
        drop(state);
        if ask {
            self.ask();
        }
        is_it
    }

    /// The same of what was known last, however long ago that is, if the KMS does not say it now.
    pub(super) async fn told(&self, key_id: &str) -> Result<bool> {
        if let Some(is_it) = self.is(key_id) {
            return Ok(is_it);
        }
        let failed = self.ask().await.err();
        let state = lock(&self.0.state);
        match (&state.key_id, failed) {
            (Some((current, _)), _) => Ok(**current == *key_id),
            (None, Some(e)) => Err(e),
            (None, None) => Err(not_good("it named no key")),
        }
    }

    /// The seed that writes; `None` if the KMS is to be asked first.
    pub(super) fn seed(&self) -> Option<Arc<Seed>> {
        let now = self.0.rt.now();
        let state = lock(&self.0.state);
        let seed = state.seed.as_ref().filter(|writing| now < writing.until).map(|w| w.seed.clone());
        let ask = seed.is_some() && now >= state.ask_at;
        drop(state);
        if ask {
            self.ask();
        }
        seed
    }

    /// The same, and the KMS is asked where that is needed.
    pub(super) async fn seed_or_ask(&self) -> Result<Arc<Seed>> {
        lock(&self.0.state).writes = true;
        // What is under way may have begun before anybody wrote.
        for _ in 0..2 {
            if let Some(seed) = self.seed() {
                return Ok(seed);
            }
            self.ask().await?;
        }
        self.seed().ok_or_else(|| not_good("it was good for no time"))
    }

    /// One question at a time.
    fn ask(&self) -> Flight<Result<()>> {
        let (flight, task) = self.0.join();
        if let Some(task) = task {
            launch(&*self.0.rt, task);
        }
        flight
    }
}

impl Inner {
    fn join(self: &Arc<Self>) -> (Flight<Result<()>>, Option<BoxFuture<'static, ()>>) {
        let mut asking = lock(&self.asking);
        if let Some(flight) = &*asking {
            return (flight.clone(), None);
        }
        let (me, over) = (self.clone(), Over(self.clone()));
        let work = async move {
            let _over = over;
            check_fork()?;
            // From before the call on: that it took long makes nothing younger.
            let begun = me.rt.now();
            let asked = me.renew(begun).await;
            let pause = if asked.is_ok() { ASKED_EVERY } else { AFTER_A_FAILURE };
            lock(&me.state).ask_at = begun.saturating_add(pause);
            asked
        };
        let on_panic = || Err(Error::new(ErrorKind::BadReply, "the KMS service panicked"));
        let (flight, task) = Flight::new(work, on_panic);
        *asking = Some(flight.clone());
        (flight, Some(task))
    }

    async fn renew(&self, begun: Duration) -> Result<()> {
        let status = self.service.status().await?;
        self.check(&status)?;
        let until = begun.saturating_add(GOOD_FOR);
        let writes = {
            let mut state = lock(&self.state);
            let key_id: Arc<str> = match &state.key_id {
                Some((same, _)) if **same == *status.key_id => same.clone(),
                _ => (&*status.key_id).into(),
            };
            state.key_id = Some((key_id, until));
            state.writes
        };
        if status.healthz != "ok" {
            return Err(not_good(&format!("it says {:?}", shortened(&status.healthz))));
        }
        if writes { self.renew_seed(&status.key_id, until).await } else { Ok(()) }
    }

    async fn renew_seed(&self, key_id: &str, until: Duration) -> Result<()> {
        if let Some(writing) = &mut lock(&self.state).seed
            && *writing.seed.dek.key_id == *key_id
        {
            writing.until = until;
            return Ok(());
        }
        let seed = self.new_seed(key_id).await?;
        lock(&self.state).seed = Some(Writing { seed: Arc::new(seed), until });
        Ok(())
    }

    async fn new_seed(&self, key_id: &str) -> Result<Seed> {
        let secret = Locked::<[u8; 32]>::fill(|bytes| {
            getrandom::fill(bytes)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
        })?;
        let wrapped = self.service.encrypt(secret.get()?, &uid()?).await?;
        let source = Source::of(SourceKind::Seed, &wrapped);
        source.check().map_err(|e| not_good(&e.to_string()))?;
        if source.key_id != key_id {
            return Err(not_good("Encrypt names another key than Status"));
        }
        let dek = Arc::new(Dek::of(SourceKind::Seed, secret.get()?, key_id, self.deks.until())?);
        self.deks.insert(&source, dek.clone());
        let tail = source.tail();
        self.deks.found_by(&tail, &dek);
        Ok(Seed { dek, tail })
    }

    fn check(&self, status: &KmsStatus) -> Result<()> {
        if !["v2", "v2beta1"].contains(&&*status.version) {
            return Err(not_good("its version is neither v2 nor v2beta1"));
        }
        let mut state = lock(&self.state);
        if *state.version.get_or_insert_with(|| status.version.clone()) != status.version {
            return Err(not_good("its version is another one than before"));
        }
        if !(1..=1024).contains(&status.key_id.len()) {
            return Err(not_good("its key_id does not have 1 to 1024 bytes"));
        }
        Ok(())
    }
}

/// Takes the question off when it was answered, failed or panicked.
struct Over(Arc<Inner>);

impl Drop for Over {
    fn drop(&mut self) {
        *lock(&self.0.asking) = None;
    }
}

fn not_good(what: &str) -> Error {
    Error::new(ErrorKind::BadReply, format!("the KMS is not fit to be used: {what}"))
}

/// What somebody else says, for an error.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
