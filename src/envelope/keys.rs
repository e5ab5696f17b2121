//! What is derived from a DEK for one suite and context.
use super::{EncryptionContext, Suite};
use crate::{
    Dek, Error, Result,
    crypto::{expand_sha512, hmac_sha512},
    secret::{Locked, same, told},
};
use std::sync::Arc;

/// Bytes of a header's mac.
pub(crate) const MAC: usize = 16;

/// The key of one suite's payloads. A clone is another handle on the same bytes.
#[derive(Clone)]
pub(crate) struct PayloadKey(Arc<Locked<[u8; 32]>>);

impl PayloadKey {
    pub(crate) fn expose(&self) -> Result<&[u8; 32]> {
        self.0.get()
    }
}

#[cfg(test)]
impl PayloadKey {
    /// Of a published vector.
    pub(crate) fn of(bytes: &[u8; 32]) -> Self {
        Self(Arc::new(Locked::copy_of(bytes).unwrap()))
    }
}

/// K_mac, K_payload and the commitment of one DEK, suite and context.
pub(crate) struct DerivedKeys {
    mac: Locked<[u8; 32]>,
    payload: PayloadKey,
    commitment: [u8; 32],
}

impl DerivedKeys {
    pub(crate) fn of(dek: &Dek, suite: Suite, context: &EncryptionContext) -> Result<Self> {
        let info: [&[u8]; 3] = [b"libkms/v1\0", &[suite as u8], context.encoding()];
        let dek = dek.expose()?;
        let okm = Locked::<[u8; 96]>::fill(|okm| expand_sha512(dek, &info, okm))?;
        let okm = okm.get()?;
        let part = |n: usize| <&[u8; 32]>::try_from(&okm[32 * n..][..32]).expect("96 bytes");
        Ok(Self {
            mac: Locked::copy_of(part(0))?,
            payload: PayloadKey(Arc::new(Locked::copy_of(part(1))?)),
            commitment: told(*part(2)),
        })
    }

    /// The name of the DEK in this suite and context. Public.
    pub(crate) fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    pub(crate) fn payload(&self) -> &PayloadKey {
        &self.payload
    }

    /// The mac of a header, which it does not include. A secret until it is written there.
    pub(crate) fn mac(&self, header: &[u8]) -> Result<[u8; MAC]> {
        let full = hmac_sha512(self.mac.get()?, &[header]);
        Ok(*full.first_chunk().expect("64 bytes"))
    }

    /// Authentication unless commitment and mac are those of these keys.
    pub(crate) fn verify(&self, header: &[u8], commitment: &[u8; 32], mac: &[u8; MAC]) -> Result<()> {
        let right = same(&self.commitment, commitment) & same(&self.mac(header)?, mac);
        if bool::from(told(right)) { Ok(()) } else { Err(Error::authentication()) }
    }
}
