//! The data encryption key.
use super::Locked;
use crate::{Error, ErrorKind, Result};
use std::{fmt, sync::Arc};
use zeroize::Zeroize;

/// A data encryption key: 32 uniformly random bytes in key memory.
///
/// Neither `Clone`, nor printable, nor comparable. The last handle that is dropped wipes
/// the bytes.
pub struct Dek(Arc<Locked<[u8; 32]>>);

impl Dek {
    /// A fresh DEK from the system's random source.
    ///
    /// # Errors
    /// Io if the system has no random source, Limit without memory, Forked in a child.
    pub fn generate() -> Result<Self> {
        Self::fill(|b| {
            getrandom::fill(b)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
        })
    }

    /// For backends: takes the bytes that a KMS returned and wipes what it was given.
    ///
    /// # Errors
    /// BadReply unless exactly 32 bytes came.
    pub fn take(mut bytes: impl AsMut<[u8]>) -> Result<Self> {
        let given = bytes.as_mut();
        let dek = match <&[u8; 32]>::try_from(&*given) {
            Ok(b) => Locked::copy_of(b).map(|k| Self(Arc::new(k))),
            Err(_) => {
                Err(Error::new(ErrorKind::BadReply, "the KMS returned a DEK that is not 32 bytes long"))
            }
        };
        given.zeroize();
        dek
    }

    pub(crate) fn fill(fill: impl FnOnce(&mut [u8; 32]) -> Result<()>) -> Result<Self> {
        Ok(Self(Arc::new(Locked::fill(fill)?)))
    }

    /// Another handle on the same bytes, for a call that runs on another thread.
    #[must_use]
    pub fn share(&self) -> Dek {
        Self(self.0.clone())
    }

    /// For backends: the bytes. Do not copy them into ordinary memory and leave them there.
    ///
    /// # Errors
    /// Forked in a child, where the pages were wiped.
    pub fn expose(&self) -> Result<&[u8; 32]> {
        self.0.get()
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dek(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_exactly_32_bytes_and_wipes_what_it_got() {
        let mut given = [7u8; 32];
        assert_eq!(Dek::take(&mut given[..]).unwrap().expose().unwrap(), &[7; 32]);
        assert_eq!(given, [0; 32]);
        for n in [0, 16, 31, 33, 64] {
            let mut given = vec![7u8; n];
            assert_eq!(Dek::take(&mut given[..]).unwrap_err().kind(), ErrorKind::BadReply);
            assert!(given.iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn shows_nothing_and_differs_each_time() {
        let (a, b) = (Dek::generate().unwrap(), Dek::generate().unwrap());
        assert_ne!(a.expose().unwrap(), b.expose().unwrap());
        assert_eq!(format!("{a:?}"), "Dek(..)");
        assert_eq!(a.share().expose().unwrap(), a.expose().unwrap());
    }
}
