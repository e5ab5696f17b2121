//! The keyring file: a strict parser, and what a new one holds. The format is on the
//! manual's page, "Local keyring file".
use super::time;
use crate::{Error, Result, secret::Locked};
use base64ct::{Base64, Encoding};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{collections::HashSet, fmt, io::Write};
use zeroize::Zeroizing;

const FORMAT: &str = "libkms-keyring/1";
/// A version is 1 to 2^31 - 1.
const MAX_VERSION: u32 = i32::MAX as u32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    keys: Vec<Key>,
    #[serde(default, deserialize_with = "present")]
    kdf: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) primary: u32,
    pub(super) versions: Vec<KeyVersion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyVersion {
    pub(super) version: u32,
    created: String,
    pub(super) state: State,
    #[serde(default, deserialize_with = "material")]
    material: Option<Material>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Enabled,
    Disabled,
    Destroyed,
}

/// A key, or why there is none.
type Material = Result<Locked<[u8; 32]>>;

impl KeyVersion {
    /// `None` of a destroyed version.
    pub(super) fn material(&self) -> Result<Option<&Locked<[u8; 32]>>> {
        self.material.as_ref().map(Result::as_ref).transpose().map_err(Clone::clone)
    }
}

/// All keys of a keyring. Malformed, and where, unless it is as the format has it.
pub(super) fn parse(json: &[u8]) -> Result<Vec<Key>> {
    // serde's own message may quote what it met, and that may be key material.
    let file: File = serde_json::from_slice(json).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Error::malformed(format!("not a keyring as the format has it: line {line}, column {column}"))
    })?;
    if file.format != FORMAT {
        return Err(Error::malformed(format!("format: this libkms reads {FORMAT}")));
    }
    if file.kdf {
        return Err(Error::misuse("it has a passphrase, which this build of libkms cannot take"));
    }
    let mut names = HashSet::new();
    for key in &file.keys {
        check_name(&key.name).map_err(|_| Error::malformed("name: 1 to 64 of A-Z a-z 0-9 . _ -"))?;
        if !names.insert(&key.name) {
            return Err(Error::malformed(format!("name: {} twice", key.name)));
        }
        check_versions(key)?;
    }
    Ok(file.keys)
}

fn check_versions(key: &Key) -> Result<()> {
    let bad = |what: &str| Err(Error::malformed(format!("{}: {what}", key.name)));
    let mut numbers = HashSet::new();
    for v in &key.versions {
        if !(1..=MAX_VERSION).contains(&v.version) {
            return bad("version: 1 to 2147483647");
        }
        if !numbers.insert(v.version) {
            return bad("version: one twice");
        }
        if !time::is_rfc3339(&v.created) {
            return bad("created: not a time of RFC 3339");
        }
        if (v.state == State::Destroyed) == v.material()?.is_some() {
            return bad("material: there unless the version is destroyed");
        }
    }
    if !key.versions.iter().any(|v| v.version == key.primary) {
        return bad("primary: none of the versions");
    }
    Ok(())
}

/// 1 to 64 of `A-Z a-z 0-9 . _ -`.
pub(super) fn check_name(name: &str) -> Result<()> {
    let right = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if right { Ok(()) } else { Err(Error::misuse("a key's name has 1 to 64 of A-Z a-z 0-9 . _ -")) }
}

/// A keyring with one key in one version.
pub(super) fn write_new(name: &str, material: &[u8; 32], created: &str) -> Zeroizing<Vec<u8>> {
    let mut base64 = Zeroizing::new([0; 44]);
    let material = Base64::encode(material, &mut *base64).expect("32 bytes take 44");
    // Enough for all of it: a vector that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(1024));
    write!(
        out,
        r#"{{
  "format": "{FORMAT}",
  "keys": [
    {{
      "name": "{name}",
      "primary": 1,
      "versions": [
        {{ "version": 1, "created": "{created}", "state": "enabled", "material": "{material}" }}
      ]
    }}
  ]
}}
"#
    )
    .expect("writing to a vector");
    out
}

/// Whatever stands there, null too.
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    de::IgnoredAny::deserialize(d).map(|_| true)
}

/// Base64 of 32 bytes, decoded in constant time, straight into key memory. What goes wrong
/// there is kept as it is: it may be a fork, or the end of memory.
fn material<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Material>, D::Error> {
    struct Base64Key;
    impl<'de> Visitor<'de> for Base64Key {
        type Value = Material;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("base64 of 32 bytes, without escapes")
        }

        // Only text borrowed from the caller's buffer, which it wipes: an escaped string
        // would be put together in one that nobody wipes.
        fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Locked::fill(|key| match Base64::decode(text, key) {
                Ok(decoded) if decoded.len() == 32 => Ok(()),
                _ => Err(Error::malformed("material: not base64 of 32 bytes")),
            }))
        }
    }
    d.deserialize_str(Base64Key).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, kek::Keyring};

    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn with(version: &str) -> String {
        format!(
            r#"{{"format":"libkms-keyring/1","keys":[{{"name":"a","primary":1,"versions":[{version}]}}]}}"#
        )
    }

    fn version(rest: &str) -> String {
        with(&format!(r#"{{"version":1,"created":"2026-11-24T00:00:00Z",{rest}}}"#))
    }

    #[test]
    fn reads_what_it_writes() {
        let text = write_new("orders", &[7; 32], &time::now());
        let keys = parse(&text).unwrap();
        assert_eq!(keys[0].versions[0].material().unwrap().unwrap().get().unwrap(), &[7; 32]);
    }

    #[test]
    fn f10_what_is_not_as_the_format_has_it_is_refused() {
        let enabled = format!(r#""state":"enabled","material":"{ZEROS}""#);
        assert!(parse(version(&enabled).as_bytes()).is_ok());
        assert!(parse(version(r#""state":"destroyed""#).as_bytes()).is_ok());
        let bad = [
            version(r#""state":"enabled""#),
            version(&format!(r#""state":"destroyed","material":"{ZEROS}""#)),
            version(&format!(r#""state":"on","material":"{ZEROS}""#)),
            version(&format!(r#""state":"enabled","material":"{ZEROS}","extra":1"#)),
            version(&format!(r#""state":"enabled","state":"enabled","material":"{ZEROS}""#)),
            version(&format!(r#""state":"enabled","material":"{}""#, &ZEROS[..43])),
            version(&format!(r#""state":"enabled","material":"{}""#, &ZEROS[4..])),
            version(&format!(r#""state":"enabled","material":"{}""#, ZEROS.replace("A=", "B="))),
            version(&format!(r#""state":"enabled","material":"\u0041{}""#, &ZEROS[1..])),
            version(r#""state":"enabled","material":null"#),
            version(&enabled).replace("\"version\":1", "\"version\":0"),
            version(&enabled).replace("\"version\":1", "\"version\":2147483648"),
            version(&enabled).replace("\"version\":1", "\"version\":01"),
            version(&enabled).replace("\"primary\":1", "\"primary\":2"),
            version(&enabled).replace("\"primary\":1,", ""),
            version(&enabled).replace("keyring/1", "keyring/2"),
            version(&enabled).replace("\"name\":\"a\"", "\"name\":\"a/b\""),
            version(&enabled).replace("2026-11-24T", "2026-11-24 "),
            version(&enabled).replace("2026-11-24T", "2026-13-24T"),
            with(&format!(r#"{{"version":1,"created":"2026-11-24T00:00:00Z",{enabled}}}"#).repeat(2)),
            String::new(),
            "[]".into(),
        ];
        for text in bad {
            let e = parse(text.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Malformed, "{text}");
        }
    }

    #[test]
    fn f64_a_passphrase_that_cannot_be_taken_is_refused() {
        let text = version(&format!(r#""state":"enabled","material":"{ZEROS}""#));
        for kdf in [r#"{"name":"argon2id"}"#, "null", "1"] {
            let text = text.replacen('{', &format!(r#"{{"kdf":{kdf},"#), 1);
            assert_eq!(parse(text.as_bytes()).map(|_| ()).unwrap_err().kind(), ErrorKind::Misuse);
        }
    }

    #[test]
    fn f35_an_error_quotes_nothing_of_the_file() {
        let marker = "bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2VyLW1hcms=";
        for text in [
            version(&format!(r#""state":"{marker}","material":"{ZEROS}""#)),
            version(&format!(r#""state":"enabled","material":["{marker}"]"#)),
            version(&format!(r#""state":"enabled","{marker}":1"#)),
            version(&format!(r#""state":"enabled","material":"{marker}!""#)),
        ] {
            let e = Keyring::parse(text.as_bytes(), "a").unwrap_err();
            assert!(!format!("{e} {e:?}").contains("bWFya2"), "{e:?}");
        }
    }
}
