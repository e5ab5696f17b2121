//! Time, and who waits on it: the library's simulated clock, with an account of its timers.
use libkms::rt::{BoxFuture, Runtime, Simulated};
use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// The clock of a day. A clone is another handle on the same.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    clock: Simulated,
    timers: Mutex<Timers>,
    /// Grows with whatever happens in the background.
    events: AtomicU64,
}

#[derive(Default)]
struct Timers {
    at: BTreeSet<(Duration, u64)>,
    next: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let (clock, timers, events) = (Simulated::seeded(seed), Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { clock, timers, events }))
    }

    pub fn now(&self) -> Duration {
        self.0.clock.now()
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Duration> {
        let after = (self.now(), u64::MAX);
        self.timers().at.range(after..).next().map(|(at, _)| *at)
    }

    pub fn advance_to(&self, then: Duration) {
        self.0.clock.advance(then.saturating_sub(self.now()));
    }

    /// Polls what runs in the background, once; whether anything came of it.
    pub fn turn(&self) -> bool {
        let before = self.0.events.load(Ordering::Relaxed);
        self.0.clock.advance(Duration::ZERO);
        self.0.events.load(Ordering::Relaxed) != before
    }

    /// A sleep that is nobody's: the KMS's.
    pub fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.clone(), time, Alive::default()))
    }

    /// The runtime of one process.
    pub fn host(&self) -> Host {
        Host { world: self.clone(), alive: Alive::default() }
    }

    fn happened(&self) {
        self.0.events.fetch_add(1, Ordering::Relaxed);
    }

    fn timers(&self) -> MutexGuard<'_, Timers> {
        self.0.timers.lock().unwrap()
    }
}

/// What a process has the library run on. Its tasks and timers are counted: none may be left
/// behind.
#[derive(Clone)]
pub struct Host {
    world: World,
    alive: Alive,
}

/// Handles that exist: those of tasks and timers are one each.
type Alive = Arc<()>;

impl Host {
    /// Tasks and timers that are not over.
    pub fn alive(&self) -> usize {
        // One is this handle's, others are those of the `Kms` that was built with it.
        Arc::strong_count(&self.alive) - 1
    }
}

impl Runtime for Host {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.world.clone(), time, self.alive.clone()))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let (world, alive) = (self.world.clone(), self.alive.clone());
        world.happened();
        self.world.0.clock.spawn(Box::pin(async move {
            task.await;
            drop(alive);
            world.happened();
        }));
    }

    fn random(&self) -> u64 {
        self.world.0.clock.random()
    }
}

struct Sleep {
    inner: BoxFuture<'static, ()>,
    world: World,
    ticket: (Duration, u64),
    _alive: Alive,
}

impl Sleep {
    fn new(world: World, time: Duration, alive: Alive) -> Self {
        let ticket = {
            let mut timers = world.timers();
            timers.next += 1;
            let ticket = (world.now().saturating_add(time), timers.next);
            timers.at.insert(ticket);
            ticket
        };
        world.happened();
        Self { inner: world.0.clock.sleep(time), world, ticket, _alive: alive }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().poll(cx)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.world.timers().at.remove(&self.ticket);
        self.world.happened();
    }
}

/// A future of a caller, polled when it was woken.
pub struct Called<T> {
    future: BoxFuture<'static, T>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Called<T> {
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    pub fn poll(&mut self) -> Option<T> {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        let waker = Waker::from(self.woken.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    pub fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }
}
