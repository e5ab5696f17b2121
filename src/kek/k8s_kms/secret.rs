//! What a KMS of Kubernetes' unwraps.
use super::MOST;
use crate::{
    Error, ErrorKind, Result,
    secret::{Locked, without_residue},
};
use std::fmt;
use zeroize::Zeroize;

/// A DEK or a seed that a KMS unwrapped: 1 to 1024 bytes, in key memory.
///
/// Neither `Clone`, nor printable, nor comparable; the bytes are wiped when it is dropped.
pub struct DekSource(Locked<Bytes>);

struct Bytes {
    bytes: [u8; MOST],
    len: usize,
}

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
}
