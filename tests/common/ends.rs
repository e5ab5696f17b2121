//! Readers and writers as they can be.
use std::{
    collections::HashSet,
    io::{Error, ErrorKind, Read, Result, Write},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

/// Gives a few bytes at a time, and is interrupted between.
pub struct Bits<'a> {
    left: &'a [u8],
    most: usize,
    interrupted: bool,
}

impl<'a> Bits<'a> {
    pub fn of(left: &'a [u8], most: usize) -> Self {
        Self { left, most, interrupted: false }
    }
}

impl Read for Bits<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = buf.len().min(self.most);
        self.left.read(&mut buf[..most])
    }
}

/// Fails, or panics, behind what it gives; and whoever reads on gets more.
pub struct Broken<'a> {
    left: &'a [u8],
    broken: bool,
    pub panics: bool,
}

impl<'a> Broken<'a> {
    pub fn behind(left: &'a [u8]) -> Self {
        Self { left, broken: false, panics: false }
    }
}

impl Read for Broken<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if self.broken {
            return Ok(buf.len());
        }
        if self.left.is_empty() {
            self.broken = true;
            assert!(!self.panics, "the reader broke");
            return Err(Error::other("broken"));
        }
        self.left.read(buf)
    }
}

/// Takes so many bytes, then fails, or panics; and whoever goes on is noticed.
pub struct Full {
    pub taken: Vec<u8>,
    room: usize,
    failed: bool,
    pub panics: bool,
    pub flushes: bool,
}

impl Full {
    pub fn with(room: usize) -> Self {
        Self { taken: Vec::new(), room, failed: false, panics: false, flushes: true }
    }
}

impl Write for Full {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        assert!(!self.failed, "it was called again");
        let n = buf.len().min(self.room - self.taken.len());
        self.taken.extend_from_slice(&buf[..n]);
        if n == 0 {
            self.failed = true;
            assert!(!self.panics, "the writer broke");
            return Err(Error::other("full"));
        }
        Ok(n)
    }

    fn flush(&mut self) -> Result<()> {
        if self.flushes { Ok(()) } else { Err(Error::other("full")) }
    }
}

/// Counts what is between reader and writer, and who calls them.
#[derive(Default)]
pub struct Watched {
    read: AtomicUsize,
    written: AtomicUsize,
    most_held: AtomicUsize,
    threads: Mutex<HashSet<ThreadId>>,
}

impl Watched {
    pub fn reader<'a>(&'a self, mut left: &'a [u8]) -> impl Read + Send + 'a {
        Reader(move |buf: &mut [u8]| {
            let n = left.read(buf)?;
            self.threads.lock().unwrap().insert(thread::current().id());
            let read = self.read.fetch_add(n, Ordering::SeqCst) + n;
            let held = read.saturating_sub(self.written.load(Ordering::SeqCst));
            self.most_held.fetch_max(held, Ordering::SeqCst);
            Ok(n)
        })
    }

    /// So that readers run ahead if they may.
    pub fn slow_writer(&self) -> impl Write + Send {
        Writer(|buf: &[u8]| {
            thread::sleep(Duration::from_micros(300));
            self.threads.lock().unwrap().insert(thread::current().id());
            self.written.fetch_add(buf.len(), Ordering::SeqCst);
        })
    }

    pub fn most_held(&self) -> usize {
        self.most_held.load(Ordering::SeqCst)
    }

    pub fn threads(&self) -> HashSet<ThreadId> {
        self.threads.lock().unwrap().clone()
    }
}

/// Its writer waits for its reader.
#[derive(Default)]
pub struct Meeting {
    read: Mutex<usize>,
    more: Condvar,
}

impl Meeting {
    pub fn reader<'a>(&'a self, mut left: &'a [u8]) -> impl Read + Send + 'a {
        Reader(move |buf: &mut [u8]| {
            let n = left.read(buf)?;
            *self.read.lock().unwrap() += 1;
            self.more.notify_all();
            Ok(n)
        })
    }

    /// The second write returns after the third read, or never.
    pub fn writer(&self) -> impl Write + Send {
        let mut writes = 0;
        Writer(move |_: &[u8]| {
            writes += 1;
            if writes < 2 {
                return;
            }
            let read = self.read.lock().unwrap();
            let long = Duration::from_secs(60);
            let met = self.more.wait_timeout_while(read, long, |read| *read < 3).unwrap();
            assert!(*met.0 >= 3, "nobody reads while somebody writes");
        })
    }
}

struct Reader<F>(F);

impl<F: FnMut(&mut [u8]) -> Result<usize>> Read for Reader<F> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        (self.0)(buf)
    }
}

struct Writer<F>(F);

impl<F: FnMut(&[u8])> Write for Writer<F> {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        (self.0)(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
