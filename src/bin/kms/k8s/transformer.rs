//! What reads and writes the values of a resource.
use crate::{args::ConfigArgs, failure::Failure, text::visible_path};
use libkms::{
    Error,
    kubernetes::{EncryptionConfiguration, Gate, Transformer},
};

pub(super) fn config(args: &ConfigArgs) -> Result<EncryptionConfiguration, Failure> {
    let name = visible_path(&args.config);
    let bytes = super::file::read(&args.config)?;
    let gate = Gate { kms_v1: !args.no_kms_v1, ..Gate::default() };
    EncryptionConfiguration::parse(&bytes, gate).map_err(|e| Failure::from(e).about(&name))
}

/// Of a resource that is encrypted.
pub(super) fn transformer(config: &EncryptionConfiguration, resource: &str) -> Result<Transformer, Failure> {
    let providers = config.for_resource(resource).ok_or_else(|| {
        Failure::usage(&format!("{resource}: the configuration does not name it: it is stored as it is"))
    })?;
    Transformer::new(providers.into_iter().cloned().collect(), super::dial).map_err(|e: Error| {
        let about = crate::text::visible(resource);
        Failure::from(e).about(&about)
    })
}
