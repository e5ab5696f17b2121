//! One copy of a header and its mac.
use super::{
    EncryptionContext, KeyId, Recipient, WrappedDek, check_scheme,
    codec::{Parser, put_long},
    keys::{DerivedKeys, MAC},
    reference,
    stream::plaintext_len,
};
use crate::{Error, Result, secret::told};
use std::ops::RangeInclusive;

pub(super) const MAGIC: &[u8; 4] = b"KMSE";
pub(super) const VERSION: u8 = 1;
/// Up to header_len, which says how long the rest is.
pub(super) const FIXED: usize = 10;
/// Most bytes of a header.
const MAX_HEADER: usize = 65520;
const RECIPIENTS: RangeInclusive<u8> = 1..=16;
const FIELD_CONTEXT: u8 = 0x01;
/// Field types from here on may be skipped by who does not know them.
const OPTIONAL: u8 = 0x80;

/// How a payload is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Suite {
    /// XAES-256-GCM: the whole payload at once.
    OneShot = 1,
    /// C2SP chunked encryption, Cobblestone-256: streams and ranges.
    Chunked = 2,
}

impl Suite {
    pub(super) fn parse(byte: u8) -> Result<Self> {
        match byte {
            1 => Ok(Self::OneShot),
            2 => Ok(Self::Chunked),
            _ => Err(Error::malformed("suite")),
        }
    }

    pub(super) const CHUNKED_LEAST: usize = 72;

    /// Malformed if no payload is as short as this.
    pub(crate) fn check_payload(self, len: u64) -> Result<()> {
        if len < self.least_payload() as u64 {
            return Err(Error::malformed("payload: below its suite's minimum"));
        }
        Ok(())
    }

    /// Of a payload of this many bytes.
    pub(super) fn plaintext_len(self, payload: u64) -> Result<u64> {
        let told = match self {
            Self::OneShot => payload.checked_sub(self.least_payload() as u64),
            Self::Chunked => plaintext_len(payload).ok(),
        };
        told.ok_or_else(|| Error::malformed("payload: none has this length"))
    }

    /// The shortest payload there is.
    pub(super) fn least_payload(self) -> usize {
        match self {
            Self::OneShot => 40,
            Self::Chunked => Self::CHUNKED_LEAST,
        }
    }
}

/// How often the header stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Copies {
    /// Once: the smallest envelope.
    One = 1,
    /// Twice, each padded to 4096 bytes or more, so that it is rewrapped in place, safe
    /// against a crash, however large the payload is.
    Two = 2,
}

/// The bytes that a header and its mac take with two copies.
pub(super) const PLACES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];

/// A well-formed header and its mac, not yet verified.
#[derive(Clone)]
pub(crate) struct HeaderCopy {
    /// The header, then the mac.
    pub(super) bytes: Vec<u8>,
    pub(super) suite: Suite,
    pub(crate) copies: Copies,
    pub(super) recipients: Vec<Recipient>,
    pub(super) context: Option<EncryptionContext>,
    /// Encoded, those that this version does not know among them.
    fields: Vec<u8>,
}

/// What a header is to say.
pub(crate) struct Plan<'a> {
    pub(crate) suite: Suite,
    pub(crate) copies: Copies,
    pub(crate) recipients: &'a [Recipient],
    /// To be stored in clear.
    pub(crate) context: Option<&'a EncryptionContext>,
}

impl HeaderCopy {
    /// Parses the header and mac that `bytes` begins with. Malformed, and the field, if
    /// they are not as the format has them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut p = Parser(bytes);
        match p.array("magic") {
            Ok(MAGIC) => {}
            Ok(reference::MAGIC) => {
                return Err(Error::malformed("magic: a reference record, whose header is kept elsewhere"));
            }
            _ => return Err(Error::malformed("magic: not a libkms envelope")),
        }
        if p.byte("version")? != VERSION {
            return Err(Error::malformed("version"));
        }
        let suite = Suite::parse(p.byte("suite")?)?;
        let copies = match p.byte("copies")? {
            1 => Copies::One,
            2 => Copies::Two,
            _ => return Err(Error::malformed("copies")),
        };
        let count = p.byte("recipients")?;
        let len = p.number("header_len")?;
        if !RECIPIENTS.contains(&count) {
            return Err(Error::malformed("recipients: 1 to 16"));
        }
        if len > MAX_HEADER || (copies == Copies::Two && !PLACES.contains(&(len + MAC))) {
            return Err(Error::malformed("header_len"));
        }
        if bytes.len() < len + MAC {
            return Err(Error::malformed("header_len: longer than what there is"));
        }
        let mut p = Parser(bytes.get(FIXED..len).ok_or_else(|| Error::malformed("header_len"))?);
        p.array::<32>("commitment")?;
        let recipients = (0..count).map(|_| recipient(&mut p)).collect::<Result<Vec<_>>>()?;
        let fields = p.long("fields")?;
        let context = stored_context(Parser(fields))?;
        if copies == Copies::One && !p.is_empty() {
            return Err(Error::malformed("padding: none with one copy"));
        }
        if p.0.iter().any(|b| *b != 0) {
            return Err(Error::malformed("padding: not zero"));
        }
        let (bytes, fields) = (bytes[..len + MAC].to_vec(), fields.to_vec());
        Ok(Self { bytes, suite, copies, recipients, context, fields })
    }

    /// Writes a header and its mac. Limit if it does not fit.
    pub(crate) fn build(plan: &Plan<'_>, keys: &DerivedKeys) -> Result<Self> {
        let mut fields = Vec::new();
        if let Some(context) = plan.context {
            fields.push(FIELD_CONTEXT);
            put_long(&mut fields, context.encoding());
        }
        let mut header = Self {
            bytes: Vec::new(),
            suite: plan.suite,
            copies: plan.copies,
            recipients: plan.recipients.to_vec(),
            context: plan.context.cloned(),
            fields,
        };
        header.encode(keys, 0)?;
        Ok(header)
    }

    /// This header for other recipients. Suite, copies, commitment and fields keep every
    /// byte, and the place its length if that will do.
    pub(crate) fn rewrapped(&self, recipients: Vec<Recipient>, keys: &DerivedKeys) -> Result<Self> {
        let mut header = Self { recipients, ..self.clone() };
        header.encode(keys, self.bytes.len())?;
        Ok(header)
    }

    /// Makes `bytes` of the rest. Two copies take at least `place` bytes each.
    fn encode(&mut self, keys: &DerivedKeys, place: usize) -> Result<()> {
        let count = u8::try_from(self.recipients.len()).unwrap_or(0);
        if !RECIPIENTS.contains(&count) {
            return Err(Error::limit("a header has 1 to 16 recipients"));
        }
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, self.suite as u8, self.copies as u8, count, 0, 0]);
        bytes.extend_from_slice(keys.commitment());
        for r in &self.recipients {
            check_scheme(r.scheme.as_bytes())?;
            if !r.wrapped.has_a_valid_length() {
                return Err(Error::limit("a wrapped DEK has 1 to 32768 bytes"));
            }
            bytes.push(r.scheme.len() as u8);
            bytes.extend_from_slice(r.scheme.as_bytes());
            put_long(&mut bytes, r.wrapped.key_id.as_str().as_bytes());
            put_long(&mut bytes, &r.wrapped.ciphertext);
        }
        put_long(&mut bytes, &self.fields);
        let len = match self.copies {
            Copies::One => Some(bytes.len()),
            Copies::Two => {
                PLACES.iter().filter(|p| **p >= place).map(|p| p - MAC).find(|n| *n >= bytes.len())
            }
        };
        let len = len
            .filter(|n| *n <= MAX_HEADER)
            .ok_or_else(|| Error::limit("a header has at most 65520 bytes"))?;
        bytes.resize(len, 0);
        bytes[8..FIXED].copy_from_slice(&(len as u16).to_be_bytes());
        bytes.extend_from_slice(&told(keys.mac(&bytes)?));
        self.bytes = bytes;
        Ok(())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As they stand before a payload.
    pub(crate) fn all_copies(&self) -> Vec<u8> {
        self.bytes.repeat(self.copies as usize)
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    pub(crate) fn commitment(&self) -> &[u8; 32] {
        self.bytes[FIXED..].first_chunk().expect("parsed")
    }

    /// Whether it may be opened in this context: it stores none, or this one.
    pub(crate) fn is_for(&self, context: &EncryptionContext) -> bool {
        self.context.as_ref().is_none_or(|stored| stored == context)
    }

    /// Authentication unless these keys made it.
    pub(crate) fn verify(&self, keys: &DerivedKeys) -> Result<()> {
        let (header, mac) = self.bytes.split_last_chunk().expect("parsed");
        keys.verify(header, self.commitment(), mac)
    }
}

fn recipient(p: &mut Parser<'_>) -> Result<Recipient> {
    let scheme = check_scheme(p.short("scheme")?)?.to_owned();
    let key_id = KeyId::parse(p.long("key_id")?)?;
    let wrapped = WrappedDek::new(key_id, p.long("wrapped")?.to_vec());
    if !wrapped.has_a_valid_length() {
        return Err(Error::malformed("wrapped: 1 to 32768 bytes"));
    }
    Ok(Recipient { scheme, wrapped })
}

/// The stored context, if there is one.
fn stored_context(mut p: Parser<'_>) -> Result<Option<EncryptionContext>> {
    let (mut context, mut last) = (None, None);
    while !p.is_empty() {
        let kind = p.byte("fields: type")?;
        let value = p.long("fields: value")?;
        if last.is_some_and(|l| l >= kind) {
            return Err(Error::malformed("fields: types not ascending"));
        }
        last = Some(kind);
        match kind {
            FIELD_CONTEXT => context = Some(EncryptionContext::parse(value)?),
            OPTIONAL.. => {}
            _ => return Err(Error::malformed("fields: a type this version does not know")),
        }
    }
    Ok(context)
}
