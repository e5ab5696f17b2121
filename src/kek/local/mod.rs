//! KEKs in a file of your own.
#[cfg(all(test, target_arch = "x86_64"))]
mod constant_time;
mod edit;
mod file;
mod kdf;
#[cfg(not(feature = "passphrase"))]
mod no_passphrase;
#[cfg(feature = "passphrase")]
mod passphrase;
mod read;
mod time;
mod version;

pub use edit::{KeyInfo, KeyringFile, VersionInfo};
#[cfg(not(feature = "passphrase"))]
use no_passphrase as passphrase;
#[cfg(feature = "passphrase")]
pub use passphrase::Passphrase;
pub use version::KeyState;

use super::{KeyUri, KmsBackend, uri::percent_decode};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek,
    crypto::Kwp,
    rt::{
        NewFile,
        sync::{Mutex, MutexGuard, lock},
    },
    secret::check_fork,
};
use file::{Key, Ring, check_name, write};
use kdf::Kdf;
use passphrase::PassKey;
#[cfg(not(feature = "passphrase"))]
use passphrase::Passphrase;
use read::{Stamp, read};
use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};
use version::KeyVersion;

/// One key of a keyring file, in all its versions: scheme `local`, URI
/// `local:PATH#NAME`.
///
/// The primary version wraps; every enabled one opens. When the file was changed, by
/// [`KeyringFile`] in this process or in another, that holds from the next wrap and unwrap
/// on; while the new one cannot be read, what was read before does. A file that is gone is one
/// that cannot be read: to delete it stops no keyring that is open. Whoever can read the file can
/// open everything, unless it has a passphrase (feature `passphrase`): it is refused when others
/// can.
///
/// A file and the passphrase that was given go together, now and whenever it is read again.
/// When the passphrase was changed, taken off or put on meanwhile, no key of that file is
/// taken until the keyring is opened again. Those that were read before stay, as far as the
/// file has them enabled: what is sealed under one that is then destroyed would be lost.
pub struct Keyring {
    name: String,
    /// What opens the materials of a file with a passphrase.
    pass: Option<PassKey>,
    /// Where it is read again.
    path: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    key: Arc<Versions>,
    /// Of the file that was looked at last.
    stamp: Option<Stamp>,
}

/// A key as it stood in the file.
struct Versions {
    primary: u32,
    all: Vec<Version>,
}

struct Version {
    number: u32,
    state: KeyState,
    /// Of a version that was enabled when it could be read.
    kek: Option<Arc<Kwp>>,
}

impl Keyring {
    /// Makes a keyring file, mode 0600, with one key in its first version.
    ///
    /// # Errors
    /// Io if there is such a file, or it cannot be written; Misuse if `name` has not 1 to
    /// 64 of `A-Z a-z 0-9 . _ -`.
    pub fn create(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        Self::make(path.as_ref(), name, None)
    }

    /// Reads a keyring file.
    ///
    /// # Errors
    /// Io; Malformed, and where; Misuse if others can read the file, it has no such key, or
    /// it has a passphrase.
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        Self::load(path.as_ref(), name, |_| Ok(None))
    }

    /// From the bytes of a keyring file that you keep elsewhere. Wipe them afterwards.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for Io.
    pub fn parse(json: &[u8], name: &str) -> Result<Self> {
        Self::unlocked(json, name, |_| Ok(None))
    }

    fn make(path: &Path, name: &str, pass: Option<PassKey>) -> Result<Self> {
        check_name(name)?;
        let version = KeyVersion::fresh(name, 1, pass.as_ref())?;
        let key = Key { name: name.into(), primary: 1, versions: vec![version] };
        let text = write(&Ring::new(vec![key], pass.as_ref().map(|p| p.kdf().clone())))?;
        if path.exists() {
            return Err(Error::new(ErrorKind::Io, format!("there is a file {} already", path.display())));
        }
        let mut file = NewFile::create(path, true)?;
        file.write_all(&text)?;
        file.commit(false)?;
        Self::load(path, name, |_| Ok(pass))
    }

    /// `unlock` makes the key of the passphrase, if there is one, as the file wants it.
    fn load(
        path: &Path,
        name: &str,
        unlock: impl FnOnce(Option<&Kdf>) -> Result<Option<PassKey>>,
    ) -> Result<Self> {
        let file = read(path)?;
        let named = |e: Error| Error::new(e.kind(), format!("keyring {}: {e}", path.display()));
        let mut keyring = Self::unlocked(&file.text, name, unlock).map_err(named)?;
        keyring.path = Some(path.into());
        lock(&keyring.state).stamp = Some(file.stamp);
        Ok(keyring)
    }

    fn unlocked(
        json: &[u8],
        name: &str,
        unlock: impl FnOnce(Option<&Kdf>) -> Result<Option<PassKey>>,
    ) -> Result<Self> {
        check_fork()?;
        check_name(name)?;
        let ring = Ring::parse(json)?;
        let pass = unlock(ring.kdf.as_ref())?;
        let key = Arc::new(Versions::of(&ring, name, pass.as_ref())?);
        Ok(Self { name: name.into(), pass, path: None, state: Mutex::new(State { key, stamp: None }) })
    }

    /// `local:PATH#NAME[?create=true][&passphrase-file=PATH|&passphrase-env=NAME]`; PATH and
    /// NAME percent-decoded, NAME `default` if there is none.
    pub(super) fn from_uri(uri: &KeyUri) -> Result<Self> {
        Self::by_uri(uri, &|_, _| Ok(None))
    }

    /// `ask` has the key of a passphrase that the URI does not name.
    fn by_uri(uri: &KeyUri, ask: &dyn Fn(&Path, &Kdf) -> Result<Option<PassKey>>) -> Result<Self> {
        uri.only(&["create", "passphrase-file", "passphrase-env"])?;
        let (path, name) = uri.rest().split_once('#').unwrap_or((uri.rest(), "default"));
        let (path, name) = (percent_decode(path)?, percent_decode(name)?);
        if path.is_empty() {
            return Err(Error::misuse("local: a path is missing, as in local:keys.json#orders"));
        }
        let path = Path::new(&path);
        let passphrase = match (uri.param("passphrase-file"), uri.param("passphrase-env")) {
            (None, None) => None,
            (Some(file), None) => Some(Passphrase::from_file(file)?),
            (None, Some(name)) => Some(Passphrase::from_env(name)?),
            _ => return Err(Error::misuse("local: passphrase-file or passphrase-env, not both")),
        };
        let open = || {
            Self::load(path, &name, |kdf| match (&passphrase, kdf) {
                (Some(passphrase), kdf) => PassKey::of(passphrase, kdf).map(Some),
                (None, Some(kdf)) => ask(path, kdf),
                (None, None) => Ok(None),
            })
        };
        match uri.param("create") {
            Some("true") if !path.exists() => {
                let pass = passphrase.as_ref().map(PassKey::fresh).transpose()?;
                match Self::make(path, &name, pass) {
                    // Another process was quicker.
                    Err(_) if path.exists() => open(),
                    made => made,
                }
            }
            None | Some("true" | "false") => open(),
            Some(_) => Err(Error::misuse("local: create is true or false")),
        }
    }

    /// The key as the file has it now.
    fn key(&self) -> Result<Arc<Versions>> {
        // First: in a child, another thread of the parent may hold the lock for ever.
        check_fork()?;
        let (known, stamp) = {
            let state = self.state();
            (state.key.clone(), state.stamp)
        };
        let Some(path) = &self.path else { return Ok(known) };
        let now = Stamp::now(path);
        if now.is_none() || now == stamp {
            return Ok(known);
        }
        // Read without the lock: others go on with what is known.
        let read = read(path).and_then(|f| {
            let ring = Ring::parse(&f.text)?;
            let key = match Versions::of(&ring, &self.name, self.pass.as_ref()) {
                Err(e) if is_lasting(e.kind()) => known.narrowed(&ring, &self.name).ok_or(e)?,
                key => key?,
            };
            Ok((key, f.stamp))
        });
        let mut state = self.state();
        match read {
            Ok((key, stamp)) => (state.key, state.stamp) = (Arc::new(key), Some(stamp)),
            // A file that is wrong is not read again for every wrap; one that could not be
            // read this time is.
            Err(e) if is_lasting(e.kind()) => state.stamp = now,
            Err(_) => {}
        }
        Ok(state.key.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The number of the version with this id, if it has the form of this key's.
    fn number(&self, id: &KeyId) -> Option<u32> {
        let digits = id.as_str().strip_prefix(&*self.name)?.strip_prefix('/')?;
        if digits.starts_with(['0', '+']) { None } else { digits.parse().ok() }
    }

    fn id(&self, version: u32) -> String {
        format!("{}/{version}", self.name)
    }

    fn kek<'a>(&self, key: &'a Versions, number: u32) -> Result<&'a Kwp> {
        let denied = |what: &str| Error::new(ErrorKind::Denied, format!("{} is {what}", self.id(number)));
        let version = key.version(number).ok_or_else(|| denied("not of this keyring"))?;
        match (version.state, &version.kek) {
            (KeyState::Enabled, Some(kek)) => Ok(kek),
            (KeyState::Enabled, None) => Err(denied("under another passphrase: open the keyring again")),
            (state, _) => Err(denied(state.name())),
        }
    }
}

/// The file will not become right by being read again.
fn is_lasting(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Authentication | ErrorKind::Malformed | ErrorKind::Misuse)
}

impl Versions {
    fn of(ring: &Ring, name: &str, pass: Option<&PassKey>) -> Result<Self> {
        ring.check(pass)?;
        let key = ring.key(name).ok_or_else(|| {
            let names: Vec<_> = ring.keys.iter().map(|k| &*k.name).collect();
            let names = if names.is_empty() { "none".into() } else { names.join(", ") };
            Error::misuse(format!("no key {name} there; there is {names}"))
        })?;
        let all = key.versions.iter().map(|v| {
            let kek = match (&v.state, v.material(name, pass)?) {
                (KeyState::Enabled, Some(material)) => Some(Arc::new(Kwp::new(material.get()?)?)),
                _ => None,
            };
            Ok(Version { number: v.version, state: v.state, kek })
        });
        Ok(Self { primary: key.primary, all: all.collect::<Result<_>>()? })
    }

    /// With the states that a file has whose keys cannot be had. Whoever can write it could
    /// turn them anyway.
    fn narrowed(&self, ring: &Ring, name: &str) -> Option<Self> {
        let versions = &ring.key(name)?.versions;
        let all = self.all.iter().map(|old| {
            let state = versions.iter().find(|v| v.version == old.number).map(|v| v.state);
            let state = state.unwrap_or(KeyState::Destroyed);
            let kek = old.kek.clone().filter(|_| state != KeyState::Destroyed);
            Version { number: old.number, state, kek }
        });
        Some(Self { primary: self.primary, all: all.collect() })
    }

    fn version(&self, number: u32) -> Option<&Version> {
        self.all.iter().find(|v| v.number == number)
    }
}

#[async_trait::async_trait]
impl KmsBackend for Keyring {
    fn scheme(&self) -> &str {
        "local"
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        let Some(number) = self.number(key_id) else { return false };
        if check_fork().is_ok() && self.state().key.version(number).is_some() {
            return true;
        }
        // Perhaps a version that came since the file was read.
        self.key().is_ok_and(|key| key.version(number).is_some())
    }

    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let key = self.key()?;
        let ciphertext = self.kek(&key, key.primary)?.wrap(dek.expose()?)?;
        Ok(WrappedDek::new(KeyId::new(self.id(key.primary))?, ciphertext))
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let key = self.key()?;
        let number = self.number(&wrapped.key_id).ok_or_else(|| {
            Error::new(ErrorKind::Denied, format!("{} is not of this keyring", wrapped.key_id))
        })?;
        self.kek(&key, number)?.unwrap_dek(&wrapped.ciphertext)
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        KeyId::new(self.id(self.key()?.primary)).map(Some)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({})", self.name)
    }
}
