//! The bytes of a message, in place or from one buffer to another.
use super::lanes::Lanes;
use std::{arch::asm, marker::PhantomData, mem::MaybeUninit};

/// Bytes from the beginning of block 0 to the data: places are counted from there.
pub(super) const FRONT: usize = 32;
/// Of a cache.
const LINE: usize = 64;

/// Where the data is read and where it is written. Both are `len` bytes long, and the same
/// bytes or apart.
pub(in crate::arch) struct Data<'a> {
    from: *const u8,
    to: *mut u8,
    len: usize,
    bytes: PhantomData<&'a mut [u8]>,
}

impl<'a> Data<'a> {
    pub(in crate::arch) fn in_place(data: &'a mut [u8]) -> Self {
        Self { from: data.as_ptr(), to: data.as_mut_ptr(), len: data.len(), bytes: PhantomData }
    }

    /// All of `to` will be written.
    pub(in crate::arch) fn copied(from: &'a [u8], to: &'a mut [MaybeUninit<u8>]) -> Self {
        assert_eq!(from.len(), to.len());
        Self { from: from.as_ptr(), to: to.as_mut_ptr().cast(), len: to.len(), bytes: PhantomData }
    }

    pub(in crate::arch) fn len(&self) -> usize {
        self.len
    }

    /// Where the data ends.
    pub(super) fn end(&self) -> usize {
        FRONT + self.len
    }

    /// Eight whole vectors from `place` on.
    #[inline(always)]
    pub(super) fn group<T: Lanes>(&self, _: T, place: usize) -> Group {
        assert!(place >= FRONT && place + 8 * 16 * T::L <= self.end());
        Group { from: self.from.wrapping_add(place - FRONT), to: self.to.wrapping_add(place - FRONT) }
    }

    /// Of the vector at `place` the bytes `from..to`, zeros around them.
    #[inline(always)]
    pub(super) fn load<T: Lanes>(&self, t: T, place: usize, from: usize, to: usize) -> T::V {
        self.check::<T>(place, from, to);
        let at = self.from.wrapping_add(place).wrapping_sub(FRONT);
        // SAFETY: those bytes are of the data.
        unsafe { t.load_part(at, from, to) }
    }

    #[inline(always)]
    pub(super) fn store<T: Lanes>(&self, t: T, place: usize, v: T::V, from: usize, to: usize) {
        self.check::<T>(place, from, to);
        let at = self.to.wrapping_add(place).wrapping_sub(FRONT);
        // SAFETY: those bytes are of the data, and nobody else has them.
        unsafe { t.store_part(at, v, from, to) }
    }

    #[inline(always)]
    fn check<T: Lanes>(&self, place: usize, from: usize, to: usize) {
        assert!(to <= 16 * T::L && (from >= to || (place + from >= FRONT && place + to <= self.end())));
    }
}

/// Eight vectors of the data.
#[derive(Clone, Copy)]
pub(super) struct Group {
    from: *const u8,
    to: *mut u8,
}

/// Beyond what the processor fetches ahead by itself, which is too little where data comes from
/// memory and is looked at as soon as it is there.
const AHEAD: usize = 2048;

impl Group {
    /// The same, and the compiler does not know it: it would keep in registers what was loaded, for
    /// the next time, and has not enough of them.
    #[inline(always)]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "it is not followed")]
    pub(super) fn again(mut self) -> Self {
        // SAFETY: no instruction at all.
        unsafe { asm!("/* {} */", inout(reg) self.from, options(pure, nomem, nostack, preserves_flags)) };
        self
    }

    /// Has the data of a later group fetched.
    #[inline(always)]
    pub(super) fn fetch_ahead<T: Lanes>(self, _: T) {
        for line in 0..(8 * 16 * T::L).div_ceil(LINE) {
            fetch(self.from.wrapping_add(AHEAD + LINE * line));
        }
    }

    #[inline(always)]
    pub(super) fn load<T: Lanes>(self, t: T, j: usize) -> T::V {
        assert!(j < 8);
        // SAFETY: eight vectors lie within the data, and `t` is as when that was checked.
        unsafe { t.load(self.from.add(16 * T::L * j)) }
    }

    #[inline(always)]
    pub(super) fn store<T: Lanes>(self, t: T, j: usize, v: T::V) {
        assert!(j < 8);
        // SAFETY: the same; nobody else has these bytes.
        unsafe { t.store(self.to.add(16 * T::L * j), v) }
    }
}

/// Has the cache line at `at` fetched. Where there is none, nothing happens.
#[inline(always)]
fn fetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads nothing that the program sees, and fails nowhere.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the same.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    let _ = at;
}
