//! Calling a backend: when, how often, for how long, and what a reply must be.
use super::{
    KmsBackend, OutagePolicy,
    breaker::{Breakers, Call, FIRST_PAUSE, Pass},
    bucket::Bucket,
    current::Current,
    health::Counts,
    observer::{Observers, Operation},
    pause::Pauses,
    places::Places,
    refusals::Refusals,
    standing::Standing,
    told::{Answer, Asked, Told},
};
use crate::{
    Dek, EncryptionContext, Error, ErrorKind, KeyId, Recipient, Result, WrappedDek,
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

/// One that says to come back later is asked nothing for so long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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
    pub(super) timeout: Duration,
    /// Who had less time than that for an answer cannot tell that there is none.
    least_time: Duration,
    pub(super) current: Current,
    standing: Standing,
    pub(super) breakers: Breakers,
    /// One for each place: AWS's quotas are of an account in a region, and its regions throttle
    /// each for itself.
    buckets: Places<Bucket>,
    is_limited: bool,
    /// Keys that the KMS calls unusable; `None`: the one that wraps.
    unusable: Refusals<Option<KeyId>>,
    /// Wraps that it refused for good, but for the state of its key: it may allow to generate
    /// and refuse to wrap.
    refused: Refusals<(Operation, EncryptionContext)>,
    pub(super) counts: Counts,
    pub(super) observers: Observers,
}

impl Kek {
    pub(crate) fn new(
        backend: Arc<dyn KmsBackend>,
        role: Role,
        rt: Arc<dyn Runtime>,
        policy: &OutagePolicy,
    ) -> Result<Self> {
        check_scheme(backend.scheme().as_bytes())
            .map_err(|_| Error::misuse("a backend's scheme has 1 to 32 of a-z 0-9 -"))?;
        let quota = policy.calls_per_second.or_else(|| backend.calls_per_second());
        Ok(Self {
            role,
            timeout: policy.call_timeout,
            least_time: policy.call_timeout.min(policy.deadline) / 2,
            current: Current::default(),
            standing: Standing::default(),
            breakers: Breakers::new(&rt),
            buckets: Places::new(move || Bucket::new(quota)),
            is_limited: quota.is_some(),
            unusable: Refusals::default(),
            refused: Refusals::default(),
            counts: Counts::default(),
            observers: Observers::default(),
            rt,
            backend,
        })
    }

    /// Tells these of its calls.
    pub(crate) fn observed_by(mut self, observers: &Observers) -> Self {
        self.observers = observers.clone();
        self
    }

    pub(crate) fn scheme(&self) -> &str {
        self.backend.scheme()
    }

    /// Whether this KEK may be asked to unwrap for `recipient`. No call is made.
    pub(crate) fn accepts(&self, recipient: &Recipient) -> bool {
        recipient.scheme == self.scheme() && self.backend.accepts(&recipient.wrapped.key_id)
    }

    /// `by`: when the operation must be over, on the runtime's clock.
    pub(crate) async fn generate(
        &self,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<(Dek, Recipient)> {
        let call = || async { self.backend.generate_dek(context).await };
        let (dek, wrapped) = self.attempts(Operation::Generate, context, by, call).await?;
        Ok((dek, self.recipient(wrapped)?))
    }

    pub(crate) async fn wrap(
        &self,
        dek: &Dek,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<Recipient> {
        let call = || async { self.backend.wrap_dek(dek, context).await };
        let wrapped = self.attempts(Operation::Wrap, context, by, call).await?;
        self.recipient(wrapped)
    }

    /// One attempt, no more.
    pub(crate) async fn unwrap(
        &self,
        recipient: &Recipient,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<Dek> {
        let wrapped = &recipient.wrapped;
        let asked =
            Asked { operation: Operation::Unwrap, key: Some(&wrapped.key_id), context: Some(context) };
        self.attempt(&asked, by, async { self.backend.unwrap_dek(wrapped, context).await }).await
    }

    /// Whether its calls are limited in number: of what was refused it is then not asked again
    /// for a while.
    pub(crate) fn is_limited(&self) -> bool {
        self.is_limited
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

    /// Until one succeeds, is refused for good, or the time is over. What was refused a moment ago
    /// is not asked for again: permissions may depend on the context.
    async fn attempts<T: Answer, C>(
        &self,
        operation: Operation,
        context: &EncryptionContext,
        by: Duration,
        call: impl Fn() -> C,
    ) -> Result<T>
    where
        C: Future<Output = Result<T>>,
    {
        let asked = Asked { operation, key: None, context: Some(context) };
        let id = (operation, context.clone());
        if let Some(refused) = self.refused.get(&id, self.rt.now()) {
            return Err(self.not_made(&asked, refused));
        }
        let answer = self.attempts_anew(&asked, by, call).await;
        if let Err(e) = &answer
            && e.kind() == ErrorKind::Denied
            && !e.is_of_the_key()
            && self.is_limited
        {
            self.refused.insert(id, e.clone(), self.rt.now());
        }
        answer
    }

    async fn attempts_anew<T: Answer, C>(
        &self,
        asked: &Asked<'_>,
        by: Duration,
        call: impl Fn() -> C,
    ) -> Result<T>
    where
        C: Future<Output = Result<T>>,
    {
        let mut pauses = Pauses::new();
        let mut said = None;
        loop {
            let error = match self.attempt(asked, by, call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = pauses.after(&error, &*self.rt, by);
            pauses.grow();
            // What the KMS itself said tells more than that it is left alone.
            let error = match said {
                Some(said) if error.is_of_ours() => said,
                _ => error,
            };
            let Some(pause) = pause else { return Err(error) };
            said = Some(error);
            self.rt.sleep(pause).await;
        }
    }

    /// One attempt. How it went with its key is remembered.
    async fn attempt<T: Answer>(
        &self,
        asked: &Asked<'_>,
        by: Duration,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let key = asked.key.cloned();
        if let Some(refused) = self.unusable.get(&key, self.rt.now()) {
            return Err(self.not_made(asked, refused));
        }
        let began = self.rt.now();
        let dropped = Dropped { kek: self, began };
        let answer = self.once(asked, by, call).await;
        std::mem::forget(dropped);
        let (answer, now) = (answer?, self.rt.now());
        match &answer {
            Ok(_) => self.standing.answered(now.saturating_sub(began)),
            Err(e) => {
                self.standing.failed(e, now);
                if e.is_of_the_key() && !e.is_retryable() && self.is_limited {
                    self.unusable.insert(key, e.clone(), now);
                }
            }
        }
        answer
    }

    /// One call, if it may be made: what the backend says. `Err`: it was not asked, or an auditor
    /// has not written it down.
    pub(super) async fn once<T: Answer>(
        &self,
        asked: &Asked<'_>,
        by: Duration,
        call: impl Future<Output = Result<T>>,
    ) -> Result<Result<T>> {
        let kind = self.kind(asked);
        let pass = self.turn(kind, by).await.map_err(|e| self.not_made(asked, e))?;
        self.counts.made();
        let told = Told::begins(self, asked);
        let time = by.saturating_sub(self.rt.now()).min(self.timeout);
        let answer = self.in_time(time, call).await;
        if let Some(Err(e)) = &answer
            && e.is_of_ours()
        {
            let _anyway = told.map(|told| told.ends(Err(e)));
            self.counts.not_made();
            return Err(e.clone());
        }
        let is_cut_short = answer.is_none() && time < self.least_time;
        let answer = answer.unwrap_or_else(|| {
            let said = format!("{}: no answer within {time:?}", self.backend.name());
            Err(Error::new(ErrorKind::Unavailable, said))
        });
        let is_written_down = told.map_or(Ok(()), |told| told.ends(answer.as_ref().map(Answer::key)));
        self.counts.failed(answer.is_err());
        if is_cut_short {
            drop(pass);
        } else {
            self.judge(kind, pass, answer.as_ref().err());
        }
        if answer.is_ok() {
            is_written_down?;
        }
        Ok(answer)
    }

    /// What an answer, or none, says of the KMS.
    fn judge(&self, kind: Call, pass: Pass<'_>, error: Option<&Error>) {
        if let Some(is_failing) = self.verdict(kind, pass, error) {
            self.health_changed(is_failing);
        }
    }

    /// Whether it fails, if that has changed.
    fn verdict(&self, kind: Call, pass: Pass<'_>, error: Option<&Error>) -> Option<bool> {
        let Some(error) = error else { return pass.succeeded() };
        // Wraps are of one key, unwraps of many.
        let is_of_one_of_many = matches!(kind, Call::Unwrap(_)) && error.is_of_the_key();
        if is_of_one_of_many && error.is_retryable() {
            pass.put_off()
        } else if let Some(time) = error.retry_after() {
            // One that says when to come back is there, and is asked nothing until then.
            let until = self.rt.now().saturating_add(time.min(LONGEST_PAUSE));
            self.buckets.of(kind.place()).empty_until(until);
            pass.put_off()
        } else if error.is_retryable() {
            pass.failed()
        } else {
            // It answered, whatever that was.
            pass.succeeded()
        }
    }

    /// When it may be made. `Err`: not in time.
    async fn turn(&self, kind: Call, by: Duration) -> Result<Pass<'_>> {
        let refuse = |why: &str, wait: Duration| {
            let said = format!("{}: {why}: not asked for another {wait:.1?}", self.backend.name());
            Error::new(ErrorKind::Unavailable, said).with_retry_after(wait).of_ours()
        };
        let time_is_over = self.rt.sleep(by.saturating_sub(self.rt.now()));
        let pass = unless(time_is_over, self.breakers.pass(kind)).await.unwrap_or(Err(FIRST_PAUSE));
        let pass = pass.map_err(|wait| refuse("it failed again and again", wait))?;
        let now = self.rt.now();
        // A turn that leaves no time for an answer is none: it would be taken from the next one.
        let most = by.saturating_sub(now).saturating_sub(self.patience());
        let wait = self.buckets.of(kind.place()).take(now, most);
        let wait = wait.map_err(|wait| refuse("too many calls", wait))?;
        if !wait.is_zero() {
            self.rt.sleep(wait).await;
        }
        Ok(pass)
    }

    /// Within `time`. A panic is a reply that no KMS should give: `call` is a block of ours
    /// around the backend's, which may panic before it gives a future.
    async fn in_time<T>(&self, time: Duration, call: impl Future<Output = Result<T>>) -> Option<Result<T>> {
        let mut call = pin!(call);
        let call = poll_fn(|cx| {
            let poll = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
            poll.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
        });
        unless(self.rt.sleep(time), call).await
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
