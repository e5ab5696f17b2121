//! KEKs in a file of your own.
mod file;
mod time;

use super::{KeyUri, KmsBackend, uri::percent_decode};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek,
    crypto::Kwp,
    rt::NewFile,
    secret::{Locked, check_fork},
};
use file::{State, check_name, parse, write_new};
use std::{fmt, fs, io::Read, io::Write, path::Path};
use zeroize::Zeroizing;

/// No keyring is longer: some 100,000 versions.
const MAX_FILE: u64 = 16 << 20;

/// One key of a keyring file, in all its versions: scheme `local`, URI
/// `local:PATH#NAME`.
///
/// The primary version wraps; every enabled one opens. The file is read once. Whoever can
/// read it can open everything: it is refused when others can.
pub struct Keyring {
    name: String,
    primary: u32,
    versions: Vec<Version>,
}

struct Version {
    number: u32,
    state: State,
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
        let material = Locked::fill(|b| {
            getrandom::fill(b)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
        })?;
        let text = write_new(name, material.get()?, &time::now());
        let path = path.as_ref();
        if path.exists() {
            return Err(Error::new(ErrorKind::Io, format!("there is a file {} already", path.display())));
        }
        let mut file = NewFile::create(path, true)?;
        file.write_all(&text).map_err(|e| Error::io(format!("cannot write {}", path.display()), e))?;
        file.commit(false)?;
        Self::parse(&text, name)
    }

    /// Reads a keyring file.
    ///
    /// # Errors
    /// Io; Malformed, and where; Misuse if others can read the file, it has no such key, or
    /// it asks for a passphrase and this build has none.
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let path = path.as_ref();
        let what = |e| Error::io(format!("keyring {}", path.display()), e);
        // Opening a fifo waits for whoever writes it.
        if !fs::metadata(path).map_err(what)?.is_file() {
            return Err(Error::misuse(format!("keyring {}: not a regular file", path.display())));
        }
        let mut file = fs::File::open(path).map_err(what)?;
        let about = file.metadata().map_err(what)?;
        private(&about, path)?;
        if about.len() > MAX_FILE {
            return Err(Error::limit(format!("keyring {}: longer than 16 MiB", path.display())));
        }
        // Once, and large enough: a vector that grows leaves copies of keys behind.
        let mut text = Zeroizing::new(Vec::with_capacity(about.len() as usize + 1));
        (&mut file).take(about.len()).read_to_end(&mut text).map_err(what)?;
        Self::parse(&text, name).map_err(|e| Error::new(e.kind(), format!("keyring {}: {e}", path.display())))
    }

    /// From the bytes of a keyring file that you keep elsewhere. Wipe them afterwards.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for Io.
    pub fn parse(json: &[u8], name: &str) -> Result<Self> {
        check_fork()?;
        check_name(name)?;
        let keys = parse(json)?;
        let names: Vec<_> = keys.iter().map(|k| k.name.clone()).collect();
        let key = keys.into_iter().find(|k| k.name == name).ok_or_else(|| {
            let names = if names.is_empty() { "none".into() } else { names.join(", ") };
            Error::misuse(format!("no key {name} there; there is {names}"))
        })?;
        let versions = key.versions.into_iter().map(|v| {
            let kek = match (&v.state, v.material()?) {
                (State::Enabled, Some(material)) => Some(Kwp::new(material.get()?)?),
                _ => None,
            };
            Ok(Version { number: v.version, state: v.state, kek })
        });
        Ok(Self { name: key.name, primary: key.primary, versions: versions.collect::<Result<_>>()? })
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

    /// The version with this id, which is compared whole.
    fn version(&self, id: &KeyId) -> Option<&Version> {
        let number = id.as_str().strip_prefix(&*self.name)?.strip_prefix('/')?.parse().ok()?;
        self.versions.iter().find(|v| v.number == number && self.id(number) == id.as_str())
    }

    fn id(&self, version: u32) -> String {
        format!("{}/{version}", self.name)
    }

    fn kek<'a>(&self, version: &'a Version) -> Result<&'a Kwp> {
        version.kek.as_ref().ok_or_else(|| {
            let state = if matches!(version.state, State::Destroyed) { "destroyed" } else { "disabled" };
            Error::new(ErrorKind::Denied, format!("{} is {state}", self.id(version.number)))
        })
    }

    fn primary(&self) -> Result<&Version> {
        let found = self.versions.iter().find(|v| v.number == self.primary);
        found.ok_or_else(|| Error::misuse("the primary version is missing"))
    }
}

#[async_trait::async_trait]
impl KmsBackend for Keyring {
    fn scheme(&self) -> &str {
        "local"
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        self.version(key_id).is_some()
    }

    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let primary = self.primary()?;
        let ciphertext = self.kek(primary)?.wrap(dek.expose()?)?;
        Ok(WrappedDek::new(KeyId::new(self.id(primary.number))?, ciphertext))
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let version = self.version(&wrapped.key_id).ok_or_else(|| {
            Error::new(ErrorKind::Denied, format!("{} is not of this keyring", wrapped.key_id))
        })?;
        self.kek(version)?.unwrap_dek(&wrapped.ciphertext)
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        KeyId::new(self.id(self.primary)).map(Some)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({}, {} versions)", self.id(self.primary), self.versions.len())
    }
}

#[cfg(unix)]
fn private(about: &fs::Metadata, path: &Path) -> Result<()> {
    use crate::arch::effective_user;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (mode, owner) = (about.permissions().mode() & 0o777, about.uid());
    let said = if mode & 0o077 != 0 {
        format!("others can read this keyring, or write it (mode {mode:o}): chmod 600")
    } else if owner != 0 && owner != effective_user() {
        format!("another user owns this keyring (uid {owner})")
    } else {
        return Ok(());
    };
    Err(Error::misuse(format!("{}: {said}", path.display())))
}

#[cfg(not(unix))]
fn private(_: &fs::Metadata, _: &Path) -> Result<()> {
    Ok(())
}
