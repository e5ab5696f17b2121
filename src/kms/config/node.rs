//! Values that know where they stand.
use super::place::{Place, Source, join};
use crate::{Error, Result};
use std::{collections::VecDeque, fmt::Display};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// A value, and where it stands.
pub(super) struct Node<'a> {
    source: Source<'a>,
    pub(super) place: Place,
    value: &'a DeValue<'a>,
}

/// The keys of a table that nobody asked for yet.
pub(super) struct Fields<'a> {
    source: Source<'a>,
    place: Place,
    left: VecDeque<(&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)>,
}

impl<'a> Node<'a> {
    fn new(source: Source<'a>, key: String, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { source, place: Place { at: value.span().start, key }, value: value.get_ref() }
    }

    pub(super) fn error(&self, said: impl Display) -> Error {
        self.source.error(&self.place, said)
    }

    pub(super) fn text(&self) -> Result<&'a str> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.error("must be a string")),
        }
    }

    pub(super) fn integer(&self) -> Result<u64> {
        match self.value {
            DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix())
                .map_err(|_| self.error("must be a number from 0 to 2^64 - 1")),
            _ => Err(self.error("must be an integer")),
        }
    }

    pub(super) fn array(&self) -> Result<Vec<Node<'a>>> {
        let DeValue::Array(values) = self.value else {
            return Err(self.error("must be an array of strings"));
        };
        let node = |(i, value)| Node::new(self.source, format!("{}[{i}]", self.place.key), value);
        Ok(values.iter().enumerate().map(node).collect())
    }

    pub(super) fn table(&self) -> Result<Fields<'a>> {
        match self.value {
            DeValue::Table(table) => {
                let left = table.iter().collect();
                Ok(Fields { source: self.source, place: self.place.clone(), left })
            }
            _ => Err(self.error("must be a table")),
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn root(source: Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self { source, place: Place::of_byte(0), left: table.iter().collect() }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.left.iter().position(|(key, _)| key.get_ref() == name)?;
        let (_, value) = self.left.remove(at)?;
        Some(Node::new(self.source, join(&self.place.key, name), value))
    }

    /// One after the other, with its name.
    pub(super) fn next(&mut self) -> Option<(&'a str, Node<'a>)> {
        let (name, value) = self.left.pop_front()?;
        Some((name.get_ref(), Node::new(self.source, join(&self.place.key, name.get_ref()), value)))
    }

    /// A misspelt key must not be silent.
    pub(super) fn no_others(&self, known: &str) -> Result<()> {
        let Some((name, _)) = self.left.front() else { return Ok(()) };
        let place = Place { at: name.span().start, key: join(&self.place.key, name.get_ref()) };
        Err(self.source.error(&place, format!("unknown key; there is {known}")))
    }

    /// What was taken under this name, if it was there.
    pub(super) fn need(&self, name: &str, taken: Option<Node<'a>>) -> Result<Node<'a>> {
        let place = || Place { at: self.place.at, key: join(&self.place.key, name) };
        taken.ok_or_else(|| self.source.error(&place(), "is missing"))
    }
}
