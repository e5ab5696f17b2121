//! The same payload under other KEKs.
use super::Scope;
use crate::{Copies, Error, Header, Result, envelope::HeaderCopy};

impl Scope {
    /// Wraps the DEK of an envelope anew, under the KEKs that wrap now. The payload keeps
    /// every byte, and so do suite, copies, stored context and the name of the DEK; a lost
    /// or damaged header copy is mended. `None` if nothing was to do.
    ///
    /// What it does not do: take away what was possible before. An old copy of the header
    /// still opens under the KEKs that it names.
    ///
    /// # Errors
    /// As [`open`](Self::open), but that the payload is not looked at; Misuse if every KEK
    /// only opens; Limit if the new header does not fit.
    pub async fn rewrap(&self, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let header = Header::parse(sealed)?;
        let payload = &sealed[header.len()..];
        if payload.len() < header.suite().least_payload() {
            return Err(Error::malformed("payload: below its suite's minimum"));
        }
        Ok(self.rewrap_header_of(&header).await?.map(|new| [&new, payload].concat()))
    }

    /// The same for the header that is kept for reference records: it alone changes.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap); Malformed if it is not a header alone, of one copy.
    pub async fn rewrap_header(&self, header: &[u8]) -> Result<Option<Vec<u8>>> {
        let parsed = Header::parse(header)?;
        if parsed.copies() != Copies::One || parsed.len() != header.len() {
            return Err(Error::malformed("header: not one alone, of one copy"));
        }
        self.rewrap_header_of(&parsed).await
    }

    /// All that stands before the payload.
    async fn rewrap_header_of(&self, header: &Header) -> Result<Option<Vec<u8>>> {
        self.check()?;
        let new = self.kms.0.rewrapper.rewrap(header, &self.context).await?;
        Ok(new.as_deref().map(HeaderCopy::all_copies))
    }
}
