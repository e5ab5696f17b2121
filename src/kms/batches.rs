//! Many small records in one call.
use super::{Kms, Opened, Scope, scope::open_payload};
use crate::{
    Aad, Error, Result, Suite,
    crypto::{Message, is_authentic, open_many, seal_many, was_sealed},
    dek::{SealDek, Unlocked},
    rt::join_all,
};
use std::{sync::Arc, thread};

/// A record of a batch: where it is sealed or opened, its AAD, and its plaintext or its envelope.
pub type BatchItem<'a> = (&'a Scope, Aad<'a>, &'a [u8]);

/// DEKs that are waited for at the same time.
const AT_ONCE: usize = 256;
/// So much is worth another thread: starting one takes as long as some hundred records.
const RECORDS: usize = 1024;
const BYTES: usize = 512 * 1024;

impl Kms {
    /// Seals records of any scopes of this `Kms`, each as [`Scope::seal`] does, in less time: keys
    /// are set up many at once, on as many threads as [`Builder::threads`](super::Builder::threads)
    /// says. Each record is sealed or fails alone; the results are in the order of the items.
    ///
    /// # Errors
    /// Of each item as [`Scope::seal`]; Misuse for a scope of another `Kms`.
    pub async fn seal_batch(&self, items: &[BatchItem<'_>]) -> Vec<Result<Vec<u8>>> {
        let deks = self.each(items, async |(scope, _, plaintext)| scope.seal_dek(plaintext).await).await;
        let works = deks.iter().zip(items).map(|(dek, (_, aad, plaintext))| to_seal(dek, *aad, plaintext));
        self.all(works, seal_many, was_sealed)
    }

    /// Opens envelopes of any scopes of this `Kms`, each as [`Scope::open`] does, in less time.
    /// Each is opened or fails alone; the results are in the order of the items.
    ///
    /// # Errors
    /// Of each item as [`Scope::open`]; Misuse for a scope of another `Kms`.
    pub async fn open_batch(&self, items: &[BatchItem<'_>]) -> Vec<Result<Opened>> {
        let unlocked = self.each(items, async |(scope, _, sealed)| scope.unlock_envelope(sealed).await).await;
        let works = unlocked.iter().zip(items).map(|(dek, (_, aad, sealed))| to_open(dek, *aad, sealed));
        let opened = self.all(works, open_many, is_authentic);
        let together = |(plaintext, unlocked): (Result<Vec<u8>>, Result<(Unlocked, _)>)| {
            let (plaintext, (Unlocked { freshness, key_id, .. }, _)) = (plaintext?, unlocked?);
            Ok(Opened { plaintext, freshness, key_id })
        };
        opened.into_iter().zip(unlocked).map(together).collect()
    }

    /// What `work` gives for each item.
    async fn each<'i, 'a, T>(
        &self,
        items: &'i [BatchItem<'a>],
        work: impl AsyncFn(&'i BatchItem<'a>) -> Result<T>,
    ) -> Vec<Result<T>> {
        let work = &work;
        let mut all = Vec::with_capacity(items.len());
        for some in items.chunks(AT_ONCE) {
            let these = some.iter().map(|item| async move {
                if !Arc::ptr_eq(&item.0.kms.0, &self.0) {
                    return Err(Error::misuse("a batch takes scopes of the Kms that it is asked of"));
                }
                work(item).await
            });
            all.extend(join_all(these).await);
        }
        all
    }

    /// What becomes of each: messages all together, spread over threads.
    fn all<'a>(
        &self,
        works: impl Iterator<Item = Result<Work<'a>>>,
        work: fn(&mut [Message<'_>]),
        verdict: fn(bool) -> Result<()>,
    ) -> Vec<Result<Vec<u8>>> {
        let (mut messages, mut places) = (Vec::new(), Vec::new());
        let place = |(place, work): (usize, Result<Work<'a>>)| match work? {
            Work::Done(plaintext) => Ok(plaintext),
            Work::Message(message) => {
                messages.push(message);
                places.push(place);
                Ok(Vec::new())
            }
        };
        let mut results: Vec<_> = works.enumerate().map(place).collect();
        spread(&mut messages, self.0.threads, work);
        for (place, Message { out, done, .. }) in places.into_iter().zip(messages) {
            results[place] = done.and_then(verdict).map(|()| out);
        }
        results
    }
}

/// One record's, once its DEK is there.
enum Work<'a> {
    Message(Message<'a>),
    /// What is no single message is opened already.
    Done(Vec<u8>),
}

fn to_seal<'a>(dek: &'a Result<Arc<SealDek>>, aad: Aad<'a>, plaintext: &'a [u8]) -> Result<Work<'a>> {
    let dek = dek.as_ref().map_err(Clone::clone)?;
    let mut out = Vec::new();
    dek.begin(plaintext.len(), &mut out);
    Ok(Work::Message(dek.cipher()?.to_seal(aad.as_bytes(), plaintext, out)))
}

fn to_open<'a>(unlocked: &'a Result<(Unlocked, usize)>, aad: Aad<'a>, sealed: &'a [u8]) -> Result<Work<'a>> {
    let (Unlocked { dek, .. }, start) = unlocked.as_ref().map_err(Clone::clone)?;
    let (payload, mut out) = (&sealed[*start..], Vec::new());
    match dek.suite() {
        Suite::OneShot => Ok(Work::Message(dek.one_shot()?.to_open(aad.as_bytes(), payload, out))),
        Suite::Chunked => {
            open_payload(dek, 1, aad, payload, &mut out)?;
            Ok(Work::Done(out))
        }
    }
}

/// Over so many threads at most, this one included; fewer where there is little to do.
fn spread(messages: &mut [Message<'_>], threads: usize, work: fn(&mut [Message<'_>])) {
    let bytes: usize = messages.iter().map(|message| message.input.len()).sum();
    let worth = (messages.len() / RECORDS).max(bytes / BYTES);
    let each = messages.len().div_ceil(threads.min(worth).max(1)).max(1);
    let mut parts = messages.chunks_mut(each);
    let Some(mine) = parts.next() else { return };
    thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| work(part));
        }
        work(mine);
    });
}
