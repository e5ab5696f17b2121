//! One version of a key, and its key: as it is in the file, or under a passphrase.
use super::{
    passphrase::{NOT_GIVEN, PassKey},
    time,
};
use crate::{Error, ErrorKind, Result, secret::Locked};
use base64ct::{Base64, Encoding};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{fmt, marker::PhantomData};

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

/// A key as it lies in the file, or why there is none.
type Material = Result<Stored>;

pub(super) enum Stored {
    Plain(Locked<[u8; 32]>),
    /// Under a passphrase.
    Wrapped([u8; 40]),
}

impl KeyVersion {
    /// An enabled version of the key `name`, fresh.
    pub(super) fn fresh(name: &str, version: u32, pass: Option<&PassKey>) -> Result<Self> {
        let material = Locked::fill(|b| {
            getrandom::fill(b)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
        })?;
        let mut fresh = Self { version, created: time::now(), state: KeyState::Enabled, material: None };
        fresh.put(name, material, pass)?;
        Ok(fresh)
    }

    /// Has it lie in the file as the passphrase, or none, will have it.
    pub(super) fn put(
        &mut self,
        name: &str,
        material: Locked<[u8; 32]>,
        pass: Option<&PassKey>,
    ) -> Result<()> {
        self.material = Some(Ok(match pass {
            Some(pass) => Stored::Wrapped(pass.wrap(name, self.version, material.get()?)?),
            None => Stored::Plain(material),
        }));
        Ok(())
    }

    /// Its key is wiped here; what was written before is the file system's.
    pub(super) fn destroy(&mut self) {
        (self.state, self.material) = (KeyState::Destroyed, None);
    }

    /// `None` of a destroyed version. Authentication if the passphrase is another one.
    pub(super) fn material(&self, name: &str, pass: Option<&PassKey>) -> Result<Option<Locked<[u8; 32]>>> {
        let material = match (self.stored()?, pass) {
            (None, _) => return Ok(None),
            (Some(Stored::Plain(material)), _) => Locked::copy_of(material.get()?),
            (Some(Stored::Wrapped(wrapped)), Some(pass)) => pass.unwrap(name, self.version, wrapped),
            (Some(Stored::Wrapped(_)), None) => Err(Error::misuse(NOT_GIVEN)),
        };
        material.map(Some)
    }

    /// As it lies in the file.
    pub(super) fn stored(&self) -> Result<Option<&Stored>> {
        self.material.as_ref().map(Result::as_ref).transpose().map_err(Clone::clone)
    }
}

/// Base64 of 32 or 40 bytes, decoded in constant time, the 32 straight into key memory. What
/// goes wrong there is kept as it is: it may be a fork, or the end of memory.
fn material<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Material>, D::Error> {
    let decode = |text: &str, out: &mut [u8]| {
        let wanted = out.len();
        match Base64::decode(text, out) {
            Ok(decoded) if decoded.len() == wanted => Ok(()),
            _ => Err(Error::malformed("material: not base64 of 32 bytes, or of 40")),
        }
    };
    borrowed(d, |text| {
        Some(if text.len() == 56 {
            let mut wrapped = [0; 40];
            decode(text, &mut wrapped).map(|()| Stored::Wrapped(wrapped))
        } else {
            Locked::fill(|key| decode(text, key)).map(Stored::Plain)
        })
    })
}

/// Only text borrowed from the caller's buffer, which it wipes: an escaped string would be
/// put together in one that nobody wipes.
pub(super) fn borrowed<'de, D: Deserializer<'de>, T>(
    d: D,
    decode: impl FnOnce(&str) -> T,
) -> Result<T, D::Error> {
    struct Borrowed<F, T>(F, PhantomData<T>);
    impl<F: FnOnce(&str) -> T, T> Visitor<'_> for Borrowed<F, T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("base64, without escapes")
        }

        fn visit_borrowed_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            Ok((self.0)(text))
        }
    }
    d.deserialize_str(Borrowed(decode, PhantomData))
}
