//! Records of which many share one header, kept in a store.
use super::{
    HeaderStore, Opened, Scope, SealOptions,
    scope::{open_record, reference_record},
    streams::check_chunked,
};
use crate::{
    Aad, Copies, Error, ErrorKind, Header, Reference, Result,
    dek::{SealDek, Unlocked},
    envelope::HeaderCopy,
    rt::{
        BoxFuture, Flight, launch,
        sync::{Mutex, lock},
    },
    stream::{Opening, Sealing},
};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

/// DEKs of which it is remembered that their headers are kept. A scope has one at a time.
const MOST_KEPT: usize = 64;
/// How often a rewrap tries again, when others replace the same header.
const PATIENCE: usize = 8;
/// How often another DEK is taken, when the time of one is over before the store has its header.
const TRIES: usize = 3;

/// A [`Scope`] and a [`HeaderStore`]: seals and opens reference records, in suite 1 78 bytes
/// more than their plaintext. See the manual's page on the format, "Reference records".
///
/// A header is in the store before the first record of its DEK is given out; while the DEK
/// is good, sealing and opening call neither store nor KMS. Make it once: it remembers what
/// it kept. A clone is another handle on the same.
///
/// ```
/// # fn main() -> libkms::Result<()> {
/// use libkms::{Aad, EncryptionContext, HeaderDirectory, Kms, Wait};
/// # let dir = std::env::temp_dir().join(format!("libkms-doc-references-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # let uri = format!("local:{}#users?create=true", dir.join("keys.json").display());
/// # let headers = dir.as_path();
///
/// let kms = Kms::from_uri(&uri).wait()?; // "local:keys.json#users"
/// let names = kms.scope(EncryptionContext::new([("column", "name")])?);
/// let names = names.references(HeaderDirectory::open(headers)?);
///
/// let record = names.seal(Aad::from("row 1"), b"Ada").wait()?;
/// assert_eq!(record.len(), 3 + 78);
/// assert_eq!(names.open(Aad::from("row 1"), &record).wait()?.plaintext, b"Ada");
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct References(Arc<Inner>);

struct Inner {
    scope: Scope,
    store: Box<dyn HeaderStore>,
    kept: Mutex<Kept>,
}

/// By commitment: headers that are in the store, and those on their way.
#[derive(Default)]
struct Kept {
    there: VecDeque<[u8; 32]>,
    flights: HashMap<[u8; 32], Flight<Result<()>>>,
}

impl Scope {
    /// Reference records of this scope, whose headers `store` keeps.
    pub fn references(&self, store: impl HeaderStore) -> References {
        References(Arc::new(Inner { scope: self.clone(), store: Box::new(store), kept: Mutex::default() }))
    }
}

impl References {
    /// Seals one record: suite 1.
    ///
    /// # Errors
    /// As [`Scope::seal`]; what the store says: there is no record then, and the next call
    /// tries again. Authentication if the store has a header under this name that is none of
    /// this DEK; Unavailable if it takes longer than the policy lets a DEK seal.
    pub async fn seal(&self, aad: Aad<'_>, plaintext: &[u8]) -> Result<Vec<u8>> {
        for _ in 0..TRIES {
            let dek = self.0.scope.seal_dek(plaintext).await?;
            if self.keep(&dek, &dek.header).await? {
                return reference_record(&dek, aad, plaintext);
            }
        }
        Err(too_slow())
    }

    /// Starts a stream: suite 2. All that follows is synchronous. One whose length is not known
    /// has a DEK, and so a header, of its own.
    ///
    /// # Errors
    /// As [`Scope::sealer_with`] and [`seal`](Self::seal); Misuse if `options` want two header
    /// copies.
    pub async fn sealer_with(&self, aad: Aad<'_>, options: &SealOptions) -> Result<Sealing> {
        options.check_one_copy()?;
        for _ in 0..TRIES {
            let dek = self.0.scope.reserve_stream(options.len).await?;
            let (header, keys) = dek.chunked(Copies::One, options.store_context)?;
            if self.keep(&dek, &header).await? {
                let head = Reference::to(&header).begin(0);
                return Sealing::new(keys.payload(), head, aad.as_bytes(), options.len);
            }
        }
        Err(too_slow())
    }

    /// Opens a record of either suite that is whole in memory. While its DEK is remembered
    /// neither store nor KMS is called, and freshness is that of the header it was unwrapped
    /// from.
    ///
    /// # Errors
    /// NoHeader if the store has none for it; Malformed if it has another one; as
    /// [`Scope::open`] besides; what the store says.
    pub async fn open(&self, aad: Aad<'_>, record: &[u8]) -> Result<Opened> {
        let reference = Reference::parse(record)?;
        let unlocked = self.unlock(&reference).await?;
        open_record(unlocked, aad, record)
    }

    /// Gets the key of a stream whose reference was read; what is opened begins with that.
    /// All that follows is synchronous.
    ///
    /// # Errors
    /// As [`open`](Self::open), but that the payload is not looked at; Misuse for a record of
    /// suite 1.
    pub async fn opener(&self, aad: Aad<'_>, reference: &Reference) -> Result<Opening> {
        check_chunked(reference.suite)?;
        let unlocked = self.unlock(reference).await?;
        Ok(Opening::at(Reference::LEN, unlocked.dek.payload().clone(), aad.as_bytes()))
    }

    /// Puts the header under this commitment under the KEKs that wrap now; the records keep
    /// every byte. `false` if nothing was to do, or others did it meanwhile: nothing that they
    /// wrote is overwritten.
    ///
    /// # Errors
    /// As [`Scope::rewrap_header`]; NoHeader; what the store says; Unavailable if others keep
    /// replacing it.
    pub async fn rewrap(&self, commitment: &[u8; 32]) -> Result<bool> {
        let Inner { scope, store, .. } = &*self.0;
        for _ in 0..PATIENCE {
            let old = store.get(commitment).await?.ok_or_else(Error::no_header)?;
            let suite = Header::parse(&old)?.suite();
            let header = Reference { suite, commitment: *commitment }.header(&old)?;
            let Some(new) = scope.rewrap_header_of(&header).await? else { return Ok(false) };
            if store.put(commitment, &new, Some(&old)).await? {
                return Ok(true);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "others keep replacing this header: try again later"))
    }

    /// The DEK of a record, if that was written in this scope.
    async fn unlock(&self, reference: &Reference) -> Result<Unlocked> {
        let Inner { scope, store, .. } = &*self.0;
        if let Some(unlocked) = scope.recall(reference)? {
            return Ok(unlocked);
        }
        let kept = store.get(&reference.commitment).await?.ok_or_else(Error::no_header)?;
        scope.unlock(&reference.header(&kept)?).await
    }

    /// Has the header in the store before a record needs it. However many wait, the store is
    /// called once. Whether the DEK may seal, still: a store takes as long as it takes.
    async fn keep(&self, dek: &Arc<SealDek>, header: &HeaderCopy) -> Result<bool> {
        let rt = &*self.0.scope.kms.0.rt;
        match self.0.join(dek, header) {
            Joined::There => {}
            Joined::Flying(flight) => flight.await?,
            Joined::New(flight, task) => {
                launch(rt, task);
                flight.await?;
            }
        }
        Ok(dek.may_still_seal(rt.now()))
    }
}

fn too_slow() -> Error {
    Error::new(ErrorKind::Unavailable, "the store of headers takes longer than a DEK may seal")
}

enum Joined {
    There,
    Flying(Flight<Result<()>>),
    New(Flight<Result<()>>, BoxFuture<'static, ()>),
}

impl Inner {
    /// The flight under way for this header, or a new one and what launches it.
    fn join(self: &Arc<Self>, dek: &Arc<SealDek>, header: &HeaderCopy) -> Joined {
        let commitment = *header.commitment();
        let mut kept = lock(&self.kept);
        if kept.there.contains(&commitment) {
            return Joined::There;
        }
        if let Some(flight) = kept.flights.get(&commitment) {
            return Joined::Flying(flight.clone());
        }
        let (dek, header) = (dek.clone(), header.clone());
        let gone = Gone { inner: self.clone(), commitment };
        let work = async move {
            gone.inner.insert(&dek, &header).await?;
            gone.inner.remember(commitment);
            Ok(())
        };
        let panicked = || Err(Error::new(ErrorKind::BadReply, "the store of headers panicked"));
        let (flight, task) = Flight::new(work, panicked);
        kept.flights.insert(commitment, flight.clone());
        Joined::New(flight, task)
    }

    /// What stands in the store already may be this header, rewrapped.
    async fn insert(&self, dek: &SealDek, header: &HeaderCopy) -> Result<()> {
        let commitment = header.commitment();
        if self.store.put(commitment, header.bytes(), None).await? {
            return Ok(());
        }
        let lost = || Error::new(ErrorKind::BadReply, "the store has such a header, and does not give it");
        let there = self.store.get(commitment).await?.ok_or_else(lost)?;
        if there == header.bytes() || dek.made(&Reference::to(header).header(&there)?)? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Authentication,
            "the store has a header of this name that is none of this DEK",
        ))
    }

    fn remember(&self, commitment: [u8; 32]) {
        let mut kept = lock(&self.kept);
        kept.there.truncate(MOST_KEPT - 1);
        kept.there.push_front(commitment);
    }
}

/// Takes a flight off the list when it lands, fails or panics.
struct Gone {
    inner: Arc<Inner>,
    commitment: [u8; 32],
}

impl Drop for Gone {
    fn drop(&mut self) {
        lock(&self.inner.kept).flights.remove(&self.commitment);
    }
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("References").field(&self.0.scope).finish()
    }
}
