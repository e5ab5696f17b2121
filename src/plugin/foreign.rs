//! What aws-encryption-provider wrapped: a version, and what AWS KMS answered to Encrypt.
use crate::{
    Error, ErrorKind, KeyId, Recipient, Result, Scope, WrappedDek,
    kms::Unwrapping,
    rt::sync::{Mutex, lock},
};
use std::{collections::HashMap, sync::Arc};

/// Its storage of version 1 and of version 2.
pub(super) const V1: u8 = b'1';
pub(super) const V2: u8 = b'2';
const SCHEME: &str = "aws-kms";

/// A blob, and the key that it is said to be under.
type Name = (Vec<u8>, KeyId);

/// One call for all who bring the same at the same time.
#[derive(Default)]
pub(super) struct Foreign(Arc<Mutex<HashMap<Name, Unwrapping>>>);

impl Foreign {
    /// By the first of `keys` that opens it: 32 bytes, as API servers have made them.
    pub(super) async fn unwrap(&self, scope: &Scope, ciphertext: &[u8], keys: &[KeyId]) -> Result<Vec<u8>> {
        let mut last = Error::new(ErrorKind::NoMatchingKek, "no KEK in AWS is known here yet to try it with");
        for key in keys {
            let flight = self.join(scope, (ciphertext[1..].to_vec(), key.clone()))?;
            match flight.await {
                Ok(dek) => return Ok(dek.expose()?.to_vec()),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn join(&self, scope: &Scope, name: Name) -> Result<Unwrapping> {
        // Before the lock, which what cannot be asked for would take once more as it goes.
        scope.may_be_asked()?;
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&name) {
            return Ok(flight.clone());
        }
        let wrapped = Recipient::new(SCHEME, WrappedDek::new(name.1.clone(), name.0.clone()));
        let gone = Gone { flights: self.0.clone(), name: name.clone() };
        let (flight, launch) = scope.unwrap_foreign(wrapped, gone);
        flights.insert(name, flight.clone());
        // It may land at once.
        drop(flights);
        launch();
        Ok(flight)
    }
}

/// The keys that it may be under. `said`: what that plugin was configured with, the ARN of a key or of
/// an alias; its version 1 stored none. `current`: those that wrap here.
pub(super) fn keys(said: &str, current: &[Recipient]) -> Result<Vec<KeyId>> {
    if said.starts_with("arn:") && said.contains(":key/") {
        return Ok(vec![KeyId::new(said).map_err(|_| Error::malformed("key_id"))?]);
    }
    let ours = current.iter().filter(|recipient| recipient.scheme == SCHEME);
    Ok(ours.map(|recipient| recipient.wrapped.key_id.clone()).collect())
}

/// Takes a flight off the list when it is over.
struct Gone {
    flights: Arc<Mutex<HashMap<Name, Unwrapping>>>,
    name: Name,
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.flights).remove(&self.name);
    }
}
