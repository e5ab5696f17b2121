//! What sealed files depend on.
use super::{
    Counts, Failed,
    look::{Names, look, names},
    rewrap::count,
    workers::{caught, each, usual},
};
use crate::{Damage, Error, Freshness, Header, Kms, Result, rt::wait};
use std::{fmt, path::PathBuf};

/// Files that are looked at before the first of them is told.
const BATCH: usize = 1024;

/// Looks for sealed files by the keys that their headers name. Headers are taken at their word:
/// nothing is unwrapped, and nothing verified.
///
/// A key id is all that is gone by. Of two keyrings that have a key of one name, a file of the
/// other one looks like one of this; with both in the `Kms` it is told as unknown.
#[must_use = "run() does it"]
pub struct Survey<'a> {
    of: Of<'a>,
    workers: usize,
}

enum Of<'a> {
    /// What a new header would not name.
    Stale(&'a Kms),
    /// One of these keys.
    Naming(Names),
}

/// A file that was looked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The keys, `SCHEME:KEY_ID`, that its header names, in order; in any copy, if they differ.
    pub keys: Vec<String>,
    /// What is wrong with its header copies, if anything.
    pub damage: Option<Damage>,
    /// Of a survey by key it is `None`.
    pub freshness: Option<Freshness>,
}

/// What all of them name.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Files whose header could be read.
    pub files: u64,
    /// Those that were looked for.
    pub found: u64,
    /// Reference records: what they depend on is their header, kept elsewhere.
    pub references: u64,
    /// How many files name which key, `SCHEME:KEY_ID`, whether looked for or not.
    pub keys: Counts,
    /// Files whose header could not be read, and directories, in order of their paths.
    pub failures: Vec<Failed>,
}

impl<'a> Survey<'a> {
    /// Files that a rewrap under the KEKs of `kms` would change, or might: stale, damaged, or not
    /// known to be current.
    pub fn stale(kms: &'a Kms) -> Self {
        Self { of: Of::Stale(kms), workers: usual() }
    }

    /// Files that name one of these keys, `SCHEME:KEY_ID`, as one of several as well. One of AWS
    /// KMS that is given as `aws-kms:ARN` is found whatever its material.
    pub fn naming(keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { of: Of::Naming(keys.into_iter().map(Into::into).collect()), workers: usual() }
    }

    /// How many files are looked at once: 1 to 256. Unless set, as many as there are processors,
    /// and at least 4.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Looks at `files`, and tells of those that were looked for, in the order in which they
    /// come. Blocks. What is wrong with one file fails that file alone.
    ///
    /// # Errors
    /// Misuse if every KEK only opens, or for a number of workers that cannot be; Io if there
    /// can be no thread.
    ///
    /// # Panics
    /// If `files` or `tell` does.
    pub fn run(
        &self,
        files: impl IntoIterator<Item = Result<PathBuf, Failed>, IntoIter: Send>,
        mut tell: impl FnMut(&Found),
    ) -> Result<Listing> {
        if matches!(self.of, Of::Stale(kms) if !kms.wraps()) {
            return Err(Error::misuse("every KEK here only opens"));
        }
        let mut files = files.into_iter().fuse().enumerate();
        let mut listing = Listing::default();
        let mut batch = Vec::new();
        loop {
            let work = |(place, file)| (place, self.look(file));
            each(files.by_ref().take(BATCH), self.workers, work, |looked| batch.push(looked))?;
            if batch.is_empty() {
                break;
            }
            batch.sort_by_key(|(place, _)| *place);
            batch.drain(..).for_each(|(_, looked)| listing.add(looked, &mut tell));
        }
        listing.failures.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    fn look(&self, file: Result<PathBuf, Failed>) -> Result<(PathBuf, Option<Looked>), Failed> {
        let path = file?;
        let looked = caught(|| look(&path).map(|header| header.map(|h| self.weigh(&h))));
        match looked.and_then(|looked| looked) {
            Ok(looked) => Ok((path, looked)),
            Err(e) => Err(Failed::new(path, e)),
        }
    }

    fn weigh(&self, header: &Header) -> Looked {
        let (names, damage) = (names(header), header.damage());
        let (freshness, is_found) = match &self.of {
            Of::Naming(keys) => (None, names.iter().any(|name| is_one_of(name, keys))),
            Of::Stale(kms) => {
                let freshness = wait(kms.freshness(header));
                (Some(freshness), damage.is_some() || freshness != Freshness::Current)
            }
        };
        Looked { names, damage, freshness, is_found }
    }
}

/// An ARN stands for its key, under which any material of it opens.
fn is_one_of(name: &str, keys: &Names) -> bool {
    let is_its = |(key, _): (&str, &str)| key.starts_with("aws-kms:") && keys.contains(key);
    keys.contains(name) || name.split_once('#').is_some_and(is_its)
}

struct Looked {
    names: Names,
    damage: Option<Damage>,
    freshness: Option<Freshness>,
    is_found: bool,
}

impl Listing {
    fn add(&mut self, looked: Result<(PathBuf, Option<Looked>), Failed>, tell: &mut impl FnMut(&Found)) {
        let (path, Looked { names, damage, freshness, is_found }) = match looked {
            Ok((path, Some(looked))) => (path, looked),
            Ok((_, None)) => {
                self.references += 1;
                return;
            }
            Err(failed) => return self.failures.push(failed),
        };
        self.files += 1;
        if is_found {
            self.found += 1;
            tell(&Found { path, keys: names.iter().cloned().collect(), damage, freshness });
        }
        count(&mut self.keys, names);
    }
}

impl fmt::Debug for Survey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of: &dyn fmt::Debug = match &self.of {
            Of::Stale(kms) => kms,
            Of::Naming(keys) => keys,
        };
        f.debug_struct("Survey").field("of", of).field("workers", &self.workers).finish()
    }
}
