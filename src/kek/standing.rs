//! How the calls to a KEK went lately.
use crate::{
    Error, ErrorKind,
    rt::sync::atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

/// A KEK that did not answer is asked after the others for this long.
const DOUBTED_FOR: Duration = Duration::from_secs(30);
/// What a call may take before another KEK is asked as well, as long as nobody knows what
/// it usually takes.
const UNKNOWN: Duration = Duration::from_millis(200);
/// That is three times the usual, within these: the slowest of a hundred takes longer, a
/// scheduler's whim does not.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

#[derive(Default)]
pub(super) struct Standing {
    /// In nanoseconds of the runtime's clock.
    doubted_until: AtomicU64,
    /// A moving mean of what an answer took, in nanoseconds; 0 before the first.
    usual: AtomicU64,
}

impl Standing {
    pub(super) fn answered(&self, took: Duration) {
        self.doubted_until.store(0, Ordering::Relaxed);
        let (took, usual) = (nanos(took).max(1), self.usual.load(Ordering::Relaxed));
        let mean = if usual == 0 { took } else { usual - usual / 8 + took / 8 };
        self.usual.store(mean.max(1), Ordering::Relaxed);
    }

    /// Only what the KMS is to blame for: a forged header makes it refuse, too.
    pub(super) fn failed(&self, error: &Error, now: Duration) {
        if error.kind() == ErrorKind::Unavailable {
            self.doubt(now);
        }
    }

    /// No answer yet, and nobody waits for it any more.
    pub(super) fn doubt(&self, now: Duration) {
        self.doubted_until.store(nanos(now.saturating_add(DOUBTED_FOR)), Ordering::Relaxed);
    }

    pub(super) fn is_doubted(&self, now: Duration) -> bool {
        nanos(now) < self.doubted_until.load(Ordering::Relaxed)
    }

    /// How long to wait for it alone.
    pub(super) fn patience(&self) -> Duration {
        match self.usual.load(Ordering::Relaxed) {
            0 => UNKNOWN,
            usual => Duration::from_nanos(usual.saturating_mul(3)).clamp(PATIENCE.0, PATIENCE.1),
        }
    }
}

/// Of the runtime's clock, for an atomic.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_what_is_usual() {
        let (standing, ms) = (Standing::default(), Duration::from_millis);
        assert_eq!(standing.patience(), ms(200));
        standing.answered(ms(100));
        assert_eq!(standing.patience(), ms(300));
        (0..100).for_each(|_| standing.answered(ms(40)));
        assert!((ms(118)..ms(122)).contains(&standing.patience()), "{:?}", standing.patience());
        (0..100).for_each(|_| standing.answered(Duration::ZERO));
        assert_eq!(standing.patience(), ms(20));
        (0..100).for_each(|_| standing.answered(ms(5000)));
        assert_eq!(standing.patience(), ms(1000));
    }

    #[test]
    fn doubt_ends_with_an_answer_or_with_time() {
        let (standing, s) = (Standing::default(), Duration::from_secs);
        let down = Error::new(ErrorKind::Unavailable, "down");
        standing.failed(&Error::authentication(), s(1));
        assert!(!standing.is_doubted(s(1)));
        standing.failed(&down, s(1));
        assert!(standing.is_doubted(s(30)) && !standing.is_doubted(s(31)));
        standing.answered(s(1));
        assert!(!standing.is_doubted(s(2)));
    }
}
