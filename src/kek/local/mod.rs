//! KEKs in a file of your own.
mod edit;
mod file;
mod read;
mod time;

pub use edit::{KeyInfo, KeyringFile, VersionInfo};
pub use file::KeyState;

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
use file::{Key, KeyVersion, check_name, parse, write};
use read::{Stamp, read};
use std::{
    fmt,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One key of a keyring file, in all its versions: scheme `local`, URI
/// `local:PATH#NAME`.
///
/// The primary version wraps; every enabled one opens. When the file was changed, by
/// [`KeyringFile`] in this process or in another, that holds from the next wrap and unwrap
/// on; while the new one cannot be read, what was read before does. Whoever can read the
/// file can open everything: it is refused when others can.
pub struct Keyring {
    name: String,
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
    /// Of an enabled version.
    kek: Option<Kwp>,
}

impl Keyring {
    /// Makes a keyring file, mode 0600, with one key in its first version.
    ///
    /// # Errors
    /// Io if there is such a file, or it cannot be written; Misuse if `name` has not 1 to
    /// 64 of `A-Z a-z 0-9 . _ -`.
    pub fn create(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        check_name(name)?;
        let key = Key { name: name.into(), primary: 1, versions: vec![KeyVersion::fresh(1)?] };
        let text = write(&[key])?;
        let path = path.as_ref();
        if path.exists() {
            return Err(Error::new(ErrorKind::Io, format!("there is a file {} already", path.display())));
        }
        let mut file = NewFile::create(path, true)?;
        file.write_all(&text).map_err(|e| Error::io(format!("cannot write {}", path.display()), e))?;
        file.commit(false)?;
        Self::open(path, name)
    }

    /// Reads a keyring file.
    ///
    /// # Errors
    /// Io; Malformed, and where; Misuse if others can read the file, it has no such key, or
    /// it asks for a passphrase and this build has none.
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let path = path.as_ref();
        let file = read(path)?;
        let named = |e: Error| Error::new(e.kind(), format!("keyring {}: {e}", path.display()));
        let key = Versions::parse(&file.text, name).map_err(named)?;
        Ok(Self::of(name, Some(path.into()), key, Some(file.stamp)))
    }

    /// From the bytes of a keyring file that you keep elsewhere. Wipe them afterwards.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for Io.
    pub fn parse(json: &[u8], name: &str) -> Result<Self> {
        Ok(Self::of(name, None, Versions::parse(json, name)?, None))
    }

    fn of(name: &str, path: Option<PathBuf>, key: Versions, stamp: Option<Stamp>) -> Self {
        Self { name: name.into(), path, state: Mutex::new(State { key: Arc::new(key), stamp }) }
    }

    /// `local:PATH#NAME[?create=true]`; PATH and NAME percent-decoded, NAME `default` if
    /// there is none.
    pub(super) fn from_uri(uri: &KeyUri) -> Result<Self> {
        uri.only(&["create"])?;
        let (path, name) = uri.rest().split_once('#').unwrap_or((uri.rest(), "default"));
        let (path, name) = (percent_decode(path)?, percent_decode(name)?);
        if path.is_empty() {
            return Err(Error::misuse("local: a path is missing, as in local:keys.json#orders"));
        }
        match uri.param("create") {
            Some("true") if !Path::new(&path).exists() => match Self::create(&path, &name) {
                // Another process was quicker.
                Err(_) if Path::new(&path).exists() => Self::open(&path, &name),
                made => made,
            },
            None | Some("true" | "false") => Self::open(&path, &name),
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
        let read = read(path).and_then(|f| Ok((Versions::parse(&f.text, &self.name)?, f.stamp)));
        let mut state = self.state();
        match read {
            Ok((key, stamp)) => (state.key, state.stamp) = (Arc::new(key), Some(stamp)),
            // A file that is wrong is not read again for every wrap; one that could not be
            // read this time is.
            Err(e) if matches!(e.kind(), ErrorKind::Malformed | ErrorKind::Misuse) => state.stamp = now,
            Err(_) => {}
        }
        Ok(state.key.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The number of the version with this id, if it has the form of this key's.
    fn number(&self, id: &KeyId) -> Option<u32> {
        let number = id.as_str().strip_prefix(&*self.name)?.strip_prefix('/')?.parse().ok()?;
        (self.id(number) == id.as_str()).then_some(number)
    }

    fn id(&self, version: u32) -> String {
        format!("{}/{version}", self.name)
    }

    fn kek<'a>(&self, key: &'a Versions, number: u32) -> Result<&'a Kwp> {
        let denied = |what: &str| Error::new(ErrorKind::Denied, format!("{} is {what}", self.id(number)));
        let version = key.version(number).ok_or_else(|| denied("not of this keyring"))?;
        version.kek.as_ref().ok_or_else(|| denied(version.state.name()))
    }
}

impl Versions {
    fn parse(json: &[u8], name: &str) -> Result<Self> {
        check_fork()?;
        check_name(name)?;
        let keys = parse(json)?;
        let names: Vec<_> = keys.iter().map(|k| k.name.clone()).collect();
        let key = keys.into_iter().find(|k| k.name == name).ok_or_else(|| {
            let names = if names.is_empty() { "none".into() } else { names.join(", ") };
            Error::misuse(format!("no key {name} there; there is {names}"))
        })?;
        let all = key.versions.into_iter().map(|v| {
            let kek = match (&v.state, v.material()?) {
                (KeyState::Enabled, Some(material)) => Some(Kwp::new(material.get()?)?),
                _ => None,
            };
            Ok(Version { number: v.version, state: v.state, kek })
        });
        Ok(Self { primary: key.primary, all: all.collect::<Result<_>>()? })
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
