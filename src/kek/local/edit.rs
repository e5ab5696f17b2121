//! The life of keys: added, rotated, disabled, enabled, destroyed.
use super::{
    file::{Key, MAX_VERSION, Ring, check_name, write},
    passphrase::{PassKey, Passphrase},
    read::{MAX_FILE, read},
    version::{KeyState, KeyVersion},
};
use crate::{
    Error, KeyId, Result,
    rt::{NewFile, OpenFile},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// A keyring file, to be looked at and changed.
///
/// Every change is one new file that takes the place of the old one, whole or not at all.
/// Writers wait for each other; readers are never in the way. Keyrings that are open, in
/// this process and in others, see a change the next time they wrap or unwrap.
///
/// What was destroyed may still lie on the disk where the old file was, and in backups. When to
/// do what is a page of the manual, [rotation](crate::manual::rotation).
///
/// Of a file with a passphrase (feature `passphrase`) what needs no key is done without it:
/// to look at it, to disable, enable and destroy. One that was given is always checked.
pub struct KeyringFile {
    path: PathBuf,
    pub(super) passphrase: Option<Passphrase>,
}

/// What a keyring file tells of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its name.
    pub name: String,
    /// The version that wraps.
    pub primary: u32,
    /// All versions, in the order of the file.
    pub versions: Vec<VersionInfo>,
}

/// What a keyring file tells of one version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionInfo {
    /// 1 to 2^31 - 1.
    pub version: u32,
    /// When it was made: a time of RFC 3339.
    pub created: String,
    /// What it is good for.
    pub state: KeyState,
}

impl KeyringFile {
    /// The file at `path`, which is not looked at yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), passphrase: None }
    }

    /// What is in it.
    ///
    /// # Errors
    /// As [`Keyring::open`](super::Keyring::open). If a passphrase was given:
    /// Authentication if it is a wrong one, Misuse if the file has none.
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        let version =
            |v: &KeyVersion| VersionInfo { version: v.version, created: v.created.clone(), state: v.state };
        let info = |k: &Key| KeyInfo {
            name: k.name.clone(),
            primary: k.primary,
            versions: k.versions.iter().map(version).collect(),
        };
        let ring = parse_file(&self.path)?;
        self.unlock(&ring).map_err(|e| named(&self.path, e))?;
        Ok(ring.keys.iter().map(info).collect())
    }

    /// Whether it has a passphrase.
    ///
    /// # Errors
    /// As [`keys`](Self::keys), but for the passphrase.
    pub fn has_passphrase(&self) -> Result<bool> {
        Ok(parse_file(&self.path)?.kdf.is_some())
    }

    /// Adds a key, in its first version.
    ///
    /// # Errors
    /// Misuse if there is such a key, the name is none, or the file has a passphrase and none
    /// was given; as [`keys`](Self::keys) besides.
    pub fn add(&self, name: &str) -> Result<KeyId> {
        check_name(name)?;
        self.change(|ring, pass| {
            ring.check(pass)?;
            let keys = &mut ring.keys;
            if keys.iter().any(|k| k.name == name) {
                return Err(Error::misuse(format!("there is a key {name} already: rotate it")));
            }
            keys.push(Key {
                name: name.into(),
                primary: 1,
                versions: vec![KeyVersion::fresh(name, 1, pass)?],
            });
            id(name, 1)
        })
    }

    /// Gives a key a new version, which wraps from now on. The others still open.
    ///
    /// # Errors
    /// Misuse if there is no such key, or the file has a passphrase and none was given; as
    /// [`keys`](Self::keys) besides.
    pub fn rotate(&self, name: &str) -> Result<KeyId> {
        self.change(|ring, pass| {
            ring.check(pass)?;
            let key = find(ring, name)?;
            let newest = key.versions.iter().map(|v| v.version).max().unwrap_or(0);
            if newest >= MAX_VERSION {
                return Err(Error::limit(format!("{name} has its last version")));
            }
            key.versions.push(KeyVersion::fresh(name, newest + 1, pass)?);
            key.primary = newest + 1;
            id(name, key.primary)
        })
    }

    /// Has a version neither wrap nor open, until it is enabled again.
    ///
    /// # Errors
    /// Misuse if there is no such version, it is destroyed, or it is the primary: rotate
    /// first; as [`keys`](Self::keys) besides.
    pub fn disable(&self, name: &str, version: u32) -> Result<()> {
        self.change(|ring, _| {
            let version = not_primary(find(ring, name)?, version)?;
            version.state = KeyState::Disabled;
            Ok(())
        })
    }

    /// Has a version open again.
    ///
    /// # Errors
    /// Misuse if there is no such version, or it is destroyed; as [`keys`](Self::keys)
    /// besides.
    pub fn enable(&self, name: &str, version: u32) -> Result<()> {
        self.change(|ring, _| {
            let key = find(ring, name)?;
            living(key, version)?.state = KeyState::Enabled;
            Ok(())
        })
    }

    /// Destroys the key of a version that is disabled. Nothing that only it wrapped opens
    /// ever again.
    ///
    /// Disable it first, and wait: programs that have the keyring open go on sealing with
    /// DEKs that it wrapped for as long as their policy lets a DEK live, 10 minutes unless
    /// set. While it is disabled, all of that can be had back.
    ///
    /// # Errors
    /// As [`disable`](Self::disable); Misuse too if it is not disabled.
    pub fn destroy(&self, name: &str, version: u32) -> Result<()> {
        self.change(|ring, _| {
            let version = not_primary(find(ring, name)?, version)?;
            if version.state != KeyState::Disabled {
                let said = format!("{name}/{} is enabled: disable it first, and wait", version.version);
                return Err(Error::misuse(said));
            }
            version.destroy();
            Ok(())
        })
    }

    /// Reads, changes and replaces the file while no other writer can.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Ring, Option<&PassKey>) -> Result<T>,
    ) -> Result<T> {
        // Once: a link that is turned meanwhile must not have one file read, another replaced.
        let path = &fs::canonicalize(&self.path).map_err(|e| Error::io(self.path.display(), e))?;
        let _lock = OpenFile::locked(path)?;
        let mut ring = parse_file(path)?;
        let pass = self.unlock(&ring).map_err(|e| named(path, e))?;
        let outcome = change(&mut ring, pass.as_ref())?;
        let text = write(&ring)?;
        if text.len() as u64 > MAX_FILE {
            return Err(Error::limit(format!("keyring {}: longer than 16 MiB", path.display())));
        }
        let mut file = NewFile::create(path, true)?;
        file.write_all(&text)?;
        file.commit(true)?;
        Ok(outcome)
    }

    /// The key of the passphrase that was given, checked.
    fn unlock(&self, ring: &Ring) -> Result<Option<PassKey>> {
        let Some(passphrase) = &self.passphrase else { return Ok(None) };
        let pass = PassKey::of(passphrase, ring.kdf.as_ref())?;
        ring.check(Some(&pass)).map(|()| Some(pass))
    }
}

fn parse_file(path: &Path) -> Result<Ring> {
    Ring::parse(&read(path)?.text).map_err(|e| named(path, e))
}

fn named(path: &Path, e: Error) -> Error {
    Error::new(e.kind(), format!("keyring {}: {e}", path.display()))
}

fn find<'a>(ring: &'a mut Ring, name: &str) -> Result<&'a mut Key> {
    let key = ring.keys.iter_mut().find(|k| k.name == name);
    key.ok_or_else(|| Error::misuse(format!("no key {name} there")))
}

/// A version that is not destroyed.
fn living(key: &mut Key, version: u32) -> Result<&mut KeyVersion> {
    let id = format!("{}/{version}", key.name);
    match key.versions.iter_mut().find(|v| v.version == version) {
        None => Err(Error::misuse(format!("no version {id} there"))),
        Some(v) if v.state == KeyState::Destroyed => Err(Error::misuse(format!("{id} is destroyed"))),
        Some(v) => Ok(v),
    }
}

/// A version that nothing new is wrapped under.
fn not_primary(key: &mut Key, version: u32) -> Result<&mut KeyVersion> {
    if key.primary == version {
        return Err(Error::misuse(format!("{}/{version} is the primary: rotate first", key.name)));
    }
    living(key, version)
}

fn id(name: &str, version: u32) -> Result<KeyId> {
    KeyId::new(format!("{name}/{version}"))
}
