//! Integers and lengths as the format has them: big-endian, counted in bytes.
use crate::{Error, Result};

/// What is left to parse; errors name the field.
pub(super) struct Parser<'a>(pub(super) &'a [u8]);

impl<'a> Parser<'a> {
    pub(super) fn take(&mut self, n: usize, field: &'static str) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(|| cut_short(field))?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(|| cut_short(field))?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8> {
        self.array::<1>(field).map(|b| b[0])
    }

    pub(super) fn number(&mut self, field: &'static str) -> Result<usize> {
        self.array(field).map(|b| usize::from(u16::from_be_bytes(*b)))
    }

    /// `1 + len` bytes.
    pub(super) fn short(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let n = self.byte(field)?;
        self.take(n.into(), field)
    }

    /// `2 + len` bytes.
    pub(super) fn long(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let n = self.number(field)?;
        self.take(n, field)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn cut_short(field: &'static str) -> Error {
    Error::malformed(format!("{field}: longer than what there is"))
}

/// Appends `2 + len` bytes.
pub(super) fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    let n = u16::try_from(bytes.len()).expect("the types of this layer bound every length");
    out.extend_from_slice(&n.to_be_bytes());
    out.extend_from_slice(bytes);
}
