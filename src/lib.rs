//! libkms
#[allow(unsafe_code)]
mod arch;
mod crypto;
mod dek;
mod envelope;
mod error;
pub mod kek;
mod kms;
pub mod rt;
#[allow(unsafe_code)]
pub mod secret;

pub use async_trait::async_trait;
pub use dek::{DekPolicy, Freshness, OutagePolicy};
pub use envelope::{
    Aad, Copies, Damage, EncryptionContext, Header, KeyId, Recipient, Reference, Suite, WrappedDek, stream,
};
pub use error::{Attempt, Error, ErrorKind, Result};
pub use kms::{Builder, IntoKek, Kms, Opened, Outcome, ReferenceRecord, Scope, SealOptions};
pub use rt::{NewFile, Wait, wait};
pub use secret::Dek;

/// manual
pub mod manual {
    /// format
    pub mod format {}
}

/// What an envelope tells without keys: suite, recipients, a stored context.
///
/// # Errors
/// As [`Header::parse`].
pub fn inspect(sealed: &[u8]) -> Result<Header> {
    Header::parse(sealed)
}
