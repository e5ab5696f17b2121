//! What a plugin asks of DEKs that no record does.
use super::{
    Keks, SealDek, Sealer,
    expiry::look_after,
    slots::{Slot, Slots, State},
};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, Recipient, Result,
    kek::{Pauses, panicked},
    rt::{Flight, launch},
    secret::check_fork,
};
use std::sync::Arc;

impl Sealer {
    /// A new DEK for the scope, whatever the one that is there is still good for: that one goes
    /// on if none can be had.
    pub(crate) async fn renew(&self, slot: &Arc<Slot>) -> Result<()> {
        check_fork()?;
        let (slots, slot) = (self.slots.clone(), self.slots.of_scope(slot));
        let fresh = self.fresh(&slot.context, self.policy.remembered_for(), self.keks.deadline());
        let work = async move {
            slots.replace(&slot, &fresh.await?);
            Ok(())
        };
        let (flight, task) = Flight::new(work, || Err(panicked()));
        launch(&*self.rt, task);
        flight.await
    }
}

impl Slots {
    /// Has `dek` seal for a scope from now on. What a flight under way brings is for those alone
    /// who wait for it.
    fn replace(self: &Arc<Self>, slot: &Arc<Slot>, dek: &Arc<SealDek>) {
        let slots = self.by_context();
        // Nobody sweeps another than the one in the table.
        if slots.get(&slot.context).is_some_and(|in_table| Arc::ptr_eq(in_table, slot)) {
            let mut state = slot.state();
            let _spent = std::mem::replace(&mut *state, State::Here(dek.clone()));
            drop(state);
        }
        drop(slots);
        look_after(self);
    }
}

impl Keks {
    /// A DEK that stands in no header of ours: by the first KEK that opens it.
    pub(crate) async fn unwrap_foreign(
        &self,
        wrapped: &Recipient,
        context: &EncryptionContext,
    ) -> Result<Dek> {
        let (by, mut pauses) = (self.deadline(), Pauses::new());
        loop {
            let mut last = None;
            for kek in self.all().filter(|kek| kek.accepts(wrapped)) {
                match kek.unwrap(wrapped, context, by).await {
                    Ok(dek) => return Ok(dek),
                    Err(e) => last = Some(e),
                }
            }
            let said = "no KEK here accepts the key that this was wrapped under";
            let last = last.ok_or_else(|| Error::new(ErrorKind::NoMatchingKek, said))?;
            let Some(pause) = pauses.after(&last, self.rt(), by) else { return Err(last) };
            pauses.grow();
            self.rt().sleep(pause).await;
        }
    }
}
