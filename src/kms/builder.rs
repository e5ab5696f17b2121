//! Putting a `Kms` together.
use super::{Inner, Kms};
use crate::{
    Error, OutagePolicy, Result,
    dek::{DekPolicy, Keks, Opener, Rewrapper, Sealer, WrapPolicy},
    kek::{
        Kek, KmsBackend, Role,
        observer::{Observer, Observers, Says},
    },
    rt::{Background, Runtime},
    stream::check_threads,
};
use std::sync::Arc;

/// DEKs in each of the two tables, unless set.
const MOST_DEKS: usize = 10_000;

/// What a [`Kms`] is made of.
#[must_use = "build() makes the Kms"]
pub struct Builder {
    keks: Vec<(Arc<dyn KmsBackend>, Role)>,
    policy: DekPolicy,
    wrap: WrapPolicy,
    outage: OutagePolicy,
    most_sealing: usize,
    most_opening: usize,
    threads: usize,
    rt: Arc<dyn Runtime>,
    observers: Observers,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            keks: Vec::new(),
            policy: DekPolicy::default(),
            wrap: WrapPolicy::default(),
            outage: OutagePolicy::default(),
            most_sealing: MOST_DEKS,
            most_opening: MOST_DEKS,
            threads: 1,
            rt: Arc::new(Background),
            observers: Observers::default(),
        }
    }

    /// A KEK that wraps every new DEK, and opens: at most 16. The first one also makes them.
    pub fn kek(mut self, kek: impl KmsBackend) -> Self {
        self.keks.push((Arc::new(kek), Role::Wraps));
        self
    }

    /// A KEK that only opens: last year's, another region's. One whose key is called as that of
    /// a KEK that wraps is told apart by what it opens, not by its name.
    pub fn opens_with(mut self, kek: impl KmsBackend) -> Self {
        self.keks.push((Arc::new(kek), Role::Opens));
        self
    }

    /// How much one DEK seals.
    pub fn dek_policy(mut self, policy: DekPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Which KEKs may fail to wrap: none unless set.
    pub fn wrap_policy(mut self, policy: WrapPolicy) -> Self {
        self.wrap = policy;
        self
    }

    /// What a KMS that fails may cost.
    pub fn outage_policy(mut self, policy: OutagePolicy) -> Self {
        self.outage = policy;
        self
    }

    /// How many scopes keep their DEK for sealing, and how many opened DEKs are remembered:
    /// 10,000 each unless set, at least one. Their keys take 128 bytes of locked memory for
    /// each pair.
    pub fn most_deks(mut self, sealing: usize, opening: usize) -> Self {
        (self.most_sealing, self.most_opening) = (sealing, opening);
        self
    }

    /// On how many threads its batches are worked, the caller's included, and the streams of those
    /// of its scopes that do not say ([`Scope::threads`](super::Scope::threads)): 1 to 256, one
    /// unless set. They are started for what is large enough, and end with it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Tells one more of what happens. What it says to it changes nothing.
    pub fn observer(self, observer: impl Observer) -> Self {
        self.observers.add(Arc::new(observer), Says::Nothing);
        self
    }

    /// Tells one more, who must have written a call down before what it gave is used: the call
    /// fails with the error that [`observe`](Observer::observe) gives, and no other is made for it
    /// unless that is of a kind that is tried again ([`Error::is_retryable`]).
    pub fn audit(self, auditor: impl Observer) -> Self {
        self.observers.add(Arc::new(auditor), Says::Audits);
        self
    }

    /// Another clock, another place for background work: tests.
    pub fn runtime(mut self, rt: impl Runtime) -> Self {
        self.rt = Arc::new(rt);
        self
    }

    /// # Errors
    /// Misuse without any KEK, with a policy outside its bounds or a scheme that is none.
    pub fn build(self) -> Result<Kms> {
        if self.keks.is_empty() {
            return Err(Error::misuse("a Kms needs a KEK: Kms::builder().kek(...)"));
        }
        if self.keks.iter().filter(|k| k.1 == Role::Wraps).count() > 16 {
            return Err(Error::misuse("an envelope has at most 16 recipients"));
        }
        check_threads(self.threads)?;
        if self.most_sealing == 0 || self.most_opening == 0 {
            return Err(Error::misuse("a Kms keeps at least one DEK of each kind"));
        }
        self.policy.check()?;
        let (rt, outage) = (self.rt, self.outage);
        let observers = self.observers;
        let kek = |(backend, role)| Ok(Kek::new(backend, role, rt.clone(), &outage)?.observed_by(&observers));
        let keks = self.keks.into_iter().map(kek).collect::<Result<_>>()?;
        let keks = Keks::new(keks, self.wrap, &outage, rt.clone())?.observed_by(observers);
        let keks = Arc::new(keks);
        let opener = Opener::new(keks.clone(), self.most_opening, self.policy.remembered_for(), rt.clone());
        let sealer = Sealer::new(keks.clone(), self.policy, outage.seal_for, self.most_sealing, rt.clone());
        let rewrapper = Rewrapper::new(keks.clone());
        Ok(Kms(Arc::new(Inner { keks, sealer, opener, rewrapper, rt, threads: self.threads })))
    }
}
