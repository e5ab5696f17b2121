//! The thread: a timer heap and a run queue.
use super::{
    BoxFuture, Runtime,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
        lock,
    },
    wait,
};
use crate::{arch::since_boot, secret::forked};
use std::{
    cell::Cell,
    collections::BTreeMap,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

/// A condition variable's clock stops while the machine sleeps; ours does not. With a
/// timer set, the thread looks at least this often.
const LOOK: Duration = Duration::from_millis(500);

/// The process's one background thread, which starts when first something waits.
pub(crate) struct Background;

struct Shared {
    state: Mutex<State>,
    change: Condvar,
}

/// By time, then by number: the waker of whoever sleeps.
type Timers = BTreeMap<(Duration, u64), Waker>;

struct State {
    ready: Vec<Arc<Task>>,
    timers: Timers,
    next: u64,
}

thread_local!(static THIS: Cell<bool> = const { Cell::new(false) });

/// Whether this is the background thread.
pub(super) fn is_this_thread() -> bool {
    THIS.try_with(Cell::get).unwrap_or(false)
}

/// A waker is somebody else's code: its panic is theirs.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// What the thread works on. `None` where the system starts no thread: then nothing waits
/// (see [`Sleep`] and [`Background::spawn`]).
fn shared() -> Option<&'static Shared> {
    static SHARED: Shared = Shared { state: Mutex::new(State::new()), change: Condvar::new() };
    static STARTED: AtomicBool = AtomicBool::new(false);
    if !STARTED.load(Ordering::Acquire) {
        // The lock makes it one thread.
        let _state = SHARED.state();
        if !STARTED.load(Ordering::Acquire) {
            let run = || {
                THIS.set(true);
                SHARED.run()
            };
            thread::Builder::new().name("libkms".into()).spawn(run).ok()?;
            STARTED.store(true, Ordering::Release);
        }
    }
    Some(&SHARED)
}

impl Runtime for Background {
    fn now(&self) -> Duration {
        since_boot()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { at: since_boot().saturating_add(time), number: None })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if shared().is_none() {
            return wait(task);
        }
        Arc::new(Task { future: Mutex::new(Some(task)), queued: AtomicBool::new(false) }).wake();
    }
}

impl State {
    const fn new() -> Self {
        Self { ready: Vec::new(), timers: BTreeMap::new(), next: 0 }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn run(&self) -> ! {
        loop {
            let (due, ready) = self.next();
            due.into_values().for_each(wake);
            ready.iter().for_each(Task::poll);
        }
    }

    /// Waits until something is due or ready.
    fn next(&self) -> (Timers, Vec<Arc<Task>>) {
        let mut state = self.state();
        loop {
            let now = since_boot();
            let later = state.timers.split_off(&(now, u64::MAX));
            let due = mem::replace(&mut state.timers, later);
            if !due.is_empty() || !state.ready.is_empty() {
                return (due, mem::take(&mut state.ready));
            }
            state = match state.timers.first_key_value() {
                Some(((at, _), _)) => {
                    let pause = at.saturating_sub(now).min(LOOK);
                    self.change.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.change.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

struct Task {
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
}

impl Task {
    fn poll(self: &Arc<Self>) {
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut slot = lock(&self.future);
        let Some(future) = slot.as_mut() else { return };
        // Flights turn a panic into an error; whatever else panics must not end the thread.
        let poll = || future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if catch_unwind(AssertUnwindSafe(poll)).unwrap_or(true) {
            let ended = slot.take();
            drop(slot);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(ended)));
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let Some(shared) = shared() else { return };
            shared.state().ready.push(self);
            shared.change.notify_one();
        }
    }
}

struct Sleep {
    at: Duration,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if since_boot() >= self.at {
            return Poll::Ready(());
        }
        // Without a thread nobody would wake us: the time is over at once.
        let Some(shared) = shared() else { return Poll::Ready(()) };
        // Cloned before the lock, and dropped after it: a waker is somebody else's code, and
        // the last handle of a task runs its destructors.
        let waker = cx.waker().clone();
        let mut state = shared.state();
        let number = *self.number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        let _replaced = state.timers.insert((self.at, number), waker);
        drop(state);
        shared.change.notify_one();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // In a child, a thread that it has not may hold the lock for ever.
        if let (Some(number), Some(shared)) = (self.number.filter(|_| !forked()), shared()) {
            let _removed = shared.state().timers.remove(&(self.at, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::unless;
    use std::sync::mpsc;

    #[test]
    fn sleeps_and_forgets_dropped_sleepers() {
        let rt = Background;
        let before = rt.now();
        wait(rt.sleep(Duration::from_millis(20)));
        assert!(rt.now() - before >= Duration::from_millis(20));
        let mut long = rt.sleep(Duration::from_secs(7200));
        assert!(long.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let count = || {
            shared()
                .unwrap()
                .state()
                .timers
                .keys()
                .filter(|k| k.0 > rt.now() + Duration::from_secs(7000))
                .count()
        };
        assert_eq!(count(), 1);
        drop(long);
        assert_eq!(count(), 0);
    }

    #[test]
    fn a_time_out_ends_what_hangs() {
        let rt = Background;
        let hung = unless(rt.sleep(Duration::from_millis(10)), std::future::pending::<()>());
        assert_eq!(wait(hung), None);
        assert_eq!(wait(unless(rt.sleep(Duration::from_secs(60)), async { 7 })), Some(7));
    }

    #[test]
    fn a_waker_that_panics_does_not_end_the_thread() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("on purpose")
            }
        }
        let mut sleep = Background.sleep(Duration::from_millis(1));
        let waker = Waker::from(Arc::new(Panics));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        wait(Background.sleep(Duration::from_millis(30)));
    }

    /// A waker may be the last handle of a task that itself waits here.
    #[test]
    fn a_waker_is_not_dropped_under_the_lock() {
        struct Holds(#[expect(dead_code, reason = "for its destructor")] Mutex<BoxFuture<'static, ()>>);
        impl Wake for Holds {
            fn wake(self: Arc<Self>) {}
        }
        let waiting = || {
            let mut sleep = Background.sleep(Duration::from_secs(3600));
            assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            Waker::from(Arc::new(Holds(Mutex::new(sleep))))
        };
        let mut sleep = Background.sleep(Duration::from_secs(3600));
        for _ in 0..2 {
            assert!(sleep.as_mut().poll(&mut Context::from_waker(&waiting())).is_pending());
        }
        drop(sleep);
        wait(Background.sleep(Duration::from_millis(1)));
    }

    #[test]
    fn a_task_that_panics_does_not_end_the_thread() {
        let rt = Background;
        rt.spawn(Box::pin(async { panic!("on purpose") }));
        let (tx, rx) = mpsc::channel();
        rt.spawn(Box::pin(async move { tx.send(1).unwrap() }));
        assert_eq!(rx.recv_timeout(Duration::from_secs(20)), Ok(1));
    }
}
