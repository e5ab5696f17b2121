//! Several KEKs for one DEK: every wrapping one wraps, any one opens.
use crate::{
    Attempt, Dek, EncryptionContext, Error, ErrorKind, Header, KeyId, Recipient, Result,
    envelope::{DerivedKeys, HeaderCopy},
    kek::{Kek, Role},
};
use std::sync::Arc;

/// The KEKs of one `Kms`, in the order they were given.
pub(crate) struct Keks(Vec<Arc<Kek>>);

/// Whether a DEK is wrapped as a new one would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Freshness {
    /// As a new one would be.
    Current,
    /// Under an older version of a KEK, or under other KEKs.
    Stale,
    /// The backends cannot tell which key wraps now.
    Unknown,
}

/// What unwrapping a header gave.
pub(super) struct Unwrapped<'a> {
    pub(super) dek: Dek,
    pub(super) keys: DerivedKeys,
    /// The copy of the header that they verified.
    pub(super) copy: &'a HeaderCopy,
    pub(super) recipient: &'a Recipient,
}

impl Keks {
    pub(crate) fn new(keks: Vec<Kek>) -> Self {
        Self(keks.into_iter().map(Arc::new).collect())
    }

    /// A new DEK, wrapped under every KEK that wraps: the first one makes it.
    pub(super) async fn generate(&self, context: &EncryptionContext) -> Result<(Dek, Vec<Recipient>)> {
        let mut wrapping = self.wrapping();
        let first = wrapping.next().ok_or_else(|| Error::misuse("every KEK here only opens"))?;
        let (dek, recipient) = first.generate(context).await?;
        let mut recipients = vec![recipient];
        for kek in wrapping {
            recipients.push(kek.wrap(&dek, context).await?);
        }
        Ok((dek, recipients))
    }

    /// Some recipient of this copy may be unwrapped; no call is made.
    pub(super) fn first_accepted<'a>(&self, copy: &'a HeaderCopy) -> Option<&'a Recipient> {
        copy.recipients().iter().find(|r| self.0.iter().any(|k| k.accepts(r)))
    }

    /// This DEK, wrapped under every KEK that wraps.
    pub(super) async fn wrap(&self, dek: &Dek, context: &EncryptionContext) -> Result<Vec<Recipient>> {
        let mut recipients = Vec::new();
        for kek in self.wrapping() {
            recipients.push(kek.wrap(dek, context).await?);
        }
        Ok(recipients)
    }

    /// The header's DEK, and by which recipient of which copy: the first that holds (rule 2
    /// for readers). Each recipient is asked for at most once.
    pub(super) async fn unwrap<'a>(
        &self,
        header: &'a Header,
        context: &EncryptionContext,
    ) -> Result<Unwrapped<'a>> {
        let mut allowed = false;
        let mut asked = Vec::<&Recipient>::new();
        let mut attempts = Vec::new();
        for copy in header.tries() {
            allowed |= self.first_accepted(copy).is_some();
            // A stored context that differs from the one named is a wrong context.
            for recipient in copy.recipients().iter().filter(|_| copy.is_for(context)) {
                if asked.contains(&recipient) {
                    continue;
                }
                for kek in self.0.iter().filter(|k| k.accepts(recipient)) {
                    asked.push(recipient);
                    match kek.unwrap(recipient, context).await {
                        Ok(dek) => {
                            let keys = DerivedKeys::of(&dek, header.suite(), context)?;
                            // What the other copy says of this DEK counts as well.
                            if let Some(held) =
                                header.tries().iter().find(|c| c.is_for(context) && c.verify(&keys).is_ok())
                            {
                                return Ok(Unwrapped { dek, keys, copy: held, recipient });
                            }
                        }
                        Err(e) if e.kind() == ErrorKind::Forked => return Err(e),
                        Err(e) => {
                            attempts.push(Attempt::new(
                                &recipient.scheme,
                                recipient.wrapped.key_id.as_str(),
                                e,
                            ));
                        }
                    }
                }
            }
        }
        Err(if allowed { none_held(attempts) } else { none_matches(header) })
    }

    /// Whether `copy` names exactly the keys that would wrap now.
    pub(super) fn freshness(&self, copy: &HeaderCopy) -> Freshness {
        freshness(copy, self.wrapping().map(|kek| (kek.scheme(), kek.current_key())))
    }

    /// The same of every copy of a header, waiting for backends that must be asked.
    pub(crate) async fn freshness_told(&self, header: &Header) -> Freshness {
        let mut current = Vec::new();
        for kek in self.wrapping() {
            current.push((kek.scheme(), kek.current_key_told().await));
        }
        let of = |copy| freshness(copy, current.iter().cloned());
        let all: Vec<_> = header.tries().iter().map(of).collect();
        let worst = [Freshness::Stale, Freshness::Unknown].into_iter().find(|f| all.contains(f));
        worst.unwrap_or(Freshness::Current)
    }

    fn wrapping(&self) -> impl Iterator<Item = &Arc<Kek>> {
        self.0.iter().filter(|k| k.role == Role::Wraps)
    }

    pub(crate) fn schemes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|k| k.scheme())
    }
}

/// `current`: scheme and key of each KEK that wraps.
fn freshness<'a>(copy: &HeaderCopy, current: impl Iterator<Item = (&'a str, Option<KeyId>)>) -> Freshness {
    let (mut wrapping, mut unknown) = (0, false);
    for (scheme, key) in current {
        wrapping += 1;
        match key {
            None => unknown = true,
            Some(key) if copy.recipients().iter().any(|r| r.scheme == scheme && r.wrapped.key_id == key) => {}
            Some(_) => return Freshness::Stale,
        }
    }
    match wrapping == copy.recipients().len() {
        _ if unknown || wrapping == 0 => Freshness::Unknown,
        true => Freshness::Current,
        false => Freshness::Stale,
    }
}

pub(super) fn none_matches(header: &Header) -> Error {
    let named = header.recipients().iter().map(|r| format!("{}:{}", r.scheme, r.wrapped.key_id));
    let named = named.collect::<Vec<_>>().join(", ");
    Error::new(ErrorKind::NoMatchingKek, format!("none of the KEKs here may open this: it names {named}"))
}

/// Rule 3 for readers: whoever could not authenticate learns that alone; a KMS that was
/// not reached, or refused, is another matter.
fn none_held(attempts: Vec<Attempt>) -> Error {
    use ErrorKind::{BadReply, Denied, Io, Limit, Misuse, Unavailable};
    let kinds = [Unavailable, Denied, BadReply, Io, Limit, Misuse];
    let worst = kinds.into_iter().find(|k| attempts.iter().any(|a| a.error.kind() == *k));
    match worst {
        None => Error::authentication(),
        Some(kind) => {
            let retry = attempts.iter().filter_map(|a| a.error.retry_after()).min();
            let error = Error::new(kind, "no KEK opened this").with_attempts(attempts);
            match retry {
                Some(time) => error.with_retry_after(time),
                None => error,
            }
        }
    }
}
