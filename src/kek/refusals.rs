//! What was refused for good is not asked again at once.
use crate::{
    Error,
    rt::sync::{Mutex, lock},
};
use std::{collections::HashMap, hash::Hash, time::Duration};

/// Long enough for whoever tries again in a loop, short enough for whoever has mended it.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// When there are more, all are forgotten.
const MOST: usize = 1024;

/// Refusals, each by what it was for.
pub(crate) struct Refusals<K>(Mutex<HashMap<K, (Error, Duration)>>);

impl<K: Eq + Hash> Refusals<K> {
    pub(crate) fn get(&self, what: &K, now: Duration) -> Option<Error> {
        let refused = lock(&self.0);
        refused.get(what).filter(|(_, until)| now < *until).map(|(error, _)| error.clone())
    }

    pub(crate) fn insert(&self, what: K, error: Error, now: Duration) {
        self.forget(now);
        let mut refused = lock(&self.0);
        if refused.len() >= MOST {
            refused.clear();
        }
        refused.insert(what, (error, now.saturating_add(REMEMBERED_FOR)));
    }

    /// Those that are over; when the next one will be.
    pub(crate) fn forget(&self, now: Duration) -> Option<Duration> {
        let mut refused = lock(&self.0);
        refused.retain(|_, (_, until)| now < *until);
        refused.values().map(|(_, until)| *until).min()
    }
}

impl<K> Default for Refusals<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_while_and_not_without_bound() {
        let (refusals, s) = (Refusals::default(), Duration::from_secs);
        refusals.insert(1, Error::authentication(), s(10));
        assert!(refusals.get(&1, s(14)).is_some() && refusals.get(&1, s(15)).is_none());
        assert!(refusals.get(&2, s(10)).is_none());
        refusals.insert(2, Error::authentication(), s(15));
        assert_eq!(lock(&refusals.0).len(), 1, "one is over");
        assert_eq!((refusals.forget(s(15)), refusals.forget(s(20))), (Some(s(20)), None));
        (0..5000).for_each(|n| refusals.insert(n, Error::authentication(), s(20)));
        assert!(lock(&refusals.0).len() <= MOST && refusals.get(&4999, s(20)).is_some());
    }
}
