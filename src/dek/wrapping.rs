//! Every KEK that wraps wraps a DEK.
use super::{
    Keks, WrapPolicy,
    unwrapping::{of_attempts, worst},
};
use crate::{Attempt, Dek, EncryptionContext, Error, ErrorKind, Recipient, Result, kek::Kek, rt::join_all};
use std::time::Duration;

impl Keks {
    /// A new DEK, wrapped under the KEKs that wrap: one of them makes it, the others wrap it
    /// all at once. Which ones may fail, the policy says.
    pub(super) async fn generate(
        &self,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<(Dek, Vec<Recipient>)> {
        let mut keks: Vec<_> = self.wrapping().map(|kek| &**kek).enumerate().collect();
        let mut wraps = Wraps::of(keks.len());
        // All would wait first for one that does not answer.
        keks.sort_by_cached_key(|(_, kek)| kek.is_doubted());
        let mut left = keks.into_iter();
        while let Some((place, kek)) = left.next() {
            match kek.generate(context, self.one_of(by, left.len())).await {
                Ok((dek, recipient)) => {
                    wraps.made.push((place, recipient));
                    wraps.add(left, &dek, context, by).await;
                    return Ok((dek, wraps.judge(&self.wrap_policy)?));
                }
                Err(e) => wraps.failed(place, kek, e),
            }
            if !wraps.are_allowed(&self.wrap_policy) {
                break;
            }
        }
        wraps.judge(&self.wrap_policy).and(Err(Error::misuse("every KEK here only opens")))
    }

    /// When one of several must have made the DEK: time is left for another one, if it may
    /// fail.
    fn one_of(&self, by: Duration, others: usize) -> Duration {
        let half = by.saturating_sub(self.rt().now()) / 2;
        if others > 0 && self.wrap_policy.tolerates() { by.saturating_sub(half) } else { by }
    }

    /// This DEK, wrapped under every KEK that wraps. None may fail: the old wraps go.
    pub(super) async fn wrap(
        &self,
        dek: &Dek,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<Vec<Recipient>> {
        let keks: Vec<_> = self.wrapping().map(|kek| &**kek).enumerate().collect();
        let mut wraps = Wraps::of(keks.len());
        wraps.add(keks.into_iter(), dek, context, by).await;
        wraps.judge(&WrapPolicy::all())
    }
}

/// What the KEKs made of one DEK, each with its place among those that wrap.
struct Wraps {
    total: usize,
    made: Vec<(usize, Recipient)>,
    failed: Vec<(usize, Attempt)>,
}

impl Wraps {
    fn of(total: usize) -> Self {
        Self { total, made: Vec::new(), failed: Vec::new() }
    }

    async fn add<'a>(
        &mut self,
        keks: impl Iterator<Item = (usize, &'a Kek)>,
        dek: &Dek,
        context: &EncryptionContext,
        by: Duration,
    ) {
        let wrap =
            |(place, kek): (usize, &'a Kek)| async move { (place, kek, kek.wrap(dek, context, by).await) };
        for (place, kek, answer) in join_all(keks.map(wrap)).await {
            match answer {
                Ok(recipient) => self.made.push((place, recipient)),
                Err(e) => self.failed(place, kek, e),
            }
        }
    }

    fn failed(&mut self, place: usize, kek: &Kek, error: Error) {
        let name = match kek.last_said() {
            Some(key) => key.to_string(),
            None => format!("(KEK {} of {})", place + 1, self.total),
        };
        self.failed.push((place, Attempt::new(kek.scheme(), &name, error)));
    }

    /// Whether those that failed may.
    fn are_allowed(&self, policy: &WrapPolicy) -> bool {
        policy.allows(self.total, self.failed.iter().map(|(_, attempt)| attempt.error.kind()))
    }

    /// The recipients, in the order of their KEKs.
    fn judge(mut self, policy: &WrapPolicy) -> Result<Vec<Recipient>> {
        if self.are_allowed(policy) {
            self.made.sort_by_key(|(place, _)| *place);
            return Ok(self.made.into_iter().map(|(_, recipient)| recipient).collect());
        }
        self.failed.sort_by_key(|(place, _)| *place);
        let mut failed: Vec<_> = self.failed.into_iter().map(|(_, attempt)| attempt).collect();
        match failed.pop() {
            Some(only) if self.total == 1 => Err(only.error),
            last => {
                failed.extend(last);
                let kind = worst(&failed).unwrap_or(ErrorKind::BadReply);
                Err(of_attempts(kind, "not every KEK wrapped the DEK that had to", failed))
            }
        }
    }
}
