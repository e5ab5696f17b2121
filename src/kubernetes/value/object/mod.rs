//! `EncryptedObject`: the body of a kms v2 value.
#[cfg(test)]
mod tests;

use super::{
    service::Wrapped,
    wire::{BYTES, Broken, Reader, VARINT, put_bytes, put_varint},
};
use crate::{Error, Result, kek::is_domain};
use std::collections::BTreeMap;

const MOST_SOURCE: usize = 1024;
const MOST_KEY_ID: usize = 1024;
const MOST_ANNOTATIONS: usize = 32 * 1024;

/// One that keeps to all limits.
pub(super) struct EncryptedObject<'a> {
    pub(super) data: &'a [u8],
    pub(super) source: Source<'a>,
}

/// Where its DEK comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source<'a> {
    pub(super) kind: SourceKind,
    pub(super) wrapped: &'a [u8],
    pub(super) key_id: &'a str,
    pub(super) annotations: BTreeMap<&'a str, &'a [u8]>,
}

/// What the KMS unwraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SourceKind {
    /// kms v1: a DEK, for AES-GCM or AES-CBC.
    V1,
    /// Type 0: a DEK, for AES-GCM.
    Key,
    /// Type 1: a seed of DEKs.
    Seed,
}

/// Fields as they stand there.
#[derive(Default)]
struct Fields<'a> {
    data: Option<&'a [u8]>,
    source: &'a [u8],
    key_id: &'a str,
    annotations: BTreeMap<&'a str, &'a [u8]>,
    kind: i32,
}

impl<'a> EncryptedObject<'a> {
    /// Malformed if it is none, or beyond a limit: type, data, DEK source, key id and annotations are
    /// looked at in this order.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self> {
        let Fields { data, source, key_id, annotations, kind } = fields(body)?;
        let kind = match kind {
            0 => SourceKind::Key,
            1 => SourceKind::Seed,
            _ => return Err(malformed("its encryptedDEKSourceType is neither 0 nor 1")),
        };
        let data = data.filter(|data| !data.is_empty()).ok_or_else(no_data)?;
        let source = Source { kind, wrapped: source, key_id, annotations };
        source.check()?;
        Ok(Self { data, source })
    }
}

impl<'a> Source<'a> {
    pub(super) fn of(kind: SourceKind, wrapped: &'a Wrapped) -> Self {
        let annotations = wrapped.annotations.iter().map(|(key, value)| (&**key, &**value)).collect();
        Self { kind, wrapped: &wrapped.ciphertext, key_id: &wrapped.key_id, annotations }
    }

    pub(super) fn to_wrapped(&self) -> Wrapped {
        Wrapped {
            ciphertext: self.wrapped.into(),
            key_id: self.key_id.into(),
            annotations: self
                .annotations
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
        }
    }

    /// The limits of kms v2.
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MOST_SOURCE).contains(&self.wrapped.len()) {
            return Err(malformed("its encryptedDEKSource does not have 1 to 1024 bytes"));
        }
        if !(1..=MOST_KEY_ID).contains(&self.key_id.len()) {
            return Err(malformed("its keyID does not have 1 to 1024 bytes"));
        }
        if !self.annotations.keys().all(|key| is_domain(key)) {
            return Err(malformed("the name of an annotation is no fully qualified domain name"));
        }
        if self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
            > MOST_ANNOTATIONS
        {
            return Err(malformed("its annotations have more than 32 KiB"));
        }
        Ok(())
    }

    /// What stands behind the data of a value, the same for all under one source.
    pub(super) fn tail(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(2, self.key_id.as_bytes(), &mut out);
        put_bytes(3, self.wrapped, &mut out);
        for (key, value) in &self.annotations {
            let mut entry = Vec::new();
            put_bytes(1, key.as_bytes(), &mut entry);
            put_bytes(2, value, &mut entry);
            put_bytes(4, &entry, &mut out);
        }
        if self.kind == SourceKind::Seed {
            out.extend_from_slice(&[5 << 3, 1]);
        }
        out
    }
}

/// A body whose data comes first, and nowhere else: the data, which is not empty, and the rest. What the
/// rest says does not depend on the data, and is the same for all values of one source.
#[inline]
pub(super) fn split(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader(body.strip_prefix(&[1 << 3 | BYTES])?);
    let data = reader.bytes().ok().filter(|data| !data.is_empty())?;
    Some((data, reader.0))
}

/// Whether no data is in what [`split`] gave as the rest.
pub(super) fn is_rest(rest: &[u8]) -> bool {
    fields(rest).is_ok_and(|fields| fields.data.is_none())
}

/// What stands before the data.
pub(super) fn put_head(data: usize, out: &mut Vec<u8>) {
    out.push(1 << 3 | BYTES);
    put_varint(data as u64, out);
}

fn fields(body: &[u8]) -> Result<Fields<'_>> {
    read(body).map_err(|Broken| malformed("its body is no EncryptedObject"))
}

fn read(body: &[u8]) -> Result<Fields<'_>, Broken> {
    let (mut reader, mut fields) = (Reader(body), Fields::default());
    while let Some((number, kind)) = reader.field()? {
        match (number, kind) {
            (1, BYTES) => fields.data = Some(reader.bytes()?),
            (2, BYTES) => fields.key_id = reader.text()?,
            (3, BYTES) => fields.source = reader.bytes()?,
            (4, BYTES) => {
                let (key, value) = annotation(reader.bytes()?)?;
                fields.annotations.insert(key, value);
            }
            // Enumerations have 32 bits.
            (5, VARINT) => fields.kind = reader.varint()? as i32,
            _ => reader.skip(number, kind)?,
        }
    }
    Ok(fields)
}

fn annotation(entry: &[u8]) -> Result<(&str, &[u8]), Broken> {
    let (mut reader, mut key, mut value) = (Reader(entry), "", &[][..]);
    while let Some((number, kind)) = reader.field()? {
        match (number, kind) {
            (1, BYTES) => key = reader.text()?,
            (2, BYTES) => value = reader.bytes()?,
            _ => reader.skip(number, kind)?,
        }
    }
    Ok((key, value))
}

fn no_data() -> Error {
    malformed("its encryptedData is empty")
}

fn malformed(what: &'static str) -> Error {
    Error::malformed(format!("a kms v2 value: {what}"))
}
