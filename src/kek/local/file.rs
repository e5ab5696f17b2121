//! The keyring file: a strict parser, and what a new one holds. The format is on the
//! manual's page, "Local keyring file".
use super::time;
use crate::{Error, ErrorKind, Result, secret::Locked};
use base64ct::{Base64, Encoding};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{collections::HashSet, fmt};
use zeroize::Zeroizing;

const FORMAT: &str = "libkms-keyring/1";
/// A version is 1 to 2^31 - 1.
pub(super) const MAX_VERSION: u32 = i32::MAX as u32;

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
    pub(super) created: String,
    pub(super) state: KeyState,
    #[serde(default, deserialize_with = "material")]
    material: Option<Material>,
}

/// What a version of a key is good for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyState {
    /// It opens, and wraps if it is the primary.
    Enabled,
    /// It does neither, until it is enabled again.
    Disabled,
    /// Its key is gone.
    Destroyed,
}

impl KeyState {
    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Destroyed => "destroyed",
        }
    }
}

/// A key, or why there is none.
type Material = Result<Locked<[u8; 32]>>;

impl KeyVersion {
    /// An enabled version with a fresh key.
    pub(super) fn fresh(version: u32) -> Result<Self> {
        let material = Locked::fill(|b| {
            getrandom::fill(b)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
        })?;
        Ok(Self { version, created: time::now(), state: KeyState::Enabled, material: Some(Ok(material)) })
    }

    /// Its key is wiped here; what was written before is the file system's.
    pub(super) fn destroy(&mut self) {
        (self.state, self.material) = (KeyState::Destroyed, None);
    }

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
        if (v.state == KeyState::Destroyed) == v.material()?.is_some() {
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

/// The file of these keys, as the format has it.
pub(super) fn write(keys: &[Key]) -> Result<Zeroizing<Vec<u8>>> {
    // Enough for all of it: a vector that grows leaves copies behind.
    let room = |k: &Key| 256 + k.name.len() + k.versions.iter().map(|v| 160 + v.created.len()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(256 + keys.iter().map(room).sum::<usize>()));
    let begun = out.capacity();
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(&format!("{{\n  \"format\": \"{FORMAT}\",\n  \"keys\": [\n"));
    for (i, key) in keys.iter().enumerate() {
        let (name, primary) = (&key.name, key.primary);
        put(if i == 0 { "    {\n" } else { ",\n    {\n" });
        put(&format!("      \"name\": \"{name}\",\n      \"primary\": {primary},\n      \"versions\": [\n"));
        for (i, v) in key.versions.iter().enumerate() {
            let (number, created, state) = (v.version, &v.created, v.state.name());
            put(if i == 0 { "        { " } else { ",\n        { " });
            put(&format!("\"version\": {number}, \"created\": \"{created}\", \"state\": \"{state}\""));
            if let Some(material) = v.material()? {
                let mut base64 = Zeroizing::new([0; 44]);
                put(", \"material\": \"");
                put(Base64::encode(material.get()?, &mut *base64).expect("32 bytes take 44"));
                put("\"");
            }
            put(" }");
        }
        put("\n      ]\n    }");
    }
    put("\n  ]\n}\n");
    debug_assert_eq!(out.capacity(), begun);
    Ok(out)
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
    use crate::kek::Keyring;

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
        let key = |name: &str, states: &[KeyState]| Key {
            name: name.into(),
            primary: 1,
            versions: (1..)
                .zip(states)
                .map(|(n, state)| {
                    let mut version = KeyVersion::fresh(n).unwrap();
                    version.state = *state;
                    if *state == KeyState::Destroyed {
                        version.destroy();
                    }
                    version
                })
                .collect(),
        };
        use KeyState::{Destroyed, Disabled, Enabled};
        let keys = [key("orders", &[Enabled, Disabled, Destroyed]), key("a", &[Enabled])];
        let text = write(&keys).unwrap();
        let back = parse(&text).unwrap();
        assert_eq!(*write(&back).unwrap(), *text);
        let material = |keys: &[Key]| *keys[0].versions[1].material().unwrap().unwrap().get().unwrap();
        assert_eq!(material(&back), material(&keys));
        assert!(parse(&write(&[]).unwrap()).unwrap().is_empty());
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
