//! The life of keys: added, rotated, disabled, enabled, destroyed.
use super::{
    file::{Key, KeyState, KeyVersion, MAX_VERSION, check_name, parse, write},
    read::{MAX_FILE, read},
};
use crate::{
    Error, KeyId, Result,
    rt::{NewFile, lock_file},
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
/// What was destroyed may still lie on the disk where the old file was, and in backups.
pub struct KeyringFile {
    path: PathBuf,
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
        Self { path: path.into() }
    }

    /// What is in it.
    ///
    /// # Errors
    /// As [`Keyring::open`](super::Keyring::open).
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        let version =
            |v: &KeyVersion| VersionInfo { version: v.version, created: v.created.clone(), state: v.state };
        let info = |k: &Key| KeyInfo {
            name: k.name.clone(),
            primary: k.primary,
            versions: k.versions.iter().map(version).collect(),
        };
        Ok(parse_file(&self.path)?.iter().map(info).collect())
    }

    /// Adds a key, in its first version.
    ///
    /// # Errors
    /// Misuse if there is such a key, or the name is none; as [`keys`](Self::keys) besides.
    pub fn add(&self, name: &str) -> Result<KeyId> {
        check_name(name)?;
        self.change(|keys| {
            if keys.iter().any(|k| k.name == name) {
                return Err(Error::misuse(format!("there is a key {name} already: rotate it")));
            }
            keys.push(Key { name: name.into(), primary: 1, versions: vec![KeyVersion::fresh(1)?] });
            id(name, 1)
        })
    }

    /// Gives a key a new version, which wraps from now on. The others still open.
    ///
    /// # Errors
    /// Misuse if there is no such key; as [`keys`](Self::keys) besides.
    pub fn rotate(&self, name: &str) -> Result<KeyId> {
        self.change(|keys| {
            let key = find(keys, name)?;
            let newest = key.versions.iter().map(|v| v.version).max().unwrap_or(0);
            if newest >= MAX_VERSION {
                return Err(Error::limit(format!("{name} has its last version")));
            }
            key.versions.push(KeyVersion::fresh(newest + 1)?);
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
        self.change(|keys| {
            let version = not_primary(find(keys, name)?, version)?;
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
        self.change(|keys| {
            let key = find(keys, name)?;
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
        self.change(|keys| {
            let version = not_primary(find(keys, name)?, version)?;
            if version.state != KeyState::Disabled {
                let said = format!("{name}/{} is enabled: disable it first, and wait", version.version);
                return Err(Error::misuse(said));
            }
            version.destroy();
            Ok(())
        })
    }

    /// Reads, changes and replaces the file while no other writer can.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Key>) -> Result<T>) -> Result<T> {
        // Once: a link that is turned meanwhile must not have one file read, another replaced.
        let path = &fs::canonicalize(&self.path).map_err(|e| Error::io(self.path.display(), e))?;
        let _lock = lock_file(path)?;
        let mut keys = parse_file(path)?;
        let outcome = change(&mut keys)?;
        let text = write(&keys)?;
        if text.len() as u64 > MAX_FILE {
            return Err(Error::limit(format!("keyring {}: longer than 16 MiB", path.display())));
        }
        let mut file = NewFile::create(path, true)?;
        file.write_all(&text).map_err(|e| Error::io(format!("cannot write {}", path.display()), e))?;
        file.commit(true)?;
        Ok(outcome)
    }
}

fn parse_file(path: &Path) -> Result<Vec<Key>> {
    let named = |e: Error| Error::new(e.kind(), format!("keyring {}: {e}", path.display()));
    parse(&read(path)?.text).map_err(named)
}

fn find<'a>(keys: &'a mut [Key], name: &str) -> Result<&'a mut Key> {
    keys.iter_mut().find(|k| k.name == name).ok_or_else(|| Error::misuse(format!("no key {name} there")))
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
