//! What aws-encryption-provider wrapped: a version, and what AWS KMS answered to Encrypt.
use crate::{
    Dek, Error, KeyId, Recipient, Result, Scope, WrappedDek,
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
    /// `key_id`: what that plugin said of the key, an ARN.
    pub(super) async fn unwrap(&self, scope: &Scope, ciphertext: &[u8], key_id: &str) -> Result<Vec<u8>> {
        let key_id = KeyId::new(key_id).map_err(|_| {
            Error::malformed("key_id: what aws-encryption-provider wrote has the ARN of its key there")
        })?;
        let flight = self.join(scope, (ciphertext[1..].to_vec(), key_id))?;
        let dek: Arc<Dek> = flight.await?;
        Ok(dek.expose()?.to_vec())
    }

    fn join(&self, scope: &Scope, name: Name) -> Result<Unwrapping> {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&name) {
            return Ok(flight.clone());
        }
        let wrapped = Recipient::new(SCHEME, WrappedDek::new(name.1.clone(), name.0.clone()));
        let gone = Gone { flights: self.0.clone(), name: name.clone() };
        let (flight, launch) = scope.unwrap_foreign(wrapped, gone)?;
        flights.insert(name, flight.clone());
        // It may land at once.
        drop(flights);
        launch();
        Ok(flight)
    }
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
