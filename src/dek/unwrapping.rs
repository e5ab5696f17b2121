//! Any one of several KEKs opens.
use super::{
    Keks,
    hedge::{Call, hedged},
};
use crate::{
    Attempt, Dek, EncryptionContext, Error, ErrorKind, Header, Recipient, Result,
    envelope::{DerivedKeys, HeaderCopy},
    kek::{Kek, Pauses, Role, how_to_accept},
    rt::join_all,
};
use std::time::Duration;

/// What unwrapping a header gave.
pub(super) struct Unwrapped<'a> {
    pub(super) dek: Dek,
    pub(super) keys: DerivedKeys,
    /// The copy of the header that they verified.
    pub(super) copy: &'a HeaderCopy,
    pub(super) recipient: &'a Recipient,
    /// What the KEK is for that opened it.
    pub(super) by: Role,
}

/// A recipient, and a KEK that may be asked for it.
struct Way<'a, 'k> {
    /// Among all of them, by the header.
    place: usize,
    recipient: &'a Recipient,
    kek: &'k Kek,
    /// What the KEK said.
    said: Refusal,
    /// Why it is to be tried again.
    last: Option<Error>,
}

/// Why one way did not lead there; nothing where the DEK was another one.
type Refusal = Option<Attempt>;

impl Keks {
    /// Some recipient of this copy may be unwrapped; no call is made.
    pub(super) fn first_accepted<'a>(&self, copy: &'a HeaderCopy) -> Option<&'a Recipient> {
        copy.recipients().iter().find(|r| self.all().any(|k| k.accepts(r)))
    }

    /// Whether every call that this header may cause counts against a quota.
    pub(super) fn are_limited(&self, header: &Header) -> bool {
        let recipients = header.tries().iter().flat_map(HeaderCopy::recipients);
        let mut asked = recipients.flat_map(|r| self.all().filter(|kek| kek.accepts(r)));
        asked.all(Kek::is_limited)
    }

    /// The header's DEK, and by which recipient: one that holds (rule 2 for readers). Each
    /// is asked for at most once. Those whose KEK answered lately come first, and a slow one
    /// has the next asked beside it. `by`: when the operation must be over.
    pub(super) async fn unwrap<'a>(
        &self,
        header: &'a Header,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<Unwrapped<'a>> {
        let is_accepted = || header.tries().iter().any(|copy| self.first_accepted(copy).is_some());
        if !is_accepted() {
            // An alias may lead there by now.
            self.ask_for_current(header, by).await;
            if !is_accepted() {
                return Err(none_matches(header));
            }
        }
        let (mut ways, mut over, mut pauses) = (self.ways(header, context), Vec::new(), Pauses::new());
        // All are tried before any is tried again.
        loop {
            let calls: Vec<Call<'_, _, _>> = ways
                .iter()
                .map(|way| (self.hedge_after(way.kek), Box::pin(way.unwrap(header, context, by)) as _))
                .collect();
            let said = match hedged(self.rt(), calls).await {
                Ok(unwrapped) => return Ok(unwrapped),
                Err(said) => said,
            };
            let mut again = Vec::new();
            for (way, said) in ways.into_iter().zip(said) {
                match way.again(said) {
                    Ok(way) => again.push(way),
                    Err(refusal) => over.push(refusal),
                }
            }
            let pause = again.iter().filter_map(|way| pauses.after(way.last.as_ref()?, self.rt(), by)).min();
            let Some(pause) = pause else {
                over.extend(again.into_iter().map(|way| (way.place, way.said)));
                over.sort_by_key(|(place, _)| *place);
                return Err(none_held(over.into_iter().map(|(_, said)| said).collect()));
            };
            pauses.grow();
            self.rt().sleep(pause).await;
            ways = again;
        }
    }

    /// Whether the KEKs that wrap open what by its name may be another's, too: each recipient
    /// of such a name some KEK, and each KEK some recipient.
    pub(super) async fn are_of_wrapping(
        &self,
        copy: &HeaderCopy,
        context: &EncryptionContext,
        by: Duration,
    ) -> bool {
        let recipients = copy.recipients();
        let mut is_opened: Vec<_> = recipients.iter().map(|r| !self.may_be_several(r)).collect();
        for kek in self.wrapping() {
            let mut opens = false;
            for (recipient, is_opened) in recipients.iter().zip(&mut is_opened) {
                if kek.accepts(recipient) {
                    let dek = kek.unwrap(recipient, context, by).await;
                    let keys = dek.and_then(|dek| DerivedKeys::of(&dek, copy.suite(), context));
                    let held = keys.and_then(|keys| copy.verify(&keys)).is_ok();
                    (opens, *is_opened) = (opens || held, *is_opened || held);
                }
            }
            if !opens {
                return false;
            }
        }
        is_opened.into_iter().all(|is| is)
    }

    /// Has the KEKs say which key is current, of which the header names the scheme; each at
    /// most twice a minute.
    async fn ask_for_current(&self, header: &Header, by: Duration) {
        let recipients = header.tries().iter().flat_map(HeaderCopy::recipients);
        let schemes: Vec<_> = recipients.map(|r| &*r.scheme).collect();
        let named = self.every().filter(|kek| schemes.contains(&kek.scheme()));
        join_all(named.map(|kek| kek.current_key_told(by))).await;
    }

    fn ways<'a, 'k>(&'k self, header: &'a Header, context: &EncryptionContext) -> Vec<Way<'a, 'k>> {
        // A stored context that differs from the one named is a wrong context.
        let copies = header.tries().iter().filter(|copy| copy.is_for(context));
        let mut ways = Vec::<Way<'a, 'k>>::new();
        for recipient in copies.flat_map(HeaderCopy::recipients) {
            if ways.iter().all(|way| way.recipient != recipient) {
                for kek in self.all().filter(|kek| kek.accepts(recipient)) {
                    ways.push(Way { place: ways.len(), recipient, kek, said: None, last: None });
                }
            }
        }
        // What one that wraps opens is known to be under its key, whatever that is called.
        ways.sort_by_cached_key(|way| (way.kek.is_doubted(), way.kek.role == Role::Opens));
        ways
    }
}

impl<'a> Way<'a, '_> {
    /// To be tried again after this refusal; or its place, and what it comes to.
    fn again(mut self, said: Refusal) -> Result<Self, (usize, Refusal)> {
        match said {
            Some(attempt) if attempt.error.is_retryable() => {
                self.last = Some(attempt.error.clone());
                // What the KMS itself said tells more than that it is left alone.
                if !attempt.error.is_of_ours() || self.said.is_none() {
                    self.said = Some(attempt);
                }
                Ok(self)
            }
            said => Err((self.place, said)),
        }
    }

    async fn unwrap(
        &self,
        header: &'a Header,
        context: &EncryptionContext,
        by: Duration,
    ) -> Result<Unwrapped<'a>, Refusal> {
        let recipient = self.recipient;
        let said = |e| Some(Attempt::new(&recipient.scheme, recipient.wrapped.key_id.as_str(), e));
        let dek = self.kek.unwrap(recipient, context, by).await.map_err(said)?;
        let keys = DerivedKeys::of(&dek, header.suite(), context).map_err(said)?;
        // What the other copy says of this DEK counts as well.
        let holds = |copy: &&HeaderCopy| copy.is_for(context) && copy.verify(&keys).is_ok();
        let copy = header.tries().iter().find(holds).ok_or(None)?;
        Ok(Unwrapped { dek, keys, copy, recipient, by: self.kek.role })
    }
}

pub(super) fn none_matches(header: &Header) -> Error {
    let named = header.recipients().iter().map(|r| format!("{}:{}", r.scheme, r.wrapped.key_id));
    let named = named.collect::<Vec<_>>().join(", ");
    let how = how_to_accept(header.recipients()).map(|how| format!("; {how}")).unwrap_or_default();
    Error::new(
        ErrorKind::NoMatchingKek,
        format!("none of the KEKs here may open this: it names {named}{how}"),
    )
}

/// Rule 3 for readers: whoever could not authenticate learns that alone; a KMS that was
/// not reached, or refused, is another matter.
fn none_held(refusals: Vec<Refusal>) -> Error {
    let attempts: Vec<_> = refusals.into_iter().flatten().collect();
    match worst(&attempts) {
        None => Error::authentication(),
        Some(ErrorKind::Forked) => Error::forked(),
        Some(kind) => of_attempts(kind, "no KEK opened this", attempts),
    }
}

/// The kind that says most of what can be done about it. None: nothing but failures to
/// authenticate, and replies that would be one.
pub(super) fn worst(attempts: &[Attempt]) -> Option<ErrorKind> {
    use ErrorKind::{BadReply, Denied, Forked, Io, Limit, Misuse, Unavailable};
    let kinds = [Forked, Unavailable, Denied, BadReply, Io, Limit, Misuse];
    kinds.into_iter().find(|k| attempts.iter().any(|a| a.error.kind() == *k))
}

/// One error that lists what each KEK said.
pub(super) fn of_attempts(kind: ErrorKind, said: &'static str, attempts: Vec<Attempt>) -> Error {
    let retry = attempts.iter().filter_map(|a| a.error.retry_after()).min();
    let is_of_a_key = attempts.iter().any(|a| a.error.is_of_the_key());
    let error = Error::new(kind, said).with_attempts(attempts);
    let error = if is_of_a_key { error.of_the_key() } else { error };
    match retry {
        Some(time) => error.with_retry_after(time),
        None => error,
    }
}
