//! A sealed file, looked at.
use crate::{Copies, Error, ErrorKind, Header, Recipient, Reference, Result, rt::open_at_once};
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::Seek,
    path::Path,
};

/// Keys, as `SCHEME:KEY_ID`.
pub(super) type Names = BTreeSet<String>;

/// The header of a sealed file, or one that is kept alone; `None` of a reference record, whose
/// header is elsewhere. Nothing of it is verified.
pub(super) fn look(path: &Path) -> Result<Option<Header>> {
    let cannot = |e| Error::io("cannot read", e);
    let mut file = open_at_once(OpenOptions::new().read(true), path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(Error::misuse(if about.is_dir() { "is a directory" } else { "is not a regular file" }));
    }
    let header = match Header::read(&mut file) {
        Err(e) if e.kind() == ErrorKind::Malformed => match again(&mut file)? {
            Some(header) => header,
            None => return Ok(None),
        },
        read => read?,
    };
    let payload = about.len().saturating_sub(header.len() as u64);
    if payload > 0 || header.copies() == Copies::Two {
        header.suite().check_payload(payload)?;
    }
    Ok(Some(header))
}

/// Whoever mends and rewraps a file at this moment can have us meet both copies half written:
/// not while nobody else has the lock.
fn again(file: &mut File) -> Result<Option<Header>> {
    file.lock_shared()?;
    file.rewind()?;
    if Reference::read(&mut *file).is_ok() {
        return Ok(None);
    }
    file.rewind()?;
    Header::read(file).map(Some)
}

/// The keys that a header names, in any copy.
pub(super) fn names(header: &Header) -> Names {
    header.tries().iter().flat_map(|copy| copy.recipients()).map(name).collect()
}

pub(super) fn name(recipient: &Recipient) -> String {
    format!("{}:{}", recipient.scheme, recipient.wrapped.key_id)
}
