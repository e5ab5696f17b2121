//! The four calls, on tokio.
use super::{
    SCHEME,
    allowed::Allowed,
    failure::{Asked, failed},
    guard::Guard,
};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Result, WrappedDek,
    kek::KmsBackend,
    rt::sync::{Mutex, lock},
};
use aws_sdk_kms::{
    Client, Config,
    config::{IdentityCache, Region, StalledStreamProtectionConfig, retry::RetryConfig},
    primitives::Blob,
    types::DataKeySpec,
};
use std::{collections::HashMap, ops::RangeInclusive, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What KMS takes in a Decrypt: bytes.
const CIPHERTEXT: RangeInclusive<usize> = 1..=6144;
/// Calls to one region at once, each of which holds a connection. That is the quota of an
/// account with answers that take 230 ms, and leaves a process its files.
const AT_ONCE: usize = 128;
/// How long a call waits to be one of them. What is left of the 3 s that a call has unless set is
/// enough to tell that there is no answer.
const TIME_FOR_A_TURN: Duration = Duration::from_secs(1);
/// How long a wrap waits to be told the material: that leaves most of its own time.
const TIME_TO_TELL: Duration = Duration::from_secs(1);

/// One KEK. A clone is another handle on the same.
#[derive(Clone)]
pub(super) struct Calls {
    clients: Arc<Clients>,
    pub(super) allowed: Allowed,
    pub(super) grant_tokens: Vec<String>,
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// One client for each region, made when first needed: there are as many as the allow-list
/// has regions.
struct Clients {
    config: Config,
    all: Mutex<HashMap<String, Line>>,
}

#[derive(Clone)]
struct Line {
    client: Client,
    free: Arc<Semaphore>,
}

impl Clients {
    /// For one call, as soon as it may be made: it is over when the permit is dropped.
    ///
    /// # Errors
    /// Unavailable, and libkms's own, if that is not soon: nothing was asked.
    async fn of(&self, region: &str) -> Result<(Client, OwnedSemaphorePermit)> {
        let Line { client, free } = self.line(region);
        match timeout(TIME_FOR_A_TURN, free.acquire_owned()).await {
            Ok(Ok(permit)) => Ok((client, permit)),
            _ => {
                let said = format!("aws-kms: {AT_ONCE} calls to {region} are under way: not asked for now");
                Err(Error::new(ErrorKind::Unavailable, said).of_ours())
            }
        }
    }

    fn line(&self, region: &str) -> Line {
        let make = || {
            let config = self.config.to_builder().region(Region::new(region.to_owned()));
            Line { client: Client::from_conf(config.build()), free: Arc::new(Semaphore::new(AT_ONCE)) }
        };
        lock(&self.all).entry(region.into()).or_insert_with(make).clone()
    }
}

impl Calls {
    pub(super) fn new(config: &Config, allowed: Allowed) -> Self {
        // libkms retries, and bounds the time of a call. The clients of all regions share what
        // they know of credentials.
        let mut quiet = config
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .interceptor(Guard);
        quiet.set_identity_cache(config.identity_cache().unwrap_or_else(|| IdentityCache::lazy().build()));
        let clients = Clients { config: quiet.build(), all: Mutex::default() };
        Self { clients: Arc::new(clients), allowed, grant_tokens: Vec::new(), asking: Arc::default() }
    }

    async fn own(&self) -> Result<(Client, OwnedSemaphorePermit)> {
        self.clients.of(&self.allowed.region).await
    }

    fn asked(&self, operation: &'static str) -> Asked<'_> {
        Asked { operation, region: &self.allowed.region }
    }

    fn tokens(&self) -> Option<Vec<String>> {
        (!self.grant_tokens.is_empty()).then(|| self.grant_tokens.clone())
    }

    /// Encrypt does not tell the material. Asked before it: what was current then is not newer
    /// than what it used. Who may not ask, or is not answered soon, has none stored. However
    /// many wrap, one asks, and the others wait for that.
    async fn learn_material(&self) {
        let _asking = self.asking.lock().await;
        if self.allowed.is_to_ask() {
            // Before it, since the wrap may be given up meanwhile.
            self.allowed.is_asked();
            let _ = timeout(TIME_TO_TELL, self.describe()).await;
        }
    }

    /// The key that wraps now, and its material where that is told.
    async fn describe(&self) -> Result<KeyId> {
        let (client, _free) = self.own().await?;
        let call = client.describe_key().key_id(self.allowed.name.as_str());
        let reply = call.set_grant_tokens(self.tokens()).send().await;
        let reply = reply.map_err(|e| failed(e, self.asked("DescribeKey")))?;
        let key = reply.key_metadata.ok_or_else(|| left_out("KeyMetadata"))?;
        self.allowed.told(key.arn(), key.current_key_material_id())
    }
}

#[async_trait::async_trait]
impl KmsBackend for Calls {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn accepts(&self, key_id: &KeyId) -> bool {
        self.allowed.allowed(key_id).is_some()
    }

    async fn generate_dek(&self, context: &EncryptionContext) -> Result<(Dek, WrappedDek)> {
        let (client, _free) = self.own().await?;
        let call = client.generate_data_key().key_id(self.allowed.name.as_str());
        let call = call.key_spec(DataKeySpec::Aes256).set_encryption_context(pairs(context));
        let reply = call.set_grant_tokens(self.tokens()).send().await;
        let reply = reply.map_err(|e| failed(e, self.asked("GenerateDataKey")))?;
        let dek = taken(reply.plaintext)?;
        let key_id = self.allowed.told(reply.key_id.as_deref(), reply.key_material_id.as_deref())?;
        Ok((dek, WrappedDek::new(key_id, ciphertext(reply.ciphertext_blob)?)))
    }

    async fn wrap_dek(&self, dek: &Dek, context: &EncryptionContext) -> Result<WrappedDek> {
        self.learn_material().await;
        let (client, _free) = self.own().await?;
        let call = client.encrypt().key_id(self.allowed.name.as_str());
        let call = call.plaintext(Blob::new(dek.expose()?)).set_encryption_context(pairs(context));
        let reply = call.set_grant_tokens(self.tokens()).send().await;
        let reply = reply.map_err(|e| failed(e, self.asked("Encrypt")))?;
        let key_id = self.allowed.wrapped(reply.key_id.as_deref())?;
        Ok(WrappedDek::new(key_id, ciphertext(reply.ciphertext_blob)?))
    }

    async fn unwrap_dek(&self, wrapped: &WrappedDek, context: &EncryptionContext) -> Result<Dek> {
        let said = "aws-kms: not a key that this KEK accepts";
        let arn = self.allowed.allowed(&wrapped.key_id).ok_or_else(|| Error::new(ErrorKind::Denied, said))?;
        if !CIPHERTEXT.contains(&wrapped.ciphertext.len()) {
            return Err(Error::authentication());
        }
        let region = arn.place.region;
        let (client, _free) = self.clients.of(region).await?;
        let call = client
            .decrypt()
            .key_id(arn.text)
            .ciphertext_blob(Blob::new(wrapped.ciphertext.as_slice()))
            .set_encryption_context(pairs(context));
        let reply = call.set_grant_tokens(self.tokens()).send().await;
        let asked = Asked { operation: "Decrypt", region };
        let reply = reply.map_err(|e| failed(e, asked))?;
        let dek = taken(reply.plaintext)?;
        match reply.key_id {
            Some(told) if told == arn.text => Ok(dek),
            Some(_) => Err(bad("aws-kms: the reply to Decrypt names another key than was asked for")),
            None => Err(left_out("KeyId")),
        }
    }

    async fn current_key(&self) -> Result<Option<KeyId>> {
        self.describe().await.map(Some)
    }

    fn name(&self) -> String {
        let Allowed { name, region, .. } = &self.allowed;
        format!("{SCHEME}:{} in {region}", name.as_str())
    }

    fn place(&self, key_id: &KeyId) -> usize {
        self.allowed.place(key_id)
    }
}

/// The pairs as they are. KMS takes no context for the empty one.
fn pairs(context: &EncryptionContext) -> Option<HashMap<String, String>> {
    let pairs = || context.iter().map(|(k, v)| (k.into(), v.into())).collect();
    (!context.is_empty()).then(pairs)
}

/// The DEK of a reply, whose own bytes are wiped.
fn taken(plaintext: Option<Blob>) -> Result<Dek> {
    Dek::take(plaintext.ok_or_else(|| left_out("Plaintext"))?.into_inner())
}

/// A wrapped DEK that KMS would take back.
fn ciphertext(blob: Option<Blob>) -> Result<Vec<u8>> {
    let ciphertext = blob.map(Blob::into_inner).ok_or_else(|| left_out("CiphertextBlob"))?;
    let is_right = CIPHERTEXT.contains(&ciphertext.len());
    if is_right {
        Ok(ciphertext)
    } else {
        Err(bad("aws-kms: a reply whose CiphertextBlob has a wrong length"))
    }
}

fn left_out(field: &str) -> Error {
    Error::new(ErrorKind::BadReply, format!("aws-kms: a reply without {field}"))
}

fn bad(said: &'static str) -> Error {
    Error::new(ErrorKind::BadReply, said)
}
