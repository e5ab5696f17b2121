//! Legacy: AES-CBC with PKCS#7 padding (SP 800-38A, RFC 5652 section 6.3), as old clusters
//! have it in etcd. It hides and does not authenticate; nothing new is sealed with it.
use super::random;
use crate::{
    Error, Result,
    arch::{BLOCK, CbcKey, without_cbc_residue, without_kernel_residue},
    secret::told,
};
use subtle::{Choice, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroize;

/// A key of 16, 24 or 32 bytes.
pub(crate) struct AesCbc(CbcKey);

impl AesCbc {
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        without_kernel_residue(|| CbcKey::new(key)).map(Self)
    }

    /// A fresh IV, then the padded ciphertext.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut iv = [0; BLOCK];
        random(&mut iv)?;
        without_cbc_residue(|| self.seal_with(&iv, plaintext))
    }

    fn seal_with(&self, iv: &[u8; BLOCK], plaintext: &[u8]) -> Result<Vec<u8>> {
        let pad = BLOCK - plaintext.len() % BLOCK;
        let mut out = Vec::with_capacity(BLOCK + plaintext.len() + pad);
        out.extend_from_slice(iv);
        out.extend_from_slice(plaintext);
        out.resize(out.len() + pad, pad as u8);
        self.0.seal(iv, &mut out[BLOCK..])?;
        Ok(out)
    }

    /// One error, in one time, for every length and every padding that is not right.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        // The IV and one block at least.
        if sealed.len() < 2 * BLOCK || !sealed.len().is_multiple_of(BLOCK) {
            return Err(Error::authentication());
        }
        without_cbc_residue(|| self.open_payload(sealed))?.ok_or_else(Error::authentication)
    }

    /// `None` with wrong padding.
    fn open_payload(&self, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        self.0.open_onto(sealed, &mut out)?;
        let (right, pad) = padding(out.last_chunk().expect("one block at least"));
        if bool::from(told(right)) {
            out.truncate(out.len() - usize::from(told(pad)));
            Ok(Some(out))
        } else {
            out.zeroize();
            Ok(None)
        }
    }
}

/// Whether the block ends in PKCS#7 padding, and its length, in constant time.
fn padding(last: &[u8; BLOCK]) -> (Choice, u8) {
    let pad = last[BLOCK - 1];
    let mut right = !pad.ct_eq(&0) & !pad.ct_gt(&(BLOCK as u8));
    for (i, byte) in last.iter().rev().enumerate() {
        let inside = pad.ct_gt(&(i as u8));
        right &= !inside | byte.ct_eq(&pad);
    }
    (right, pad)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn seal_with(key: &[u8], iv: &[u8; 16], plaintext: &[u8]) -> Vec<u8> {
        AesCbc::new(key).unwrap().seal_with(iv, plaintext).unwrap()
    }

    #[test]
    fn padding_agrees_with_a_naive_reader() {
        let naive = |b: &[u8; 16]| {
            let n = usize::from(b[15]);
            (1..=16).contains(&n) && b[16 - n..].iter().all(|x| usize::from(*x) == n)
        };
        for pad in 0..=255u8 {
            for wrong in 0..16 {
                for value in [pad, pad ^ 1, 0, 16] {
                    let mut b = [pad; 16];
                    b[wrong] = value;
                    assert_eq!(bool::from(padding(&b).0), naive(&b), "{b:?}");
                }
            }
        }
    }

    /// Row 1 of failures.md: what a padding oracle asks, it is told nothing by.
    #[test]
    fn f01_every_failure_is_the_same_error() {
        let key = AesCbc::new(&[3; 32]).unwrap();
        let sealed = key.seal(b"sixteen bytes 16").unwrap();
        for guess in 0..=255 {
            let mut bad = sealed.clone();
            bad[31] ^= guess;
            if let Err(e) = key.open(&bad) {
                assert_eq!(e.to_string(), Error::authentication().to_string());
            }
        }
        for n in 0..sealed.len() {
            if let Err(e) = key.open(&sealed[..n]) {
                assert_eq!(e.to_string(), Error::authentication().to_string());
            }
        }
    }
}
