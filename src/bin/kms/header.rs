//! Headers that are kept in a file of their own, for `--header`.
use crate::{context, failure::Failure, plan::Target, text::visible_path};
use libkms::{Error, ErrorKind, Header, HeaderFile, Reference, ReferenceSealer, Scope, SealOptions, Suite};
use std::{
    fs,
    io::{Chain, Cursor, Read},
    path::Path,
};

/// What a record begins with whose header is elsewhere.
const REFERENCE: &[u8] = b"KMSR";

/// What seals under the header in this file, which is made if there is none.
pub(crate) fn sealer(scope: &Scope, path: &Path) -> Result<ReferenceSealer, Failure> {
    let name = visible_path(path);
    let file = HeaderFile::at(path);
    if let Some(header) = file.read()? {
        let header = Header::parse(&header).map_err(|e| Failure::from(e).about(&name))?;
        let stored = header.stored_context().filter(|c| scope.context().is_empty() && !c.is_empty());
        if let Some(stored) = stored {
            let said = format!("{name}: its context must be named: {}", context::told(stored));
            return Err(Error::from(context::Unnamed(said)).into());
        }
    }
    let options = SealOptions::new().store_context();
    let sealer = scope.reference_sealer_in(&file, &options).map_err(|e| Failure::from(e).about(&name))?;
    if sealer.suite() != Suite::Chunked {
        return Err(Failure::usage("is of suite 1, for records that a program makes").about(&name));
    }
    Ok(sealer)
}

/// The bytes of a header that must be there. What else is wrong with them, a record tells.
pub(crate) fn kept(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = visible_path(path);
    let missing = || Failure::no_header("there is no such header").about(&name);
    let header = HeaderFile::at(path).read()?.ok_or_else(missing)?;
    Header::parse(&header).map_err(|e| Failure::from(e).about(&name))?;
    Ok(header)
}

/// Not even --force has an output take the place of the header: nothing under it would open.
pub(crate) fn spare(header: &Path, to: &Target) -> Result<(), Failure> {
    match to {
        Target::Named(path) | Target::File(path) | Target::Below(path) if is_same(path, header) => {
            Err(Failure::usage("the output would take the place of the header"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// The header of an input, whose payload comes next then: its own, or the one that was kept.
pub(crate) fn read(input: impl Read, kept: Option<&[u8]>) -> Result<Header, Failure> {
    match (begin(input)?, kept) {
        (Begun::Envelope(input), None) => Ok(Header::read(input)?),
        (Begun::Reference(input), Some(kept)) => Ok(Reference::read(input)?.header(kept)?),
        (Begun::Reference(_), None) => {
            Err(Failure::no_header("its header is kept elsewhere: name that file with --header"))
        }
        (Begun::Envelope(_), Some(_)) => {
            let said = "magic: not sealed with --header; if it is an envelope, open it without";
            Err(Error::new(ErrorKind::Malformed, said).into())
        }
    }
}

/// An input, all of it, told by its first bytes.
pub(crate) enum Begun<R> {
    Reference(All<R>),
    Envelope(All<R>),
}

/// What was read already, then the rest.
type All<R> = Chain<Cursor<Vec<u8>>, R>;

pub(crate) fn begin<R: Read>(mut input: R) -> Result<Begun<R>, Failure> {
    let mut first = Vec::new();
    input.by_ref().take(REFERENCE.len() as u64).read_to_end(&mut first).map_err(Error::from)?;
    let is_reference = first == REFERENCE;
    let all = Cursor::new(first).chain(input);
    Ok(if is_reference { Begun::Reference(all) } else { Begun::Envelope(all) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_by_a_look() {
        for (text, is_reference) in
            [(&b""[..], false), (b"KMS", false), (b"KMSE...", false), (b"KMSR...", true)]
        {
            let mut all = Vec::new();
            match begin(text).unwrap_or_else(|_| panic!("it was read")) {
                Begun::Reference(mut r) if is_reference => r.read_to_end(&mut all).unwrap(),
                Begun::Envelope(mut r) if !is_reference => r.read_to_end(&mut all).unwrap(),
                _ => panic!("{text:?}"),
            };
            assert_eq!(all, text);
        }
    }
}
