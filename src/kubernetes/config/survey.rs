//! How many values there are under which key.
use super::{EncryptionConfiguration, group::Name};
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// How many stored values depend on which provider and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    counts: BTreeMap<String, u64>,
    plain: Option<u64>,
    /// Whose values they are, if it is told.
    resources: Option<Vec<String>>,
}

impl Survey {
    /// Of no values yet, of the keys of a configuration.
    pub fn new(config: &EncryptionConfiguration) -> Self {
        let providers = config.entries().iter().flat_map(|entry| entry.providers());
        let prefixes = providers.flat_map(|provider| provider.prefixes()).filter(|prefix| !prefix.is_empty());
        Self { counts: prefixes.map(|prefix| (prefix, 0)).collect(), plain: Some(0), resources: None }
    }

    /// Counts a value, as etcd has it.
    pub fn count(&mut self, value: &[u8]) {
        if !value.starts_with(b"k8s:enc:") {
            self.plain = self.plain.map(|plain| plain + 1);
        }
        // Of the names `a` and `a:b` it may be either.
        let its = self.counts.iter_mut().filter(|(prefix, _)| value.starts_with(prefix.as_bytes()));
        its.for_each(|(_, count)| *count += 1);
    }

    /// From JSON: `counts`, an object of what values begin with, `k8s:enc:secretbox:v1:key1:`, and of
    /// how many there are; `plain`, how many are stored plain; and, as `kms k8s status` tells it,
    /// `resources`, a list of objects whose `resource` names one that was looked through. Other members
    /// are passed over.
    ///
    /// # Errors
    /// Misuse for anything else.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let wrong = || Error::misuse("a survey is a JSON object of counts, an object of numbers, and plain");
        let value: Value = serde_json::from_slice(json).map_err(|_| wrong())?;
        let counts = value.get("counts").and_then(Value::as_object).ok_or_else(wrong)?;
        let count = |(prefix, n): (&String, &Value)| Some((prefix.clone(), n.as_u64()?));
        let counts = counts.iter().map(count).collect::<Option<_>>().ok_or_else(wrong)?;
        let plain = value.get("plain").map(|n| n.as_u64().ok_or_else(wrong)).transpose()?;
        let name = |of: &Value| of.get("resource")?.as_str().map(str::to_owned);
        let resources = value.get("resources").and_then(Value::as_array);
        let resources = resources.and_then(|all| all.iter().map(name).collect());
        Ok(Self { counts, plain, resources })
    }

    /// Misuse where it is told whose values were counted, and not all of these are among them, or there
    /// was no value.
    pub(super) fn check_is_of(&self, entry: &[String]) -> Result<()> {
        let Some(counted) = &self.resources else { return Ok(()) };
        let is_counted = |name: &str| counted.iter().any(|of| Name::of(of) == Name::of(name));
        let is_missing = |name: &&String| !name.starts_with('*') && !is_counted(name);
        if let Some(missing) = entry.iter().find(is_missing) {
            return Err(Error::misuse(format!(
                "the survey is not of {missing}, whose entry this is as well"
            )));
        }
        if self.plain == Some(0) && self.counts.values().all(|count| *count == 0) {
            return Err(Error::misuse("the survey has found no value at all: was it made of another place?"));
        }
        Ok(())
    }

    /// What was looked for, and how many values begin so.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(begin, count)| (&**begin, *count))
    }

    /// How many values begin so; those that are stored plain for an empty prefix. None if it was not
    /// looked for.
    pub fn of(&self, prefix: &str) -> Option<u64> {
        if prefix.is_empty() {
            return self.plain;
        }
        self.counts.contains_key(prefix).then(|| {
            let below = self.counts.iter().filter(|(other, _)| other.starts_with(prefix));
            below.map(|(_, count)| *count).max().unwrap_or(0)
        })
    }
}
