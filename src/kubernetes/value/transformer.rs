//! To storage and from storage.
use super::{
    ValueFormat,
    kms::Opened,
    service::KmsService,
    ways::{Way, ways},
};
use crate::{
    Error, ErrorKind, Result,
    kubernetes::provider::{KmsProvider, Provider},
    rt::{Background, Runtime},
    secret::check_fork,
};
use std::{fmt, sync::Arc};

/// Reads and writes the values of one resource in etcd, as an API server with these providers does.
///
/// The first provider with its first key writes; all read: each whose prefix a value has, in their
/// order, until one opens it. The path of a value is its etcd key, prefix included, for example
/// `/registry/secrets/default/db`. aesgcm, kms v2 and, since Kubernetes 1.25, kms v1 bind the value to
/// it; **aescbc, secretbox and older values of kms v1 do not**: whoever can write to etcd can put such
/// a value in another's place, and aescbc and older kms v1 do not even notice an altered one.
///
/// ```
/// # fn main() -> libkms::Result<()> {
/// use libkms::kubernetes::{Key, Provider, Transformer};
///
/// let keys = |name: &str, secret: &[u8]| Ok::<_, libkms::Error>(vec![Key::new(name, secret)?]);
/// let old = Provider::AesGcm(keys("2025", &[1; 32])?);
/// let secrets = Transformer::without_kms(vec![old, Provider::Identity])?;
/// let path = "/registry/secrets/default/db";
/// let value = secrets.try_write(path, b"k8s\0...")?.expect("no KMS to ask");
/// assert!(value.starts_with(b"k8s:enc:aesgcm:v1:2025:"));
///
/// // Another key in front of it: the value is read, and told to be stale.
/// let providers = vec![
///     Provider::AesGcm(keys("2026", &[2; 32])?),
///     Provider::AesGcm(keys("2025", &[1; 32])?),
///     Provider::Identity,
/// ];
/// let secrets = Transformer::without_kms(providers)?;
/// let read = secrets.try_read(path, &value)?.expect("no KMS to ask");
/// assert!(read.plaintext == b"k8s\0..." && read.stale && &*read.name == "2025");
/// assert!(secrets.try_read("/registry/secrets/default/other", &value).is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Transformer(Arc<[Way]>);

/// What reading a value gave.
#[non_exhaustive]
pub struct Read {
    /// As it was written.
    pub plaintext: Vec<u8>,
    /// Whether the API server would write it otherwise now: under another key or provider, or in a
    /// newer format. To write it again is what rotates it.
    pub stale: bool,
    /// How it was stored.
    pub format: ValueFormat,
    /// The key, or the KMS, as the configuration names it; nothing under identity.
    pub name: Arc<str>,
    /// kms v2: the KEK.
    pub key_id: Option<Arc<str>>,
}

impl Transformer {
    /// `services` opens the KMS of a provider of type kms; it is called once for each. What it opens may
    /// serve the transformers of several resources; their memories of DEKs and seeds are apart.
    ///
    /// The keys, DEKs and seeds stay in key memory: a DEK or seed that a KMS unwrapped for a day, of
    /// v2 1000 of them, of v1 as many as the provider says.
    ///
    /// # Errors
    /// Misuse without a provider, for a list without keys, a key or KMS without a name, a `:` in the
    /// name of a v2 KMS, a key of secretbox that does not have 32 bytes; Limit without memory; what
    /// `services` says.
    pub fn new(
        providers: Vec<Provider>,
        services: impl FnMut(&KmsProvider) -> Result<Arc<dyn KmsService>>,
    ) -> Result<Self> {
        Self::on(Background, providers, services)
    }

    /// The same where no provider is of type kms.
    ///
    /// # Errors
    /// As [`new`](Self::new); Misuse if there is one.
    pub fn without_kms(providers: Vec<Provider>) -> Result<Self> {
        Self::new(providers, |kms| Err(Error::misuse(format!("nothing serves the KMS {}", kms.name))))
    }

    /// As [`new`](Self::new), with another clock and another place for background work: tests.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn on(
        rt: impl Runtime,
        providers: Vec<Provider>,
        mut services: impl FnMut(&KmsProvider) -> Result<Arc<dyn KmsService>>,
    ) -> Result<Self> {
        check_fork()?;
        let rt: Arc<dyn Runtime> = Arc::new(rt);
        Ok(Self(ways(providers, &mut services, &rt)?.into()))
    }

    /// The plaintext of what stands in etcd under `path`. A KMS is asked where its DEK or seed is not
    /// remembered, once for all who want the same, and where a value of the first provider's is the
    /// first one in three minutes, which key it wraps with.
    ///
    /// # Errors
    /// NoMatchingKek: no provider's prefix is that of the value. Authentication: none of those whose
    /// prefix it has opens it there. Malformed: a body that cannot be one. Unavailable, Denied,
    /// BadReply: the KMS did not serve; they come first, since another time the value may open.
    pub async fn read(&self, path: impl AsRef<[u8]>, value: &[u8]) -> Result<Read> {
        check_fork()?;
        let (path, mut failed) = (path.as_ref(), None);
        for (way, body) in self.matching(value) {
            let opened = match way.open_now(path, body) {
                Ok(None) => way.open(path, body).await,
                opened => opened,
            };
            match opened {
                Ok(Some(opened)) => return Ok(read(way, opened)),
                Ok(None) => {}
                Err(e) => note(&mut failed, e),
            }
        }
        Err(failed.unwrap_or_else(none_matches))
    }

    /// As [`read`](Self::read), without a call to a KMS: `None` if there must be one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn try_read(&self, path: impl AsRef<[u8]>, value: &[u8]) -> Result<Option<Read>> {
        check_fork()?;
        let (path, mut failed) = (path.as_ref(), None);
        for (way, body) in self.matching(value) {
            match way.open_now(path, body) {
                Ok(opened) => return Ok(opened.map(|opened| read(way, opened))),
                Err(e) => note(&mut failed, e),
            }
        }
        Err(failed.unwrap_or_else(none_matches))
    }

    /// What is to stand in etcd under `path`. A v2 KMS is asked for its key when that was last known a
    /// minute ago, in the background, and has one new seed to wrap when it is another one; a v1 KMS has
    /// a DEK to wrap for each value. Writing goes on for three minutes after the last good answer.
    ///
    /// Identity writes what begins with `k8s:enc:` as anything else, and nobody can read it then, as it
    /// is with the API server. A key of aesgcm should not write more than 200,000 values: its nonces
    /// are random, and nobody counts.
    ///
    /// # Errors
    /// Unavailable, Denied, BadReply: the KMS did not serve, or is not fit to. Misuse for kms v2
    /// without a path, Limit for a plaintext of more than 2^36 - 32 bytes.
    pub async fn write(&self, path: impl AsRef<[u8]>, plaintext: &[u8]) -> Result<Vec<u8>> {
        check_fork()?;
        let path = path.as_ref();
        match self.writer().seal_now(path, plaintext)? {
            Some(value) => Ok(value),
            None => self.writer().seal(path, plaintext).await,
        }
    }

    /// As [`write`](Self::write), and does not wait for a KMS: `None` if that is needed.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn try_write(&self, path: impl AsRef<[u8]>, plaintext: &[u8]) -> Result<Option<Vec<u8>>> {
        check_fork()?;
        self.writer().seal_now(path.as_ref(), plaintext)
    }

    /// How values are written: the format, and the name of the key or the KMS.
    pub fn writes(&self) -> (ValueFormat, &str) {
        (self.writer().format, &self.writer().name)
    }

    fn writer(&self) -> &Way {
        &self.0[0]
    }

    fn matching<'a>(&'a self, value: &'a [u8]) -> impl Iterator<Item = (&'a Way, &'a [u8])> {
        self.0.iter().filter_map(|way| Some((way, way.body(value)?)))
    }
}

#[inline]
fn read(way: &Way, opened: Opened) -> Read {
    let Opened { plaintext, is_stale, key_id } = opened;
    Read { plaintext, stale: is_stale || !way.is_writer, format: way.format, name: way.name.clone(), key_id }
}

/// Keeps the failure that says most of what can be done; of those the first.
fn note(failed: &mut Option<Error>, error: Error) {
    use ErrorKind::{BadReply, Denied, Forked, Io, Limit, Malformed, Unavailable};
    let rank = |e: &Error| {
        let kinds = [Forked, Unavailable, Denied, BadReply, Io, Limit, Malformed];
        kinds.iter().position(|kind| *kind == e.kind()).unwrap_or(kinds.len())
    };
    if failed.as_ref().is_none_or(|before| rank(&error) < rank(before)) {
        *failed = Some(error);
    }
}

fn none_matches() -> Error {
    Error::new(ErrorKind::NoMatchingKek, "no provider here has the prefix of this value")
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read")
            .field("stale", &self.stale)
            .field("format", &self.format)
            .field("name", &self.name)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.0.iter().map(|way| (way.format, &way.name));
        f.debug_tuple("Transformer").field(&ways.collect::<Vec<_>>()).finish()
    }
}
