//! Between two attempts.
use crate::{Error, rt::Runtime};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that grow.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    /// The one after this error; `None` if it may not be tried again, or not in time.
    pub(crate) fn after(&self, error: &Error, rt: &dyn Runtime, by: Duration) -> Option<Duration> {
        let pause = shortened(self.0, rt.random()).max(error.retry_after().unwrap_or_default());
        (error.is_retryable() && rt.now().saturating_add(pause) < by).then_some(pause)
    }

    pub(crate) fn grow(&mut self) {
        self.0 = (2 * self.0).min(LONGEST);
    }
}

/// Between half of it and all: clients that failed together do not come back together.
pub(crate) fn shortened(pause: Duration, random: u64) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(random as f64 / u64::MAX as f64)
}
