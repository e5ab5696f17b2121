//! What a KMS that fails may cost.
use std::time::Duration;

/// What a KMS that fails may cost, in time and in calls.
///
/// An operation makes one call to each KEK it needs. What may succeed later is tried again,
/// with pauses that grow, until the deadline; what was refused for good is not. A KEK that
/// failed five times in a row is left alone, for a second at first and half a minute at
/// last; then one call tries it, and those that come meanwhile wait for what becomes of that.
/// Wraps, unwraps and questions for the current key count each for themselves: one whose
/// wraps fail still opens. So do unwraps in each place that a KEK's keys are in, as in regions
/// of AWS: where one fails, those of the others open. What a forged envelope makes a KMS say
/// counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutagePolicy {
    pub(crate) deadline: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) seal_for: Duration,
    pub(crate) calls_per_second: Option<u32>,
}

impl OutagePolicy {
    /// How long one operation may take, with all its calls and all attempts: 5 s unless set.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// How long one call may take: 3 s unless set, and never past the deadline.
    #[must_use]
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.call_timeout = time;
        self
    }

    /// How long one of several KEKs is waited for before the next one is asked to open as
    /// well. Unless set: three times what it usually takes, within 20 ms and 1 s, and 200 ms
    /// as long as that is not known.
    #[must_use]
    pub fn hedge_after(mut self, time: Duration) -> Self {
        self.hedge_after = Some(time);
        self
    }

    /// How long a scope goes on sealing with its DEK when that has had its time and no new
    /// one can be had, since a KMS is unavailable: 3 minutes unless set. It keeps the DEK in
    /// memory as much longer. After that sealing fails, until the KMS is back. The DEK's
    /// bounds of messages and bytes hold all the same.
    #[must_use]
    pub fn seal_for(mut self, time: Duration) -> Self {
        self.seal_for = time;
        self
    }

    /// How many calls a second each KEK gets at most in each place that its keys are in, as in a
    /// region of AWS, on average; a second's worth at once.
    /// What is beyond waits, and fails as Unavailable if its turn would come too late for an
    /// answer before the deadline.
    /// Unless set, as many as the backend says, which by itself says nothing.
    #[must_use]
    pub fn calls_per_second(mut self, calls: u32) -> Self {
        self.calls_per_second = Some(calls);
        self
    }
}

impl Default for OutagePolicy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            call_timeout: Duration::from_secs(3),
            hedge_after: None,
            seal_for: Duration::from_secs(180),
            calls_per_second: None,
        }
    }
}
