//! Waiting for a future on a thread without an executor.
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// Waits for `future` by parking this thread.
///
/// No future of libkms needs the waiting thread to make progress, so this works anywhere,
/// on the thread of a current-thread tokio runtime too: it stalls that thread for as long
/// as the KMS takes, and no longer.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // A future that is ready at once, as warm calls are, costs no waker.
    if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return value;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
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
}
