//! Stale values, written anew.
use super::{
    calls::{Put, Value},
    survey::note,
    values::Stored,
};
use crate::{
    Error, ErrorKind, Result,
    fleet::workers::{caught, each, usual},
    kubernetes::{Read, ValueFormat},
    rt::{
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicU32, Ordering},
            lock,
        },
        wait,
    },
};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// A value that others write all the time is left to them: what they write is not stale.
const MOST_TRIES: usize = 16;
/// A KMS that does not serve so many values in a row is not asked for all the others.
const MOST_UNSERVED: u32 = 64;

/// Writes the stale values of a resource anew, as the API server does when an object is written: under
/// the first provider with its first key.
///
/// A value is replaced in one transaction, only if it still is the version that was read; if somebody
/// wrote it meanwhile, that one is looked at instead. Before, what would be written is read again and
/// compared, and what nothing authenticates (AES-CBC) has to be an object. So a run can be ended at any
/// moment and simply run again: what is done is not stale, and writers need not stop. Leases stay as
/// they are.
#[derive(Clone, Debug)]
#[must_use = "run() does it"]
pub struct Rotate {
    dry_run: bool,
    workers: usize,
    pause: Duration,
}

/// What became of a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RotateEvent<'a> {
    /// It is written anew; in a dry run it would be.
    Rotated(&'a str),
    /// It is not stale, or is gone.
    Current(&'a str),
    /// It is as it was.
    Failed(&'a str, &'a Error),
}

/// What became of all of them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rotated {
    /// Values that were written anew; in a dry run, that would be.
    pub rotated: u64,
    /// Values that were not stale, or were deleted meanwhile.
    pub current: u64,
    /// How often somebody else had written a value meanwhile.
    pub conflicts: u64,
    /// Values that are as they were.
    pub failed: u64,
    /// The first 1,000 of these, by key.
    pub failures: Vec<(String, Error)>,
}

impl Default for Rotate {
    fn default() -> Self {
        Self::new()
    }
}

impl Rotate {
    /// As fast as it goes, on as many threads as there are processors, and at least 4.
    pub fn new() -> Self {
        Self { dry_run: false, workers: usual(), pause: Duration::ZERO }
    }

    /// Reads everything and writes nothing.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// How many values are worked on at once: 1 to 256.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// At most so many writes a second, on average; without it as many as etcd takes.
    pub fn per_second(mut self, writes: u32) -> Self {
        self.pause = Duration::from_secs(1) / writes.max(1);
        self
    }

    /// Does it, and tells of each value. Blocks. What is wrong with one value fails that value alone.
    ///
    /// # Errors
    /// Unavailable, Denied: of etcd, or of a KMS that serves nothing any more; what was done until
    /// then is done. Misuse for a number of workers that cannot be.
    pub fn run(&self, stored: &Stored<'_>, mut tell: impl FnMut(RotateEvent<'_>)) -> Result<Rotated> {
        let (run, mut report, mut ended) = (Run::new(self, stored), Rotated::default(), Ok(()));
        each(
            run.values(),
            self.workers,
            |value| run.one(value),
            |done| match done {
                Ok((key, done)) => report.add(&key, done, &mut tell),
                Err(e) => ended = Err(e),
            },
        )?;
        report.failures.sort_by(|a, b| a.0.cmp(&b.0));
        ended.and(run.verdict()).map(|()| report)
    }
}

/// What the workers of one run share.
struct Run<'a> {
    how: &'a Rotate,
    stored: &'a Stored<'a>,
    next_write: Mutex<Instant>,
    unserved: AtomicU32,
    is_over: AtomicBool,
}

struct Done {
    outcome: Result<Outcome>,
    conflicts: u64,
}

enum Outcome {
    Rotated,
    Current,
}

impl<'a> Run<'a> {
    fn new(how: &'a Rotate, stored: &'a Stored<'a>) -> Self {
        let (unserved, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { how, stored, next_write: Mutex::new(Instant::now()), unserved, is_over }
    }

    fn values(&self) -> impl Iterator<Item = Result<Value>> + Send + '_ {
        self.stored.all().take_while(|_| !self.is_over.load(Ordering::Relaxed))
    }

    /// `Err`: etcd does not serve; then nothing more is begun.
    fn one(&self, value: Result<Value>) -> Result<(String, Done)> {
        let value = value?;
        let key = String::from_utf8_lossy(&value.key).into_owned();
        let mut conflicts = 0;
        let outcome = caught(|| self.rotate(value, &mut conflicts)).and_then(|outcome| outcome);
        let unserved = match &outcome {
            Err(e) if e.kind() == ErrorKind::Unavailable => self.unserved.fetch_add(1, Ordering::Relaxed) + 1,
            _ => {
                self.unserved.store(0, Ordering::Relaxed);
                0
            }
        };
        self.is_over.fetch_or(unserved >= MOST_UNSERVED, Ordering::Relaxed);
        Ok((key, Done { outcome, conflicts }))
    }

    fn rotate(&self, mut value: Value, conflicts: &mut u64) -> Result<Outcome> {
        let transformer = self.stored.transformer;
        for _ in 0..MOST_TRIES {
            let read = wait(transformer.read(&value.key, &value.value))?;
            if !read.stale {
                return Ok(Outcome::Current);
            }
            check_object(&read)?;
            if self.how.dry_run {
                return Ok(Outcome::Rotated);
            }
            let new = wait(transformer.write(&value.key, &read.plaintext))?;
            let back = wait(transformer.read(&value.key, &new))?;
            if back.plaintext != read.plaintext {
                return Err(Error::new(ErrorKind::BadReply, "what would be written reads otherwise"));
            }
            if back.stale {
                continue;
            }
            self.await_turn();
            match self.stored.etcd.replace(&value.key, value.version, &new)? {
                Put::Done => return Ok(Outcome::Rotated),
                Put::Gone => return Ok(Outcome::Current),
                Put::Changed(now) => (value, *conflicts) = (now, *conflicts + 1),
            }
        }
        let said =
            "it stays stale: others wrote it each time, or the KMS wraps with another key than it names";
        Err(Error::new(ErrorKind::Unavailable, said))
    }

    fn await_turn(&self) {
        if self.how.pause.is_zero() {
            return;
        }
        let mut next = lock(&self.next_write);
        let turn = Instant::now().max(*next);
        *next = turn + self.how.pause;
        drop(next);
        sleep(turn.saturating_duration_since(Instant::now()));
    }

    fn verdict(&self) -> Result<()> {
        if self.is_over.load(Ordering::Relaxed) {
            let said = format!("{MOST_UNSERVED} values in a row were not served: ended");
            return Err(Error::new(ErrorKind::Unavailable, said));
        }
        Ok(())
    }
}

/// CBC authenticates nothing: under a wrong key one value in 256 opens, too, and what it opens to must
/// not take the place of what is there.
fn check_object(read: &Read) -> Result<()> {
    let is_proven = !matches!(read.format, ValueFormat::AesCbc | ValueFormat::KmsV1);
    if is_proven || is_object(&read.plaintext) {
        return Ok(());
    }
    let said = format!(
        "what {} {} opens it to is no object of Kubernetes: is it under another key of that name?",
        read.format, read.name
    );
    Err(Error::new(ErrorKind::Authentication, said))
}

/// As API servers store them: protobuf, CBOR, and JSON or YAML.
fn is_object(plaintext: &[u8]) -> bool {
    let is_binary = plaintext.starts_with(b"k8s\0") || plaintext.starts_with(b"\xd9\xd9\xf7");
    let names_its_kind = |text: &str| text.contains("apiVersion") && text.contains("kind");
    is_binary || str::from_utf8(plaintext).is_ok_and(names_its_kind)
}

impl Rotated {
    fn add(&mut self, key: &str, done: Done, tell: &mut impl FnMut(RotateEvent<'_>)) {
        self.conflicts += done.conflicts;
        match done.outcome {
            Ok(Outcome::Rotated) => {
                self.rotated += 1;
                tell(RotateEvent::Rotated(key));
            }
            Ok(Outcome::Current) => {
                self.current += 1;
                tell(RotateEvent::Current(key));
            }
            Err(e) => {
                self.failed += 1;
                tell(RotateEvent::Failed(key, &e));
                note(&mut self.failures, key, e);
            }
        }
    }
}
