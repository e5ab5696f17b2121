//! What values are under.
use super::{calls::Value, values::Stored};
use crate::{
    Error, Result,
    fleet::workers::{caught, each, usual},
    kubernetes::{Read, ValueFormat},
    rt::wait,
};
use std::collections::BTreeMap;

/// Values that fail are told one by one, so many of them; the others are counted.
const MOST_FAILURES: usize = 1000;

/// What values of one resource are under: each is read, and so proven, as the API server would.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// How many values are under what.
    pub under: BTreeMap<Under, u64>,
    /// Of all of them, those that the API server would write otherwise now.
    pub stale: u64,
    /// Of all of them, those that are stored in plain.
    pub plain: u64,
    /// Values that could not be read.
    pub unreadable: u64,
    /// The first 1,000 of these, by key.
    pub failures: Vec<(String, Error)>,
}

/// A provider, its key, and whether what is under it is stale.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Under {
    /// How it is stored.
    pub format: ValueFormat,
    /// The key, or the KMS, as the configuration names it; nothing under identity.
    pub name: String,
    /// kms v2: the KEK.
    pub key_id: Option<String>,
    /// Whether it would be written otherwise now.
    pub stale: bool,
}

impl Survey {
    /// Reads all values of `stored`, some at once. Blocks. `tell` is shown each, as it is stored: its key
    /// and its value.
    ///
    /// # Errors
    /// Unavailable, Denied: of etcd. What is wrong with one value is told in the result.
    pub fn of(stored: &Stored<'_>, mut tell: impl FnMut(&[u8], &[u8])) -> Result<Self> {
        let (mut survey, mut ended) = (Self::default(), Ok(()));
        let read = |value: Result<Value>| {
            let value = value?;
            let read =
                caught(|| wait(stored.transformer.read(&value.key, &value.value))).and_then(|read| read);
            Ok((value, read))
        };
        each(stored.all(), usual(), read, |read| match read {
            Ok((value, read)) => {
                tell(&value.key, &value.value);
                survey.add(value.key, read);
            }
            Err(e) => ended = Err(e),
        })?;
        survey.failures.sort_by(|a, b| a.0.cmp(&b.0));
        ended.map(|()| survey)
    }

    fn add(&mut self, key: Vec<u8>, read: Result<Read>) {
        match read {
            Ok(read) => {
                self.stale += u64::from(read.stale);
                self.plain += u64::from(read.format == ValueFormat::Identity);
                *self.under.entry(Under::of(&read)).or_default() += 1;
            }
            Err(e) => {
                self.unreadable += 1;
                note(&mut self.failures, &String::from_utf8_lossy(&key), e);
            }
        }
    }
}

/// Keeps a failure, if there are not too many yet.
pub(super) fn note(failures: &mut Vec<(String, Error)>, key: &str, error: Error) {
    if failures.len() < MOST_FAILURES {
        failures.push((key.into(), error));
    }
}

impl Under {
    pub(super) fn of(read: &Read) -> Self {
        Self {
            format: read.format,
            name: read.name.to_string(),
            key_id: read.key_id.as_deref().map(str::to_owned),
            stale: read.stale,
        }
    }
}
