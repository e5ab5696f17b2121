//! The keyring file: a strict parser, and what a new one holds. The format is on the
//! manual's page, "Local keyring file".
use super::{
    kdf::Kdf,
    passphrase::{NOT_GIVEN, PassKey},
    time,
    version::{KeyState, KeyVersion, Stored},
};
use crate::{Error, Result};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use zeroize::Zeroizing;

pub(super) const FORMAT: &str = "libkms-keyring/1";
/// A version is 1 to 2^31 - 1.
pub(super) const MAX_VERSION: u32 = i32::MAX as u32;

/// What a keyring file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ring {
    format: String,
    pub(super) keys: Vec<Key>,
    /// Of a file with a passphrase.
    #[serde(default, deserialize_with = "present")]
    pub(super) kdf: Option<Kdf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) primary: u32,
    pub(super) versions: Vec<KeyVersion>,
}

impl Ring {
    pub(super) fn new(keys: Vec<Key>, kdf: Option<Kdf>) -> Self {
        Self { format: FORMAT.into(), keys, kdf }
    }

    pub(super) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    /// Malformed, and where, unless it is as the format has it.
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        // serde's own message may quote what it met, and that may be key material.
        let ring: Self = serde_json::from_slice(json).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            Error::malformed(format!("not a keyring as the format has it: line {line}, column {column}"))
        })?;
        if ring.format != FORMAT {
            return Err(Error::malformed(format!("format: this libkms reads {FORMAT}")));
        }
        ring.kdf.as_ref().map_or(Ok(()), Kdf::check)?;
        let mut names = HashSet::new();
        for key in &ring.keys {
            check_name(&key.name).map_err(|_| Error::malformed("name: 1 to 64 of A-Z a-z 0-9 . _ -"))?;
            if !names.insert(&key.name) {
                return Err(Error::malformed(format!("name: {} twice", key.name)));
            }
            check_versions(key, ring.kdf.is_some())?;
        }
        Ok(ring)
    }

    /// Whether the file goes with what was given, both ways: whoever can write it could take
    /// the passphrase off, or put another one on. Authentication if it is a wrong one, as
    /// any material tells; a file without one takes every passphrase.
    pub(super) fn check(&self, pass: Option<&PassKey>) -> Result<()> {
        match (&self.kdf, pass) {
            (Some(_), None) => return Err(Error::misuse(NOT_GIVEN)),
            (None, Some(_)) => return Err(Error::misuse(HAS_NONE)),
            (Some(kdf), Some(pass)) if kdf != pass.kdf() => {
                return Err(Error::misuse("its passphrase was changed: open it again"));
            }
            (None, None) => return Ok(()),
            (Some(_), Some(_)) => {}
        }
        let mut all = self.keys.iter().flat_map(|k| k.versions.iter().map(|v| (&k.name, v)));
        match all.find(|(_, version)| !matches!(version.stored(), Ok(None))) {
            Some((name, version)) => version.material(name, pass).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// A passphrase was given.
pub(super) const HAS_NONE: &str = "it has no passphrase, and one was given: \
     was it taken off by somebody who can write the file?";

fn check_versions(key: &Key, wrapped: bool) -> Result<()> {
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
        let stored = v.stored()?;
        if (v.state == KeyState::Destroyed) == stored.is_some() {
            return bad("material: there unless the version is destroyed");
        }
        if stored.is_some_and(|s| matches!(s, Stored::Wrapped(_)) != wrapped) {
            return bad("material: base64 of 32 bytes, of 40 with a passphrase");
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

/// The file of this keyring, as the format has it.
pub(super) fn write(ring: &Ring) -> Result<Zeroizing<Vec<u8>>> {
    // Enough for all of it: a vector that grows leaves copies behind.
    let room = |k: &Key| 256 + k.name.len() + k.versions.iter().map(|v| 160 + v.created.len()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(512 + ring.keys.iter().map(room).sum::<usize>()));
    let begun = out.capacity();
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(&format!("{{\n  \"format\": \"{FORMAT}\",\n"));
    if let Some(kdf) = &ring.kdf {
        put(&format!("  \"kdf\": {},\n", kdf.text()));
    }
    put("  \"keys\": [\n");
    for (i, key) in ring.keys.iter().enumerate() {
        let (name, primary) = (&key.name, key.primary);
        put(if i == 0 { "    {\n" } else { ",\n    {\n" });
        put(&format!("      \"name\": \"{name}\",\n      \"primary\": {primary},\n      \"versions\": [\n"));
        for (i, v) in key.versions.iter().enumerate() {
            let (number, created, state) = (v.version, &v.created, v.state.name());
            put(if i == 0 { "        { " } else { ",\n        { " });
            put(&format!("\"version\": {number}, \"created\": \"{created}\", \"state\": \"{state}\""));
            if let Some(stored) = v.stored()? {
                let material: &[u8] = match stored {
                    Stored::Plain(material) => material.get()?,
                    Stored::Wrapped(wrapped) => wrapped,
                };
                let mut base64 = Zeroizing::new([0; 56]);
                put(", \"material\": \"");
                put(Base64::encode(material, &mut *base64).expect("40 bytes take 56"));
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

/// What stands there, which is not null.
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Kdf>, D::Error> {
    Kdf::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, kek::Keyring};

    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const WRAPPED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
    const KDF: &str = r#"{"name":"argon2id","m":65536,"t":3,"p":4,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#;

    /// A file with a passphrase, whatever it is.
    fn wrapped(kdf: &str) -> String {
        let text = version(&format!(r#""state":"enabled","material":"{WRAPPED}""#));
        text.replacen('{', &format!(r#"{{"kdf":{kdf},"#), 1)
    }

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
                    let mut version = KeyVersion::fresh(name, n, None).unwrap();
                    version.state = *state;
                    if *state == KeyState::Destroyed {
                        version.destroy();
                    }
                    version
                })
                .collect(),
        };
        use KeyState::{Destroyed, Disabled, Enabled};
        let keys = vec![key("orders", &[Enabled, Disabled, Destroyed]), key("a", &[Enabled])];
        let ring = Ring::new(keys, None);
        let text = write(&ring).unwrap();
        let back = Ring::parse(&text).unwrap();
        assert_eq!(*write(&back).unwrap(), *text);
        let material = |ring: &Ring| {
            let material = ring.keys[0].versions[1].material("orders", None).unwrap().unwrap();
            *material.get().unwrap()
        };
        assert_eq!(material(&back), material(&ring));
        assert!(Ring::parse(&write(&Ring::new(vec![], None)).unwrap()).unwrap().keys.is_empty());
    }

    #[test]
    fn a_passphrase_changes_nothing_else_of_what_is_written() {
        let text = wrapped(KDF).replace(' ', "");
        let ring = Ring::parse(text.as_bytes()).unwrap();
        let written = String::from_utf8(write(&ring).unwrap().to_vec()).unwrap();
        for member in [KDF, WRAPPED] {
            assert!(written.replace(' ', "").contains(&member.replace(' ', "")), "{written}");
        }
        assert_eq!(*write(&Ring::parse(written.as_bytes()).unwrap()).unwrap(), *written.as_bytes());
    }

    #[test]
    fn f10_what_is_not_as_the_format_has_it_is_refused() {
        let enabled = format!(r#""state":"enabled","material":"{ZEROS}""#);
        assert!(Ring::parse(version(&enabled).as_bytes()).is_ok());
        assert!(Ring::parse(version(r#""state":"destroyed""#).as_bytes()).is_ok());
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
            let e = Ring::parse(text.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Malformed, "{text}");
        }
    }

    /// The limits hold before a byte is allocated: nothing is derived here.
    #[test]
    fn f10_what_a_passphrase_takes_has_limits() {
        let parse = |kdf: &str| Ring::parse(wrapped(kdf).as_bytes()).map(|_| ());
        let salt = |n: usize| Base64::encode_string(&vec![7; n]);
        let with_salt = |salt: &str| KDF.replace("AAAAAAAAAAAAAAAAAAAAAA==", salt);
        let good = [
            KDF.to_owned(),
            KDF.replace("65536", "19456"),
            KDF.replace("65536", "4194304"),
            KDF.replace("\"t\":3", "\"t\":64").replace("\"p\":4", "\"p\":64"),
            KDF.replace("\"t\":3", "\"t\":1").replace("\"p\":4", "\"p\":1"),
            with_salt(&salt(16)),
            with_salt(&salt(64)),
        ];
        for kdf in good {
            parse(&kdf).unwrap();
        }
        let bad = [
            "null".to_owned(),
            "1".to_owned(),
            r#"{"name":"argon2id"}"#.to_owned(),
            KDF.replace("argon2id", "argon2i"),
            KDF.replace("65536", "19455"),
            KDF.replace("65536", "4194305"),
            KDF.replace("65536", "65536.0"),
            KDF.replace("65536", "4294967296"),
            KDF.replace("\"t\":3", "\"t\":0"),
            KDF.replace("\"t\":3", "\"t\":65"),
            KDF.replace("\"t\":3", "\"t\":-1"),
            KDF.replace("\"p\":4", "\"p\":0"),
            KDF.replace("\"p\":4", "\"p\":65"),
            KDF.replace("\"p\":4", "\"p\":4,\"p\":4"),
            KDF.replace("\"p\":4", "\"p\":4,\"more\":4"),
            KDF.replace("\"p\":4,", ""),
            with_salt(&salt(15)),
            with_salt(&salt(65)),
            with_salt(""),
            with_salt("AAAAAAAAAAAAAAAAAAAAAA="),
            with_salt("AAAAAAAAAAAAAAAAAAAAAB=="),
            with_salt("\\u0041AAAAAAAAAAAAAAAAAAAAA=="),
        ];
        for kdf in bad {
            assert_eq!(parse(&kdf).unwrap_err().kind(), ErrorKind::Malformed, "{kdf}");
        }
    }

    /// A material without a passphrase in a file that has one, and the reverse.
    #[test]
    fn f64_a_material_is_of_one_kind_with_the_file() {
        let plain = version(&format!(r#""state":"enabled","material":"{ZEROS}""#));
        let with_kdf = |text: &str| text.replacen('{', &format!(r#"{{"kdf":{KDF},"#), 1);
        let without = wrapped(KDF).replace(&format!(r#""kdf":{KDF},"#), "");
        for text in [with_kdf(&plain), without, wrapped(KDF).replace(WRAPPED, &WRAPPED[4..])] {
            let e = Ring::parse(text.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Malformed, "{text}");
        }
    }

    #[test]
    fn f64_a_passphrase_that_was_not_given_is_asked_for_by_name() {
        let e = Keyring::parse(wrapped(KDF).as_bytes(), "a").unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Misuse);
        assert!(e.to_string().starts_with("it has a passphrase") && !e.to_string().contains("AAAA"), "{e}");
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
