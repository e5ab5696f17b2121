//! The bodies of values whose DEK a KMS wrapped.
use super::{
    current::{Current, Seed},
    deks::{Dek, Deks, SEED_OVERHEAD},
    object::{EncryptedObject, Source, SourceKind, is_rest, put_head, split},
    service::KmsService,
};
use crate::{Error, ErrorKind, Result, kek::uid, rt::Runtime, secret::Locked};
use std::{collections::BTreeMap, sync::Arc};

/// As many DEKs and seeds of v2 are kept.
const MOST_SOURCES: usize = 1000;

/// What a body gave.
pub(super) struct Opened {
    pub(super) plaintext: Vec<u8>,
    pub(super) is_stale: bool,
    pub(super) key_id: Option<Arc<str>>,
}

/// kms v1: a DEK for each value.
pub(super) struct V1 {
    service: Arc<dyn KmsService>,
    deks: Deks,
}

impl V1 {
    /// Keeps so many DEKs, none if the number is not positive.
    pub(super) fn new(service: Arc<dyn KmsService>, cache_size: i32, rt: Arc<dyn Runtime>) -> Self {
        let most = usize::try_from(cache_size).unwrap_or(0);
        Self { deks: Deks::new(service.clone(), most, rt), service }
    }

    /// `None`: the KMS must be asked.
    pub(super) fn open_now(&self, path: &[u8], body: &[u8]) -> Result<Option<Opened>> {
        let (source, sealed) = cut_v1(body)?;
        self.deks.known(&source).map(|dek| open_v1(&dek, path, sealed)).transpose()
    }

    pub(super) async fn open(&self, path: &[u8], body: &[u8]) -> Result<Opened> {
        let (source, sealed) = cut_v1(body)?;
        open_v1(&*self.deks.get(&source).await?, path, sealed)
    }

    pub(super) async fn seal(&self, path: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let secret = Locked::<[u8; 32]>::fill(|bytes| {
            getrandom::fill(bytes)
                .map_err(|e| Error::new(ErrorKind::Io, format!("the system's random source: {e}")))
        })?;
        let wrapped = self.service.encrypt(secret.get()?, &uid()?).await?;
        let len = u16::try_from(wrapped.ciphertext.len()).ok().filter(|len| *len > 0);
        let len = len.ok_or_else(|| {
            Error::new(ErrorKind::BadReply, "the KMS wrapped a DEK in no bytes, or in more than 65,535")
        })?;
        let source = v1(&wrapped.ciphertext);
        let dek = Arc::new(Dek::of(SourceKind::V1, secret.get()?, "", self.deks.until())?);
        self.deks.insert(&source, dek.clone());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&wrapped.ciphertext);
        dek.seal(path, plaintext, out)
    }
}

fn v1(wrapped: &[u8]) -> Source<'_> {
    Source { kind: SourceKind::V1, wrapped, key_id: "", annotations: BTreeMap::new() }
}

fn cut_v1(body: &[u8]) -> Result<(Source<'_>, &[u8])> {
    let cut = body.split_first_chunk().and_then(|(len, rest)| {
        let len = usize::from(u16::from_be_bytes(*len));
        rest.split_at_checked(len).filter(|(wrapped, _)| !wrapped.is_empty())
    });
    let (wrapped, sealed) =
        cut.ok_or_else(|| Error::malformed("a kms v1 value: its wrapped DEK is empty, or cut off"))?;
    Ok((v1(wrapped), sealed))
}

fn open_v1(dek: &Dek, path: &[u8], sealed: &[u8]) -> Result<Opened> {
    let (plaintext, is_stale) = dek.open(path, sealed)?;
    Ok(Opened { plaintext, is_stale, key_id: None })
}

/// kms v2: seeds, and before them DEKs, of many values.
pub(super) struct V2 {
    deks: Arc<Deks>,
    current: Current,
    /// Whether it writes: what others open is stale anyway, and no key needs to be asked for.
    is_writer: bool,
}

impl V2 {
    pub(super) fn new(service: Arc<dyn KmsService>, is_writer: bool, rt: Arc<dyn Runtime>) -> Self {
        let deks = Arc::new(Deks::new(service.clone(), MOST_SOURCES, rt.clone()));
        Self { current: Current::new(service, deks.clone(), rt), deks, is_writer }
    }

    /// `None`: the KMS must be asked.
    pub(super) fn open_now(&self, path: &[u8], body: &[u8]) -> Result<Option<Opened>> {
        if let Some((data, rest)) = split(body)
            && let Some(dek) = self.deks.recent(rest)
        {
            return self.open_known(&dek, path, data);
        }
        let EncryptedObject { data, source } = EncryptedObject::parse(body)?;
        let Some(dek) = self.deks.known(&source) else { return Ok(None) };
        self.find_by(body, &dek);
        self.open_known(&dek, path, data)
    }

    fn open_known(&self, dek: &Arc<Dek>, path: &[u8], data: &[u8]) -> Result<Option<Opened>> {
        let is_current = if self.is_writer { self.current.is(&dek.key_id) } else { Some(false) };
        is_current.map(|is_current| open_v2(dek, is_current, path, data)).transpose()
    }

    pub(super) async fn open(&self, path: &[u8], body: &[u8]) -> Result<Opened> {
        let EncryptedObject { data, source } = EncryptedObject::parse(body)?;
        let is_current = self.is_writer && self.current.told(source.key_id).await?;
        let dek = self.deks.get(&source).await?;
        self.find_by(body, &dek);
        open_v2(&dek, is_current, path, data)
    }

    fn find_by(&self, body: &[u8], dek: &Arc<Dek>) {
        if let Some((_, rest)) = split(body).filter(|(_, rest)| is_rest(rest)) {
            self.deks.found_by(rest, dek);
        }
    }

    /// Whether it was done; if not, the KMS must be asked.
    pub(super) fn seal_now(&self, path: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        check_path(path)?;
        let Some(seed) = self.current.seed() else { return Ok(false) };
        seal_v2(&seed, path, plaintext, out).map(|()| true)
    }

    pub(super) async fn seal(&self, path: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        check_path(path)?;
        seal_v2(&*self.current.seed_or_ask().await?, path, plaintext, out)
    }
}

fn seal_v2(seed: &Seed, path: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let data = plaintext.len() + SEED_OVERHEAD;
    // A tag, and at most ten bytes of a length.
    out.reserve(data + seed.tail.len() + 11);
    put_head(data, out);
    seed.dek.seal(path, plaintext, out)?;
    out.extend_from_slice(&seed.tail);
    Ok(())
}

fn open_v2(dek: &Dek, is_current: bool, path: &[u8], data: &[u8]) -> Result<Opened> {
    let (plaintext, is_old) = dek.open(path, data)?;
    Ok(Opened { plaintext, is_stale: is_old || !is_current, key_id: Some(dek.key_id.clone()) })
}

/// The API server has no value without one, and breaks if it is to write one.
fn check_path(path: &[u8]) -> Result<()> {
    if path.is_empty() {
        Err(Error::misuse("kms v2 binds a value to its path: it needs one"))
    } else {
        Ok(())
    }
}
