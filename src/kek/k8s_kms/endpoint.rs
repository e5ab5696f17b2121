//! Where a plugin listens.
use crate::{Error, Result, kek::uri::percent_decode};
use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

/// Bytes, of what a socket can be called.
const MOST: usize = 107;

/// An endpoint as the API server's configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    File(PathBuf),
    /// Without a file: Linux has those.
    Abstract(String),
}

impl Endpoint {
    /// `unix:///PATH`, or `unix:///@NAME`, as a URL: what is percent-encoded is decoded.
    ///
    /// # Errors
    /// Misuse if it is none, or longer than the 107 bytes that a socket's name may have.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let path = text.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let said = "a plugin's socket is unix:///PATH, an absolute one, or unix:///@NAME";
        let path = path.ok_or_else(|| Error::misuse(said))?;
        if path.contains(['?', '#']) || path.chars().any(char::is_control) {
            return Err(Error::misuse("a plugin's socket: ? and # are written %3F and %23 in a URL"));
        }
        let path = percent_decode(path)?;
        let endpoint = match path.strip_prefix("/@") {
            Some(name) => Self::Abstract(name.into()),
            None => Self::File(path.into()),
        };
        endpoint.check()?;
        Ok(endpoint)
    }

    fn check(&self) -> Result<()> {
        let name = match self {
            Self::File(path) => path.as_os_str().as_encoded_bytes(),
            Self::Abstract(name) => name.as_bytes(),
        };
        if !(1..=MOST).contains(&name.len()) || name.contains(&0) || name.ends_with(b"/") {
            let said = format!("a socket's name has 1 to {MOST} bytes, and ends with no /");
            return Err(Error::misuse(said));
        }
        Ok(())
    }

    /// As the system's calls take it: a leading zero byte stands for no file.
    pub(crate) fn address(&self) -> OsString {
        match self {
            Self::File(path) => path.into(),
            Self::Abstract(name) => format!("\0{name}").into(),
        }
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Abstract(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "unix://{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:///@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_absolute_path_or_a_name() {
        let of = |text: &str| Endpoint::parse(text).map(|e| e.address().into_string().unwrap());
        assert_eq!(of("unix:///run/kms.sock").unwrap(), "/run/kms.sock");
        assert_eq!(of("unix:///@kms").unwrap(), "\0kms");
        assert_eq!(of("unix:///a%20b").unwrap(), "/a b");
        assert_eq!(of(&format!("unix:///{}", "x".repeat(106))).unwrap().len(), 107);
        let long = format!("unix:///{}", "x".repeat(107));
        for bad in [
            "",
            "kms.sock",
            "/run/kms.sock",
            "unix://kms.sock",
            "unix:/run/kms.sock",
            "unix:///",
            "unix:///@",
            "unix:///a?b",
            "unix:///a#b",
            "unix:///a%zz",
            "unix:///a%00",
            "unix:///a\nb",
            "unix:///a/",
            "UNIX:///a",
            "tcp:///a",
            &long,
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
