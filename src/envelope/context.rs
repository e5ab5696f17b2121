//! What a DEK and a record are bound to.
use super::codec::{Parser, put_long};
use crate::{Error, Result};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Most bytes of a context's encoding.
const MAX: usize = 8192;
/// Keys that begin so are the library's own.
const RESERVED: &str = "libkms-";

/// Pairs of text that a DEK is bound to: its purpose, its tenant. Without the same context
/// nothing opens.
///
/// Keys are unique, 1 to 256 bytes, without control characters and not beginning with
/// `libkms-`; values have 0 to 1024 bytes; the whole encoding at most 8192. All is UTF-8
/// and compared as bytes. No context and the empty context are the same.
///
/// **Not secret**: AWS KMS is given the pairs and logs them, and files may store them in
/// clear. Making a context costs about half a small encryption, so make it once; a clone
/// is a counter. `Debug` shows the keys only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptionContext(Arc<Inner>);

struct Inner {
    /// Sorted by the bytes of the key.
    pairs: Vec<(String, String)>,
    /// Of these pairs and of no others.
    encoding: Vec<u8>,
}

impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        self.encoding == other.encoding
    }
}

impl Eq for Inner {}

impl Hash for Inner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.encoding.hash(state);
    }
}

impl EncryptionContext {
    /// # Errors
    /// Misuse if a pair is not as above, or a key comes twice.
    pub fn new<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self> {
        let pairs: Vec<_> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        if pairs.iter().any(|(k, _)| k.starts_with(RESERVED)) {
            return Err(Error::misuse("encryption context: keys that begin with libkms- are reserved"));
        }
        Self::sorted(pairs).map_err(Error::misuse)
    }

    /// The context without pairs.
    pub fn empty() -> Self {
        Self(Arc::new(Inner { pairs: Vec::new(), encoding: vec![0, 0] }))
    }

    /// This context and one more pair: purpose, then tenant.
    ///
    /// # Errors
    /// As [`new`](Self::new); Misuse too if it has that key already.
    pub fn with(&self, key: impl Into<String>, value: impl Into<String>) -> Result<Self> {
        Self::new(self.0.pairs.iter().cloned().chain([(key.into(), value.into())]))
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs.iter().map(|(k, v)| (&**k, &**v))
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.pairs.is_empty()
    }

    /// The canonical encoding, as backends bind it.
    pub fn encoding(&self) -> &[u8] {
        &self.0.encoding
    }

    /// From its canonical encoding, as a header stores it; no other encoding is taken.
    pub(super) fn parse(encoding: &[u8]) -> Result<Self> {
        let mut p = Parser(encoding);
        let count = p.number("context: count")?;
        // Two lengths and a key of one byte: what a pair takes at least.
        if count > encoding.len() / 5 {
            return Err(Error::malformed("context: count"));
        }
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let key = text(p.long("context: key")?)?;
            pairs.push((key, text(p.long("context: value")?)?));
        }
        if !p.is_empty() {
            return Err(Error::malformed("context: bytes after the last pair"));
        }
        let parsed = Self::sorted(pairs).map_err(Error::malformed)?;
        if parsed.encoding() != encoding {
            return Err(Error::malformed("context: pairs not sorted by key"));
        }
        Ok(parsed)
    }

    /// Whether it holds a key that no caller can name: such a context opens nothing.
    pub(crate) fn is_reserved(&self) -> bool {
        self.iter().any(|(k, _)| k.starts_with(RESERVED))
    }

    fn sorted(mut pairs: Vec<(String, String)>) -> Result<Self, &'static str> {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if pairs.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err("encryption context: the same key twice");
        }
        let count = u16::try_from(pairs.len()).map_err(|_| "encryption context: too many pairs")?;
        let mut encoding = count.to_be_bytes().to_vec();
        for (key, value) in &pairs {
            if !(1..=256).contains(&key.len()) || value.len() > 1024 {
                return Err("encryption context: keys have 1 to 256 bytes, values at most 1024");
            }
            if key.chars().any(char::is_control) {
                return Err("encryption context: a key holds a control character");
            }
            put_long(&mut encoding, key.as_bytes());
            put_long(&mut encoding, value.as_bytes());
        }
        if encoding.len() > MAX {
            return Err("encryption context: more than 8192 bytes in its encoding");
        }
        Ok(Self(Arc::new(Inner { pairs, encoding })))
    }
}

fn text(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(Into::into).map_err(|_| Error::malformed("context: not UTF-8"))
}

impl Default for EncryptionContext {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for EncryptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|pair| pair.0)).finish()
    }
}

/// Bytes bound to one record and not stored: its path, its primary key. At most 2^36.
///
/// A type of its own, because `seal(aad, plaintext)` with two byte slices loses the data
/// when somebody swaps them.
#[derive(Clone, Copy)]
pub struct Aad<'a>(&'a [u8]);

impl<'a> Aad<'a> {
    /// These bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// No bytes. Two records of one DEK without aad can be exchanged for each other.
    pub const fn empty() -> Aad<'static> {
        Aad(&[])
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Aad<'a> {
    fn from(bytes: &'a T) -> Self {
        Self(bytes.as_ref())
    }
}

impl fmt::Debug for Aad<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aad({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn encodes_sorted_and_parses_only_that() {
        let c = EncryptionContext::new([("b", "2"), ("a", "1")]).unwrap();
        assert_eq!(c.encoding(), b"\0\x02\0\x01a\0\x011\0\x01b\0\x012");
        assert!(EncryptionContext::parse(c.encoding()).unwrap() == c);
        for bad in [
            &b"\0\x02\0\x01b\0\x012\0\x01a\0\x011"[..],
            b"\0\x02\0\x01a\0\x011\0\x01a\0\x012",
            b"\0\x01\0\x01a\0\x011!",
            b"\0\x01\0\x01a\0\x02",
            b"\0\x01\0\0\0\0",
            b"\0\x01\0\x01\xff\0\0",
            b"\0\x01\0\x01\n\0\0",
            b"\xff\xff",
            b"\0",
            b"",
        ] {
            assert_eq!(EncryptionContext::parse(bad).unwrap_err().kind(), ErrorKind::Malformed, "{bad:?}");
        }
        assert!(EncryptionContext::parse(&[0, 0]).unwrap() == EncryptionContext::empty());
    }

    #[test]
    fn limits_are_those_of_the_format() {
        let with = |k: &str, v: &str| EncryptionContext::new([(k, v)]).is_ok();
        assert!(with(&"k".repeat(256), &"v".repeat(1024)) && with("k", ""));
        assert!(!with("", "v") && !with(&"k".repeat(257), "v") && !with("k", &"v".repeat(1025)));
        assert!(!with("a\nb", "v") && !with("libkms-branch", "v") && with("a", "line\nline"));
        let pairs = |n: usize, last: usize| {
            let big = (0..n).map(|i| (format!("{i:06}"), "v".repeat(1014)));
            EncryptionContext::new(big.chain([("z".into(), "v".repeat(last))]))
        };
        // 2 + 7 * (4 + 6 + 1014) + 4 + 1 + 1017 = 8192
        assert!(pairs(7, 1017).is_ok());
        assert!(pairs(7, 1018).is_err());
    }

    #[test]
    fn f35_debug_shows_no_value() {
        let c = EncryptionContext::new([("tenant", "acme")]).unwrap();
        assert_eq!(format!("{c:?} {:?}", Aad::from("row")), "[\"tenant\"] Aad(3 bytes)");
    }
}
