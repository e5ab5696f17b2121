//! AES key wrap: KW (RFC 3394) and KWP (RFC 5649), both of SP 800-38F.
use crate::{
    Dek, Error, Result,
    arch::{Aes, on_cipher},
    secret::{told, without_residue},
};
use aes::cipher::common::InnerInit;
use aes_kw::AesKwp;
use zeroize::Zeroizing;

/// A KEK for AES-KWP, of 16, 24 or 32 bytes.
pub(crate) struct Kwp(Aes);

impl Kwp {
    pub(crate) fn new(kek: &[u8]) -> Result<Self> {
        without_residue(|| Aes::new(kek)).map(Self)
    }

    /// 8 bytes more than `key`, rounded up to 8.
    pub(crate) fn wrap(&self, key: &[u8]) -> Result<Vec<u8>> {
        if key.is_empty() {
            return Err(Error::misuse("AES-KWP wraps one byte or more"));
        }
        let mut out = vec![0; key.len().next_multiple_of(8) + 8];
        without_residue(|| {
            on_cipher!(&self.0, c => AesKwp::inner_init(c).wrap_key(key, &mut out).map(|_| ()))
                .map_err(|_| Error::limit("AES-KWP wraps at most 2^32 - 1 bytes"))
        })?;
        Ok(out)
    }

    /// The DEK of a wrap of 40 bytes, straight into key memory. Authentication if it is not
    /// one of a DEK under this KEK.
    pub(crate) fn unwrap_dek(&self, wrapped: &[u8]) -> Result<Dek> {
        Dek::fill(|dek| match self.unwrap_to(wrapped, dek)? {
            32 => Ok(()),
            _ => Err(Error::authentication()),
        })
    }

    /// Fills `out`, 8 bytes shorter than `wrapped`, and says how much of it is key.
    pub(crate) fn unwrap_to(&self, wrapped: &[u8], out: &mut [u8]) -> Result<usize> {
        if wrapped.len() < 16 || !wrapped.len().is_multiple_of(8) || wrapped.len() != out.len() + 8 {
            return Err(Error::authentication());
        }
        without_residue(|| {
            let len = on_cipher!(&self.0, c => told(AesKwp::inner_init(c).unwrap_key(wrapped, out).map(<[u8]>::len)));
            Ok::<_, Error>(len.ok())
        })?
        .ok_or_else(Error::authentication)
    }
}

/// A KEK for AES-KW: for backends whose token has no KWP.
pub(crate) struct Kw(Aes);

#[cfg_attr(not(test), expect(dead_code, reason = "the pkcs11 backend wraps with it"))]
impl Kw {
    pub(crate) fn new(kek: &[u8]) -> Result<Self> {
        without_residue(|| Aes::new(kek)).map(Self)
    }

    /// 8 bytes more than `key`, which has 16 or more, in steps of 8.
    pub(crate) fn wrap(&self, key: &[u8]) -> Result<Vec<u8>> {
        if key.len() < 16 || !key.len().is_multiple_of(8) {
            return Err(Error::misuse("AES-KW wraps 16 bytes or more, in steps of 8"));
        }
        let mut out = vec![0; key.len() + 8];
        without_residue(|| {
            on_cipher!(&self.0, c => aes_kw::AesKw::inner_init(c).wrap_key(key, &mut out).map(|_| ()))
                .map_err(|_| Error::limit("AES-KW wraps at most 2^32 - 1 bytes"))
        })?;
        Ok(out)
    }

    /// Authentication if `wrapped` is not a wrap under this KEK, of whatever length.
    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        if wrapped.len() < 24 || !wrapped.len().is_multiple_of(8) {
            return Err(Error::authentication());
        }
        let mut out = Zeroizing::new(vec![0; wrapped.len() - 8]);
        without_residue(|| {
            let done = on_cipher!(&self.0, c => told(aes_kw::AesKw::inner_init(c).unwrap_key(wrapped, &mut out).map(|_| ())));
            Ok::<_, Error>(done.ok())
        })?
        .ok_or_else(Error::authentication)?;
        Ok(out)
    }
}
