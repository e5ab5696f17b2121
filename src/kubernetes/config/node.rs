//! What a configuration says before anybody knows what it means.
use std::{ops::Range, rc::Rc};
use zeroize::Zeroizing;

/// A value, and which bytes of the text it is.
pub(super) struct Node {
    pub(super) at: Range<usize>,
    pub(super) value: Value,
    /// So much it is to be read, aliases followed.
    pub(super) weight: usize,
}

pub(super) enum Value {
    Null,
    Bool,
    /// None for one that is no number of 64 bits.
    Number(Option<i64>),
    Text(Zeroizing<String>),
    /// Where its bracket or its first dash is, and what it holds.
    List(usize, Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    pub(super) fn scalar(at: Range<usize>, value: Value) -> Self {
        let weight = match &value {
            Value::Text(text) => 1 + text.len() / 64,
            _ => 1,
        };
        Self { at, value, weight }
    }

    pub(super) fn list(at: Range<usize>, open: usize, items: Vec<Rc<Node>>) -> Self {
        let weight = items.iter().fold(1, |sum: usize, item| sum.saturating_add(item.weight));
        Self { at, value: Value::List(open, items), weight }
    }

    pub(super) fn map(at: Range<usize>, pairs: Vec<(Rc<Node>, Rc<Node>)>) -> Self {
        let add = |sum: usize, (k, v): &(Rc<Node>, Rc<Node>)| sum.saturating_add(k.weight + v.weight);
        let weight = pairs.iter().fold(1, add);
        Self { at, value: Value::Map(pairs), weight }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a field, of a map that has each at most once.
    pub(super) fn field(&self, name: &str) -> Option<&Rc<Node>> {
        let Value::Map(pairs) = &self.value else { return None };
        pairs.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    pub(super) fn items(&self) -> &[Rc<Node>] {
        match &self.value {
            Value::List(_, items) => items,
            _ => &[],
        }
    }
}
