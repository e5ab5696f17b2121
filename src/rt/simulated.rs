//! Simulated time, for tests of your own outages.
use super::{
    BoxFuture, Runtime,
    sync::{Mutex, MutexGuard, lock},
};
use std::{
    collections::BTreeMap,
    future::poll_fn,
    mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// A clock that you set: nothing moves until you say so, and what runs in the background
/// runs inside [`advance`](Self::advance) and [`block_on`](Self::block_on).
#[derive(Clone, Default)]
pub struct Simulated(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    now: Duration,
    tasks: Vec<BoxFuture<'static, ()>>,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    random: u64,
}

impl Simulated {
    /// A world at time zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with other random numbers: a seed gives the same ones each time.
    pub fn seeded(seed: u64) -> Self {
        let world = Self::default();
        world.world().random = seed;
        world
    }

    /// Moves time, wakes who slept and runs background work until it waits again.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut world = self.world();
            let world = &mut *world;
            world.now += by;
            let later = world.sleepers.split_off(&(world.now, u64::MAX));
            mem::replace(&mut world.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
        self.run();
    }

    /// Drives `future`. Whenever everything waits, time jumps to the next timer.
    ///
    /// # Panics
    /// If everything waits and no timer is set: a deadlock.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            for _ in 0..2 {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return value;
                }
                self.run();
            }
            let next = {
                let world = self.world();
                world.sleepers.first_key_value().map(|((at, _), _)| *at - world.now)
            };
            self.advance(next.expect("everything waits and no timer is set"));
        }
    }

    /// Polls every background task once.
    fn run(&self) {
        let tasks = mem::take(&mut self.world().tasks);
        for mut task in tasks {
            if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                self.world().tasks.push(task);
            }
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0)
    }
}

impl Runtime for Simulated {
    fn now(&self) -> Duration {
        self.world().now
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let (me, at) = (self.clone(), self.now().saturating_add(time));
        let mut number = None;
        Box::pin(poll_fn(move |cx| {
            let waker = cx.waker().clone();
            let mut world = me.world();
            if world.now >= at {
                return Poll::Ready(());
            }
            let number = *number.get_or_insert_with(|| {
                world.next += 1;
                world.next
            });
            let _replaced = world.sleepers.insert((at, number), waker);
            drop(world);
            Poll::Pending
        }))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.world().tasks.push(task);
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        let mut world = self.world();
        world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = world.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_jumps_to_the_next_timer() {
        let world = Simulated::new();
        world.block_on(world.sleep(Duration::from_secs(600)));
        assert_eq!(world.now(), Duration::from_secs(600));
        world.advance(Duration::from_secs(1));
        assert_eq!(world.now(), Duration::from_secs(601));
    }
}
