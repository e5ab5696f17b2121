//! Configurations as files. They hold keys: what was read is wiped, what is written is private.
use crate::{failure::Failure, output::print, text::visible_path};
use libkms::{
    NewFile,
    kubernetes::{ConfigurationText, Gate},
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

/// A byte more than a configuration can have.
const MOST: usize = (1 << 20) + 1;

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let cannot = |e| Failure::io(&format!("cannot read {}", path.display()), &e);
    // In one piece, so that no growing leaves a copy.
    let mut bytes = Zeroizing::new(vec![0; MOST]);
    let (mut file, mut n) = (File::open(path).map_err(cannot)?, 0);
    while n < MOST {
        match file.read(&mut bytes[n..]).map_err(cannot)? {
            0 => break,
            more => n += more,
        }
    }
    bytes.truncate(n);
    Ok(bytes)
}

pub(super) fn parse(path: &Path, bytes: &[u8], gate: Gate) -> Result<ConfigurationText, Failure> {
    ConfigurationText::new(bytes, gate).map_err(|e| Failure::from(e).about(&visible_path(path)))
}

/// `secret`: the name of the Secret that it is to be.
pub(super) fn write(
    text: &ConfigurationText,
    secret: Option<&str>,
    path: &Path,
    force: bool,
) -> Result<(), Failure> {
    let manifest;
    let bytes = match secret.map(|name| name.split_once('/').map_or((name, None), |(n, s)| (n, Some(s)))) {
        None => text.text(),
        Some((name, namespace)) => {
            manifest = text.to_secret(name, namespace)?;
            &manifest
        }
    };
    if path == Path::new("-") {
        return print(bytes.as_bytes());
    }
    if !force && fs::symlink_metadata(path).is_ok() {
        let said = format!("{} exists: --force overwrites it", path.display());
        return Err(Failure::failed(&said));
    }
    put(path, bytes, force)
}

/// In the place of `old`, which it was made of: unless somebody else changed that meanwhile.
pub(super) fn replace(path: &Path, old: &[u8], text: &ConfigurationText) -> Result<(), Failure> {
    // Through a symbolic link, which stays one.
    let path = fs::canonicalize(path).map_err(|e| Failure::io(&path.display().to_string(), &e))?;
    if *read(&path)? != old {
        let said = format!("{} was changed meanwhile: nothing is written", path.display());
        return Err(Failure::failed(&said));
    }
    put(&path, text.text(), true)
}

fn put(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut file = NewFile::create(path, true)?;
    let written = file.write_all(text.as_bytes());
    written.map_err(|e| Failure::io(&format!("cannot write {}", path.display()), &e))?;
    Ok(file.commit(force)?)
}
