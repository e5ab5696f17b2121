//! A purpose as it is written, for whoever wants to know and not to seal.
use super::{file::Kek, place::Source, purposes, read};
use crate::{EncryptionContext, Result, kek::KeyUri};
use std::path::Path;

/// What a configuration says of one purpose. None of its KEKs is opened, and so none need be
/// there: for policies, for a review.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Purpose {
    /// The KEKs that wrap, in order.
    pub keks: Vec<KeyUri>,
    /// Those that only open.
    pub opens_with: Vec<KeyUri>,
    /// What all that is sealed is bound to; tenants are pairs on top.
    pub context: EncryptionContext,
}

impl Purpose {
    /// # Errors
    /// As [`KeySet::load_only`](super::KeySet::load_only), but for what backends say: the whole
    /// file must be right.
    pub fn load(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let (path, file) = (path.as_ref(), path.as_ref().display().to_string());
        let text = read::read(path)?;
        let mut found = purposes(Source { name: &file, text: &text }, Some(&[name]))?;
        let purpose = found.remove(0);
        let uris = |keks: &[Kek]| keks.iter().map(|kek| kek.uri.parse()).collect::<Result<_>>();
        let (keks, opens_with) = (uris(&purpose.keks)?, uris(&purpose.opens_with)?);
        Ok(Self { keks, opens_with, context: purpose.context })
    }
}
