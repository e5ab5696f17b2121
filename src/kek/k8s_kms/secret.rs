//! What a plugin unwraps.
use super::MOST;
use crate::{
    Error, ErrorKind, Result,
    secret::{Locked, without_residue},
};
use std::fmt;
use zeroize::Zeroize;

/// A DEK or a seed of an API server: 1 to 1024 bytes in key memory.
///
/// Neither `Clone`, nor printable, nor comparable; the bytes are wiped when it is dropped.
pub struct PluginSecret(Locked<Bytes>);

struct Bytes {
    bytes: [u8; MOST],
    len: usize,
}

impl PluginSecret {
    /// Takes the bytes and wipes what it was given.
    ///
    /// # Errors
    /// BadReply for none, or more than 1024; Limit without memory, Forked in a child.
    pub fn take(mut bytes: impl AsMut<[u8]>) -> Result<Self> {
        let given = bytes.as_mut();
        let secret = if (1..=MOST).contains(&given.len()) {
            without_residue(|| {
                Locked::new(|| {
                    let mut bytes = [0; MOST];
                    bytes[..given.len()].copy_from_slice(given);
                    Bytes { bytes, len: given.len() }
                })
            })
        } else {
            let said = "a plugin wraps 1 to 1024 bytes, and this has none or more";
            Err(Error::new(ErrorKind::BadReply, said))
        };
        given.zeroize();
        secret.map(Self)
    }

    /// The bytes. Do not copy them into ordinary memory and leave them there.
    ///
    /// # Errors
    /// Forked in a child, where the pages were wiped.
    pub fn expose(&self) -> Result<&[u8]> {
        let secret = self.0.get()?;
        Ok(&secret.bytes[..secret.len])
    }
}

impl fmt::Debug for PluginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PluginSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_wipes_what_it_got_and_shows_nothing() {
        for len in [0, 1, 16, 32, 1024, 1025] {
            let mut given = vec![7; len];
            let secret = PluginSecret::take(&mut given[..]);
            assert!(given.iter().all(|byte| *byte == 0));
            assert_eq!(secret.is_ok(), (1..=1024).contains(&len));
            if let Ok(secret) = secret {
                assert_eq!(secret.expose().unwrap(), vec![7; len]);
                assert_eq!(format!("{secret:?}"), "PluginSecret(..)");
            }
        }
    }
}
