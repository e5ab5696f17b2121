//! Without the feature `passphrase`: there are none, and a file that needs one is refused.
use super::kdf::Kdf;
use crate::{Error, Result, secret::Locked};
use std::path::Path;

pub(super) const NOT_GIVEN: &str = "it has a passphrase: this build of libkms needs the feature passphrase";

pub(super) enum Passphrase {}

pub(super) enum PassKey {}

impl Passphrase {
    pub(super) fn from_file(_: impl AsRef<Path>) -> Result<Self> {
        Err(absent())
    }

    pub(super) fn from_env(_: &str) -> Result<Self> {
        Err(absent())
    }
}

impl PassKey {
    pub(super) fn of(passphrase: &Passphrase, _: Option<&Kdf>) -> Result<Self> {
        match *passphrase {}
    }

    pub(super) fn fresh(passphrase: &Passphrase) -> Result<Self> {
        match *passphrase {}
    }

    pub(super) fn kdf(&self) -> &Kdf {
        match *self {}
    }

    pub(super) fn wrap(&self, _: &str, _: u32, _: &[u8; 32]) -> Result<[u8; 40]> {
        match *self {}
    }

    pub(super) fn unwrap(&self, _: &str, _: u32, _: &[u8; 40]) -> Result<Locked<[u8; 32]>> {
        match *self {}
    }
}

fn absent() -> Error {
    Error::misuse("a passphrase: this build of libkms needs the feature passphrase")
}

#[cfg(test)]
mod tests {
    use crate::{ErrorKind, kek::Keyring};

    #[test]
    fn f64_a_passphrase_that_cannot_be_taken_is_refused_by_the_name_of_its_feature() {
        let text =
            br#"{ "format": "libkms-keyring/1", "kdf": { "name": "argon2id", "m": 65536, "t": 3, "p": 4,
            "salt": "c2FsdCBvZiAxNiBieXRlcw==" }, "keys": [ { "name": "k", "primary": 1, "versions": [
            { "version": 1, "created": "2026-11-24T00:00:00Z", "state": "destroyed" } ] } ] }"#;
        let by_uri = |uri: &str| Keyring::from_uri(&uri.parse().unwrap());
        for refused in [
            Keyring::parse(text, "k"),
            by_uri("local:nowhere?passphrase-file=x"),
            by_uri("local:nowhere?create=true&passphrase-env=HOME"),
        ] {
            let e = refused.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Misuse);
            assert!(e.to_string().contains("needs the feature passphrase"), "{e}");
        }
    }
}
