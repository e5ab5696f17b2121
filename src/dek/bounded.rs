//! A map that forgets.
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// How full a table of DEKs is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableUsage {
    /// DEKs in it.
    pub held: usize,
    /// It holds no more: when another one comes, the first one goes and is wiped.
    pub most: usize,
    /// How many went for that.
    pub evicted: u64,
}

/// Holds a number of entries at most. When there are more, the one that came first goes.
pub(crate) struct Bounded<K, V> {
    map: HashMap<K, V>,
    /// The keys of the map, in the order they came.
    order: VecDeque<K>,
    most: usize,
    evicted: u64,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { map: HashMap::new(), order: VecDeque::new(), most, evicted: 0 }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    /// Adds or replaces; gives what had to go, or was replaced.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(there) = self.map.get_mut(&key) {
            return Some(std::mem::replace(there, value));
        }
        let full = self.map.len() >= self.most;
        let gone = if full { self.order.pop_front().and_then(|first| self.map.remove(&first)) } else { None };
        self.evicted += u64::from(gone.is_some());
        self.order.push_back(key.clone());
        self.map.insert(key, value);
        gone
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values()
    }

    pub(crate) fn usage(&self, is_held: impl Fn(&V) -> bool) -> TableUsage {
        let held = self.map.values().filter(|value| is_held(value)).count();
        TableUsage { held, most: self.most, evicted: self.evicted }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.map.retain(|_, value| keep(value));
        self.order.retain(|key| self.map.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_goes_first() {
        let mut b = Bounded::new(3);
        for n in 0..3 {
            assert_eq!(b.insert(n, n * 10), None);
        }
        assert_eq!(b.insert(1, 11), Some(10), "replaced where it stands");
        assert_eq!(b.insert(3, 30), Some(0));
        assert_eq!(b.insert(4, 40), Some(11));
        b.retain(|v| *v != 30);
        assert_eq!(b.insert(5, 50), None);
        assert_eq!(b.insert(6, 60), Some(20));
        assert_eq!((b.get(&4), b.get(&3), b.map.len(), b.order.len()), (Some(&40), None, 3, 3));
        assert_eq!(b.usage(|v| *v > 45), TableUsage { held: 2, most: 3, evicted: 3 });
    }

    /// Hot entries stay useful when many others pass by.
    #[test]
    fn it_does_not_collapse_when_it_is_full() {
        let mut b = Bounded::new(1000);
        (0..50_000).for_each(|n| assert_eq!(b.insert(n, ()).is_some(), n >= 1000));
        let mut misses = 0;
        for n in 0..50_000 {
            let hot = 1_000_000 + n % 50;
            if b.get(&hot).is_none() {
                misses += 1;
                b.insert(hot, ());
            }
        }
        assert_eq!(misses, 50);
    }
}
