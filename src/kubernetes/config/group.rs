//! Names of resources: `secrets`, `deployments.apps`, and the wildcards `*.apps`, `*.` and `*.*`.
use std::collections::HashSet;

/// A resource of a group; the core group has no name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name<'a> {
    pub(super) resource: &'a str,
    pub(super) group: &'a str,
}

pub(super) const ALL: Name<'static> = Name { resource: "*", group: "*" };

impl<'a> Name<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self { resource, group }
    }

    pub(super) fn all_of_its_group(self) -> Self {
        Self { resource: "*", ..self }
    }
}

/// What is wrong with a name.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let name = Name::of(text);
    Err(match name {
        _ if text.to_lowercase() != text => "must not have capital letters",
        _ if text == "*" => "is no wildcard: '*.' is the core group, '*.*' everything",
        _ if NEVER_STORED.contains(&text) => "has no API and cannot be encrypted",
        Name { group: "events.k8s.io", .. } => "is stored as 'events': name that",
        Name { group: "extensions", .. } => "is of a group that is no more",
        Name { group: "*", resource } if resource != "*" => {
            "is one resource of all groups, which there is not"
        }
        _ => return Ok(()),
    })
}

const NEVER_STORED: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

/// What is wrong with the names of one list together, and with which.
pub(super) fn check_list(names: &[Name<'_>]) -> Result<(), (usize, &'static str)> {
    let mut seen = HashSet::new();
    if let Some(i) = names.iter().position(|name| !seen.insert(*name)) {
        return Err((i, "is there twice"));
    }
    let covered = |name: &Name<'_>| {
        let by = name.all_of_its_group();
        names.len() > 1 && (seen.contains(&ALL) || (name.resource != "*" && seen.contains(&by)))
    };
    match names.iter().position(covered) {
        Some(i) => Err((i, "overlaps with a wildcard of the same list")),
        None => Ok(()),
    }
}

/// What the entries of a configuration are for, in their order.
#[derive(Default)]
pub(super) struct Earlier<'a>(HashSet<Name<'a>>);

impl<'a> Earlier<'a> {
    /// What is wrong: a wildcard before hides it.
    pub(super) fn add(&mut self, name: Name<'a>) -> Result<(), &'static str> {
        if self.0.contains(&name.all_of_its_group()) || self.0.contains(&ALL) {
            return Err("never counts: a wildcard before it has it already");
        }
        self.0.insert(name);
        Ok(())
    }
}
