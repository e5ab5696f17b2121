//! The same DEK under other KEKs.
use super::{Keks, bounded::Bounded, unwrapping::Unwrapped};
use crate::{
    EncryptionContext, Error, Header, Result,
    envelope::{DerivedKeys, Fingerprint, HeaderCopy},
    kek::Freshness,
    rt::sync::{Mutex, MutexGuard, lock},
    secret::check_fork,
};
use std::{sync::Arc, time::Duration};

/// Headers that are remembered.
const MOST: usize = 1024;

/// Wraps DEKs anew, and remembers the header that each one got: records of one DEK need
/// one call to the KMS, not a million.
pub(crate) struct Rewrapper {
    keks: Arc<Keks>,
    done: Mutex<Done>,
}

/// By the header as it was.
type Done = Bounded<Fingerprint, Known>;

/// The new header, if there was anything to do.
#[derive(Clone)]
struct Known(Option<Arc<HeaderCopy>>);

impl Known {
    fn copy<'a>(&'a self, old: &'a Header) -> &'a HeaderCopy {
        self.0.as_deref().unwrap_or(&old.tries()[0])
    }
}

impl Rewrapper {
    pub(crate) fn new(keks: Arc<Keks>) -> Self {
        Self { keks, done: Mutex::new(Bounded::new(MOST)) }
    }

    /// The header, verified, for the KEKs that wrap now. `None` if it is as a new one would
    /// be, whole copies included.
    pub(crate) async fn rewrap(
        &self,
        header: &Header,
        context: &EncryptionContext,
    ) -> Result<Option<Arc<HeaderCopy>>> {
        check_fork()?;
        let (id, by) = (header.fingerprint(context), self.keks.deadline());
        let known = self.done().get(&id).cloned();
        if let Some(known) = known
            && self.keks.copy_freshness_told(known.copy(header), by).await == Freshness::Current
        {
            return Ok(known.0);
        }
        let done = Known(self.anew(header, context, by).await?.map(|(new, _)| Arc::new(new)));
        self.done().insert(id, done.clone());
        Ok(done.0)
    }

    /// The same without what is remembered, and the keys that prove it.
    pub(crate) async fn rewrap_anew(
        &self,
        header: &Header,
        context: &EncryptionContext,
    ) -> Result<Option<(HeaderCopy, DerivedKeys)>> {
        check_fork()?;
        self.anew(header, context, self.keks.deadline()).await
    }

    async fn anew(
        &self,
        header: &Header,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<Option<(HeaderCopy, DerivedKeys)>> {
        let Unwrapped { dek, keys, copy, by: role, .. } = self.keks.unwrap(header, context, by).await?;
        if header.damage().is_none() && self.keks.is_current(copy, role, context, by).await {
            return Ok(None);
        }
        let recipients = self.keks.wrap(&dek, context, by).await?;
        if recipients.is_empty() {
            return Err(Error::misuse("every KEK here only opens"));
        }
        Ok(Some((copy.rewrapped(recipients, &keys)?, keys)))
    }

    /// Whether the header, verified, is as a new one would be.
    pub(crate) async fn opens_as_current(
        &self,
        header: &Header,
        context: &EncryptionContext,
    ) -> Result<bool> {
        check_fork()?;
        let by = self.keks.deadline();
        let Unwrapped { copy, by: role, .. } = self.keks.unwrap(header, context, by).await?;
        Ok(header.damage().is_none() && self.keks.is_current(copy, role, context, by).await)
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        lock(&self.done)
    }
}
