//! Staying under a quota of calls.
use crate::rt::sync::{Mutex, lock};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A bucket of tokens, one for each call, that holds a second's worth. It is kept as the
/// time at which it will be full again.
pub(super) struct Bucket {
    /// Between two tokens.
    each: Duration,
    full_at: Mutex<Duration>,
}

impl Bucket {
    /// At least one call a second; any number if none is given.
    pub(super) fn new(calls_per_second: Option<u32>) -> Self {
        let each = calls_per_second.map_or(Duration::ZERO, |calls| SECOND / calls.max(1));
        Self { each, full_at: Mutex::default() }
    }

    /// Takes a token that is there within `most`: how long until then. `Err`: how long until
    /// there is one, and none was taken.
    pub(super) fn take(&self, now: Duration, most: Duration) -> Result<Duration, Duration> {
        let mut full_at = lock(&self.full_at);
        let after = (*full_at).max(now).saturating_add(self.each);
        let wait = after.saturating_sub(now.saturating_add(SECOND));
        if wait > most {
            return Err(wait);
        }
        *full_at = after;
        Ok(wait)
    }

    /// The KMS itself asked for a pause: until then there is none.
    pub(super) fn empty_until(&self, then: Duration) {
        let mut full_at = lock(&self.full_at);
        *full_at = (*full_at).max(then.saturating_add(SECOND).saturating_sub(self.each));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_second_s_worth_at_once_and_then_one_at_a_time() {
        let (bucket, t) = (Bucket::new(Some(10)), Duration::from_secs(100));
        assert!((0..10).all(|_| bucket.take(t, Duration::ZERO) == Ok(Duration::ZERO)));
        assert_eq!(bucket.take(t, Duration::ZERO), Err(100 * MS));
        assert_eq!(bucket.take(t, SECOND), Ok(100 * MS));
        assert_eq!(bucket.take(t, SECOND), Ok(200 * MS));
        assert_eq!(bucket.take(t + 300 * MS, Duration::ZERO), Ok(Duration::ZERO));
        // In any second at most twice the rate; over any minute the rate and one second's worth.
        let mut taken = 0;
        for ms in 0..60_000 {
            taken += u32::from(bucket.take(t + SECOND + ms * MS, Duration::ZERO).is_ok());
        }
        assert!((600..=610).contains(&taken), "{taken}");
    }

    #[test]
    fn a_pause_that_the_kms_asks_for_is_kept() {
        let (bucket, t) = (Bucket::new(Some(10)), Duration::from_secs(100));
        bucket.empty_until(t + 3 * SECOND);
        assert_eq!(bucket.take(t, SECOND), Err(3 * SECOND));
        assert_eq!(bucket.take(t + 3 * SECOND, Duration::ZERO), Ok(Duration::ZERO));
        assert_eq!(bucket.take(t + 3 * SECOND, Duration::ZERO), Err(100 * MS));
        let unlimited = Bucket::new(None);
        assert!((0..100_000).all(|_| unlimited.take(t, Duration::ZERO) == Ok(Duration::ZERO)));
        unlimited.empty_until(t + SECOND);
        assert_eq!(unlimited.take(t, Duration::ZERO), Err(SECOND));
        assert!((0..100_000).all(|_| unlimited.take(t + SECOND, Duration::ZERO) == Ok(Duration::ZERO)));
    }
}
