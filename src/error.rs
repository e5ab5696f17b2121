//! One `Error` for the crate: what the caller can do about it.
//!
//! It is `Clone`, because one failed call to a KMS answers thousands of waiters, and one
//! word wide, because results travel far.
use std::{borrow::Cow, error::Error as StdError, fmt, io, sync::Arc, time::Duration};

/// A result whose error is [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with a [kind](ErrorKind) to act on.
///
/// Messages hold public data only: field names, key ids, paths. Never a key, a plaintext,
/// an aad or the values of a context.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    attempts: Vec<Attempt>,
    of_the_key: bool,
    of_ours: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Wrong key, context or aad, or altered bytes. Which of them, nobody is told.
    Authentication,
    /// Not an envelope, a keyring or a context as the format has it. The message names the
    /// field; it was found without keys.
    Malformed,
    /// None of the configured KEKs is named by this envelope; no KMS was called.
    NoMatchingKek,
    /// The header of this reference record is not where headers are kept.
    NoHeader,
    /// The KMS refused for good: no permission, key disabled or destroyed.
    Denied,
    /// The KMS did not answer, throttled or was too slow. Retry later.
    Unavailable,
    /// The KMS, or a backend, answered what none should: wrong length, wrong key id.
    BadReply,
    /// A limit of the format, of a key or of a policy.
    Limit,
    /// A mistake in the calling program or its configuration.
    Misuse,
    /// This process is a fork. The keys stayed with the parent: build a new `Kms` after
    /// `exec`, or fork before the first use.
    Forked,
    /// Reading or writing failed.
    Io,
}

/// What one KEK said, when several were asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The backend's scheme.
    pub scheme: String,
    /// The KEK as the header or the backend names it.
    pub key_id: String,
    /// Its answer.
    pub error: Error,
}

impl Attempt {
    pub(crate) fn new(scheme: &str, key_id: &str, error: Error) -> Self {
        Self { scheme: scheme.into(), key_id: key_id.into(), error }
    }
}

impl Error {
    /// An error of your own backend. `detail` must hold no secret.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            detail: detail.into(),
            retry_after: None,
            attempts: Vec::new(),
            of_the_key: false,
            of_ours: false,
            source: None,
        }))
    }

    /// Adds the KMS's own error as the [source](StdError::source). It must hold no secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::from(source.into()));
        self
    }

    /// Adds when the KMS said to come back.
    #[must_use]
    pub fn with_retry_after(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.0).retry_after = Some(time);
        self
    }

    /// For backends: adds that every call under the same key gets this answer for now, and
    /// tells nothing of other keys. Where it is a refusal for good, since the key is disabled, or
    /// about to be deleted, libkms then asks no more for a few seconds. Where it is
    /// [retryable](Self::is_retryable), unwraps under other keys go on, however often one fails
    /// so.
    #[must_use]
    pub fn of_the_key(mut self) -> Self {
        Arc::make_mut(&mut self.0).of_the_key = true;
        self
    }

    /// It was not asked: this is what libkms itself says.
    pub(crate) fn of_ours(mut self) -> Self {
        Arc::make_mut(&mut self.0).of_ours = true;
        self
    }

    pub(crate) fn is_of_ours(&self) -> bool {
        self.0.of_ours
    }

    pub(crate) fn is_of_the_key(&self) -> bool {
        self.0.of_the_key
    }

    pub(crate) fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        Arc::make_mut(&mut self.0).attempts = attempts;
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }

    /// When the KMS said to come back, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What each KEK said, when several were asked.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// The libkms error inside an `io::Error` that a stream returned.
    pub fn in_io(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }

    /// The one text for every failure to authenticate.
    pub(crate) fn authentication() -> Self {
        Self::new(ErrorKind::Authentication, "not authentic under this key, context and aad")
    }

    pub(crate) fn malformed(field: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Malformed, field)
    }

    pub(crate) fn no_header() -> Self {
        Self::new(ErrorKind::NoHeader, "the header of this reference record is not there")
    }

    pub(crate) fn misuse(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Misuse, detail)
    }

    pub(crate) fn limit(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Limit, detail)
    }

    pub(crate) fn forked() -> Self {
        Self::new(ErrorKind::Forked, "this process is a fork: its keys stayed with the parent")
    }

    /// An I/O error, and what was being done to which file.
    pub(crate) fn io(what: impl fmt::Display, error: io::Error) -> Self {
        match Self::in_io(&error) {
            Some(ours) => ours.clone(),
            None => Self::new(ErrorKind::Io, format!("{what}: {error}")).with_source(error),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("detail", &self.0.detail)
            .field("attempts", &self.0.attempts)
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)?;
        for a in &self.0.attempts {
            write!(f, "; {}:{}: {}", a.scheme, a.key_id, a.error)?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|e| &**e as _)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match Error::in_io(&error) {
            Some(ours) => ours.clone(),
            None => Error::new(ErrorKind::Io, error.to_string()).with_source(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Authentication | ErrorKind::Malformed => io::ErrorKind::InvalidData,
            ErrorKind::Denied => io::ErrorKind::PermissionDenied,
            ErrorKind::Unavailable => io::ErrorKind::TimedOut,
            ErrorKind::NoHeader => io::ErrorKind::NotFound,
            ErrorKind::Misuse => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_word_and_survives_io() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
        let back = Error::from(io::Error::from(Error::authentication()));
        assert_eq!(back.kind(), ErrorKind::Authentication);
        let io = io::Error::other("disk");
        assert_eq!(Error::from(io).kind(), ErrorKind::Io);
    }

    #[test]
    fn attempts_are_told_in_order() {
        let e = Error::new(ErrorKind::Unavailable, "no KEK opened this").with_attempts(vec![
            Attempt::new("a", "k1", Error::new(ErrorKind::Denied, "no")),
            Attempt::new("b", "k2", Error::new(ErrorKind::Unavailable, "late")),
        ]);
        assert_eq!(e.to_string(), "no KEK opened this; a:k1: no; b:k2: late");
        assert_eq!(e.attempts().len(), 2);
    }
}
