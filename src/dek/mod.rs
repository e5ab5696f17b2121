//! Where DEKs come from and how long they live: the policy, the DEKs that seal, and the
//! small memory of DEKs that were opened.
mod bounded;
mod expiry;
mod keks;
mod opening;
mod policy;
mod rewrapping;
mod sealing;

pub use policy::{DekPolicy, OutagePolicy};

pub use keks::Freshness;

pub(crate) use keks::Keks;
pub(crate) use opening::{OpenDek, Opener, Unlocked};
pub(crate) use rewrapping::Rewrapper;
pub(crate) use sealing::{SealDek, Sealer, Slot};

use crate::{Error, ErrorKind};

/// What a flight gives when the backend panicked.
fn panicked() -> Error {
    Error::new(ErrorKind::BadReply, "a backend panicked; one that needs an async runtime must bring its own")
}
