//! A KMS under your thumb.
use super::{KeyUri, KmsBackend};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek,
    crypto::{Kwp, random},
    rt::{
        Background, Runtime,
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicU64, Ordering},
            lock,
        },
    },
};
use std::{collections::VecDeque, fmt, future::pending, sync::Arc, time::Duration};

/// What a call meets instead of its answer, or before it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The network is down.
    Unavailable,
    /// Too many calls: come back after this time.
    Throttled(Duration),
    /// The KMS says that it timed out.
    TimedOut,
    /// No permission, or the key is disabled.
    Denied,
    /// No answer, ever.
    Hang,
    /// The right answer, late.
    Slow(Duration),
    /// A DEK, or a wrapped DEK, of a wrong length.
    WrongLength,
    /// A DEK, or a wrapped DEK, that is noise.
    Garbage,
    /// Wrapped under a key that nobody asked for.
    WrongKeyId,
    /// The answer that the last call of that kind got.
    Duplicate,
}

/// A KMS in memory, with versions, faults by script and calls counted. URI `mock:NAME`. A
/// clone is another handle on the same.
#[derive(Clone)]
pub struct Mock(Arc<Inner>);

struct Inner {
    name: String,
    rt: Arc<dyn Runtime>,
    calls: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    versions: Vec<Arc<Kwp>>,
    script: VecDeque<Fault>,
    always: Option<Fault>,
    wrapped: Option<WrappedDek>,
    unwrapped: Option<Dek>,
}

impl Mock {
    /// A KMS with one key in its first version, on real time.
    pub fn new(name: &str) -> Self {
        Self::on(Background, name)
    }

    /// The same on another clock, usually a [`Simulated`](crate::rt::Simulated) one.
    pub fn on(rt: impl Runtime, name: &str) -> Self {
        let inner =
            Inner { name: name.into(), rt: Arc::new(rt), calls: AtomicU64::new(0), state: Mutex::default() };
        let mock = Self(Arc::new(inner));
        mock.rotate();
        mock
    }

    pub(super) fn from_uri(uri: &KeyUri) -> Result<Self> {
        uri.only(&[])?;
        KeyId::new(format!("{}/{}", uri.rest(), u32::MAX))?;
        Ok(Self::new(uri.rest()))
    }

    /// The next call meets `fault`; several queue up.
    pub fn then(&self, fault: Fault) -> &Self {
        self.state().script.push_back(fault);
        self
    }

    /// Every call meets `fault`, when the script is empty.
    pub fn always(&self, fault: Option<Fault>) {
        self.state().always = fault;
    }

    /// A new version, which wraps from now on.
    ///
    /// # Panics
    /// Without key memory, or in a forked child.
    pub fn rotate(&self) -> KeyId {
        let kek = Dek::generate().and_then(|d| Kwp::new(d.expose()?)).expect("key memory");
        let mut state = self.state();
        state.versions.push(Arc::new(kek));
        self.id(state.versions.len())
    }

    /// Calls so far: wraps and unwraps. Which key is current it says at once, whatever the
    /// script, and that does not count.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn id(&self, version: usize) -> KeyId {
        KeyId::new(format!("{}/{version}", self.0.name)).expect("a mock's name is a key id")
    }

    fn version(&self, id: &KeyId) -> Option<Arc<Kwp>> {
        let versions = self.state().versions.clone();
        (1..).zip(versions).find(|(n, _)| self.id(*n) == *id).map(|(_, kek)| kek)
    }

    /// Counts a call and meets what the script has for it. What is left alters the answer.
    async fn meet(&self) -> Result<Option<Fault>> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let fault = {
            let mut state = self.state();
            state.script.pop_front().or_else(|| state.always.clone())
        };
        let said = |what: &'static str| Error::new(ErrorKind::Unavailable, what);
        match fault {
            Some(Fault::Unavailable) => Err(said("scripted: unavailable")),
            Some(Fault::TimedOut) => Err(said("scripted: timed out")),
            Some(Fault::Throttled(time)) => Err(said("scripted: throttled").with_retry_after(time)),
            Some(Fault::Denied) => Err(Error::new(ErrorKind::Denied, "scripted: denied")),
            Some(Fault::Hang) => pending().await,
            Some(Fault::Slow(time)) => {
                self.0.rt.sleep(time).await;
                Ok(None)
            }
            other => Ok(other),
        }
    }
}

#[async_trait::async_trait]
impl KmsBackend for Mock {
    fn scheme(&self) -> &str {
        "mock"
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        self.version(key_id).is_some()
    }

    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let fault = self.meet().await?;
        let (kek, id) = {
            let state = self.state();
            let kek = state.versions.last().cloned();
            (kek.ok_or_else(|| Error::misuse("a mock without keys"))?, self.id(state.versions.len()))
        };
        let mut wrapped = WrappedDek::new(id, kek.wrap(dek.expose()?)?);
        match fault {
            Some(Fault::WrongLength) => wrapped.ciphertext.clear(),
            Some(Fault::Garbage) => {
                let mut noise = [0; 40];
                random(&mut noise)?;
                wrapped.ciphertext = noise.to_vec();
            }
            Some(Fault::WrongKeyId) => wrapped.key_id = KeyId::new("nobody/1")?,
            Some(Fault::Duplicate) => wrapped = self.state().wrapped.clone().unwrap_or(wrapped),
            _ => {}
        }
        self.state().wrapped = Some(wrapped.clone());
        Ok(wrapped)
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let fault = self.meet().await?;
        match fault {
            Some(Fault::WrongLength) => return Dek::take([0; 31]),
            Some(Fault::Garbage | Fault::WrongKeyId) => return Dek::generate(),
            Some(Fault::Duplicate) => {
                if let Some(last) = &self.state().unwrapped {
                    return Ok(last.share());
                }
            }
            _ => {}
        }
        let kek =
            self.version(&wrapped.key_id).ok_or_else(|| Error::new(ErrorKind::Denied, "no such key"))?;
        let dek = kek.unwrap_dek(&wrapped.ciphertext)?;
        self.state().unwrapped = Some(dek.share());
        Ok(dek)
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        let versions = self.state().versions.len();
        Ok(Some(self.id(versions)))
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mock({})", self.0.name)
    }
}
