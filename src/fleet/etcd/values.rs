//! The values of one resource.
use super::{
    calls::{Value, end_of},
    connect::Etcd,
};
use crate::{Error, Result, kubernetes::Transformer};
use std::fmt;

/// Values that are fetched at once: 1.5 MiB each at most, as a rule a few KiB.
const PAGE: i64 = 64;

/// The values of one resource: where they are, and how the API server reads and writes them.
pub struct Stored<'a> {
    pub(super) etcd: &'a Etcd,
    pub(super) prefix: String,
    pub(super) transformer: &'a Transformer,
}

impl<'a> Stored<'a> {
    /// All whose key begins with `prefix`, of which [`prefix_of`](super::prefix_of) knows those of the
    /// API server.
    ///
    /// # Errors
    /// Misuse unless it begins and ends with `/`: what begins with `/registry/secret` may be anything.
    pub fn new(etcd: &'a Etcd, prefix: impl Into<String>, transformer: &'a Transformer) -> Result<Self> {
        let prefix = prefix.into();
        if prefix.len() < 3 || !prefix.starts_with('/') || !prefix.ends_with('/') {
            return Err(Error::misuse("the keys of a resource have a prefix between two /"));
        }
        Ok(Self { etcd, prefix, transformer })
    }

    /// How many there are.
    ///
    /// # Errors
    /// Unavailable, Denied.
    pub fn count(&self) -> Result<u64> {
        self.etcd.count(&self.prefix)
    }

    /// In the order of their keys, page by page: what is written meanwhile may be among them or not.
    /// It ends with the first error.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Value>> + Send + '_ {
        let end = end_of(self.prefix.as_bytes());
        let mut next = Some(self.prefix.clone().into_bytes());
        let mut page = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(value) = page.next() {
                    return Some(Ok(value));
                }
                let from = next.take()?;
                match self.etcd.page(&from, &end, PAGE) {
                    Ok((values, more)) => {
                        next = values.last().filter(|_| more).map(|last| [&last.key[..], &[0]].concat());
                        page = values.into_iter();
                    }
                    Err(e) => return Some(Err(e)),
                }
                if page.len() == 0 {
                    return None;
                }
            }
        })
    }
}

impl fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("etcd", self.etcd)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
