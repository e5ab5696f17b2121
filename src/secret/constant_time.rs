//! Constant time on the compiled code: under valgrind a secret is memory without a defined
//! value. Copies and sums of it are undefined too, and every branch and every address that
//! depends on one is an error, counted here.
//!
//! Tests that use it are ignored: `tests/run` runs them under valgrind, alone in their process.
use std::{arch::asm, mem::size_of_val};

/// The core's request, and those of the tool memcheck (valgrind/valgrind.h, valgrind/memcheck.h).
const COUNT_ERRORS: usize = 0x1201;
const MAKE_UNDEFINED: usize = MEMCHECK + 1;
const MAKE_DEFINED: usize = MEMCHECK + 2;
const GET_BITS: usize = MEMCHECK + 8;
const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;

/// From here on a secret.
pub(crate) fn hide<T: ?Sized>(value: &mut T) {
    request(MAKE_UNDEFINED, [at(value), size_of_val(value), 0]);
}

/// From here on public.
pub(crate) fn show<T: ?Sized>(value: &mut T) {
    request(MAKE_DEFINED, [at(value), size_of_val(value), 0]);
}

/// A secret of these bytes.
pub(crate) fn hidden<T>(mut value: T) -> T {
    hide(&mut value);
    value
}

/// A public value, whatever it was made of.
pub(crate) fn shown<T>(mut value: T) -> T {
    show(&mut value);
    value
}

/// Whether every bit depends on a secret.
pub(crate) fn is_hidden(bytes: &[u8]) -> bool {
    let mut bits = vec![0u8; bytes.len()];
    let bytes_at = std::ptr::from_ref(bytes).cast::<u8>() as usize;
    let asked = request(GET_BITS, [bytes_at, at(&mut bits[..]), bytes.len()]);
    bytes.is_empty() || asked == 1 && bits.iter().all(|bits| *bits == 0xff)
}

/// How many branches and addresses of `work` depended on a secret.
pub(crate) fn leaks<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = errors();
    let result = std::hint::black_box(work());
    (errors() - before, result)
}

/// What `work` gives, and no branch or address in it may depend on a secret.
#[track_caller]
pub(crate) fn constant_time<R>(work: impl FnOnce() -> R) -> R {
    let (leaks, result) = leaks(work);
    assert_eq!(leaks, 0, "branches or addresses that depend on a secret: valgrind's log has them");
    result
}

fn errors() -> usize {
    let count = request(COUNT_ERRORS, [0; 3]);
    assert!(count != NO_VALGRIND, "valgrind alone can tell: tests/constant_time runs this");
    count
}

/// Mutable, for the compiler must not know the value afterwards.
fn at<T: ?Sized>(value: &mut T) -> usize {
    std::ptr::from_mut(value).cast::<u8>() as usize
}

const NO_VALGRIND: usize = usize::MAX;

/// Valgrind knows these five instructions, which do nothing otherwise.
fn request(request: usize, [a, b, c]: [usize; 3]) -> usize {
    let arguments = [request, a, b, c, 0, 0];
    let mut answer = NO_VALGRIND;
    // SAFETY: rotates a register by 128 bits and exchanges another with itself. Valgrind reads
    // the arguments, and writes at most the bytes that `GET_BITS` names, which are its caller's.
    unsafe {
        asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(), inout("rdx") answer, options(nostack),
        );
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// What is found where there is something to find: a branch, and an index.
    #[test]
    #[ignore = "under valgrind: tests/constant_time runs it"]
    fn constant_time_is_told_from_what_is_not() {
        static TABLE: [u8; 256] = [7; 256];
        let (key, public) = (hidden([0x35u8; 32]), [0x35u8; 32]);
        let branch = |key: &[u8; 32]| {
            if black_box(key)[3] & 1 == 0 {
                black_box(errors());
            }
        };
        let index = |key: &[u8; 32]| black_box(&TABLE)[usize::from(black_box(key)[3])];
        let early = |key: &[u8; 32]| black_box(key).iter().position(|byte| *byte != 0x35);
        for leaking in [leaks(|| branch(&key)).0, leaks(|| index(&key)).0, leaks(|| early(&key)).0] {
            assert!(leaking > 0);
        }
        for fine in [leaks(|| branch(&public)).0, leaks(|| index(&public)).0, leaks(|| early(&public)).0] {
            assert_eq!(fine, 0);
        }
        assert_eq!(leaks(|| key.iter().fold(0, |sum, byte| sum ^ byte)).0, 0);
        assert!(is_hidden(&key) && !is_hidden(&public) && !is_hidden(&shown(key)));
    }
}
