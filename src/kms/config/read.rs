//! Reading a configuration file.
use super::place::{Place, Source};
use crate::{Error, Result, rt::open_at_once};
use std::{
    fs::{Metadata, OpenOptions},
    io::Read,
    path::Path,
};

/// No configuration is longer: some thousands of purposes.
const MAX_FILE: u64 = 1 << 20;

/// The text of a file that nobody else can have written.
pub(super) fn read(path: &Path) -> Result<String> {
    let name = path.display();
    let what = |e| Error::io(format!("configuration {name}"), e);
    let file = open_at_once(OpenOptions::new().read(true), path).map_err(what)?;
    let about = file.metadata().map_err(what)?;
    if !about.is_file() {
        return Err(Error::misuse(format!("{name}: not a regular file")));
    }
    trusted(&about, path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(what)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::misuse(format!("{name}: longer than 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&e.as_bytes()[..valid]);
        Source { name: &name.to_string(), text: &text }.error(&Place::of_byte(valid), "not UTF-8")
    })
}

/// It says which KEKs wrap: whoever can write it can have everything sealed under theirs.
#[cfg(unix)]
fn trusted(about: &Metadata, path: &Path) -> Result<()> {
    use crate::arch::effective_user;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (mode, owner) = (about.permissions().mode() & 0o777, about.uid());
    let said = if mode & 0o022 != 0 {
        format!("others can write this configuration (mode {mode:o}): chmod go-w")
    } else if owner != 0 && owner != effective_user() {
        format!("another user owns this configuration (uid {owner})")
    } else {
        return Ok(());
    };
    Err(Error::misuse(format!("{}: {said}", path.display())))
}

#[cfg(not(unix))]
fn trusted(_: &Metadata, _: &Path) -> Result<()> {
    Ok(())
}
