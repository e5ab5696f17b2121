//! Where in a configuration something stands. What is said of it quotes nothing of the file: it may
//! be a key that stands where it should not.
use crate::Error;
use std::fmt::{self, Display};

/// All fields that there are.
pub(super) const FIELDS: [&str; 14] = [
    "aescbc",
    "aesgcm",
    "apiVersion",
    "cachesize",
    "endpoint",
    "identity",
    "keys",
    "kind",
    "kms",
    "name",
    "providers",
    "resources",
    "secret",
    "timeout",
];

/// From the file's root on.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// A field, whose name is shown if there is such a one.
    pub(super) fn field(&self, name: &str) -> Path<'_> {
        let known = FIELDS.iter().find(|field| **field == name);
        Path::Field(self, known.copied().unwrap_or("?"))
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(above, name) => write!(f, "{above}.{name}"),
            Path::Item(above, i) => write!(f, "{above}[{i}]"),
        }
    }
}

/// An error at a byte of the text.
pub(super) fn error(text: &str, at: usize, path: &Path<'_>, said: impl Display) -> Error {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let (number, column) = (1 + before.matches('\n').count(), 1 + before[line..].chars().count());
    let colon = if matches!(path, Path::Root) { "" } else { ": " };
    Error::misuse(format!("line {number}, column {column}{colon}{path}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_line_column_and_field() {
        let (root, text) = (Path::Root, "a\nbé c");
        let list = root.field("resources");
        let item = Path::Item(&list, 3);
        let said = |at, path: &Path<'_>| error(text, at, path, "no").to_string();
        assert_eq!(said(5, &item.field("kms")), "line 2, column 3: resources[3].kms: no");
        assert_eq!(said(0, &Path::Root), "line 1, column 1: no");
        assert_eq!(said(99, &root.field("hunter2")), "line 2, column 5: ?: no");
    }
}
