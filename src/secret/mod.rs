//! Key memory: locked, kept out of core dumps, wiped on drop and gone after a fork.
//!
//! Every DEK, KEK, derived key and expanded key of the crate is a `Locked` value: a slot
//! in one pooled slab of pages. Where the system refuses to lock more memory
//! (RLIMIT_MEMLOCK, 8 MiB by default on Linux) libkms goes on with unlocked pages that
//! have every other protection, and [`residency()`] says so.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod constant_time;
mod dek;
mod fork;
mod locked;
mod residue;
mod same;
mod slab;
mod told;

pub use dek::Dek;
pub use residue::forbid_core_dumps;
pub use slab::{Residency, residency};

pub(crate) use fork::{check_fork, forked};
pub(crate) use locked::Locked;
#[cfg(test)]
pub(crate) use residue::STACK;
pub(crate) use residue::{without_residue, without_residue_below};
pub(crate) use same::same;
pub(crate) use told::told;
