//! Many files at once, on threads of their own.
use crate::{Error, ErrorKind, Result};
use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, mpsc::sync_channel},
    thread,
};

/// Each has a file or two open, of which a process may have some 1000.
const MOST: usize = 256;

/// The work is waiting, for a disk and for a KMS: more than two even on a small machine.
pub(super) fn usual() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).clamp(4, MOST)
}

/// What `work` gives; a panic is an error of the file that it is about.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    let panicked = |_| Error::new(ErrorKind::BadReply, "the work on this file panicked");
    catch_unwind(AssertUnwindSafe(work)).map_err(panicked)
}

/// Works on `items`, each on one of so many threads, and gives the outcomes to `done`, on this
/// one, as they come. Items and outcomes that wait are no more than there are workers.
pub(super) fn each<I: Send, T: Send>(
    items: impl Iterator<Item = I> + Send,
    workers: usize,
    work: impl Fn(I) -> T + Sync,
    done: impl FnMut(T),
) -> Result<()> {
    if !(1..=MOST).contains(&workers) {
        return Err(Error::misuse(format!("workers: 1 to {MOST}")));
    }
    let (items, work) = (Mutex::new(items.fuse()), &work);
    thread::scope(|scope| {
        let (to, outcomes) = sync_channel(workers);
        for n in 0..workers {
            let (to, items) = (to.clone(), &items);
            let worker = move || {
                // Nobody listens if `done` panicked; no iterator goes on after a panic.
                while let Some(item) = items.lock().ok().and_then(|mut items| items.next()) {
                    if to.send(work(item)).is_err() {
                        break;
                    }
                }
            };
            match thread::Builder::new().name("libkms-fleet".into()).spawn_scoped(scope, worker) {
                Err(e) if n == 0 => return Err(Error::io("cannot start a thread", e)),
                // The others do it.
                Err(_) => break,
                Ok(_) => {}
            }
        }
        drop(to);
        outcomes.into_iter().for_each(done);
        Ok(())
    })
}
