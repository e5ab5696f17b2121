//! Keys go when their time is over, also when nobody asks.
use crate::rt::{
    Runtime,
    sync::atomic::{AtomicBool, Ordering},
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// The longest sleep between two looks.
const LONGEST: Duration = Duration::from_secs(5);

/// Something that holds keys for a time.
pub(crate) trait Expires: Send + Sync + 'static {
    /// Drops what is over, and tells when the next one will be.
    fn sweep(&self, now: Duration) -> Option<Duration>;
    fn rt(&self) -> &Arc<dyn Runtime>;
    fn watch(&self) -> &Watch;
}

/// Whether somebody looks after it.
#[derive(Default)]
pub(crate) struct Watch(AtomicBool);

/// To be called when a key came in: has what expires swept in time, by one task that ends
/// when nothing is left.
pub(crate) fn look_after<T: Expires>(keeper: &Arc<T>) {
    if !keeper.watch().0.swap(true, Ordering::AcqRel) {
        let rt = keeper.rt();
        rt.spawn(Box::pin(look(Arc::downgrade(keeper), rt.clone())));
    }
}

async fn look<T: Expires>(keeper: Weak<T>, rt: Arc<dyn Runtime>) {
    while let Some(time) = keeper.upgrade().and_then(|k| next(&*k)) {
        let due = rt.now().saturating_add(time);
        rt.sleep(time).await;
        if rt.now() < due {
            // Nobody can sleep here: there is no thread. Keys then go when they are asked for.
            if let Some(keeper) = keeper.upgrade() {
                keeper.watch().0.store(false, Ordering::Release);
            }
            return;
        }
    }
}

/// Sweeps, and gives the time until the next one. `None`: nobody looks any more.
fn next(keeper: &impl Expires) -> Option<Duration> {
    loop {
        let now = keeper.rt().now();
        if let Some(at) = keeper.sweep(now) {
            // What comes later may be over earlier.
            return Some(at.saturating_sub(now).min(LONGEST));
        }
        keeper.watch().0.store(false, Ordering::Release);
        // A key may have come in between, and have found somebody looking.
        if keeper.sweep(now).is_none() || keeper.watch().0.swap(true, Ordering::AcqRel) {
            return None;
        }
    }
}
