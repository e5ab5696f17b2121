//! Keyring files under a passphrase.
use super::{
    Keyring, KeyringFile, check_name,
    file::{FORMAT, HAS_NONE, Ring},
    kdf::{self, Kdf},
    read::read_private,
};
use crate::{
    Error, ErrorKind, Result,
    crypto::{Kwp, argon2id, expand_sha512},
    kek::KeyUri,
    secret::Locked,
};
use std::{env, fmt, path::Path, str, sync::Arc};
use zeroize::{Zeroize, Zeroizing};

pub(super) const NOT_GIVEN: &str = "it has a passphrase, and none was given \
     (in a key URI: passphrase-file=PATH or passphrase-env=NAME)";

/// No passphrase is longer.
const MOST: usize = 1024;

/// A passphrase: 1 to 1024 bytes of UTF-8, taken as they are, in key memory.
///
/// Neither `Clone`, nor printable, nor comparable.
pub struct Passphrase(Arc<Locked<Text>>);

struct Text {
    bytes: [u8; MOST],
    len: usize,
}

impl Passphrase {
    /// Takes the bytes of a passphrase, and wipes what it was given: a `Vec`, a slice, a
    /// string's `into_bytes()`.
    ///
    /// # Errors
    /// Misuse if it is empty or no UTF-8, Limit if it is longer than 1024 bytes or there is no
    /// memory, Forked in a child.
    pub fn take(mut bytes: impl AsMut<[u8]>) -> Result<Self> {
        let given = bytes.as_mut();
        let passphrase = Self::copy_of(given);
        given.zeroize();
        passphrase
    }

    fn copy_of(given: &[u8]) -> Result<Self> {
        if given.is_empty() {
            return Err(Error::misuse("an empty passphrase"));
        }
        if given.len() > MOST {
            return Err(Error::limit("a passphrase has at most 1024 bytes"));
        }
        if str::from_utf8(given).is_err() {
            return Err(Error::misuse("a passphrase is UTF-8 text"));
        }
        let mut text = Locked::new(|| Text { bytes: [0; MOST], len: given.len() })?;
        text.get_mut()?.bytes[..given.len()].copy_from_slice(given);
        Ok(Self(Arc::new(text)))
    }

    /// What stands in a file, without the end of line that may stand at its end.
    ///
    /// # Errors
    /// Io; Misuse if it is no regular file, or others can read or write it; as
    /// [`take`](Self::take) besides.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut text = read_private(path, "passphrase file", MOST as u64 + 2)?.text;
        let mut len = text.len();
        if text.ends_with(b"\n") {
            len -= if text.ends_with(b"\r\n") { 2 } else { 1 };
        }
        Self::take(&mut text[..len])
            .map_err(|e| Error::new(e.kind(), format!("passphrase file {}: {e}", path.display())))
    }

    /// What a variable of the environment holds, as it is. There it stays, for whoever can
    /// look into the environment of this process.
    ///
    /// # Errors
    /// Misuse if there is no such variable; as [`take`](Self::take) besides.
    pub fn from_env(name: &str) -> Result<Self> {
        let about = |e: Error| Error::new(e.kind(), format!("environment variable {name}: {e}"));
        let value = env::var_os(name).ok_or_else(|| about(Error::misuse("there is none")))?;
        Self::take(value.into_encoded_bytes()).map_err(about)
    }

    /// Another handle on the same bytes.
    #[must_use]
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    fn expose(&self) -> Result<&[u8]> {
        self.0.get().map(|text| &text.bytes[..text.len])
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// K_pass of the format, and what of the file it was made with.
pub(super) struct PassKey {
    kdf: Kdf,
    key: Locked<[u8; 32]>,
}

impl PassKey {
    /// As the file wants it. Misuse if that has no passphrase.
    pub(super) fn of(passphrase: &Passphrase, kdf: Option<&Kdf>) -> Result<Self> {
        let kdf = kdf.ok_or_else(|| Error::misuse(HAS_NONE))?.clone();
        let key = argon2id(passphrase.expose()?, &kdf.salt, [kdf.m, kdf.t, kdf.p])?;
        Ok(Self { kdf, key })
    }

    /// Under a fresh salt.
    pub(super) fn fresh(passphrase: &Passphrase) -> Result<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)
            .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))?;
        let kdf = Kdf { name: kdf::NAME.into(), m: 65_536, t: 3, p: 4, salt: salt.into() };
        Self::of(passphrase, Some(&kdf))
    }

    pub(super) fn kdf(&self) -> &Kdf {
        &self.kdf
    }

    pub(super) fn wrap(&self, name: &str, version: u32, material: &[u8; 32]) -> Result<[u8; 40]> {
        let wrapped = self.kek(name, version)?.wrap(material)?;
        Ok(wrapped.try_into().expect("32 bytes are wrapped in 40"))
    }

    pub(super) fn unwrap(&self, name: &str, version: u32, wrapped: &[u8; 40]) -> Result<Locked<[u8; 32]>> {
        let kek = self.kek(name, version)?;
        let wrong = || Error::new(ErrorKind::Authentication, "wrong passphrase, or the file was altered");
        Locked::fill(|material| match kek.unwrap_to(wrapped, material) {
            Ok(32) => Ok(()),
            Err(e) if e.kind() != ErrorKind::Authentication => Err(e),
            _ => Err(wrong()),
        })
    }

    /// Of one version of one key: no material passes for another one.
    fn kek(&self, name: &str, version: u32) -> Result<Kwp> {
        let version = version.to_string();
        let info = [FORMAT.as_bytes(), &[0], name.as_bytes(), b"/", version.as_bytes()];
        let mut kek = Zeroizing::new([0; 32]);
        expand_sha512(self.key.get()?, &info, &mut *kek)?;
        Kwp::new(&*kek)
    }
}

impl Keyring {
    /// As [`create`](Self::create), under a passphrase: Argon2id with 64 MiB, 3 passes and 4
    /// lanes. It takes some tenths of a second, and blocks; so does opening.
    ///
    /// # Errors
    /// As [`create`](Self::create); Limit without memory.
    pub fn create_with(path: impl AsRef<Path>, name: &str, passphrase: &Passphrase) -> Result<Self> {
        check_name(name)?;
        Self::make(path.as_ref(), name, Some(PassKey::fresh(passphrase)?))
    }

    /// As [`open`](Self::open), of a file with a passphrase. It is not kept, a key that is
    /// made of it is: for the file as it will be when keys were rotated.
    ///
    /// # Errors
    /// As [`open`](Self::open); Authentication if the passphrase is a wrong one; Misuse if the
    /// file has none, which somebody who can write it may have taken off; Limit if Argon2id
    /// does not get the memory that the file asks for: 4 GiB at most.
    pub fn open_with(path: impl AsRef<Path>, name: &str, passphrase: &Passphrase) -> Result<Self> {
        Self::load(path.as_ref(), name, |kdf| PassKey::of(passphrase, kdf).map(Some))
    }

    /// As [`open_with`](Self::open_with) if the file has a passphrase, for which `ask` is then
    /// asked; else as [`open`](Self::open). For programs with a user, who would notice not
    /// being asked: nobody else does.
    ///
    /// # Errors
    /// Those of both, and of `ask`.
    pub fn open_asking(
        path: impl AsRef<Path>,
        name: &str,
        ask: impl FnOnce() -> Result<Passphrase>,
    ) -> Result<Self> {
        Self::load(path.as_ref(), name, |kdf| match kdf {
            Some(_) => PassKey::of(&ask()?, kdf).map(Some),
            None => Ok(None),
        })
    }

    /// As a `local:` URI opens, but that `ask` is asked for the passphrase of a file that has
    /// one which the URI does not name: as [`open_asking`](Self::open_asking). For
    /// [`Schemes::with`](crate::kek::Schemes::with).
    ///
    /// # Errors
    /// As [`open_asking`](Self::open_asking); Misuse for a URI that is none of the scheme's.
    pub fn from_uri_asking(uri: &KeyUri, ask: impl Fn(&Path) -> Result<Passphrase>) -> Result<Self> {
        Self::by_uri(uri, &|path, kdf| PassKey::of(&ask(path)?, Some(kdf)).map(Some))
    }

    /// As [`parse`](Self::parse), of a file with a passphrase.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with), but for Io.
    pub fn parse_with(json: &[u8], name: &str, passphrase: &Passphrase) -> Result<Self> {
        Self::unlocked(json, name, |kdf| PassKey::of(passphrase, kdf).map(Some))
    }
}

impl KeyringFile {
    /// With the passphrase that the file has.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: Passphrase) -> Self {
        self.passphrase = Some(passphrase);
        self
    }

    /// Puts the file under a passphrase, or under another one, and a fresh salt. Every key
    /// stays what it is, and so does every envelope. Keyrings that are open see no new key
    /// until they are opened again, but that one was disabled or destroyed.
    ///
    /// Copies of the old file open as they did, to the same keys: where the old passphrase
    /// may be known, rotate the keys too.
    ///
    /// # Errors
    /// Misuse if the file has a passphrase and it was not given; as [`keys`](Self::keys)
    /// besides.
    pub fn set_passphrase(&mut self, new: Passphrase) -> Result<()> {
        self.rewrap(Some(&new))?;
        self.passphrase = Some(new);
        Ok(())
    }

    /// Takes the passphrase off: whoever can read the file can open everything.
    ///
    /// # Errors
    /// Misuse if it has none, or it was not given; as [`keys`](Self::keys) besides.
    pub fn remove_passphrase(&mut self) -> Result<()> {
        self.rewrap(None)?;
        self.passphrase = None;
        Ok(())
    }

    fn rewrap(&self, new: Option<&Passphrase>) -> Result<()> {
        self.change(|ring, old| {
            ring.check(old)?;
            if old.is_none() && new.is_none() {
                return Err(Error::misuse("it has no passphrase"));
            }
            let new = new.map(PassKey::fresh).transpose()?;
            ring.put_under(old, new.as_ref())
        })
    }
}

impl Ring {
    fn put_under(&mut self, old: Option<&PassKey>, new: Option<&PassKey>) -> Result<()> {
        for key in &mut self.keys {
            for version in &mut key.versions {
                if let Some(material) = version.material(&key.name, old)? {
                    version.put(&key.name, material, new)?;
                }
            }
        }
        self.kdf = new.map(|new| new.kdf().clone());
        Ok(())
    }
}
