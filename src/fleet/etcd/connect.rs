//! A connection to etcd.
use super::generated::etcdserverpb::{AuthenticateRequest, auth_client::AuthClient, kv_client::KvClient};
use crate::{
    Error, ErrorKind, Result,
    kek::on_io,
    rt::{
        sync::{Mutex, lock},
        wait,
    },
};
use std::{fmt, sync::Arc, time::Duration};
use tonic::{
    Code, Request, Response, Status,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use zeroize::Zeroizing;

/// For one call, and for a connection.
const CALL_TIME: Duration = Duration::from_secs(30);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Of one answer: a page of values of 1.5 MiB, the most that etcd takes.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// An etcd v3 cluster. A clone is another handle on the same connections.
///
/// Calls are made on libkms's own I/O thread; methods that wait for one block.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    channels: Vec<Channel>,
    user: Option<(String, Zeroizing<String>)>,
    /// etcd forgets it after some minutes without a call.
    token: Mutex<Option<AsciiMetadataValue>>,
}

/// Who etcd is, and who we are: PEM.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// Of the authority that signed etcd's certificate.
    pub ca: Vec<u8>,
    /// Our own certificate and its key, where etcd asks for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Etcd {
    /// Connects to the first of `endpoints` that answers, `http://HOST:PORT` or `https://HOST:PORT`; if
    /// one fails later, the next is asked. `https` needs `tls`.
    ///
    /// # Errors
    /// Misuse for an endpoint that is none, or certificates that are none; Unavailable if no member
    /// can be reached.
    pub fn connect(endpoints: &[String], tls: Option<&EtcdTls>) -> Result<Self> {
        let me = Self::new(endpoints, tls, None)?;
        me.count("\0")?;
        Ok(me)
    }

    /// The same as this user, in a cluster with authentication.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); Denied for a wrong name or password.
    pub fn connect_as(
        endpoints: &[String],
        tls: Option<&EtcdTls>,
        name: &str,
        password: &str,
    ) -> Result<Self> {
        let me = Self::new(endpoints, tls, Some((name.into(), Zeroizing::new(password.into()))))?;
        me.authenticate()?;
        Ok(me)
    }

    fn new(
        endpoints: &[String],
        tls: Option<&EtcdTls>,
        user: Option<(String, Zeroizing<String>)>,
    ) -> Result<Self> {
        let channels: Result<Vec<_>> = endpoints.iter().map(|url| endpoint(url, tls)).collect();
        let endpoints = channels?;
        if endpoints.is_empty() {
            return Err(Error::misuse("etcd: no endpoint"));
        }
        // Tonic looks for its runtime here.
        let channels =
            wait(on_io(async move { Ok(endpoints.iter().map(Endpoint::connect_lazy).collect::<Vec<_>>()) }))?;
        Ok(Self(Arc::new(Inner { channels, user, token: Mutex::default() })))
    }

    /// A token for the calls to come; `false` for nobody in particular.
    fn authenticate(&self) -> Result<bool> {
        let Some((name, password)) = &self.0.user else { return Ok(false) };
        let request = AuthenticateRequest { name: name.clone(), password: password.to_string() };
        let reply = self.members(|channel| {
            let request = request.clone();
            async move { AuthClient::new(channel).authenticate(request).await }
        })?;
        let token = reply.map_err(|status| failed(&status))?.token.parse();
        let token = token.map_err(|_| Error::new(ErrorKind::BadReply, "etcd: a token that is none"))?;
        *lock(&self.0.token) = Some(token);
        Ok(true)
    }

    /// What etcd answers.
    pub(super) fn ask<T, F>(&self, call: impl Fn(Channel) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        match self.members(&call)? {
            Err(status) if is_forgotten(&status) && self.authenticate()? => {
                self.members(&call)?.map_err(|status| failed(&status))
            }
            answer => answer.map_err(|status| failed(&status)),
        }
    }

    /// Asks the members in turn, until one answers.
    fn members<T, F>(&self, call: impl Fn(Channel) -> F) -> Result<Result<T, Status>>
    where
        T: Send + 'static,
        F: Future<Output = Result<Response<T>, Status>> + Send + 'static,
    {
        let mut last = None;
        for channel in &self.0.channels {
            let call = call(channel.clone());
            match wait(on_io(async move { Ok(call.await) }))? {
                Err(status) if status.code() == Code::Unavailable => last = Some(status),
                answer => return Ok(answer.map(Response::into_inner)),
            }
        }
        Ok(Err(last.expect("one endpoint at least")))
    }

    pub(super) fn kv(channel: Channel) -> KvClient<Channel> {
        KvClient::new(channel).max_decoding_message_size(MOST_BYTES)
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = lock(&self.0.token).clone() {
            request.metadata_mut().insert("token", token);
        }
        request
    }
}

fn endpoint(url: &str, tls: Option<&EtcdTls>) -> Result<Endpoint> {
    let wrong = |what: &dyn fmt::Display| Error::misuse(format!("etcd: {url}: {what}"));
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|e| wrong(&e))?;
    let endpoint = endpoint.timeout(CALL_TIME).connect_timeout(CONNECT_TIME);
    match (endpoint.uri().scheme_str(), tls) {
        (Some("http"), None) => Ok(endpoint),
        (Some("https"), Some(tls)) => endpoint.tls_config(config(tls)).map_err(|e| wrong(&e)),
        (Some("http"), Some(_)) => Err(wrong(&"certificates, and no https")),
        (Some("https"), None) => Err(wrong(&"https needs the certificate of an authority")),
        _ => Err(wrong(&"an endpoint is http://HOST:PORT or https://HOST:PORT")),
    }
}

fn config(tls: &EtcdTls) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca));
    match &tls.client {
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        None => config,
    }
}

/// A token that etcd does not know any more, or that is older than the rights of its users.
fn is_forgotten(status: &Status) -> bool {
    let is_old = status.code() == Code::InvalidArgument && status.message().contains("auth store is old");
    status.code() == Code::Unauthenticated || is_old
}

fn failed(status: &Status) -> Error {
    let kind = match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        // Wrong names and passwords, and calls without a token, are these in etcd.
        Code::InvalidArgument if ["auth", "user name"].iter().any(|of| status.message().contains(of)) => {
            ErrorKind::Denied
        }
        Code::InvalidArgument => ErrorKind::Misuse,
        Code::ResourceExhausted | Code::OutOfRange => ErrorKind::Limit,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("etcd: {}", status.message()))
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("members", &self.0.channels.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdTls").field("is_client", &self.client.is_some()).finish_non_exhaustive()
    }
}
