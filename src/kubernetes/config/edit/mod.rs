//! A configuration's keys, changed in its text as a cluster's management service would: added where
//! all servers can read before any writes, promoted, dropped when no value needs them.
mod emit;
mod lists;
mod shape;
#[cfg(test)]
mod tests;

use super::{
    EncryptionConfiguration, Entry, Gate,
    group::Name,
    node::Node,
    survey::Survey,
    text, tree,
    which::{KeyRef, ProviderKind},
};
use crate::{Error, Result};
use emit::Fresh;
use lists::Pieces;
use shape::{Shape, is_same, shapes};
use std::rc::Rc;
use zeroize::Zeroizing;

/// An EncryptionConfiguration as text, to be changed. What an edit does not mean stays byte for byte,
/// comments and order included; every edit is read again and refused unless it means exactly what
/// was asked for.
pub struct ConfigurationText {
    text: Zeroizing<String>,
    gate: Gate,
    config: EncryptionConfiguration,
}

/// What a configuration gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewProvider {
    /// A fresh key of 32 bytes; of `aescbc` for servers that know nothing better.
    Key(KeyRef),
    /// A plugin of KMS v2.
    Kms {
        /// Stands in every value.
        name: String,
        /// `unix:///PATH`.
        endpoint: String,
        /// For one call, as `3s`; the server's own if None.
        timeout: Option<String>,
    },
    /// Values as they are.
    Identity,
}

impl NewProvider {
    /// How it is named.
    pub fn key_ref(&self) -> KeyRef {
        match self {
            Self::Key(key) => key.clone(),
            Self::Kms { name, .. } => KeyRef { kind: ProviderKind::Kms, name: name.clone() },
            Self::Identity => KeyRef { kind: ProviderKind::Identity, name: String::new() },
        }
    }

    fn fresh(&self) -> Result<Option<Fresh>> {
        let key = self.key_ref();
        emit::check_name(&key)?;
        match self {
            Self::Key(KeyRef { kind: ProviderKind::Kms | ProviderKind::Identity, .. }) => {
                Err(Error::misuse("kms and identity have no keys"))
            }
            Self::Key(_) => Fresh::new(&key.name).map(Some),
            _ => Ok(None),
        }
    }
}

/// Where a key stands: its entry, its provider, its place among that one's keys.
#[derive(Clone, Copy)]
struct At {
    entry: usize,
    provider: usize,
    key: usize,
}

impl ConfigurationText {
    /// A text that is there.
    ///
    /// # Errors
    /// As [`EncryptionConfiguration::parse`].
    pub fn new(bytes: &[u8], gate: Gate) -> Result<Self> {
        let config = EncryptionConfiguration::parse(bytes, gate)?;
        Ok(Self { text: Zeroizing::new(text(bytes)?.to_owned()), gate, config })
    }

    /// A new one, in which `writer` is the first provider of `resources`. `identity`: what is stored
    /// plain by now can still be read.
    ///
    /// # Errors
    /// Misuse for what the server would refuse.
    pub fn create(resources: &[String], writer: &NewProvider, identity: bool) -> Result<Self> {
        let fresh = writer.fresh()?;
        let mut providers = emit::block(writer, fresh.as_ref(), 6, "\n");
        if identity && *writer != NewProvider::Identity {
            let last = emit::block(&NewProvider::Identity, None, 6, "\n");
            providers = Zeroizing::new([&**providers, &**last].concat());
        }
        Self::new(emit::whole(resources, &providers).as_bytes(), Gate::default())
    }

    /// What it means.
    pub fn config(&self) -> &EncryptionConfiguration {
        &self.config
    }

    /// The text; it holds keys.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A Secret that holds it as `encryption-config.yaml`.
    ///
    /// # Errors
    /// Misuse for a name that no object can have.
    pub fn to_secret(&self, name: &str, namespace: Option<&str>) -> Result<Zeroizing<String>> {
        emit::manifest(&self.text, name, namespace)
    }

    /// Adds a key or a provider for `resource`, and for what its entry names besides: as the second
    /// of its list, so that it reads, and does not write yet.
    ///
    /// # Errors
    /// Misuse if there is one of that name, or the text is written in a way that no edit knows.
    pub fn add(&mut self, resource: &str, new: &NewProvider) -> Result<()> {
        let of = new.key_ref();
        let entries = self.entries_of(resource)?;
        if entries.iter().any(|entry| self.find_in(*entry, &of).is_some()) {
            return Err(Error::misuse(format!("{of} is there already")));
        }
        let (entry, fresh) = (entries[0], new.fresh()?);
        let provider = self.config.entries[entry].providers.iter().position(|p| p.kind() == of.kind);
        let root = tree(&self.text)?;
        let providers = providers(&root, entry)?;
        let (list, provider) = match (&fresh, provider) {
            (Some(_), Some(i)) => (keys(providers, i)?, Some(i)),
            _ => (providers, None),
        };
        let pieces = Pieces::of(&self.text, list).ok_or_else(no_edit)?;
        let item = match (pieces.column(), &fresh, provider) {
            (Some(column), Some(fresh), Some(_)) => fresh.block(column, pieces.line_end()),
            (None, Some(fresh), Some(_)) => fresh.flow(),
            (Some(column), fresh, _) => emit::block(new, fresh.as_ref(), column, pieces.line_end()),
            (None, fresh, _) => emit::flow(new, fresh.as_ref()),
        };
        let text = pieces.with_second(&item).ok_or_else(no_edit)?;
        let added = Shape::added(new, fresh.as_ref())?;
        let config = self.meaning(&text, |mut meant| {
            match (provider, &added) {
                (Some(i), Shape::Keys(_, fresh)) => {
                    if let Shape::Keys(_, keys) = &mut meant[entry][i] {
                        keys.insert(1, fresh[0]);
                    }
                }
                _ => meant[entry].insert(1, added),
            }
            meant
        })?;
        (self.text, self.config) = (text, config);
        Ok(())
    }

    /// Has a key write from now on: it becomes the first of its provider, and that the first.
    ///
    /// # Errors
    /// Misuse if it is not there, or the text is written in a way that no edit knows.
    pub fn promote(&mut self, resource: &str, which: &KeyRef) -> Result<()> {
        let at = self.find(resource, which)?;
        if at.entry != self.entries_of(resource)?[0] {
            let said = format!("{which} stands in another entry than what writes {resource}: add it there");
            return Err(Error::misuse(said));
        }
        let mut text = self.text.clone();
        for is_key in [true, false] {
            let n = if is_key { at.key } else { at.provider };
            if n > 0 {
                let root = tree(&text)?;
                let list = providers(&root, at.entry)?;
                let list = if is_key { keys(list, at.provider)? } else { list };
                let moved = Pieces::of(&text, list).and_then(|pieces| pieces.with_first(n));
                text = moved.ok_or_else(no_edit)?;
            }
        }
        let config = self.meaning(&text, |mut meant| {
            if let Shape::Keys(_, keys) = &mut meant[at.entry][at.provider] {
                keys[..=at.key].rotate_right(1);
            }
            meant[at.entry][..=at.provider].rotate_right(1);
            meant
        })?;
        (self.text, self.config) = (text, config);
        Ok(())
    }

    /// Drops a key that no value depends on, by a survey of all values of the resources of its entry
    /// that was made after every server had another key to write with. With its last key a
    /// provider goes.
    ///
    /// # Errors
    /// Misuse if it writes, if values depend on it, or the survey tells nothing of it; or as for
    /// [`promote`](Self::promote).
    pub fn drop_key(&mut self, resource: &str, which: &KeyRef, survey: &Survey) -> Result<()> {
        let at = self.find(resource, which)?;
        let entry = &self.config.entries[at.entry];
        let provider = &entry.providers[at.provider];
        if (at.provider, at.key) == (0, 0) {
            return Err(Error::misuse(format!("{which} is what writes: promote another one first")));
        }
        survey.check_is_of(&entry.resources)?;
        check_survey(which, &provider.prefixes()[at.key], survey)?;
        let is_last = provider.keys().len() < 2;
        let root = tree(&self.text)?;
        let list = providers(&root, at.entry)?;
        let list = if is_last { list } else { keys(list, at.provider)? };
        let n = if is_last { at.provider } else { at.key };
        let text = Pieces::of(&self.text, list).and_then(|pieces| pieces.without(n)).ok_or_else(no_edit)?;
        let config = self.meaning(&text, |mut meant| {
            match &mut meant[at.entry][at.provider] {
                Shape::Keys(_, keys) if !is_last => drop(keys.remove(at.key)),
                _ => drop(meant[at.entry].remove(at.provider)),
            }
            meant
        })?;
        (self.text, self.config) = (text, config);
        Ok(())
    }

    /// What `text` means, if that is what `change` makes of what this one means.
    fn meaning<'a>(
        &'a self,
        text: &str,
        change: impl FnOnce(Vec<Vec<Shape<'a>>>) -> Vec<Vec<Shape<'a>>>,
    ) -> Result<EncryptionConfiguration> {
        let config = EncryptionConfiguration::parse(text.as_bytes(), self.gate)?;
        let names = self.config.entries.iter().map(|entry| &entry.resources);
        let is_for_the_same = names.eq(config.entries.iter().map(|entry| &entry.resources));
        let is_right = is_for_the_same && is_same(&change(shapes(&self.config)), &shapes(&config))?;
        if is_right { Ok(config) } else { Err(no_edit()) }
    }

    /// Those that say what a resource is stored under, in order.
    fn entries_of(&self, resource: &str) -> Result<Vec<usize>> {
        let name = Name::of(resource);
        let naming = |wanted: Name<'_>| -> Vec<usize> {
            let names = |entry: &Entry| entry.resources.iter().any(|name| Name::of(name) == wanted);
            (0..self.config.entries.len()).filter(|i| names(&self.config.entries[*i])).collect()
        };
        let wildcards = [name, name.all_of_its_group(), super::group::ALL];
        let found = wildcards.into_iter().map(naming).find(|found| !found.is_empty());
        found.ok_or_else(|| Error::misuse("no entry is for this resource: it is stored plain"))
    }

    fn find(&self, resource: &str, which: &KeyRef) -> Result<At> {
        let entries = self.entries_of(resource)?;
        let found = entries.into_iter().find_map(|entry| self.find_in(entry, which));
        found.ok_or_else(|| Error::misuse(format!("there is no {which}")))
    }

    fn find_in(&self, entry: usize, which: &KeyRef) -> Option<At> {
        let providers = self.config.entries[entry].providers.iter().enumerate();
        providers.into_iter().find_map(|(provider, of)| {
            let key = of.key_refs().iter().position(|key| key == which)?;
            Some(At { entry, provider, key })
        })
    }
}

fn check_survey(which: &KeyRef, prefix: &str, survey: &Survey) -> Result<()> {
    match survey.of(prefix) {
        Some(0) => Ok(()),
        Some(1) => Err(Error::misuse(format!("a value depends on {which}: rewrite it first"))),
        Some(n) => Err(Error::misuse(format!("{n} values depend on {which}: rewrite them first"))),
        None => Err(Error::misuse(format!("the survey tells nothing of {which}"))),
    }
}

fn providers(root: &Rc<Node>, entry: usize) -> Result<&Rc<Node>> {
    let entry = root.field("resources").and_then(|list| list.items().get(entry));
    entry.and_then(|entry| entry.field("providers")).ok_or_else(no_edit)
}

fn keys(providers: &Rc<Node>, i: usize) -> Result<&Rc<Node>> {
    let fields = ["aescbc", "aesgcm", "secretbox"];
    let provider = providers.items().get(i).ok_or_else(no_edit)?;
    let of = fields.iter().find_map(|kind| provider.field(kind)?.field("keys"));
    of.ok_or_else(no_edit)
}

/// Also of a list that stands elsewhere, under an anchor: others might change with it.
fn no_edit() -> Error {
    Error::misuse("no edit of the text does this and nothing else (has it anchors?): edit it by hand")
}
