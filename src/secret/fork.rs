//! Knowing that this process is a fork of the one that made the keys.
use super::slab;
use crate::{Error, Result};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// What a fork changes under us.
enum Witness {
    /// A word in a page that the kernel wipes in a forked child.
    Page(&'static AtomicU64),
    /// Where the kernel cannot: the process that started.
    Pid(u32),
}

fn witness() -> &'static Witness {
    static WITNESS: OnceLock<Witness> = OnceLock::new();
    WITNESS.get_or_init(|| match slab::wiped_on_fork() {
        Some(word) => {
            word.store(1, Ordering::Relaxed);
            Witness::Page(word)
        }
        None => Witness::Pid(std::process::id()),
    })
}

/// Whether this process forked after libkms was first used.
#[inline]
pub(crate) fn forked() -> bool {
    match witness() {
        Witness::Page(word) => word.load(Ordering::Relaxed) == 0,
        Witness::Pid(pid) => *pid != std::process::id(),
    }
}

/// The error Forked in a forked child: its key pages read as zeros, which would be a key.
#[inline]
pub(crate) fn check_fork() -> Result<()> {
    if forked() { Err(Error::forked()) } else { Ok(()) }
}
