//! Sealed files under other KEKs.
use super::{
    Counts, Failed,
    look::{Names, look, name, names},
    workers::{caught, each, usual},
};
use crate::{
    EncryptionContext, Error, Freshness, Header, Kms, Result,
    rt::{
        sync::{Mutex, lock},
        wait,
    },
};
use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
};

/// Puts sealed files under the KEKs that wrap now, as
/// [`Scope::rewrap_file`](crate::Scope::rewrap_file) does with one, on several threads.
///
/// A file whose header names exactly the keys that wrap now, and is not damaged, is taken at
/// its word: of such headers one is verified, the others cost no call to the KMS. So a run that
/// was interrupted is simply run again. Two KEKs that cannot be told apart by their key ids (two
/// keyrings, a key of one name in both) are, if both are in the `Kms`, and every file is then
/// unwrapped. Where a backend cannot tell which key wraps now, files are rewrapped each time.
#[must_use = "run() does it"]
pub struct Rewrap<'a> {
    kms: &'a Kms,
    context: Box<Choose<'a>>,
    workers: usize,
}

type Choose<'a> = dyn Fn(&Header) -> Result<EncryptionContext> + Send + Sync + 'a;

/// What became of a file.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Its DEK is wrapped anew, or a header copy was mended.
    Rewrapped(&'a Path),
    /// Nothing was to do.
    Current(&'a Path),
    /// A reference record: its header is kept elsewhere, and that is to be rewrapped.
    Reference(&'a Path),
    /// It is as it was; or still opens as before, if writing it failed half-way.
    Failed(&'a Failed),
}

/// What became of all of them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Files whose header changed.
    pub rewrapped: u64,
    /// Files for which nothing was to do.
    pub current: u64,
    /// Reference records: what they depend on is their header, kept elsewhere.
    pub references: u64,
    /// The others, and directories that could not be read, in order of their paths.
    pub failures: Vec<Failed>,
    /// How many files named which key, `SCHEME:KEY_ID`, before; those that failed as well, if
    /// their header could be read.
    pub before: Counts,
    /// How many name it now.
    pub after: Counts,
}

impl<'a> Rewrap<'a> {
    /// Under the KEKs of `kms`, in the empty context.
    pub fn new(kms: &'a Kms) -> Self {
        Self { kms, context: Box::new(|_| Ok(EncryptionContext::empty())), workers: usual() }
    }

    /// All files were sealed in this context.
    pub fn context(self, context: EncryptionContext) -> Self {
        self.context_by(move |_| Ok(context.clone()))
    }

    /// Each file was sealed in the context that it stores. Whoever wrote the file chose it.
    pub fn stored_context(self) -> Self {
        let none = || Error::misuse("no context is stored there");
        self.context_by(move |header| header.stored_context().cloned().ok_or_else(none))
    }

    /// Each file was sealed in the context that `choose` tells by its header. An error is one of
    /// that file. It is called from several threads.
    pub fn context_by(
        mut self,
        choose: impl Fn(&Header) -> Result<EncryptionContext> + Send + Sync + 'a,
    ) -> Self {
        self.context = Box::new(choose);
        self
    }

    /// How many files are worked on at once: 1 to 256. Unless set, as many as there are
    /// processors, and at least 4.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Rewraps `files`, and tells of each as it is done. Blocks. What is wrong with one file
    /// fails that file alone; wherever the process dies, every file is whole, old or new.
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
        mut tell: impl FnMut(Event<'_>),
    ) -> Result<Report> {
        if !self.kms.wraps() {
            return Err(Error::misuse("every KEK here only opens"));
        }
        let mut report = Report::default();
        let verified = Mutex::default();
        let work = |file| self.safely(file, &verified);
        each(files.into_iter(), self.workers, work, |done| report.add(done, &mut tell))?;
        report.failures.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(report)
    }

    fn safely(&self, file: Result<PathBuf, Failed>, verified: &Verified) -> Result<(PathBuf, Done), Failed> {
        let path = file?;
        match caught(|| self.rewrap(&path, verified)) {
            Ok(done) => Ok((path, done)),
            Err(e) => Err(Failed::new(path, e)),
        }
    }

    fn rewrap(&self, path: &Path, verified: &Verified) -> Done {
        let nothing = |outcome| Done { before: Names::new(), after: Names::new(), outcome };
        let header = match look(path) {
            Ok(Some(header)) => header,
            Ok(None) => return nothing(Ok(Outcome::Reference)),
            Err(e) => return nothing(Err(e)),
        };
        let before = names(&header);
        match self.change(path, &header, verified) {
            Ok(Change { before, after: Some(after) }) => {
                Done { before, after, outcome: Ok(Outcome::Rewrapped) }
            }
            Ok(Change { before, after: None }) => {
                Done { after: before.clone(), before, outcome: Ok(Outcome::Current) }
            }
            Err(e) => {
                // It may have failed half-way.
                let after = look(path).ok().flatten().map_or_else(|| before.clone(), |header| names(&header));
                Done { before, after, outcome: Err(e) }
            }
        }
    }

    fn change(&self, path: &Path, header: &Header, verified: &Verified) -> Result<Change> {
        let context = (self.context)(header)?;
        let is_for = header.stored_context().is_none_or(|stored| *stored == context);
        let scope = self.kms.scope(context);
        let is_current = || wait(self.kms.freshness(header)) == Freshness::Current;
        if is_for && header.damage().is_none() && is_current() {
            let before = names(header);
            let known = lock(verified).contains(&before);
            // A keyring may be the wrong one, with a key of the right name.
            if known || scope.is_current(header)? {
                lock(verified).insert(before.clone());
                return Ok(Change { before, after: None });
            }
        }
        let (header, new) = scope.rewrap_file_told(path)?;
        let after = new.map(|new| new.recipients().iter().map(name).collect());
        Ok(Change { before: names(&header), after })
    }
}

/// What current headers name, of which one was verified.
type Verified = Mutex<HashSet<Names>>;

struct Change {
    before: Names,
    /// If it changed.
    after: Option<Names>,
}

struct Done {
    before: Names,
    after: Names,
    outcome: Result<Outcome>,
}

enum Outcome {
    Rewrapped,
    Current,
    Reference,
}

impl Report {
    fn add(&mut self, done: Result<(PathBuf, Done), Failed>, tell: &mut impl FnMut(Event<'_>)) {
        let (path, done) = match done {
            Ok(done) => done,
            Err(failed) => return self.fail(failed, tell),
        };
        count(&mut self.before, done.before);
        count(&mut self.after, done.after);
        match done.outcome {
            Ok(Outcome::Rewrapped) => {
                self.rewrapped += 1;
                tell(Event::Rewrapped(&path));
            }
            Ok(Outcome::Current) => {
                self.current += 1;
                tell(Event::Current(&path));
            }
            Ok(Outcome::Reference) => {
                self.references += 1;
                tell(Event::Reference(&path));
            }
            Err(e) => self.fail(Failed::new(path, e), tell),
        }
    }

    fn fail(&mut self, failed: Failed, tell: &mut impl FnMut(Event<'_>)) {
        tell(Event::Failed(&failed));
        self.failures.push(failed);
    }
}

pub(super) fn count(counts: &mut Counts, names: Names) {
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
}

impl fmt::Debug for Rewrap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrap")
            .field("kms", self.kms)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
