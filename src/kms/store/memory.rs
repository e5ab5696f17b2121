//! Headers in memory.
use super::HeaderStore;
use crate::{
    Result, async_trait,
    rt::sync::{Mutex, lock},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
};

/// Headers in memory, for tests and for records that live no longer than the process. A
/// clone is another handle on the same.
#[derive(Clone, Default)]
pub struct MemoryHeaders(Arc<Mutex<HashMap<[u8; 32], Vec<u8>>>>);

impl MemoryHeaders {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl HeaderStore for MemoryHeaders {
    async fn get(&self, commitment: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        Ok(lock(&self.0).get(commitment).cloned())
    }

    async fn put(&self, commitment: &[u8; 32], header: &[u8], replaces: Option<&[u8]>) -> Result<bool> {
        Ok(match (lock(&self.0).entry(*commitment), replaces) {
            (Entry::Vacant(place), None) => {
                place.insert(header.to_vec());
                true
            }
            (Entry::Occupied(mut there), Some(old)) if there.get() == old => {
                there.insert(header.to_vec());
                true
            }
            _ => false,
        })
    }
}

impl fmt::Debug for MemoryHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryHeaders({})", lock(&self.0).len())
    }
}
