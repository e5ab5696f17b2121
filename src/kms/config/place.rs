//! Where in a file something stands: its line and its key.
use crate::{Error, Result};
use std::{borrow::Cow, fmt::Display, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A configuration's text, and what messages call it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// A place in a text: the first byte there, and the key from the file's root on. The key is
/// empty where none is known.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) key: String,
}

impl<'a> Source<'a> {
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|e| self.syntax_error(e))
    }

    pub(super) fn error(&self, place: &Place, said: impl Display) -> Error {
        Error::misuse(format!("{}: {said}", self.shown(place)))
    }

    /// File, line and key. The line is counted here and not before: a long file has many.
    pub(super) fn shown(&self, place: &Place) -> String {
        let before = &self.text.as_bytes()[..place.at.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let key = if place.key.is_empty() { String::new() } else { format!(": {}", place.key) };
        format!("{}:{line}{key}", self.name)
    }

    /// The parser's own message quotes nothing of the file; its `Display` would.
    fn syntax_error(&self, first: toml::de::Error) -> Error {
        let Some(span) = first.span() else {
            return Error::misuse(format!("{}: {}", self.name, first.message()));
        };
        // What the file says up to the end of that line: the rest can hold many more mistakes.
        let rest = self.text.get(span.start..).unwrap_or_default();
        let line = rest.find('\n').unwrap_or(rest.len()).min(MOST_OF_A_LINE);
        let until = (0..=self.text.len() - rest.len() + line).rev().find(|i| self.text.is_char_boundary(*i));
        let (table, others) = DeTable::parse_recoverable(&self.text[..until.unwrap_or(0)]);
        // The parser tells a string without end after what that makes of the next line.
        let others = others.into_iter().filter_map(|e| Some((e.span()?, e)));
        let before = others.filter(|(s, _)| s.start < span.start).min_by_key(|(s, _)| s.start);
        let (span, error) = before.unwrap_or((span, first));
        let key = self.key_near(table.get_ref(), &span, error.message() == "duplicate key");
        self.error(&Place { at: span.start, key }, error.message())
    }

    /// The key that what stands at `span` belongs to, as well as it can be told.
    fn key_near(&self, table: &DeTable<'_>, span: &Range<usize>, is_key: bool) -> String {
        let mut last = Last::default();
        last.visit(table, span.start, "");
        if is_key && last.start != span.start {
            let key = self.text.get(span.clone()).unwrap_or_default();
            return join(&last.key, key.trim_matches(['"', '\'']));
        }
        last.key
    }
}

const MOST_OF_A_LINE: usize = 1000;

/// Of the keys that begin before some place, the last one.
#[derive(Default)]
struct Last {
    start: usize,
    key: String,
}

impl Last {
    fn visit(&mut self, table: &DeTable<'_>, at: usize, above: &str) {
        for (key, value) in table {
            let path = join(above, key.get_ref());
            // The value of `key = value` has an end; that of a [header] goes on.
            let has_end = value.span().start >= key.span().end;
            let is_over = has_end && value.span().end < at;
            if key.span().start <= at && key.span().start >= self.start {
                self.start = key.span().start;
                self.key = if is_over { above.into() } else { path.clone() };
            }
            if let (DeValue::Table(below), false) = (value.get_ref(), is_over) {
                self.visit(below, at, &path);
            }
        }
    }
}

impl Place {
    pub(super) fn of_byte(at: usize) -> Self {
        Self { at, key: String::new() }
    }
}

/// A path of keys as TOML has it. What is no bare key is quoted, and so no terminal obeys it.
pub(super) fn join(above: &str, key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let shown = match key.chars().take(MOST_OF_A_KEY + 1).count() > MOST_OF_A_KEY {
        true => Cow::Owned(key.chars().take(MOST_OF_A_KEY).chain("...".chars()).collect()),
        false => Cow::Borrowed(key),
    };
    let shown = match !key.is_empty() && key.chars().all(is_bare) {
        true => shown,
        false => Cow::Owned(format!("\"{}\"", shown.escape_debug())),
    };
    if above.is_empty() { shown.into_owned() } else { format!("{above}.{shown}") }
}

const MOST_OF_A_KEY: usize = 64;
