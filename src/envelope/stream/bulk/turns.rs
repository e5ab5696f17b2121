//! Who reads and who writes: one thread at a time, in the order of the batches.
use super::{
    super::make_room,
    input::{Batch, Input},
};
use crate::{
    Result,
    rt::sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        lock,
    },
};
use std::{
    any::Any,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::PoisonError,
    thread::{Builder, Scope, scope},
};
use zeroize::Zeroizing;

/// One stream under way.
pub(super) struct Turns<R, W, F> {
    input: Mutex<Input<R>>,
    output: Mutex<Output<W>>,
    /// The next batch may be written, or none any more: the thread of batch `n` waits at place
    /// `n` of as many as there are threads, alone.
    turns: Box<[Condvar]>,
    /// Nothing more is to be read.
    over: AtomicBool,
    /// Threads that may yet be started.
    to_start: AtomicUsize,
    work: F,
}

struct Output<W> {
    to: W,
    /// The batch that is written next.
    next: u64,
    end: Option<End>,
}

enum End {
    Told(Result<()>),
    Panicked(Box<dyn Any + Send>),
}

/// A thread's own: what it read and what it makes of that.
#[derive(Default)]
struct Buffers {
    data: Zeroizing<Vec<u8>>,
    out: Zeroizing<Vec<u8>>,
}

impl<R, W, F> Turns<R, W, F>
where
    R: Read + Send,
    W: Write + Send,
    F: Fn(&Batch, &[u8], &mut Vec<u8>) -> Result<()> + Sync,
{
    /// `work` appends what becomes of a batch; what it appended before an error is written, too.
    /// On so many threads at most, this one among them.
    pub(super) fn new(threads: usize, input: Input<R>, to: W, work: F) -> Self {
        Self {
            input: Mutex::new(input),
            output: Mutex::new(Output { to, next: 0, end: None }),
            turns: (0..threads).map(|_| Condvar::new()).collect(),
            over: AtomicBool::new(false),
            to_start: AtomicUsize::new(threads - 1),
            work,
        }
    }

    /// Does it all, and gives the number of bytes read; or the error that stands first in the
    /// stream. A panic goes on here.
    pub(super) fn run(self) -> Result<u64> {
        scope(|scope| self.take_part(scope));
        let bytes = lock(&self.input).bytes();
        let end = lock(&self.output).end.take();
        match end.expect("every thread goes on until there is an end") {
            End::Told(told) => told.map(|()| bytes),
            End::Panicked(panic) => resume_unwind(panic),
        }
    }

    fn take_part<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        let mut buffers = Buffers::default();
        let all = || while self.batch(scope, &mut buffers) {};
        if let Err(panic) = catch_unwind(AssertUnwindSafe(all)) {
            self.finish(&mut lock(&self.output), End::Panicked(panic));
        }
    }

    /// Whether there may be another one.
    fn batch<'s>(&'s self, scope: &'s Scope<'s, '_>, buffers: &mut Buffers) -> bool {
        let Some(batch) = self.read(&mut buffers.data) else { return false };
        // A first batch that is short may be all but the end.
        if batch.number > 0 && batch.then.is_none() {
            self.start_another(scope);
        }
        let data = &buffers.data[..batch.len];
        let out = make_room(&mut buffers.out, data.len());
        let made = (self.work)(&batch, data, out);
        self.write(batch, made, out)
    }

    fn read(&self, buffer: &mut Zeroizing<Vec<u8>>) -> Option<Batch> {
        let mut input = lock(&self.input);
        if self.over.load(Ordering::Relaxed) { None } else { input.next(buffer) }
    }

    /// There is more to read while this one works. If no thread can be had, those that run do it.
    fn start_another<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        let one_less = |n: usize| n.checked_sub(1);
        if self.to_start.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            let thread = Builder::new().name("libkms-stream".into());
            let _ = thread.spawn_scoped(scope, || self.take_part(scope));
        }
    }

    /// Waits until all batches before are written, and writes this one. Whether to go on.
    fn write(&self, batch: Batch, made: Result<()>, out: &[u8]) -> bool {
        let mut output = lock(&self.output);
        while output.next != batch.number && output.end.is_none() {
            output = self.turn(batch.number).wait(output).unwrap_or_else(PoisonError::into_inner);
        }
        if output.end.is_some() {
            return false;
        }
        let end = match output.to.write_all(out) {
            Err(e) => Some(Err(e.into())),
            Ok(()) => made.map_or_else(|e| Some(Err(e)), |()| batch.then),
        };
        let Some(end) = end else {
            output.next += 1;
            self.turn(output.next).notify_one();
            return true;
        };
        let end = end.and_then(|()| Ok(output.to.flush()?));
        self.finish(&mut output, End::Told(end));
        false
    }

    fn finish(&self, output: &mut Output<W>, end: End) {
        output.end.get_or_insert(end);
        self.over.store(true, Ordering::Relaxed);
        self.turns.iter().for_each(Condvar::notify_one);
    }

    /// No thread reads another batch before its last one is written.
    fn turn(&self, batch: u64) -> &Condvar {
        &self.turns[(batch % self.turns.len() as u64) as usize]
    }
}
