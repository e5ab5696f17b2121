//! Where DEKs come from and how long they live: the policy, the DEKs that seal, and the
//! small memory of DEKs that were opened.
mod bounded;
mod expiry;
mod hedge;
mod keks;
mod kept;
mod opening;
#[cfg(feature = "plugin")]
mod plugin;
mod policy;
mod rewrapping;
#[cfg(all(test, shuttle))]
mod schedules;
mod sealing;
mod slots;
mod unwrapping;
mod wrapping;

pub use bounded::TableUsage;
pub use policy::{DekPolicy, WrapPolicy};

#[cfg(feature = "kubernetes")]
pub(crate) use bounded::Bounded;
#[cfg(feature = "kubernetes")]
pub(crate) use expiry::{Expires, Watch, look_after};
pub(crate) use keks::Keks;
pub(crate) use kept::KeptDek;
pub(crate) use opening::{OpenDek, Opener, Unlocked};
pub(crate) use rewrapping::Rewrapper;
pub(crate) use sealing::{SealDek, Sealer};
pub(crate) use slots::Slot;
