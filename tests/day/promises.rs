//! What the manual promises, in numbers, and how much a day may depart from it.
use crate::plan::{MS, S};
use std::time::Duration;

/// One operation with all its calls and attempts.
pub const DEADLINE: Duration = S.saturating_mul(5);
/// One call.
pub const CALL_TIMEOUT: Duration = S.saturating_mul(3);
/// A KMS that failed is left alone for so long at most, also if it said itself for how long.
pub const LONGEST_PAUSE: Duration = S.saturating_mul(30);
/// Which key is current is asked so often at most.
pub const ASKED_EVERY: Duration = S.saturating_mul(30);
/// A refusal.
pub const REMEMBERED: Duration = S.saturating_mul(5);

/// What a KMS takes that is well, and what waits on each other for it.
pub const LATENCY: Duration = MS.saturating_mul(500);
/// A KMS that is well for so long is used again: the pause, and before it a call that hung from
/// before.
pub const RECOVERED: Duration = S.saturating_mul(30 + 3).saturating_add(LATENCY);
/// Another current key of a KMS that is well is noticed.
pub const NOTICED: Duration = S.saturating_mul(30 + 3).saturating_add(LATENCY);
/// One of several KEKs is waited for alone for a second at most; then comes the turn of the
/// next, and that is well.
pub const HEDGED: Duration = S.saturating_mul(2).saturating_add(LATENCY);

/// A stampede, and what it leaves behind it.
pub const STAMPEDE: Duration = S.saturating_mul(10 + 10);
