//! Several KEKs for one DEK: every wrapping one wraps, any one opens.
use super::WrapPolicy;
use crate::{
    EncryptionContext, Header, KeyId, OutagePolicy, Recipient, Result,
    envelope::HeaderCopy,
    kek::{BackendHealth, Freshness, Kek, Role, observer::Observers},
    rt::{Runtime, join_all},
};
use std::{sync::Arc, time::Duration};

/// The KEKs of one `Kms`, in the order they were given.
pub(crate) struct Keks {
    all: Vec<Arc<Kek>>,
    pub(super) wrap_policy: WrapPolicy,
    /// Instead of what each backend usually takes.
    hedge_after: Option<Duration>,
    deadline: Duration,
    rt: Arc<dyn Runtime>,
    observers: Observers,
}

impl Keks {
    pub(crate) fn new(
        keks: Vec<Kek>,
        wrap_policy: WrapPolicy,
        outage: &OutagePolicy,
        rt: Arc<dyn Runtime>,
    ) -> Result<Self> {
        let all: Vec<_> = keks.into_iter().map(Arc::new).collect();
        let (hedge_after, deadline) = (outage.hedge_after, outage.deadline);
        let me = Self { all, wrap_policy, hedge_after, deadline, rt, observers: Observers::default() };
        me.wrap_policy.check(me.wrapping().count())?;
        Ok(me)
    }

    /// Tells these of the DEKs that they give.
    pub(crate) fn observed_by(mut self, observers: Observers) -> Self {
        self.observers = observers;
        self
    }

    pub(crate) fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Whether `copy` names exactly the keys that would wrap now.
    pub(super) fn freshness(&self, copy: &HeaderCopy, now: Duration) -> Freshness {
        freshness(copy, self.wrapping().map(|kek| (kek.scheme(), kek.current_key(now))))
    }

    /// The same, waiting until `by` for backends that must be asked.
    pub(super) async fn copy_freshness_told(&self, copy: &HeaderCopy, by: Duration) -> Freshness {
        freshness(copy, self.current_told(by).await.into_iter())
    }

    /// Whether a copy by which a KEK of this role opened is as a new one would be.
    pub(super) async fn is_current(
        &self,
        copy: &HeaderCopy,
        role: Role,
        context: &EncryptionContext,
        by: Duration,
    ) -> bool {
        self.copy_freshness_told(copy, by).await == Freshness::Current
            && (self.is_sure(copy, role) || self.are_of_wrapping(copy, context, by).await)
    }

    /// Whether the names in this copy say what they seem to. `role`: of the KEK that opened.
    pub(super) fn is_sure(&self, copy: &HeaderCopy, role: Role) -> bool {
        (role == Role::Wraps && self.wrapping().count() == 1) || !self.is_ambiguous(copy)
    }

    /// Whether several KEKs go by a name in this copy: two keyrings may have keys of one name.
    fn is_ambiguous(&self, copy: &HeaderCopy) -> bool {
        copy.recipients().iter().any(|r| self.may_be_several(r))
    }

    pub(super) fn may_be_several(&self, recipient: &Recipient) -> bool {
        self.all().filter(|kek| kek.accepts(recipient)).count() > 1
    }

    pub(crate) fn wraps(&self) -> bool {
        self.wrapping().next().is_some()
    }

    /// The same of every copy of a header, waiting for backends that must be asked.
    pub(crate) async fn freshness_told(&self, header: &Header) -> Freshness {
        let current = self.current_told(self.deadline()).await;
        let of = |copy| match freshness(copy, current.iter().cloned()) {
            Freshness::Current if self.is_ambiguous(copy) => Freshness::Unknown,
            told => told,
        };
        let all: Vec<_> = header.tries().iter().map(of).collect();
        let worst = [Freshness::Stale, Freshness::Unknown].into_iter().find(|f| all.contains(f));
        worst.unwrap_or(Freshness::Current)
    }

    pub(super) async fn current_told(&self, by: Duration) -> Vec<(&str, Option<KeyId>)> {
        join_all(self.wrapping().map(|kek| async move { (kek.scheme(), kek.current_key_told(by).await) }))
            .await
    }

    /// How often a KEK that wraps has named another key than before. Those are asked that
    /// were not asked for half a minute.
    pub(super) fn changes(&self, now: Duration) -> u64 {
        self.wrapping().fold(0, |sum, kek| sum.wrapping_add(kek.changes(now)))
    }

    /// Whether the key of a KEK that wraps may have moved long ago, and nobody asked.
    pub(super) fn are_overdue(&self, now: Duration) -> bool {
        self.wrapping().any(|kek| kek.is_overdue(now))
    }

    /// The key that each KEK that wraps named last, if it named one.
    pub(super) fn last_said(&self) -> Vec<Option<KeyId>> {
        self.wrapping().map(|kek| kek.last_said()).collect()
    }

    /// Whether the recipients name those keys. `missing`: as `born` gave it; of a KEK that failed
    /// to wrap then, and was allowed to, nothing new is to be expected as long as it says the
    /// same.
    pub(super) fn still_says(&self, recipients: &[Recipient], missing: &[Option<KeyId>]) -> bool {
        let one_failed = recipients.len() < missing.len();
        self.wrapping().zip(missing).all(|(kek, missing)| {
            let said = kek.last_said();
            said.as_ref().is_none_or(|key| names(recipients, kek, key)) || (one_failed && said == *missing)
        })
    }

    /// For a DEK that was wrapped just now: how many changes it has seen, and what those KEKs
    /// had said `before` that did not wrap it. Whatever is said meanwhile, it is current: what
    /// a wrap says is the latest. If another key was named, all DEKs are looked at within half
    /// a minute.
    pub(super) fn born(
        &self,
        recipients: &[Recipient],
        before: Vec<Option<KeyId>>,
    ) -> (u64, Vec<Option<KeyId>>) {
        let changes = self.wrapping().fold(0u64, |sum, kek| sum.wrapping_add(kek.changes_so_far()));
        let one_failed = recipients.len() < before.len();
        let missing = |(kek, before): (&Arc<Kek>, Option<KeyId>)| {
            let said = kek.last_said();
            if said.as_ref().is_none_or(|key| names(recipients, kek, key)) {
                return None;
            }
            if !(one_failed && said == before) {
                kek.look_again();
            }
            before
        };
        (changes, self.wrapping().zip(before).map(missing).collect())
    }

    /// Those that wrap.
    pub(super) fn wrapping(&self) -> impl Iterator<Item = &Arc<Kek>> {
        self.all.iter().filter(|k| k.role == Role::Wraps)
    }

    /// Those that open: all.
    pub(super) fn all(&self) -> impl Iterator<Item = &Kek> {
        self.every().map(|kek| &**kek)
    }

    pub(super) fn every(&self) -> impl Iterator<Item = &Arc<Kek>> {
        self.all.iter()
    }

    /// How long to wait for one alone.
    pub(super) fn hedge_after(&self, kek: &Kek) -> Duration {
        self.hedge_after.unwrap_or_else(|| kek.patience())
    }

    /// When an operation that begins now must be over.
    pub(super) fn deadline(&self) -> Duration {
        self.rt.now().saturating_add(self.deadline)
    }

    pub(crate) fn health(&self) -> Vec<BackendHealth> {
        self.all().map(Kek::health).collect()
    }

    pub(super) fn rt(&self) -> &dyn Runtime {
        &*self.rt
    }

    pub(crate) fn schemes(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|k| k.scheme())
    }
}

fn names(recipients: &[Recipient], kek: &Kek, key: &KeyId) -> bool {
    recipients.iter().any(|r| r.scheme == kek.scheme() && r.wrapped.key_id == *key)
}

/// `current`: scheme and key of each KEK that wraps. A recipient stands for one of them.
fn freshness<'a>(copy: &HeaderCopy, current: impl Iterator<Item = (&'a str, Option<KeyId>)>) -> Freshness {
    let (mut wrapping, mut unknown) = (0, false);
    // A bit for each recipient: there are sixteen at most.
    let mut taken = 0u16;
    for (scheme, key) in current {
        wrapping += 1;
        let Some(key) = key else {
            unknown = true;
            continue;
        };
        let is_its = |(n, r): (usize, &Recipient)| {
            taken & 1 << n == 0 && r.scheme == scheme && r.wrapped.key_id == key
        };
        match copy.recipients().iter().enumerate().position(is_its) {
            Some(place) => taken |= 1 << place,
            None => return Freshness::Stale,
        }
    }
    match wrapping == copy.recipients().len() {
        _ if unknown || wrapping == 0 => Freshness::Unknown,
        true => Freshness::Current,
        false => Freshness::Stale,
    }
}
