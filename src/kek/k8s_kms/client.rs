//! Calling a plugin.
use super::{
    DekSource, Endpoint, KmsStatus, Wrapped,
    failure::failed,
    generated::{
        v1beta1::{self, key_management_service_client::KeyManagementServiceClient as OldService},
        v2::{self, key_management_service_client::KeyManagementServiceClient as Service},
    },
};
use crate::{
    Error, ErrorKind, Result,
    kek::{on_tokio::on_io, uid},
    rt::sync::{Mutex, lock},
};
use hyper_util::rt::TokioIo;
use std::{fmt, mem, sync::Arc, time::Duration};
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint as Transport},
};

/// As long as the API server waits unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a reply: a ciphertext, a key id, and annotations of 32 KiB.
const MOST_REPLY: usize = 64 * 1024;
/// What a client of the old service says that it speaks.
const OLD_VERSION: &str = "v1beta1";

/// A client of a KMS plugin: what a Kubernetes API server asks, and what it makes sure of.
///
/// It connects when it is first asked, and anew when the plugin went away; it runs on libkms's own I/O
/// thread, whoever calls. A clone is another handle on the same connection. What it holds of a
/// plaintext is wiped; what the transport holds of one is ordinary memory that is freed.
#[derive(Clone)]
pub struct PluginClient(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    timeout: Duration,
    channel: Mutex<Option<Channel>>,
}

impl PluginClient {
    /// Of the plugin at `unix:///PATH` or `unix:///@NAME`. Nothing is connected yet.
    ///
    /// # Errors
    /// Misuse if that is no endpoint.
    pub fn new(endpoint: &str) -> Result<Self> {
        let endpoint = Endpoint::parse(endpoint)?;
        Ok(Self(Arc::new(Inner { endpoint, timeout: TIMEOUT, channel: Mutex::default() })))
    }

    /// How long one call may take, connecting included: 3 s unless set. The result has a connection
    /// of its own.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(Arc::new(Inner { endpoint: self.0.endpoint.clone(), timeout, channel: Mutex::default() }))
    }

    /// What it says of itself, as it says it.
    ///
    /// # Errors
    /// Unavailable if it does not answer; BadReply if it is no plugin of version 2.
    pub async fn status(&self) -> Result<KmsStatus> {
        let reply =
            self.call("Status", |channel| async move { service(channel).status(v2::StatusRequest {}).await });
        let v2::StatusResponse { version, healthz, key_id } = reply.await?;
        Ok(KmsStatus { version, healthz, key_id })
    }

    /// Has it wrap these bytes, which the caller wipes.
    ///
    /// # Errors
    /// What it says; BadReply if that is nothing that an API server takes.
    pub async fn encrypt(&self, plaintext: &[u8]) -> Result<Wrapped> {
        self.encrypt_as(plaintext, &uid()?).await
    }

    /// The same, called so in logs.
    pub(crate) async fn encrypt_as(&self, plaintext: &[u8], uid: &str) -> Result<Wrapped> {
        let wrapped = self.ask_to_encrypt(plaintext, uid).await?;
        wrapped.check().map_err(|e| self.bad("Encrypt", &e))?;
        Ok(wrapped)
    }

    /// The same, whatever it answers.
    pub(crate) async fn encrypt_unchecked(&self, plaintext: &[u8]) -> Result<Wrapped> {
        self.ask_to_encrypt(plaintext, &uid()?).await
    }

    async fn ask_to_encrypt(&self, plaintext: &[u8], uid: &str) -> Result<Wrapped> {
        let request = v2::EncryptRequest { plaintext: plaintext.to_vec(), uid: uid.into() };
        let reply = self.call("Encrypt", |channel| async move { service(channel).encrypt(request).await });
        let v2::EncryptResponse { ciphertext, key_id, annotations } = reply.await?;
        Ok(Wrapped { ciphertext, key_id, annotations: annotations.into_iter().collect() })
    }

    /// Has it unwrap.
    ///
    /// # Errors
    /// What it says: Authentication where it tells that the ciphertext is none of its own. BadReply if
    /// it gives no plaintext, or more than 1024 bytes.
    pub async fn decrypt(&self, wrapped: &Wrapped) -> Result<DekSource> {
        self.decrypt_as(wrapped, &uid()?).await
    }

    /// The same, called so in logs.
    pub(crate) async fn decrypt_as(&self, wrapped: &Wrapped, uid: &str) -> Result<DekSource> {
        let request = v2::DecryptRequest {
            ciphertext: wrapped.ciphertext.clone(),
            uid: uid.into(),
            key_id: wrapped.key_id.clone(),
            annotations: wrapped.annotations.clone().into_iter().collect(),
        };
        let mut reply =
            self.call("Decrypt", |channel| async move { service(channel).decrypt(request).await }).await?;
        DekSource::take(mem::take(&mut reply.plaintext)).map_err(|e| self.bad("Decrypt", &e))
    }

    /// What a plugin of version 1 says of itself, for clusters that are old.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn old_status(&self) -> Result<KmsStatus> {
        let request = v1beta1::VersionRequest { version: OLD_VERSION.into() };
        let reply = self.call("Version", |channel| async move { old(channel).version(request).await });
        let version = reply.await?.version;
        Ok(KmsStatus { version, healthz: String::new(), key_id: String::new() })
    }

    /// Has a plugin of version 1 wrap.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn old_encrypt(&self, plaintext: &[u8]) -> Result<Wrapped> {
        let request = v1beta1::EncryptRequest { version: OLD_VERSION.into(), plain: plaintext.to_vec() };
        let reply = self.call("Encrypt", |channel| async move { old(channel).encrypt(request).await });
        let ciphertext = reply.await?.cipher;
        if !(1..=usize::from(u16::MAX)).contains(&ciphertext.len()) {
            let said = Error::new(ErrorKind::BadReply, "a ciphertext has 1 to 65,535 bytes");
            return Err(self.bad("Encrypt", &said));
        }
        Ok(Wrapped { ciphertext, ..Wrapped::default() })
    }

    /// Has a plugin of version 1 unwrap.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt).
    pub async fn old_decrypt(&self, ciphertext: &[u8]) -> Result<DekSource> {
        let request = v1beta1::DecryptRequest { version: OLD_VERSION.into(), cipher: ciphertext.to_vec() };
        let mut reply =
            self.call("Decrypt", |channel| async move { old(channel).decrypt(request).await }).await?;
        DekSource::take(mem::take(&mut reply.plain)).map_err(|e| self.bad("Decrypt", &e))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    async fn call<T, F>(
        &self,
        name: &'static str,
        call: impl FnOnce(Channel) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send,
    {
        let me = self.0.clone();
        on_io(async move {
            match timeout(me.timeout, call(me.channel())).await {
                Ok(Ok(reply)) => Ok(reply.into_inner()),
                Ok(Err(status)) => Err(failed(&me.endpoint, name, &status)),
                Err(_) => {
                    let status =
                        Status::new(Code::DeadlineExceeded, format!("no answer in {:?}", me.timeout));
                    Err(failed(&me.endpoint, name, &status))
                }
            }
        })
        .await
    }

    fn bad(&self, call: &str, error: &Error) -> Error {
        Error::new(ErrorKind::BadReply, format!("{}: {call}: {error}", self.0.endpoint))
    }
}

impl Inner {
    /// On tokio.
    fn channel(&self) -> Channel {
        let connect = || {
            let address = self.endpoint.address();
            // The authority that Go's client says, too: a server of HTTP/2 wants one.
            Transport::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(
                move |_| {
                    let connected = UnixStream::connect(address.clone());
                    async { connected.await.map(TokioIo::new) }
                },
            ))
        };
        lock(&self.channel).get_or_insert_with(connect).clone()
    }
}

fn service(channel: Channel) -> Service<Channel> {
    Service::new(channel).max_decoding_message_size(MOST_REPLY)
}

fn old(channel: Channel) -> OldService<Channel> {
    OldService::new(channel).max_decoding_message_size(2 * MOST_REPLY)
}

impl fmt::Debug for PluginClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginClient({})", self.0.endpoint)
    }
}
