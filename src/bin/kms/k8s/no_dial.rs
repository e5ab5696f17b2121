//! A plugin, in a build that can ask none: it is told when one is to be asked.
use libkms::{
    Error, Result, async_trait,
    kubernetes::{DekSource, KmsProvider, KmsService, KmsStatus, Wrapped},
};
use std::sync::Arc;

pub(super) fn dial(kms: &KmsProvider) -> Result<Arc<dyn KmsService>> {
    Ok(Arc::new(None(kms.name.clone())))
}

struct None(String);

impl None {
    fn said<T>(&self) -> Result<T> {
        let name = &self.0;
        Err(Error::misuse(format!(
            "kms {name}: this build of kms asks no plugins: it needs the feature plugin"
        )))
    }
}

#[async_trait]
impl KmsService for None {
    async fn encrypt(&self, _: &[u8], _: &str) -> Result<Wrapped> {
        self.said()
    }

    async fn decrypt(&self, _: &Wrapped, _: &str) -> Result<DekSource> {
        self.said()
    }

    async fn status(&self) -> Result<KmsStatus> {
        self.said()
    }
}
