//! What a plugin wants to see again beside its ciphertext.
use super::is_domain;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

pub(crate) type Annotations = BTreeMap<String, Vec<u8>>;

/// Bytes of all names and values.
const MOST: usize = 32 * 1024;

/// The API server's rules.
///
/// # Errors
/// BadReply.
pub(crate) fn check(annotations: &Annotations) -> Result<()> {
    if let Some(name) = annotations.keys().find(|name| !is_domain(name)) {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let said = format!("an annotation is called {shown:?}, and has to be a domain of two labels or more");
        return Err(Error::new(ErrorKind::BadReply, said));
    }
    let len: usize = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if len > MOST {
        let said = format!("annotations of {len} bytes, and the API server takes {MOST}");
        return Err(Error::new(ErrorKind::BadReply, said));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_domains_and_all_is_bounded() {
        let of = |name: &str, len: usize| check(&Annotations::from([(name.into(), vec![7; len])]));
        assert!(
            check(&Annotations::new()).is_ok() && of("a.b", 0).is_ok() && of("kms.example.com.", 9).is_ok()
        );
        assert!(of("a.b", 32 * 1024 - 3).is_ok() && of("a.b", 32 * 1024 - 2).is_err());
        let long = format!("{}.a", "x".repeat(64));
        for bad in ["", "a", "A.b", "a..b", ".a.b", "a.b..", "-a.b", "a-.b", "a_.b", "a b.c", "é.b", &long] {
            assert!(of(bad, 1).is_err(), "{bad:?}");
        }
    }
}
