//! Calling a backend: the time-out, and what a reply must be.
use super::KmsBackend;
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Recipient, Result, WrappedDek,
    envelope::check_scheme,
    rt::{Runtime, launch, lock, unless},
};
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

/// `current_key` may be a call: what it said is good for this long.
const CURRENT_FOR: Duration = Duration::from_secs(30);

/// What a KEK is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Wraps every new DEK, and opens.
    Wraps,
    /// Only opens.
    Opens,
}

/// A backend, and how it is called.
pub(crate) struct Kek {
    backend: Arc<dyn KmsBackend>,
    pub(crate) role: Role,
    rt: Arc<dyn Runtime>,
    timeout: Duration,
    current: Mutex<Option<Current>>,
}

struct Current {
    key: Option<KeyId>,
    learnt: Duration,
}

impl Kek {
    pub(crate) fn new(
        backend: Arc<dyn KmsBackend>,
        role: Role,
        rt: Arc<dyn Runtime>,
        timeout: Duration,
    ) -> Result<Self> {
        check_scheme(backend.scheme().as_bytes())
            .map_err(|_| Error::misuse("a backend's scheme has 1 to 32 of a-z 0-9 -"))?;
        Ok(Self { backend, role, rt, timeout, current: Mutex::new(None) })
    }

    pub(crate) fn scheme(&self) -> &str {
        self.backend.scheme()
    }

    /// Whether this KEK may be asked to unwrap for `recipient`. No call is made.
    pub(crate) fn accepts(&self, recipient: &Recipient) -> bool {
        recipient.scheme == self.scheme() && self.backend.accepts(&recipient.wrapped.key_id)
    }

    pub(crate) async fn generate(&self, context: &EncryptionContext) -> Result<(Dek, Recipient)> {
        let (dek, wrapped) = self.in_time(self.backend.generate_dek(context)).await?;
        Ok((dek, self.recipient(wrapped)?))
    }

    pub(crate) async fn wrap(&self, dek: &Dek, context: &EncryptionContext) -> Result<Recipient> {
        let wrapped = self.in_time(self.backend.wrap_dek(dek, context)).await?;
        self.recipient(wrapped)
    }

    pub(crate) async fn unwrap(&self, recipient: &Recipient, context: &EncryptionContext) -> Result<Dek> {
        self.in_time(self.backend.unwrap_dek(&recipient.wrapped, context)).await
    }

    /// The key that would wrap now; `None` if that cannot be told. Who asks does not wait:
    /// when what was learnt is old the backend is asked, and its answer, unless it is there
    /// at once, is for the next one.
    pub(crate) fn current_key(self: &Arc<Self>) -> Option<KeyId> {
        if let Some(known) = self.known() {
            return known;
        }
        let me = self.clone();
        let ask = async move {
            let key = me.in_time(me.backend.current_key()).await.ok().flatten();
            me.learn(key);
        };
        launch(&*self.rt, Box::pin(ask));
        lock(&self.current).as_ref()?.key.clone()
    }

    /// What was learnt, while that is good. Whoever gets `None` is to ask; until the answer
    /// is there it is unknown to the others, too: an old answer would have them take for
    /// current what is not.
    fn known(&self) -> Option<Option<KeyId>> {
        let mut current = lock(&self.current);
        let now = self.rt.now();
        match &*current {
            Some(c) if now.saturating_sub(c.learnt) < CURRENT_FOR => Some(c.key.clone()),
            _ => {
                *current = Some(Current { key: None, learnt: now });
                None
            }
        }
    }

    fn learn(&self, key: Option<KeyId>) {
        let current = Current { key, learnt: self.rt.now() };
        *lock(&self.current) = Some(current);
    }

    /// A reply to a wrap, checked: what this KEK would not open again is not written down.
    fn recipient(&self, wrapped: WrappedDek) -> Result<Recipient> {
        if !wrapped.has_a_valid_length() {
            return Err(Error::new(ErrorKind::BadReply, "the KMS returned a wrapped DEK of a wrong length"));
        }
        if !self.backend.accepts(&wrapped.key_id) {
            let said =
                format!("the KMS wrapped under {}, which this backend does not accept", wrapped.key_id);
            return Err(Error::new(ErrorKind::BadReply, said));
        }
        self.learn(Some(wrapped.key_id.clone()));
        Ok(Recipient::new(self.scheme(), wrapped))
    }

    /// Within the time-out. A panic is a reply that no KMS should give.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let mut call = pin!(call);
        let call = poll_fn(|cx| {
            let poll = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
            poll.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
        });
        unless(self.rt.sleep(self.timeout), call).await.unwrap_or_else(|| {
            let said = format!("{}: no answer within {:?}", self.scheme(), self.timeout);
            Err(Error::new(ErrorKind::Unavailable, said))
        })
    }
}

/// What a caller gets when a backend panicked.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::BadReply,
        "the backend panicked; one that needs an async runtime must bring its own",
    )
}
