//! Time and background work without an async runtime: one thread of our own, started when
//! it is first needed. What must go on when no caller waits runs there: time-outs, and
//! calls to a KMS whose first caller went away.
mod background;
mod disk;
#[cfg(all(test, unix, feature = "local"))]
pub(crate) mod faults;
mod file;
mod flight;
mod open;
#[cfg(feature = "test-util")]
mod simulated;
pub(crate) mod sync;
mod wait;

#[cfg(feature = "test-util")]
pub use simulated::Simulated;
pub use wait::{Wait, wait};

pub(crate) use background::{Background, wake};
#[cfg(all(test, unix, feature = "local"))]
pub(crate) use disk::Call;
pub use file::NewFile;
pub(crate) use file::sync_directory_of;
pub(crate) use flight::{Flight, launch};
pub(crate) use open::{OpenFile, open_at_once, real_path};

use std::{
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

/// A boxed future that may be polled on any thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What libkms needs of a world. It exists so that tests can simulate one
/// (`rt::Simulated`, feature `test-util`); programs need not fill it in.
pub trait Runtime: Send + Sync + 'static {
    /// Time since some fixed moment, suspended time included.
    fn now(&self) -> Duration;
    /// Ready once `time` has passed.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
    /// Drives `task` to its end, whoever else goes away.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// A number for pauses that differ from one client to the next. No key is made of it.
    fn random(&self) -> u64 {
        getrandom::u64().unwrap_or_default()
    }
}

/// What all of them give, in their order; they go on at the same time.
pub(crate) async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|f| (Some(Box::pin(f)), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, value) in &mut futures {
            if let Some(Poll::Ready(ready)) = future.as_mut().map(|f| f.as_mut().poll(cx)) {
                (*future, *value) = (None, Some(ready));
            }
        }
        if futures.iter().any(|(future, _)| future.is_some()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    futures.into_iter().filter_map(|(_, value)| value).collect()
}

/// What `work` gives, or `None` if `end` is ready first. `work` is asked first.
pub(crate) async fn unless<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    std::future::poll_fn(move |cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}
