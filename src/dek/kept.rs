//! DEKs whose header is kept elsewhere, for reference records.
use super::{DekPolicy, Keks, unwrapping::Unwrapped};
use crate::{
    Copies, EncryptionContext, Header, Reference, Result, Suite,
    crypto::{Xaes256Gcm, XaesSchedule},
    envelope::{DerivedKeys, HeaderCopy, Plan},
    rt::sync::atomic::AtomicU64,
    secret::check_fork,
    stream::{Sealing, take_from},
};
use std::sync::Arc;

/// A DEK that seals records of one suite, and what it may still seal here. It was made or
/// unwrapped for that: one that was remembered to open cannot become it.
pub(crate) struct KeptDek {
    pub(crate) header: HeaderCopy,
    keys: DerivedKeys,
    schedule: XaesSchedule,
    messages: AtomicU64,
    bytes: Arc<AtomicU64>,
}

impl KeptDek {
    /// A new one.
    pub(crate) async fn generate(
        keks: &Keks,
        suite: Suite,
        context: &EncryptionContext,
        store_context: bool,
        policy: &DekPolicy,
    ) -> Result<Self> {
        check_fork()?;
        let (dek, recipients) = keks.generate(context, keks.deadline()).await?;
        let keys = DerivedKeys::of(&dek, suite, context)?;
        let stored = store_context.then_some(context);
        let plan = Plan { suite, copies: Copies::One, recipients: &recipients, context: stored };
        Self::new(HeaderCopy::build(&plan, &keys)?, keys, policy)
    }

    /// That of a header.
    pub(crate) async fn of_header(
        keks: &Keks,
        header: &Header,
        context: &EncryptionContext,
        policy: &DekPolicy,
    ) -> Result<Self> {
        check_fork()?;
        let Unwrapped { keys, copy, .. } = keks.unwrap(header, context, keks.deadline()).await?;
        Self::new(copy.clone(), keys, policy)
    }

    fn new(header: HeaderCopy, keys: DerivedKeys, policy: &DekPolicy) -> Result<Self> {
        let (messages, bytes) = (AtomicU64::new(policy.messages), Arc::new(AtomicU64::new(policy.bytes)));
        let schedule = Xaes256Gcm::expanded(keys.payload().expose()?)?;
        Ok(Self { header, keys, schedule, messages, bytes })
    }

    /// One record, in memory.
    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        if self.header.suite() == Suite::Chunked {
            let mut sealing = self.stream(aad, Some(plaintext.len() as u64))?;
            let mut out = Vec::with_capacity(sealing.sealed_len(plaintext.len() as u64) as usize);
            sealing.push(plaintext, &mut out)?;
            sealing.finish(&mut out)?;
            return Ok(out);
        }
        self.take_message()?;
        take_from(&self.bytes, plaintext.len() as u64)?;
        let mut out = Reference::to(&self.header).begin(plaintext.len() + Xaes256Gcm::OVERHEAD);
        Xaes256Gcm::with(self.keys.payload().expose()?, &self.schedule).seal(aad, plaintext, &mut out)?;
        Ok(out)
    }

    /// One record of suite 2.
    pub(crate) fn stream(&self, aad: &[u8], len: Option<u64>) -> Result<Sealing> {
        self.take_message()?;
        let head = Reference::to(&self.header).begin(0);
        let sealing = Sealing::new(self.keys.payload(), head, aad, len)?;
        match len {
            Some(len) => take_from(&self.bytes, len).map(|()| sealing),
            None => Ok(sealing.within(self.bytes.clone())),
        }
    }

    fn take_message(&self) -> Result<()> {
        check_fork()?;
        take_from(&self.messages, 1)
    }
}
