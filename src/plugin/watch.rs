//! Asking the KEKs now and then, so that Status need not.
use super::{Plugin, PluginHealth};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// While they fail, from one attempt to the next: at first, and at last. The API server asks every
/// 10 s then.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

impl Plugin {
    /// Asks until it is dropped: at the interval, earlier where traffic tells that something is
    /// wrong, and again and again while they fail.
    pub(super) async fn watch(&self) {
        let mut pause = PAUSES.0;
        loop {
            self.is_due_or_in_doubt().await;
            let began = Instant::now();
            if self.probe().await.is_ok() {
                pause = PAUSES.0;
                // Ciphertexts that nobody can open do not have them asked more often.
                let least = PAUSES.1.min(self.0.interval);
                sleep(least.saturating_sub(began.elapsed())).await;
            } else {
                sleep(pause).await;
                pause = (2 * pause).min(PAUSES.1);
            }
        }
    }

    async fn is_due_or_in_doubt(&self) {
        loop {
            let current = self.0.state.current();
            // They may have wrapped for an Encrypt meanwhile.
            let since = current.wrapped.map_or(Duration::MAX, |at| at.elapsed());
            let left = self.0.interval.saturating_sub(since);
            let is_wrong = current.health != PluginHealth::Healthy;
            if is_wrong || left.is_zero() || timeout(left, self.0.look.notified()).await.is_ok() {
                return;
            }
        }
    }
}
