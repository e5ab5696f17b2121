//! The KMS of a provider.
use crate::{
    Error, ErrorKind, Result, async_trait,
    secret::{Locked, without_residue},
};
use std::{collections::BTreeMap, fmt};
use zeroize::Zeroize;

/// The KMS that a provider of type kms stands for: as a rule a plugin on this machine.
///
/// A call that takes too long ends itself, with [`Unavailable`](ErrorKind::Unavailable): whoever reads
/// or writes waits for it. Calls go on when their callers went away, and are polled on any thread, under
/// no particular runtime: a client that needs one brings it.
#[async_trait]
pub trait KmsService: Send + Sync {
    /// Wraps a DEK or a seed. `uid`: of this call, for logs. Under v1 key id and annotations are empty.
    async fn encrypt(&self, plaintext: &[u8], uid: &str) -> Result<Wrapped>;

    /// Unwraps what some service of this kind made.
    async fn decrypt(&self, wrapped: &Wrapped, uid: &str) -> Result<DekSource>;

    /// Which key wraps now. Nobody asks it under v1.
    async fn status(&self) -> Result<KmsStatus>;
}

/// A DEK or a seed as its KMS wrapped it: it stands in every value that is under it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrapped {
    /// v2: 1 to 1024 bytes; v1: 1 to 65,535.
    pub ciphertext: Vec<u8>,
    /// v2: the KEK, 1 to 1024 bytes; v1: nothing.
    pub key_id: String,
    /// v2: what else the KMS wants to see again. The names are domains of two labels or more, in lower
    /// case, names and data together have 32 KiB at most; v1: nothing.
    pub annotations: BTreeMap<String, Vec<u8>>,
}

/// What a v2 KMS says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsStatus {
    /// Of the protocol: `v2` or `v2beta1`, the same each time.
    pub version: String,
    /// `ok`, or what is wrong.
    pub healthz: String,
    /// The KEK that wraps now, as [`Wrapped::key_id`] will say.
    pub key_id: String,
}

/// A DEK or a seed that a KMS unwrapped: 1 to 1024 bytes, in key memory.
///
/// Neither `Clone`, nor printable, nor comparable; the bytes are wiped when it is dropped.
pub struct DekSource(Locked<Bytes>);

struct Bytes {
    bytes: [u8; MOST],
    len: usize,
}

/// The API server's own seeds and DEKs have 32.
const MOST: usize = 1024;

impl DekSource {
    /// Takes the bytes that a KMS returned and wipes what it was given.
    ///
    /// # Errors
    /// BadReply for none, or more than 1024; Limit without memory, Forked in a child.
    pub fn take(mut bytes: impl AsMut<[u8]>) -> Result<Self> {
        let given = bytes.as_mut();
        let source = if (1..=MOST).contains(&given.len()) {
            without_residue(|| {
                Locked::new(|| {
                    let mut bytes = [0; MOST];
                    bytes[..given.len()].copy_from_slice(given);
                    Bytes { bytes, len: given.len() }
                })
            })
        } else {
            Err(Error::new(ErrorKind::BadReply, "the KMS returned a DEK of no bytes or of more than 1024"))
        };
        given.zeroize();
        source.map(Self)
    }

    /// The bytes. Do not copy them into ordinary memory and leave them there.
    ///
    /// # Errors
    /// Forked in a child, where the pages were wiped.
    pub fn expose(&self) -> Result<&[u8]> {
        let source = self.0.get()?;
        Ok(&source.bytes[..source.len])
    }
}

impl fmt::Debug for DekSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DekSource(..)")
    }
}

/// For one call: a random UUID, as the API server has them.
pub(super) fn uid() -> Result<String> {
    let mut bytes = [0; 16];
    crate::crypto::random(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let [a, b, c, d, e] = [0..4, 4..6, 6..8, 8..10, 10..16].map(|range| hex(&bytes[range]));
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_wipes_what_it_got_and_shows_nothing() {
        for len in [0, 1, 16, 32, 1024, 1025] {
            let mut given = vec![7; len];
            let source = DekSource::take(&mut given[..]);
            assert!(given.iter().all(|byte| *byte == 0));
            assert_eq!(source.is_ok(), (1..=1024).contains(&len));
            if let Ok(source) = source {
                assert_eq!(source.expose().unwrap(), vec![7; len]);
                assert_eq!(format!("{source:?}"), "DekSource(..)");
            }
        }
    }

    #[test]
    fn every_call_has_a_name_of_its_own() {
        let (one, other) = (uid().unwrap(), uid().unwrap());
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!((parts, one.as_bytes()[14]), (vec![8, 4, 4, 4, 12], b'4'));
        assert!(b"89ab".contains(&one.as_bytes()[19]));
    }
}
