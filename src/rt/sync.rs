//! Locks and atomics of what many threads share. The standard library's; in tests that try
//! schedules (`--cfg shuttle`) those of shuttle, which decides who runs next.
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Locks what a panic leaves usable: nothing here is half changed when somebody else's code
/// runs.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
