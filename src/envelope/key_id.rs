//! The name of a KEK.
use crate::{Error, ErrorKind, Result};
use std::{fmt, sync::Arc};

/// A KEK as its backend resolved it, version included. 1 to 1024 bytes of UTF-8 without
/// control characters. Compared whole, as bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// # Errors
    /// BadReply if it is empty, longer than 1024 bytes or holds a control character: key
    /// ids are what a KMS answers.
    pub fn new(id: impl AsRef<str>) -> Result<Self> {
        Self::checked(id.as_ref()).ok_or_else(|| {
            Error::new(ErrorKind::BadReply, "a key id has 1 to 1024 bytes and no control character")
        })
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        std::str::from_utf8(bytes)
            .ok()
            .and_then(Self::checked)
            .ok_or_else(|| Error::malformed("key_id: 1 to 1024 bytes of UTF-8 without control characters"))
    }

    fn checked(id: &str) -> Option<Self> {
        let right = (1..=1024).contains(&id.len()) && !id.chars().any(char::is_control);
        right.then(|| Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f12_hostile_ids_are_refused() {
        let long = "x".repeat(1025);
        for bad in ["", "a\0b", "a\nb", "\u{7f}", "\u{85}", "\u{9f}", long.as_str()] {
            assert!(KeyId::new(bad).is_err(), "{bad:?}");
        }
        let (most, short) = ("x".repeat(1024), "é");
        for good in [most.as_str(), short, "orders/1", "a b"] {
            assert_eq!(KeyId::new(good).unwrap().as_str(), good);
        }
    }
}
