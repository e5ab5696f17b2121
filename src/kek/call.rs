//! Calling a backend: the time-out, and what a reply must be.
use super::{KmsBackend, current::Current, standing::Standing};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, Recipient, Result, WrappedDek,
    envelope::check_scheme,
    rt::{Runtime, unless},
};
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

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
    pub(super) backend: Arc<dyn KmsBackend>,
    pub(crate) role: Role,
    pub(super) rt: Arc<dyn Runtime>,
    timeout: Duration,
    pub(super) current: Current,
    standing: Standing,
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
        Ok(Self { backend, role, rt, timeout, current: Current::default(), standing: Standing::default() })
    }

    pub(crate) fn scheme(&self) -> &str {
        self.backend.scheme()
    }

    /// Whether this KEK may be asked to unwrap for `recipient`. No call is made.
    pub(crate) fn accepts(&self, recipient: &Recipient) -> bool {
        recipient.scheme == self.scheme() && self.backend.accepts(&recipient.wrapped.key_id)
    }

    pub(crate) async fn generate(&self, context: &EncryptionContext) -> Result<(Dek, Recipient)> {
        let (dek, wrapped) = self.asked(async { self.backend.generate_dek(context).await }).await?;
        Ok((dek, self.recipient(wrapped)?))
    }

    pub(crate) async fn wrap(&self, dek: &Dek, context: &EncryptionContext) -> Result<Recipient> {
        let wrapped = self.asked(async { self.backend.wrap_dek(dek, context).await }).await?;
        self.recipient(wrapped)
    }

    pub(crate) async fn unwrap(&self, recipient: &Recipient, context: &EncryptionContext) -> Result<Dek> {
        self.asked(async { self.backend.unwrap_dek(&recipient.wrapped, context).await }).await
    }

    /// It did not answer lately: others are asked first.
    pub(crate) fn is_doubted(&self) -> bool {
        self.standing.is_doubted(self.rt.now())
    }

    /// How long to wait for its answer before another KEK is asked as well.
    pub(crate) fn patience(&self) -> Duration {
        self.standing.patience()
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
        self.learn(wrapped.key_id.clone());
        Ok(Recipient::new(self.scheme(), wrapped))
    }

    /// Within the time-out; how it went is remembered.
    async fn asked<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let began = self.rt.now();
        let dropped = Dropped { kek: self, began };
        let answer = self.in_time(call).await;
        std::mem::forget(dropped);
        let now = self.rt.now();
        match &answer {
            Ok(_) => self.standing.answered(now.saturating_sub(began)),
            Err(e) => self.standing.failed(e, now),
        }
        answer
    }

    /// Within the time-out. A panic is a reply that no KMS should give: `call` is a block of
    /// ours around the backend's, which may panic before it gives a future.
    pub(super) async fn in_time<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
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

/// A call that is given up, since another KEK was quicker.
struct Dropped<'a> {
    kek: &'a Kek,
    began: Duration,
}

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        let now = self.kek.rt.now();
        if now.saturating_sub(self.began) >= self.kek.patience() {
            self.kek.standing.doubt(now);
        }
    }
}

/// What a caller gets when a backend panicked.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::BadReply,
        "the backend panicked; one that needs an async runtime must bring its own",
    )
}
