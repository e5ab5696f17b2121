//! One piece of work, many waiters.
use super::{
    BoxFuture, Runtime,
    background::wake,
    sync::{Mutex, MutexGuard, lock},
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// A handle on work under way. The work belongs to nobody: it is polled once by whoever
/// launches it, so that a local backend finishes there, and then handed to the runtime.
/// Dropped handles take nothing from the others.
pub(crate) struct Flight<T> {
    landing: Arc<Mutex<Landing<T>>>,
    /// This handle's place among those who wait.
    seat: Option<u64>,
}

struct Landing<T> {
    value: Option<T>,
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl<T> Flight<T> {
    fn landing(&self) -> MutexGuard<'_, Landing<T>> {
        lock(&self.landing)
    }
}

impl<T: Clone + Send + 'static> Flight<T> {
    /// A flight, and what makes it fly: see [`launch`]. If `work` panics, every waiter gets
    /// `on_panic()`.
    pub(crate) fn new(
        work: impl Future<Output = T> + Send + 'static,
        on_panic: impl FnOnce() -> T + Send + 'static,
    ) -> (Self, BoxFuture<'static, ()>) {
        let landing = Arc::new(Mutex::new(Landing { value: None, waiting: BTreeMap::new(), next: 0 }));
        let flight = Flight { landing, seat: None };
        let land = flight.clone();
        let mut on_panic = Some(on_panic);
        let task: BoxFuture<'static, ()> = Box::pin(async move {
            let mut work = Box::pin(work);
            let value = std::future::poll_fn(move |cx| {
                catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))).unwrap_or_else(|_| {
                    match on_panic.take() {
                        Some(on_panic) => Poll::Ready(on_panic()),
                        None => Poll::Pending,
                    }
                })
            })
            .await;
            let waiting = {
                let mut landing = land.landing();
                landing.value = Some(value);
                std::mem::take(&mut landing.waiting)
            };
            waiting.into_values().for_each(wake);
        });
        (flight, task)
    }
}

/// Polls once, here; what is left to do then is the runtime's.
pub(crate) fn launch(rt: &dyn Runtime, mut task: BoxFuture<'static, ()>) {
    if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        rt.spawn(task);
    }
}

impl<T> Clone for Flight<T> {
    fn clone(&self) -> Self {
        Self { landing: self.landing.clone(), seat: None }
    }
}

impl<T: Clone> Future for Flight<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Cloned before the lock, and dropped after it: a waker is somebody else's code, and
        // the last handle of a task runs its destructors.
        let (shared, waker) = (self.landing.clone(), cx.waker().clone());
        let mut landing = lock(&shared);
        if let Some(value) = &landing.value {
            return Poll::Ready(value.clone());
        }
        let seat = *self.seat.get_or_insert_with(|| {
            landing.next += 1;
            landing.next
        });
        let _replaced = landing.waiting.insert(seat, waker);
        drop(landing);
        Poll::Pending
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            let _removed = self.landing().waiting.remove(&seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{Background, wait};
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
        time::Duration,
    };

    #[test]
    fn many_waiters_one_piece_of_work_some_go_away() {
        let rt = Background;
        let runs = Arc::new(AtomicU32::new(0));
        let (r, sleep) = (runs.clone(), rt.sleep(Duration::from_millis(50)));
        let work = async move {
            r.fetch_add(1, Ordering::SeqCst);
            sleep.await;
            42
        };
        let (flight, task) = Flight::new(work, || 0);
        launch(&rt, task);
        let waiters: Vec<_> = (0..50)
            .map(|i| {
                let mut f = flight.clone();
                thread::spawn(move || {
                    if i % 2 == 0 {
                        // Polled once, then dropped.
                        let _ = Pin::new(&mut f).poll(&mut Context::from_waker(Waker::noop()));
                        return 42;
                    }
                    wait(f)
                })
            })
            .collect();
        drop(flight);
        assert!(waiters.into_iter().all(|w| w.join().unwrap() == 42));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn work_that_is_ready_lands_at_once_and_a_panic_is_a_value() {
        struct Nowhere;
        impl Runtime for Nowhere {
            fn now(&self) -> Duration {
                Duration::ZERO
            }
            fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
                unreachable!()
            }
            fn spawn(&self, _: BoxFuture<'static, ()>) {
                unreachable!("nothing was left to do")
            }
        }
        let fly = |(flight, task)| {
            launch(&Nowhere, task);
            wait::<Flight<i32>>(flight)
        };
        assert_eq!(fly(Flight::new(async { 7 }, || 0)), 7);
        assert_eq!(fly(Flight::new(async { panic!("on purpose") }, || 9)), 9);
    }
}
