//! Records that do not carry their header.
use super::{Copies, Header, Suite, codec::Parser};
use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"KMSR";
const VERSION: u8 = 1;

/// A parsed reference record: `"KMSR" || version || suite || commitment || payload`.
///
/// The header it names by the commitment is kept once, elsewhere.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Reference<'a> {
    /// How the payload is encrypted.
    pub suite: Suite,
    /// Which header it needs: that of the DEK with this name.
    pub commitment: &'a [u8; 32],
    pub(crate) payload: &'a [u8],
}

impl<'a> Reference<'a> {
    /// Bytes before the payload.
    pub(crate) const HEAD: usize = 4 + 1 + 1 + 32;

    /// # Errors
    /// Malformed, and the field.
    pub fn parse(record: &'a [u8]) -> Result<Self> {
        let mut p = Parser(record);
        if p.array("magic")? != MAGIC {
            return Err(Error::malformed("magic: not a reference record"));
        }
        if p.byte("version")? != VERSION {
            return Err(Error::malformed("version: this libkms reads version 1"));
        }
        let suite = Suite::parse(p.byte("suite")?)?;
        let commitment = p.array("commitment")?;
        suite.check_payload(p.0.len() as u64)?;
        Ok(Self { suite, commitment, payload: p.0 })
    }

    pub(crate) fn begin(out: &mut Vec<u8>, suite: Suite, commitment: &[u8; 32]) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, suite as u8]);
        out.extend_from_slice(commitment);
    }

    /// The header kept for this reference. Malformed unless it has one copy, this suite and
    /// commitment, and ends with its mac.
    pub(crate) fn check_header(&self, bytes: &[u8]) -> Result<Header> {
        let header = Header::parse(bytes)?;
        let fits = header.copies() == Copies::One
            && header.len() == bytes.len()
            && header.suite() == self.suite
            && header.commitment() == self.commitment;
        if fits { Ok(header) } else { Err(Error::malformed("header: not the one of this reference")) }
    }
}
