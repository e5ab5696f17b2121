//! A call, and those who are told of it.
use super::{
    Kek,
    breaker::Call as Kind,
    observer::{Begun, Call, Ending, Event, Operation},
};
use crate::{Dek, EncryptionContext, Error, KeyId, Result, WrappedDek};
use std::time::Duration;

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    /// Of an unwrap.
    pub(super) key: Option<&'a KeyId>,
    pub(super) context: Option<&'a EncryptionContext>,
}

impl Asked<'static> {
    pub(super) const CURRENT_KEY: Self = Self { operation: Operation::CurrentKey, key: None, context: None };
}

/// An answer, which may name the key.
pub(super) trait Answer {
    fn key(&self) -> Option<&KeyId>;
}

impl Answer for (Dek, WrappedDek) {
    fn key(&self) -> Option<&KeyId> {
        Some(&self.1.key_id)
    }
}

impl Answer for WrappedDek {
    fn key(&self) -> Option<&KeyId> {
        Some(&self.key_id)
    }
}

impl Answer for Dek {
    fn key(&self) -> Option<&KeyId> {
        None
    }
}

impl Answer for Option<KeyId> {
    fn key(&self) -> Option<&KeyId> {
        self.as_ref()
    }
}

impl Kek {
    pub(super) fn kind(&self, asked: &Asked<'_>) -> Kind {
        match (asked.operation, asked.key) {
            (Operation::CurrentKey, _) => Kind::Question,
            (_, Some(key)) => Kind::Unwrap(self.backend.place(key)),
            (_, None) => Kind::Wrap,
        }
    }

    /// What the caller gets for a call that is not made.
    pub(super) fn not_made(&self, asked: &Asked<'_>, error: Error) -> Error {
        self.counts.refused();
        self.with_call(asked, |call| self.observers.tell(&Event::NotCalled { call, error: &error }));
        error
    }

    pub(super) fn health_changed(&self, is_failing: bool) {
        self.with_call(&Asked::CURRENT_KEY, |call| {
            let Call { scheme, kek, .. } = *call;
            self.observers.tell(&Event::Health { scheme, kek, is_failing });
        });
    }

    fn with_call(&self, asked: &Asked<'_>, tell: impl FnOnce(&Call<'_>)) {
        if !self.observers.is_empty() {
            tell(&self.call(asked, &self.backend.name()));
        }
    }

    fn call<'a>(&'a self, asked: &Asked<'a>, kek: &'a str) -> Call<'a> {
        let Asked { operation, key: key_id, context } = *asked;
        Call { operation, scheme: self.scheme(), kek, key_id, context }
    }
}

/// A call that was told of. Dropped, it is abandoned.
pub(super) struct Told<'a> {
    kek: &'a Kek,
    asked: &'a Asked<'a>,
    name: String,
    began: Duration,
    /// Until its end was told.
    begun: Option<Begun>,
}

impl<'a> Told<'a> {
    /// `None`: nobody wants to know.
    pub(super) fn begins(kek: &'a Kek, asked: &'a Asked<'a>) -> Option<Self> {
        if kek.observers.is_empty() {
            return None;
        }
        let name = kek.backend.name();
        let begun = Some(kek.observers.begins(&kek.call(asked, &name)));
        Some(Self { kek, asked, name, began: kek.rt.now(), begun })
    }

    /// The error of an auditor.
    pub(super) fn ends(mut self, answer: Result<Option<&KeyId>, &Error>) -> Result<()> {
        self.over(match answer {
            Ok(key) => Ending::Answered(key.or(self.asked.key)),
            Err(error) => Ending::Failed(error),
        })
    }

    fn over(&mut self, ending: Ending<'_>) -> Result<()> {
        let Some(begun) = self.begun.take() else { return Ok(()) };
        let took = self.kek.rt.now().saturating_sub(self.began);
        begun.ends(&self.kek.call(self.asked, &self.name), took, ending)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let _dropped = self.over(Ending::Abandoned);
    }
}
