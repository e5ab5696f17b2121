//! What becomes public of a secret.

/// A verdict, or a length behind one: it may be branched on from here on. All that this crate
/// itself tells of secrets goes through here; tests under valgrind find nothing else
/// that branches on one.
#[inline(always)]
pub(crate) fn told<T>(value: T) -> T {
    #[cfg(all(test, target_arch = "x86_64"))]
    let value = super::constant_time::shown(value);
    value
}
