//! Key URIs.
use crate::{Error, Result};
use std::{fmt, str::FromStr};

/// A KEK's address, `scheme:rest[?name=value&...]`: split and checked, secrets refused.
/// Displays as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUri {
    text: String,
    /// Where the rest begins and ends.
    rest: (usize, usize),
    params: Vec<(String, String)>,
}

impl KeyUri {
    /// `a-z 0-9 -`, 1 to 32 bytes.
    pub fn scheme(&self) -> &str {
        &self.text[..self.rest.0 - 1]
    }

    /// What stands between the scheme and the parameters, as written.
    pub fn rest(&self) -> &str {
        &self.text[self.rest.0..self.rest.1]
    }

    /// A parameter's value, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|p| p.0 == name).map(|p| &*p.1)
    }

    /// Refuses parameters that a scheme does not know: a misspelt one must not be silent.
    ///
    /// # Errors
    /// Misuse, and the name.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.params.iter().find(|p| !known.contains(&&*p.0)) {
            None => Ok(()),
            Some(p) => Err(Error::misuse(format!("{}: unknown parameter {}", self.scheme(), p.0))),
        }
    }
}

impl FromStr for KeyUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let shape = || Error::misuse("a key URI begins with its scheme, as in local:keys.json#orders");
        let (scheme, after) = text.split_once(':').ok_or_else(shape)?;
        crate::envelope::check_scheme(scheme.as_bytes()).map_err(|_| shape())?;
        if text.chars().any(char::is_control) {
            return Err(Error::misuse("a key URI holds a control character"));
        }
        let (rest, query) = after.split_once('?').unwrap_or((after, ""));
        let mut params = Vec::<(String, String)>::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A URI ends in logs, in `ps` and in shell history.
            if ["pin", "pin-value", "passphrase", "password", "token", "secret"].contains(&name) {
                return Err(Error::misuse(format!(
                    "{scheme}: no secrets in a key URI: {name} comes from a file or the environment"
                )));
            }
            if value.contains('#') {
                return Err(Error::misuse(format!("{scheme}: the #NAME stands before the ?")));
            }
            if params.iter().any(|p| p.0 == name) {
                return Err(Error::misuse(format!("{scheme}: parameter {name} twice")));
            }
            params.push((name.into(), percent_decode(value)?));
        }
        let start = scheme.len() + 1;
        Ok(Self { text: text.into(), rest: (start, start + rest.len()), params })
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `%2F` and the like (RFC 3986, section 2.1).
pub(super) fn percent_decode(text: &str) -> Result<String> {
    let bad =
        || Error::misuse("a key URI has a % that is not followed by two hexadecimal digits of UTF-8 text");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        let (high, low) = (digit(bytes.next()), digit(bytes.next()));
        out.push((high.zip(low).ok_or_else(bad).map(|(h, l)| h * 16 + l)?) as u8);
    }
    String::from_utf8(out).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_refuses() {
        let u: KeyUri = "x-my:a/b#c?region=eu%2Dwest&e=".parse().unwrap();
        assert_eq!(
            (u.scheme(), u.rest(), u.param("region"), u.param("e")),
            ("x-my", "a/b#c", Some("eu-west"), Some(""))
        );
        assert_eq!(u.to_string(), "x-my:a/b#c?region=eu%2Dwest&e=");
        assert!(u.only(&["region", "e"]).is_ok() && u.only(&["region"]).is_err());
        for bad in [
            "keys.json",
            ":x",
            "Local:x",
            "a b:x",
            "local:a\nb",
            "x:y?a=1&a=2",
            "x:y?a=%zz",
            "x:y?a=%f",
            "x:y?a=%ff",
            "local:k?create=true#n",
        ] {
            assert!(bad.parse::<KeyUri>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn f35_a_secret_in_a_uri_is_refused_and_not_repeated() {
        let e = "pkcs11:token=t?pin-value=1234".parse::<KeyUri>().unwrap_err();
        assert!(!e.to_string().contains("1234"));
    }
}
