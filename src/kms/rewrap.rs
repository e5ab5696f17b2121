//! The same payload under other KEKs.
use super::{Scope, files::copy};
use crate::{
    Copies, Error, ErrorKind, Header, Result,
    envelope::{HeaderCopy, Medium, replace_in_place, replace_known},
    rt::{NewFile, OpenFile, real_path, wait},
};
use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

impl Scope {
    /// Wraps the DEK of an envelope anew, under the KEKs that wrap now. The payload keeps
    /// every byte, and so do suite, copies, stored context and the name of the DEK; a lost
    /// or damaged header copy is mended. `None` if nothing was to do.
    ///
    /// What it does not do: take away what was possible before. The DEK stays the same, and an
    /// old copy of the header still opens under the KEKs that it names: see the manual's page on
    /// [revocation](crate::manual::revocation).
    ///
    /// # Errors
    /// As [`open`](Self::open), but that the payload is not looked at; Misuse if every KEK
    /// only opens; Limit if the new header does not fit.
    pub async fn rewrap(&self, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let header = Header::parse(sealed)?;
        let payload = &sealed[header.len()..];
        header.suite().check_payload(payload.len() as u64)?;
        Ok(self.rewrap_header_of(&header).await?.map(|new| [&new, payload].concat()))
    }

    /// The same for the header that is kept for reference records: it alone changes.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap); Malformed if it is not a header alone, of one copy.
    pub async fn rewrap_header(&self, header: &[u8]) -> Result<Option<Vec<u8>>> {
        self.rewrap_header_of(&parse_alone(header)?).await
    }

    /// The same for a sealed file, or for a header that is kept in a file of its own. Blocks.
    /// `false` if nothing was to do.
    ///
    /// With two header copies, into which the new header fits, it is written in place: of the
    /// payload no byte is read or written, and after a crash at any moment the file opens.
    /// Else a new file takes the place of the old one, whole or not at all; it keeps the mode,
    /// and owner and group where this process may set them, and loses other hard links and
    /// extended attributes, access lists among them. A group that cannot be kept, or had an
    /// access list beside it, may do what everybody may. Symbolic links are followed.
    ///
    /// Others who rewrap wait. Who reads meanwhile may meet one copy half written, and opens
    /// by the other. The file must be writable, and for a new one its directory.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap), and Io. After one that struck while it was written in
    /// place the file opens, and the next rewrap mends it.
    pub fn rewrap_file(&self, path: impl AsRef<Path>) -> Result<bool> {
        Ok(self.rewrap_file_told(path.as_ref())?.1.is_some())
    }

    /// The same, and the header as it was and, if something was to do, as it is.
    pub(crate) fn rewrap_file_told(&self, path: &Path) -> Result<(Header, Option<Arc<HeaderCopy>>)> {
        self.check()?;
        let path = &real_path(path);
        let mut file = OpenFile::locked(path)?;
        let header = Header::read(&mut file)?;
        let payload = file.about()?.len().saturating_sub(header.len() as u64);
        if !is_alone(&header, payload) {
            header.suite().check_payload(payload)?;
        }
        let rewrapper = &self.kms.0.rewrapper;
        // Files of one DEK need one call. What is damaged needs the keys that tell which copy holds.
        let (new, keys) = match header.damage() {
            None => (wait(rewrapper.rewrap(&header, &self.context))?, None),
            Some(_) => wait(rewrapper.rewrap_anew(&header, &self.context))?
                .map_or((None, None), |(new, keys)| (Some(Arc::new(new)), Some(keys))),
        };
        let Some(new) = new else { return Ok((header, None)) };
        if header.copies() == Copies::Two && new.all_copies().len() == header.len() {
            match &keys {
                Some(keys) => replace_in_place(&mut file, keys, &new)?,
                None => replace_known(&mut file, &header.tries()[0], &new)?,
            }
            return Ok((header, Some(new)));
        }
        file.seek(SeekFrom::Start(header.len() as u64))?;
        let mut replacement = NewFile::create(path, true)?;
        replacement.write_all(&new.all_copies())?;
        let changed = |what: &str| Error::new(ErrorKind::Io, format!("{}: {what}", path.display()));
        if copy(&mut file, &mut replacement)? != payload {
            return Err(changed("its size changed while it was read"));
        }
        replacement.take_over(&file)?;
        // Whoever seals or moves another file there does not ask for the lock.
        if !file.is_still_there()? {
            return Err(changed("another file took its place meanwhile"));
        }
        replacement.commit(true)?;
        Ok((header, Some(new)))
    }

    /// Whether a header is as a new one would be, and verified: a call to the KMS.
    pub(crate) fn is_current(&self, header: &Header) -> Result<bool> {
        self.check()?;
        wait(self.kms.0.rewrapper.opens_as_current(header, &self.context))
    }

    /// All that stands before the payload.
    pub(super) async fn rewrap_header_of(&self, header: &Header) -> Result<Option<Vec<u8>>> {
        self.check()?;
        let new = self.kms.0.rewrapper.rewrap(header, &self.context).await?;
        Ok(new.as_deref().map(HeaderCopy::all_copies))
    }
}

/// The header that is kept for reference records.
pub(super) fn parse_alone(bytes: &[u8]) -> Result<Header> {
    let header = Header::parse(bytes)?;
    if !is_alone(&header, (bytes.len() - header.len()) as u64) {
        return Err(Error::malformed("header: not one alone, of one copy"));
    }
    Ok(header)
}

/// One copy, and nothing behind it.
fn is_alone(header: &Header, payload: u64) -> bool {
    header.copies() == Copies::One && payload == 0
}

impl Medium for OpenFile {
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.seek(SeekFrom::Start(at))?;
        Ok(self.read_exact(bytes)?)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.seek(SeekFrom::Start(at))?;
        Ok(self.write_all(bytes)?)
    }

    fn sync(&mut self) -> Result<()> {
        OpenFile::sync(self)
    }
}
