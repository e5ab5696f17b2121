//! A plugin as a KEK.
use super::{PluginClient, Wrapped, wire};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek,
    kek::{KeyUri, KmsBackend},
    rt::sync::{Mutex, lock},
};
use std::{collections::VecDeque, fmt, sync::Arc};

const SCHEME: &str = "k8s-kms";
/// Keys that a plugin named and that are remembered: they change once in months.
const MOST_LEARNT: usize = 64;

/// The KEK behind a Kubernetes KMS plugin of version 2, anyone's: scheme `k8s-kms`, URI
/// `k8s-kms:unix:///PATH` ([`kek`](crate::kek)'s table).
///
/// What is stored of a key is the key id that the plugin gave. It binds no encryption context: the
/// envelope does.
///
/// **What opens**: what the plugin names as its key, in its Status or in a wrap of this process; and
/// the key ids that were named ([`accept`](Self::accept)), or all of them
/// ([`accept_any`](Self::accept_any)), since it is the plugin that knows which of them are its own.
/// Where a plugin's key changed, a process that starts anew is to be told of the key before.
#[derive(Clone)]
pub struct PluginKms {
    client: PluginClient,
    accepted: Vec<KeyId>,
    any: bool,
    learnt: Arc<Mutex<VecDeque<KeyId>>>,
}

impl PluginKms {
    /// Over a client.
    pub fn new(client: PluginClient) -> Self {
        Self { client, accepted: Vec::new(), any: false, learnt: Arc::default() }
    }

    /// Opens under this key, too: one that the plugin had before.
    #[must_use]
    pub fn accept(mut self, key_id: KeyId) -> Self {
        self.accepted.push(key_id);
        self
    }

    /// Has the plugin asked whatever key a record names. Whoever may write records may then have it
    /// asked for keys of its own that nobody meant.
    #[must_use]
    pub fn accept_any(mut self) -> Self {
        self.any = true;
        self
    }

    pub(in crate::kek) fn from_uri(uri: &KeyUri) -> Result<Self> {
        uri.only(&["accept", "accept-any"])?;
        let mut kek = Self::new(PluginClient::new(uri.rest())?);
        for id in uri.param("accept").into_iter().flat_map(|all| all.split(',')) {
            let said = "k8s-kms: accept: key ids, of 1 to 1024 bytes";
            kek = kek.accept(KeyId::new(id).map_err(|_| Error::misuse(said))?);
        }
        match uri.param("accept-any") {
            Some("true") => Ok(kek.accept_any()),
            None | Some("false") => Ok(kek),
            Some(_) => Err(Error::misuse("k8s-kms: accept-any is true or false")),
        }
    }

    fn learn(&self, key_id: &str) -> Result<KeyId> {
        let id = KeyId::new(key_id)?;
        let mut learnt = lock(&self.learnt);
        if let Some(place) = learnt.iter().position(|known| *known == id) {
            learnt.remove(place);
        } else if learnt.len() == MOST_LEARNT {
            learnt.pop_front();
        }
        learnt.push_back(id.clone());
        Ok(id)
    }
}

#[async_trait::async_trait]
impl KmsBackend for PluginKms {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        self.any || self.accepted.contains(key_id) || lock(&self.learnt).contains(key_id)
    }

    async fn wrap_dek(&self, dek: &Dek, _: &EncryptionContext) -> Result<WrappedDek> {
        let wrapped = self.client.encrypt(dek.expose()?).await?;
        let ciphertext = wire::encode(&wrapped.ciphertext, &wrapped.annotations)?;
        Ok(WrappedDek::new(self.learn(&wrapped.key_id)?, ciphertext))
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, _: &EncryptionContext) -> Result<Dek> {
        let (ciphertext, annotations) = wire::decode(&wrapped.ciphertext)?;
        let wrapped = Wrapped { ciphertext, key_id: wrapped.key_id.as_str().into(), annotations };
        let secret = self.client.decrypt(&wrapped).await?;
        let bytes: &[u8; 32] = secret.expose()?.try_into().map_err(|_| {
            let said = "the plugin unwrapped what is no DEK of libkms: it has not 32 bytes";
            Error::new(ErrorKind::BadReply, said)
        })?;
        Dek::fill(|dek| {
            dek.copy_from_slice(bytes);
            Ok(())
        })
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        let status = self.client.status().await?;
        let about = |e: Error| Error::new(e.kind(), format!("{}: {e}", self.client.endpoint()));
        let key_id = status.check().map_err(about)?;
        self.learn(key_id).map(Some)
    }

    fn name(&self) -> String {
        format!("{SCHEME}:{}", self.client.endpoint())
    }
}

impl fmt::Debug for PluginKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginKms({})", self.client.endpoint())
    }
}
