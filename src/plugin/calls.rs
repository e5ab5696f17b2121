//! The three calls of the service.
use super::{
    Plugin, PluginHealth,
    answers::{is_of_the_kms, status},
    numbers,
};
use crate::{
    Error, Result,
    kek::k8s_kms::generated::v2::{
        DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
        key_management_service_server::KeyManagementService,
    },
};
use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroize;

const VERSION: &str = "v2";
/// Exactly that is healthy.
const OK: &str = "ok";

/// A method of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Which key wraps, and how the plugin is.
    Status,
    /// Wraps.
    Encrypt,
    /// Unwraps.
    Decrypt,
}

impl Method {
    pub(super) const ALL: [Self; 3] = [Self::Status, Self::Encrypt, Self::Decrypt];

    /// As the service calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
        }
    }
}

/// Who is told what goes on, nothing secret. It is called in between: it must not block.
pub trait PluginObserver: Send + Sync + 'static {
    /// A call was answered.
    fn answered(&self, _call: &Call<'_>) {}

    /// Another health than before, or another key id.
    fn changed(&self, _health: &PluginHealth, _key_id: Option<&str>) {}
}

pub(super) struct Nobody;

impl PluginObserver for Nobody {}

/// A call that was answered: nothing secret.
#[non_exhaustive]
pub struct Call<'a> {
    /// Which one.
    pub method: Method,
    /// What the API server calls it, and writes to its own log; empty for Status. Anyone who may
    /// connect chooses it: it may hold whatever UTF-8 has.
    pub uid: &'a str,
    /// How long it took.
    pub took: Duration,
    /// What was wrong, if anything was.
    pub error: Option<&'a Error>,
    pub(super) code: Code,
}

impl Call<'_> {
    /// gRPC's code, by its name: `OK`, `Unavailable`.
    pub fn code(&self) -> &'static str {
        numbers::name(self.code)
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("uid", &self.uid)
            .field("code", &self.code())
            .field("took", &self.took)
            .field("error", &self.error)
            .finish()
    }
}

#[tonic::async_trait]
impl KeyManagementService for Plugin {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let began = Instant::now();
        let current = self.0.state.current();
        let healthz = current.health.reason().unwrap_or(OK).into();
        let key_id = current.key_id.clone().unwrap_or_default();
        let answer = Ok(StatusResponse { version: VERSION.into(), healthz, key_id });
        self.tell(Method::Status, "", began, answer)
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let began = Instant::now();
        let mut request = request.into_inner();
        let wrapped = self.wrap(&request.plaintext).await;
        request.plaintext.zeroize();
        let answer = wrapped.map(|(ciphertext, current)| EncryptResponse {
            ciphertext,
            key_id: current.key_id.clone().unwrap_or_default(),
            annotations: HashMap::new(),
        });
        if let Err(e) = &answer
            && is_of_the_kms(e)
        {
            self.failed(e);
            self.0.look.notify_one();
        }
        self.tell(Method::Encrypt, &request.uid, began, answer)
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let began = Instant::now();
        let request = request.into_inner();
        let answer = self.unwrap(&request.ciphertext, &request.key_id).await;
        if answer.as_ref().is_err_and(is_of_the_kms) {
            // It may be an old key alone that opens nothing.
            self.0.look.notify_one();
        }
        let answer = answer.map(|plaintext| DecryptResponse { plaintext });
        self.tell(Method::Decrypt, &request.uid, began, answer)
    }
}

impl Plugin {
    fn tell<T>(
        &self,
        method: Method,
        uid: &str,
        began: Instant,
        answer: Result<T>,
    ) -> Result<Response<T>, Status> {
        let answer = answer.map_err(|e| (status(&e), e));
        let (error, code) = match &answer {
            Ok(_) => (None, Code::Ok),
            Err((refusal, e)) => (Some(e), refusal.code()),
        };
        let call = Call { method, uid, took: began.elapsed(), error, code };
        self.0.numbers.add(&call);
        self.0.observer.answered(&call);
        answer.map(Response::new).map_err(|(refusal, _)| refusal)
    }
}
