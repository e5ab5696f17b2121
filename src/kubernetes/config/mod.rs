//! The EncryptionConfiguration of kube-apiserver.
mod base64;
mod duration;
mod edit;
mod endpoint;
mod group;
mod json;
mod mask;
mod node;
mod place;
mod read;
mod remarks;
mod scalar;
mod survey;
#[cfg(test)]
mod tests;
mod which;
mod yaml;

pub use edit::{ConfigurationText, NewProvider};
pub use survey::Survey;
pub use which::{KeyRef, ProviderKind};

use super::Provider;
use crate::{Error, Result};
use group::Name;
use node::Node;
use place::Path;
use std::rc::Rc;

/// A thousand entries are shorter.
const MOST_BYTES: usize = 1 << 20;

/// What kube-apiserver encrypts, and under what: its `--encryption-provider-config`.
///
/// It is read as the server reads it, and refused where the server refuses it; an error says line,
/// column and field, and quotes nothing of the file. Keys lie in key memory, and neither `Debug` nor
/// an error shows one.
#[derive(Debug)]
pub struct EncryptionConfiguration {
    entries: Vec<Entry>,
}

/// One item of its `resources`.
#[derive(Debug)]
pub struct Entry {
    resources: Vec<String>,
    /// Where they stand.
    starts: Vec<usize>,
    providers: Vec<Provider>,
}

/// How the server that reads it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// `--feature-gates=KMSv1=true`: kms providers of v1, which one is without `apiVersion`, are
    /// refused otherwise. Newer servers have it off unless told.
    pub kms_v1: bool,
    /// `--encryption-provider-config-automatic-reload`: then two kms providers of v1 must not have
    /// one name either.
    pub reload: bool,
}

impl Default for Gate {
    /// What takes most: v1, and no reload.
    fn default() -> Self {
        Self { kms_v1: true, reload: false }
    }
}

impl EncryptionConfiguration {
    /// From YAML or JSON, up to 1 MiB. Of several YAML documents the first one counts.
    ///
    /// # Errors
    /// Misuse for what the server would refuse; Limit without memory for its keys, Forked in a
    /// child.
    pub fn parse(bytes: &[u8], gate: Gate) -> Result<Self> {
        let text = text(bytes)?;
        let root = tree(text)?;
        let entries = read::read(text, &root, gate)?;
        check_order(text, &entries)?;
        Ok(Self { entries })
    }

    /// In the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a resource is stored under, `secrets` or `deployments.apps`: the providers of all
    /// entries that name it, one list after the other; else those of `*.GROUP`, else those of `*.*`.
    /// The first one writes, and all read. None if it is stored as it is.
    pub fn for_resource(&self, resource: &str) -> Option<Vec<&Provider>> {
        let name = Name::of(resource);
        let of = |wanted: Name<'_>| {
            let names = |entry: &&Entry| entry.resources.iter().any(|name| Name::of(name) == wanted);
            let entries: Vec<_> = self.entries.iter().filter(names).collect();
            let providers = || entries.iter().flat_map(|entry| &entry.providers).collect();
            (!entries.is_empty()).then(providers)
        };
        of(name).or_else(|| of(name.all_of_its_group())).or_else(|| of(group::ALL))
    }
}

impl Entry {
    /// The names and wildcards that it is for.
    pub fn resources(&self) -> &[String] {
        &self.resources
    }

    /// Its providers: at least one.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    if bytes.len() > MOST_BYTES {
        return Err(Error::misuse("longer than 1 MiB"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let valid = str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default();
        place::error(valid, valid.len(), &Path::Root, "not UTF-8")
    })
}

fn tree(text: &str) -> Result<Rc<Node>> {
    if json::is_json(text) { json::parse(text) } else { yaml::parse(text) }
}

/// A wildcard hides what comes after it.
fn check_order(text: &str, entries: &[Entry]) -> Result<()> {
    let mut earlier = group::Earlier::default();
    let list = Path::Root.field("resources");
    for (i, entry) in entries.iter().enumerate() {
        let path = Path::Item(&list, i);
        let names = path.field("resources");
        for (j, (name, start)) in entry.resources.iter().zip(&entry.starts).enumerate() {
            let hidden = |said| place::error(text, *start, &Path::Item(&names, j), said);
            earlier.add(Name::of(name)).map_err(hidden)?;
        }
    }
    Ok(())
}
