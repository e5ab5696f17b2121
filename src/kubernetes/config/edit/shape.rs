//! What a configuration means, to be compared.
use super::{
    super::{EncryptionConfiguration, duration, read::USUAL_TIMEOUT, which::ProviderKind},
    Fresh, NewProvider,
};
use crate::{
    Error, Result,
    kubernetes::{Key, KmsProvider, KmsVersion, Provider},
    secret::{same, told},
};

pub(super) enum Shape<'a> {
    Identity,
    Kms(&'a KmsProvider),
    /// One that no configuration has yet.
    NewKms(KmsProvider),
    Keys(ProviderKind, Vec<&'a Key>),
}

impl<'a> Shape<'a> {
    pub(super) fn added(new: &NewProvider, fresh: Option<&'a Fresh>) -> Result<Self> {
        Ok(match (new, fresh) {
            (NewProvider::Kms { name, endpoint, timeout }, _) => {
                let timeout = timeout.as_ref().map_or(Ok(USUAL_TIMEOUT), |text| duration::parse(text));
                Self::NewKms(KmsProvider {
                    version: KmsVersion::V2,
                    name: name.clone(),
                    endpoint: endpoint.clone(),
                    timeout: timeout.map_err(|said| Error::misuse(format!("timeout {said}")))?,
                    cache_size: 0,
                })
            }
            (_, Some(fresh)) => Self::Keys(new.key_ref().kind, vec![&fresh.key]),
            _ => Self::Identity,
        })
    }
}

pub(super) fn shapes(config: &EncryptionConfiguration) -> Vec<Vec<Shape<'_>>> {
    let shape = |provider| match provider {
        &Provider::Identity => Shape::Identity,
        Provider::Kms(kms) => Shape::Kms(kms),
        of => Shape::Keys(of.kind(), of.keys().iter().collect()),
    };
    config.entries.iter().map(|entry| entry.providers.iter().map(shape).collect()).collect()
}

pub(super) fn is_same(a: &[Vec<Shape<'_>>], b: &[Vec<Shape<'_>>]) -> Result<bool> {
    let pairs = || a.iter().flatten().zip(b.iter().flatten());
    let lengths = a.iter().map(Vec::len).eq(b.iter().map(Vec::len));
    let mut all = lengths;
    for (a, b) in pairs() {
        all &= is_one(a, b)?;
    }
    Ok(all)
}

fn is_one(a: &Shape<'_>, b: &Shape<'_>) -> Result<bool> {
    Ok(match (a, b) {
        (Shape::Identity, Shape::Identity) => true,
        (Shape::Kms(a), Shape::Kms(b)) => a == b,
        (Shape::NewKms(a), Shape::Kms(b)) => a == *b,
        (Shape::Keys(kind, a), Shape::Keys(other, b)) => {
            let mut all = kind == other && a.len() == b.len();
            for (a, b) in a.iter().zip(b) {
                all &= a.name() == b.name() && bool::from(told(same(a.secret()?, b.secret()?)));
            }
            all
        }
        _ => false,
    })
}
