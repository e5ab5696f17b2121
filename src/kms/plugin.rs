//! What a plugin asks of a scope that no record does.
use super::Scope;
use crate::{
    Dek, Recipient, Result,
    kek::panicked,
    rt::{Flight, launch},
    secret::check_fork,
};
use std::sync::Arc;

/// A DEK that comes, for all who wait for it.
pub(crate) type Unwrapping = Flight<Result<Arc<Dek>>>;

impl Scope {
    /// Has the KEKs wrap a new DEK now, which then seals here; the one before goes on if they
    /// cannot.
    pub(crate) async fn renew(&self) -> Result<()> {
        self.check()?;
        self.kms.0.sealer.renew(self.slot()).await
    }

    /// Whether it may be asked for anything. What follows does not look.
    pub(crate) fn may_be_asked(&self) -> Result<()> {
        check_fork()?;
        self.check()
    }

    /// What a program other than libkms had a KEK wrap under this context, and what sets it on its
    /// way. `until_then` is dropped when it has come.
    pub(crate) fn unwrap_foreign<T: Send + 'static>(
        &self,
        wrapped: Recipient,
        until_then: T,
    ) -> (Unwrapping, impl FnOnce() + use<T>) {
        let (keks, context, rt) = (self.kms.0.keks.clone(), self.context.clone(), self.kms.0.rt.clone());
        let work = async move {
            let _until_then = until_then;
            keks.unwrap_foreign(&wrapped, &context).await.map(Arc::new)
        };
        let (flight, task) = Flight::new(work, || Err(panicked()));
        (flight, move || launch(&*rt, task))
    }
}
