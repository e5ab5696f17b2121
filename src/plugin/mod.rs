//! A Kubernetes KMS plugin, version 2, over any KEKs: the API server asks it over a unix socket to
//! wrap and unwrap its seeds.
//!
//! How one is installed, watched and rotated is a page of the manual: [plugin](crate::manual::plugin).
mod answers;
mod calls;
mod check;
mod foreign;
mod http;
mod key_id;
mod listen;
mod numbers;
mod of_kms;
#[cfg(libkms_raw)]
mod raw;
mod serve;
mod state;
mod watch;

pub use calls::{Call, Method, PluginObserver};
pub use check::{Rule, check};
pub use listen::Socket;
pub use serve::Serving;
pub use state::PluginHealth;

use crate::{Aad, EncryptionContext, Error, Header, Kms, Result, Scope};
use calls::Nobody;
use foreign::Foreign;
use numbers::Numbers;
use of_kms::OfKms;
use state::{Current, State};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// What the API server stores of a wrapped seed: bytes.
const MOST_CIPHERTEXT: usize = 1024;
/// The API server's seeds and DEKs.
const SEED: usize = 32;
/// How often an Encrypt begins anew, since the key that wraps moved meanwhile.
const TURNS: usize = 8;
/// Tells our envelopes for API servers from all others under the same KEK and context.
const USE: &str = "kubernetes kms v2";

/// A plugin. A clone is another handle on the same.
///
/// What it wraps is an envelope of suite 1 with one copy of its header, under the encryption context
/// that it was given: [`Scope::open`] opens it under the aad `kubernetes kms v2`. It unwraps also what
/// aws-encryption-provider wrapped under a key of a KEK in AWS that opens here.
///
/// Its key id is the keys of its KEKs that wrap, each with its scheme and as a header names it, and
/// changes when one of them does, or one does not wrap where [`WrapPolicy`](crate::WrapPolicy) lets
/// it.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    scope: Scope,
    state: State,
    foreign: Foreign,
    numbers: Numbers,
    of_kms: OfKms,
    observer: Box<dyn PluginObserver>,
    interval: Duration,
    /// Something is wrong, or may be: look.
    look: Notify,
}

impl Plugin {
    /// Over these KEKs. They are asked for a wrap every 5 minutes, whether or not the API server
    /// asks for one.
    pub fn new(kms: &Kms, context: EncryptionContext) -> Self {
        let of_kms = OfKms::default();
        kms.observe(of_kms.clone());
        Self(Arc::new(Inner {
            scope: kms.scope(context),
            state: State::default(),
            foreign: Foreign::default(),
            numbers: Numbers::default(),
            of_kms,
            observer: Box::new(Nobody),
            interval: Duration::from_secs(300),
            look: Notify::new(),
        }))
    }

    /// How often the KEKs are asked for a wrap: whether they answer, and which key wraps now. From a
    /// second to a day.
    ///
    /// # Errors
    /// Misuse for another time, or if it serves already.
    pub fn health_interval(mut self, time: Duration) -> Result<Self> {
        if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&time) {
            return Err(Error::misuse(
                "the KEKs are asked for a wrap every second at most, every day at least",
            ));
        }
        self.unshared()?.interval = time;
        Ok(self)
    }

    /// Has `observer` told what goes on.
    ///
    /// # Errors
    /// Misuse if it serves already.
    pub fn observer(mut self, observer: impl PluginObserver) -> Result<Self> {
        self.unshared()?.observer = Box::new(observer);
        Ok(self)
    }

    fn unshared(&mut self) -> Result<&mut Inner> {
        Arc::get_mut(&mut self.0).ok_or_else(|| Error::misuse("this plugin serves already"))
    }

    /// Has its KEKs wrap now, for its health and its key id.
    ///
    /// # Errors
    /// What they say; Limit if what this plugin wraps is longer than the API server takes.
    pub async fn probe(&self) -> Result<()> {
        let wrapped = async {
            self.0.scope.renew().await?;
            self.wrap(&[0; SEED]).await.map(drop)
        };
        wrapped.await.inspect_err(|e| self.failed(e))
    }

    fn failed(&self, error: &Error) {
        if let Some(current) = self.0.state.failed(error) {
            self.0.observer.changed(&current.health, current.key_id.as_deref());
        }
    }

    /// How it is, as its Status says it. Nobody is asked.
    pub fn health(&self) -> PluginHealth {
        self.0.state.current().health.clone()
    }

    /// The key that wraps; `None` before a KEK wrapped anything.
    pub fn key_id(&self) -> Option<String> {
        self.0.state.current().key_id.clone()
    }

    /// A wrapped seed, and the key id, which is the one that Status tells at the same moment.
    async fn wrap(&self, plaintext: &[u8]) -> Result<(Vec<u8>, Arc<Current>)> {
        for _ in 0..TURNS {
            let before = self.0.state.current();
            let sealed = self.0.scope.seal(Aad::from(USE), plaintext).await?;
            let header = Header::parse(&sealed)?;
            if sealed.len() > MOST_CIPHERTEXT {
                return Err(too_long(&header, plaintext.len(), sealed.len()));
            }
            if let Some((current, has_changed)) = self.0.state.wrapped(&before, &header, Instant::now()) {
                if has_changed {
                    self.0.observer.changed(&current.health, current.key_id.as_deref());
                }
                return Ok((sealed, current));
            }
        }
        Err(Error::new(crate::ErrorKind::Unavailable, "the key that wraps moves again and again"))
    }

    /// As this plugin wrapped it, or aws-encryption-provider.
    async fn unwrap(&self, ciphertext: &[u8], key_id: &str) -> Result<Vec<u8>> {
        match ciphertext.first() {
            Some(&(foreign::V1 | foreign::V2)) => self.foreign(ciphertext, key_id).await,
            _ => self.0.scope.open(Aad::from(USE), ciphertext).await.map(|opened| opened.plaintext),
        }
    }

    async fn foreign(&self, ciphertext: &[u8], key_id: &str) -> Result<Vec<u8>> {
        let current = self.0.state.current();
        self.0.foreign.unwrap(&self.0.scope, ciphertext, &foreign::keys(key_id, &current.keys)?).await
    }
}

fn too_long(header: &Header, plaintext: usize, sealed: usize) -> Error {
    let (most, keks) = (MOST_CIPHERTEXT, header.recipients().len());
    if plaintext > SEED {
        return Error::limit(format!(
            "a plaintext of {plaintext} bytes makes a ciphertext of {sealed}, and the API server takes {most}"
        ));
    }
    Error::limit(format!(
        "what {keks} KEKs wrap has {sealed} bytes, and the API server takes {most}: name fewer KEKs that wrap"
    ))
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("scope", &self.0.scope).field("key_id", &self.key_id()).finish()
    }
}
