//! Waiting for a future on a thread without an executor.
use super::background;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Waits for `future` by parking this thread.
///
/// No future of libkms needs the waiting thread to make progress, so this works on any
/// thread of yours, on that of a current-thread tokio runtime too: it stalls that thread for
/// as long as the KMS takes, and no longer.
///
/// # Panics
/// On libkms's own thread, where a backend's future is polled: it would wait for itself. (A
/// backend that blocks belongs on a thread of its own. libkms turns the panic into an error
/// of the call.)
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // A future that is ready at once, as warm calls are, costs no waker.
    if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return value;
    }
    assert!(!background::is_this_thread(), "wait() on libkms's own thread: a backend must not block");
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(true) });
    let waker = Waker::from(unpark.clone());
    let mut cx = Context::from_waker(&waker);
    loop {
        // The thread's own token is not enough: whatever parks inside of poll may take it.
        while !unpark.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
    }
}

struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// `scope.seal(..).wait()`, for programs without async.
pub trait Wait: Future + Sized {
    /// [`wait`] for this future.
    fn wait(self) -> Self::Output {
        wait(self)
    }
}

impl<F: Future> Wait for F {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_another_thread() {
        let (tx, rx) = std::sync::mpsc::channel();
        let t = thread::spawn(move || {
            let waker: Waker = rx.recv().unwrap();
            waker.wake();
        });
        let mut asked = 0;
        let n = std::future::poll_fn(|cx| {
            asked += 1;
            if asked == 2 {
                tx.send(cx.waker().clone()).unwrap();
            }
            if asked > 2 { Poll::Ready(asked) } else { Poll::Pending }
        })
        .wait();
        assert_eq!(n, 3);
        t.join().unwrap();
    }

    /// What parks inside of a poll may take the thread's token with it.
    #[test]
    fn a_wake_up_is_not_lost_to_another_who_parks() {
        let (tx, rx) = std::sync::mpsc::channel::<Waker>();
        let (gone, went) = std::sync::mpsc::channel();
        let t = thread::spawn(move || {
            rx.recv().unwrap().wake();
            gone.send(()).unwrap();
        });
        let mut asked = 0;
        let n = std::future::poll_fn(|cx| {
            asked += 1;
            if asked == 2 {
                tx.send(cx.waker().clone()).unwrap();
                went.recv().unwrap();
                thread::park_timeout(std::time::Duration::from_millis(1));
            }
            if asked > 2 { Poll::Ready(asked) } else { Poll::Pending }
        })
        .wait();
        assert_eq!(n, 3);
        t.join().unwrap();
    }
}
