//! What an API server makes sure of before it believes a KMS.
use super::{KmsStatus, MOST, Wrapped, annotations, failure::printable};
use crate::{Error, ErrorKind, Result};

impl Wrapped {
    /// What an API server makes sure of.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |what: &str, len: usize| {
            Err(Error::new(ErrorKind::BadReply, format!("{what} has 1 to {MOST} bytes, and not {len}")))
        };
        if !(1..=MOST).contains(&self.ciphertext.len()) {
            return refuse("a ciphertext", self.ciphertext.len());
        }
        if !(1..=MOST).contains(&self.key_id.len()) {
            return refuse("a key id", self.key_id.len());
        }
        annotations::check(&self.annotations)
    }
}

impl KmsStatus {
    /// What an API server makes sure of: the key that wraps.
    ///
    /// # Errors
    /// Unavailable if it says that it is not well; BadReply for another version, or a key id of no
    /// bytes or more than 1024.
    pub fn check(&self) -> Result<&str> {
        let bad = |said| Err(Error::new(ErrorKind::BadReply, said));
        if !["v2", "v2beta1"].contains(&&*self.version) {
            return bad(format!("its version is {:?}, and not v2 or v2beta1", printable(&self.version)));
        }
        if self.healthz != "ok" {
            let said = format!("it says that it is not well: {}", printable(&self.healthz));
            return Err(Error::new(ErrorKind::Unavailable, said));
        }
        if !(1..=MOST).contains(&self.key_id.len()) {
            return bad(format!("its key id has 1 to {MOST} bytes, and not {}", self.key_id.len()));
        }
        Ok(&self.key_id)
    }
}
