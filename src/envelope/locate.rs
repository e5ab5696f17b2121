//! Finding the header before a payload: one copy or two, whole or damaged.
use super::{
    Copies, EncryptionContext, HeaderCopy, Recipient, Suite,
    header::{FIXED, MAGIC, PLACES, VERSION},
    keys::MAC,
};
use crate::{
    Error, Result,
    crypto::{STREAM_HEAD, digest},
};
use std::{
    fmt,
    io::{self, Read},
};

/// What an envelope says of itself without keys: whose keys open it, which suite, how long
/// its header is. Parsed strictly; nothing of it is verified until a payload is opened.
#[derive(Clone)]
pub struct Header {
    /// The copy that is tried first, and the other one if it is well-formed and differs.
    copies: Vec<HeaderCopy>,
    damage: Option<Damage>,
    len: usize,
    read_ahead: Vec<u8>,
}

/// Of all bytes of the copies to try, and a context: short, however long they are, since whoever
/// may write records chooses how many of them are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

/// What is wrong with one of two header copies. The envelope opens all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Damage {
    /// The first copy is not well-formed. [`Scope::rewrap`](crate::Scope::rewrap) mends that,
    /// and what follows.
    FirstLost,
    /// The second copy is not well-formed.
    SecondLost,
    /// Both are well-formed, and differ.
    Differ,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstLost => "the first of two header copies is lost",
            Self::SecondLost => "the second of two header copies is lost",
            Self::Differ => "the two header copies differ",
        })
    }
}

impl Header {
    /// Parses the header at the start of an envelope, or of the first bytes of one.
    ///
    /// # Errors
    /// Malformed, and the field; Malformed too if two copies name two suites or two DEKs.
    pub fn parse(sealed: &[u8]) -> Result<Self> {
        locate(&mut Slice(sealed))
    }

    /// Reads the header, and nothing more: `from` then stands at the payload. (If the first
    /// of two copies is damaged, a search may have read further. What it read is kept in
    /// [`read_ahead`](Self::read_ahead); the readers of [`stream`](super::stream) begin
    /// with it.)
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and Io.
    pub fn read(from: impl io::Read) -> Result<Self> {
        let mut source = Stream { from, bytes: Vec::new() };
        let mut header = locate(&mut source)?;
        header.read_ahead = source.bytes.split_off(header.len.min(source.bytes.len()));
        Ok(header)
    }

    /// How many of an object's first bytes hold its header and all that a range read
    /// needs, told by its first ten. See [`stream::PREFIX`](super::stream::PREFIX).
    ///
    /// # Errors
    /// Malformed if there are fewer than ten, or they are not those of an envelope.
    pub fn prefix_len(first: &[u8]) -> Result<usize> {
        match first.first_chunk::<FIXED>() {
            Some([b'K', b'M', b'S', b'E', VERSION, _, copies @ (1 | 2), _, a, b]) => {
                let header = usize::from(u16::from_be_bytes([*a, *b])) + MAC;
                Ok(usize::from(*copies) * header + STREAM_HEAD)
            }
            _ => Err(Error::malformed("not the first bytes of an envelope")),
        }
    }

    /// Bytes of the payload that [`read`](Self::read) had to read. Empty but for damage.
    pub fn read_ahead(&self) -> &[u8] {
        &self.read_ahead
    }

    /// Bytes before the payload: every copy of header and mac; of a reference record, whose
    /// header is kept elsewhere, [`Reference::LEN`](crate::Reference::LEN).
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How the payload is encrypted.
    pub fn suite(&self) -> Suite {
        self.first().suite
    }

    /// How often the header stands there.
    pub fn copies(&self) -> Copies {
        self.first().copies
    }

    /// What is wrong with the header copies, if anything.
    pub fn damage(&self) -> Option<Damage> {
        self.damage
    }

    /// Under which KEKs the DEK is wrapped, by the copy that is tried first.
    pub fn recipients(&self) -> &[Recipient] {
        &self.first().recipients
    }

    /// The name of the DEK in this suite and context: the same in all its envelopes.
    pub fn commitment(&self) -> &[u8; 32] {
        self.first().commitment()
    }

    /// The context stored in clear, if one is. It is what somebody wrote: verified only
    /// once the payload opens with it.
    pub fn stored_context(&self) -> Option<&EncryptionContext> {
        self.first().context.as_ref()
    }

    /// How long the plaintext of an envelope of `sealed` bytes is, without keys: nobody has
    /// authenticated that.
    ///
    /// # Errors
    /// Malformed if no envelope with this header has that length.
    pub fn plaintext_len(&self, sealed: u64) -> Result<u64> {
        self.suite().plaintext_len(sealed.saturating_sub(self.len() as u64))
    }

    /// The same header, kept elsewhere than before its payload.
    pub(super) fn before_payload_at(self, len: usize) -> Self {
        Self { len, ..self }
    }

    /// Copies to try, in order: one, or two that differ.
    pub(crate) fn tries(&self) -> &[HeaderCopy] {
        &self.copies
    }

    /// What tells one header in one context from another.
    pub(crate) fn fingerprint(&self, context: &EncryptionContext) -> Fingerprint {
        let copies = self.copies.iter().map(HeaderCopy::bytes);
        Fingerprint(digest(copies.chain([context.encoding()])))
    }

    fn first(&self) -> &HeaderCopy {
        &self.copies[0]
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.recipients().iter().map(|r| format!("{}:{}", r.scheme, r.wrapped.key_id));
        f.debug_struct("Header")
            .field("suite", &self.suite())
            .field("copies", &self.copies())
            .field("damage", &self.damage)
            .field("recipients", &keys.collect::<Vec<_>>())
            .finish()
    }
}

/// The first bytes of an envelope, as many as asked for or as there are.
trait Source {
    fn prefix(&mut self, n: usize) -> Result<&[u8]>;
}

struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    fn prefix(&mut self, n: usize) -> Result<&[u8]> {
        Ok(&self.0[..n.min(self.0.len())])
    }
}

struct Stream<R> {
    from: R,
    bytes: Vec<u8>,
}

impl<R: io::Read> Source for Stream<R> {
    fn prefix(&mut self, n: usize) -> Result<&[u8]> {
        let missing = n.saturating_sub(self.bytes.len());
        self.from.by_ref().take(missing as u64).read_to_end(&mut self.bytes)?;
        Ok(&self.bytes[..n.min(self.bytes.len())])
    }
}

/// Rule 5 for readers: see the format.
fn locate(source: &mut impl Source) -> Result<Header> {
    let fixed = source.prefix(FIXED)?;
    if fixed.len() > 4 && fixed.starts_with(MAGIC) && fixed[4] != VERSION {
        return Err(Error::malformed("version: this libkms reads version 1"));
    }
    let claimed = fixed.get(8..FIXED).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    match HeaderCopy::parse(source.prefix((claimed + MAC).max(FIXED))?) {
        Ok(only) if only.copies == Copies::One => {
            let len = only.bytes.len();
            Ok(Header { copies: vec![only], damage: None, len, read_ahead: Vec::new() })
        }
        Ok(first) => {
            let place = first.bytes.len();
            let bytes = source.prefix(2 * place)?;
            if bytes.len() < 2 * place {
                return Err(Error::malformed("second header copy: cut off"));
            }
            match second_at(place, bytes) {
                Some(second) => both(first, second),
                None => Ok(two(place, vec![first], Some(Damage::SecondLost))),
            }
        }
        Err(error) => {
            for place in PLACES {
                let bytes = source.prefix(2 * place)?;
                if bytes.len() < 2 * place {
                    break;
                }
                if let Some(second) = second_at(place, bytes) {
                    return Ok(two(place, vec![second], Some(Damage::FirstLost)));
                }
            }
            Err(error)
        }
    }
}

/// A second copy says of itself that it stands at `place`.
fn second_at(place: usize, bytes: &[u8]) -> Option<HeaderCopy> {
    let copy = HeaderCopy::parse(&bytes[place..]).ok()?;
    (copy.copies == Copies::Two && copy.bytes.len() == place).then_some(copy)
}

fn both(first: HeaderCopy, second: HeaderCopy) -> Result<Header> {
    if first.suite != second.suite || first.commitment() != second.commitment() {
        return Err(Error::malformed(
            "two header copies of two suites or two DEKs: the file could hold two plaintexts",
        ));
    }
    let place = first.bytes.len();
    if first.bytes == second.bytes {
        return Ok(two(place, vec![first], None));
    }
    Ok(two(place, vec![first, second], Some(Damage::Differ)))
}

fn two(place: usize, copies: Vec<HeaderCopy>, damage: Option<Damage>) -> Header {
    Header { copies, damage, len: 2 * place, read_ahead: Vec::new() }
}
