//! Records that do not carry their header.
use super::{Copies, Header, HeaderCopy, Suite, codec::Parser, header};
use crate::{Error, Result};
use std::io::{self, Read};

pub(super) const MAGIC: &[u8; 4] = b"KMSR";
const VERSION: u8 = 1;

/// What a reference record begins with: `"KMSR" || version || suite || commitment`. Its
/// payload follows.
///
/// The header it names by the commitment is kept once, elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Reference {
    /// How the payload is encrypted.
    pub suite: Suite,
    /// Which header it needs: that of the DEK with this name.
    pub commitment: [u8; 32],
}

impl Reference {
    /// Bytes before the payload.
    pub const LEN: usize = 4 + 1 + 1 + 32;

    /// Of a record that is whole in memory.
    ///
    /// # Errors
    /// Malformed, and the field.
    pub fn parse(record: &[u8]) -> Result<Self> {
        let mut p = Parser(record);
        let reference = Self::take(&mut p)?;
        reference.suite.check_payload(p.0.len() as u64)?;
        Ok(reference)
    }

    /// Reads what stands before the payload, and nothing more.
    ///
    /// # Errors
    /// Malformed, and the field; Io.
    pub fn read(from: impl io::Read) -> Result<Self> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        from.take(Self::LEN as u64).read_to_end(&mut bytes)?;
        Self::take(&mut Parser(&bytes))
    }

    /// The header that was kept for this record, as the one of the record: its
    /// [`len`](Header::len) is [`LEN`](Self::LEN), and what opens a stream or a range of an
    /// envelope opens it in the record. `kept` is not trusted.
    ///
    /// # Errors
    /// Malformed unless it has one copy, this suite and commitment, and ends with its mac.
    pub fn header(&self, kept: &[u8]) -> Result<Header> {
        let header = Header::parse(kept)?;
        let fits = header.copies() == Copies::One
            && header.len() == kept.len()
            && header.suite() == self.suite
            && *header.commitment() == self.commitment;
        if !fits {
            return Err(Error::malformed("header: not the one of this reference"));
        }
        Ok(header.before_payload_at(Self::LEN))
    }

    /// How long the plaintext of a record of `sealed` bytes is, without keys: nobody has
    /// authenticated that.
    ///
    /// # Errors
    /// Malformed if no record of this suite has that length.
    pub fn plaintext_len(&self, sealed: u64) -> Result<u64> {
        self.suite.plaintext_len(sealed.saturating_sub(Self::LEN as u64))
    }

    /// As the header of an envelope would be named that begins with these bytes, if they are one.
    pub(crate) fn of_envelope(sealed: &[u8]) -> Option<Self> {
        let mut p = Parser(sealed.strip_prefix(header::MAGIC)?);
        let [_version, suite] = *p.array("suite").ok()?;
        p.array::<4>("copies, recipients, header_len").ok()?;
        let commitment = *p.array("commitment").ok()?;
        Some(Self { suite: Suite::parse(suite).ok()?, commitment })
    }

    /// To a header.
    pub(crate) fn of(header: &Header) -> Self {
        Self { suite: header.suite(), commitment: *header.commitment() }
    }

    /// To the header of a DEK.
    pub(crate) fn to(header: &HeaderCopy) -> Self {
        Self { suite: header.suite, commitment: *header.commitment() }
    }

    /// What a record begins with, and room for `more` bytes.
    pub(crate) fn begin(&self, more: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN + more);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, self.suite as u8]);
        out.extend_from_slice(&self.commitment);
        out
    }

    fn take(p: &mut Parser<'_>) -> Result<Self> {
        if p.array("magic")? != MAGIC {
            return Err(Error::malformed("magic: not a reference record"));
        }
        if p.byte("version")? != VERSION {
            return Err(Error::malformed("version: this libkms reads version 1"));
        }
        Ok(Self { suite: Suite::parse(p.byte("suite")?)?, commitment: *p.array("commitment")? })
    }
}
