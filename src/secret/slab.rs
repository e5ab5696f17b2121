//! One pooled slab of locked pages, in slots of a power of two.
//!
//! A region is a few pages between two guard pages and holds slots of one size. Free slots
//! hold zeros. Nothing but keys lies in the pages: what is free is known outside of them.
use super::forked;
use crate::{Error, ErrorKind, Result};
use std::{
    io,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};
use zeroize::Zeroize;

/// Small, so that 64 KiB of lockable memory, common in containers, serve several sizes.
const REGION: usize = 16 * 1024;
/// Slots of 32 to 4096 bytes.
const SMALLEST: usize = 32;
const CLASSES: usize = 8;

/// How many keys this process holds, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Residency {
    /// Keys in locked memory, which is never swapped.
    pub locked: usize,
    /// Bytes of those keys.
    pub locked_bytes: usize,
    /// Keys in memory that could not be locked: RLIMIT_MEMLOCK is too small.
    pub unlocked: usize,
    /// Bytes of those keys.
    pub unlocked_bytes: usize,
}

/// Keys in key memory at this moment: DEKs, KEKs, derived and expanded keys, and the
/// random generators' buffers. All zeros after a fork.
pub fn residency() -> Residency {
    if forked() { Residency::default() } else { slab().residency }
}

/// A slot, wiped and given back on drop.
pub(super) struct Slot {
    at: NonNull<u8>,
    class: usize,
    bytes: usize,
    locked: bool,
}

impl Slot {
    /// A slot of zeros for `bytes`, aligned to its size or to 4096.
    pub(super) fn take(bytes: usize) -> Result<Self> {
        // First: in a child, another thread of the parent may hold the lock for ever.
        super::check_fork()?;
        let class = class_of(bytes);
        let mut slab = slab();
        let (at, locked) = match slab.pop(class) {
            Some(free) => free,
            None => {
                slab.grow(class)?;
                slab.pop(class).ok_or_else(|| Error::limit("key memory"))?
            }
        };
        slab.count(bytes, locked, 1);
        Ok(Self { at, class, bytes, locked })
    }

    pub(super) fn pointer(&self) -> NonNull<u8> {
        self.at
    }

    fn wipe(&mut self) {
        // SAFETY: the slot is ours alone and SMALLEST << class bytes long.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), SMALLEST << self.class) }.zeroize();
    }

    /// Wipes as a drop does, and lets a test look before the slot is given back.
    #[cfg(test)]
    pub(super) fn wipe_and_look<R>(mut self, look: impl FnOnce() -> R) -> R {
        self.wipe();
        look()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A child has nothing to wipe, and the lock may be held by a thread it has not.
        if forked() {
            return;
        }
        self.wipe();
        let mut slab = slab();
        slab.count(self.bytes, self.locked, -1);
        slab.free[usize::from(self.locked)][self.class].push(Free(self.at));
    }
}

fn class_of(bytes: usize) -> usize {
    let class = bytes.max(SMALLEST).next_power_of_two().trailing_zeros() - SMALLEST.trailing_zeros();
    assert!((class as usize) < CLASSES, "no key is longer than 4096 bytes");
    class as usize
}

struct Free(NonNull<u8>);
// SAFETY: the address of a free slot; whoever pops it owns the slot.
unsafe impl Send for Free {}

struct Slab {
    /// Unlocked and locked ones, by class.
    free: [[Vec<Free>; CLASSES]; 2],
    residency: Residency,
}

fn slab() -> MutexGuard<'static, Slab> {
    static SLAB: Mutex<Slab> = Mutex::new(Slab {
        free: [const { [const { Vec::new() }; CLASSES] }; 2],
        residency: Residency { locked: 0, locked_bytes: 0, unlocked: 0, unlocked_bytes: 0 },
    });
    SLAB.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slab {
    /// A free slot, a locked one if there is any.
    fn pop(&mut self, class: usize) -> Option<(NonNull<u8>, bool)> {
        [true, false]
            .into_iter()
            .find_map(|locked| self.free[usize::from(locked)][class].pop().map(|f| (f.0, locked)))
    }

    fn grow(&mut self, class: usize) -> Result<()> {
        let (region, len) = map_guarded(REGION)
            .map_err(|e| Error::new(ErrorKind::Limit, format!("no memory for keys: {e}")))?;
        // SAFETY: the region was mapped just now with this length.
        let locked = unsafe { libc::mlock(region.as_ptr().cast(), len) } == 0;
        advise(region, len);
        let slot = SMALLEST << class;
        for i in (0..len / slot).rev() {
            // SAFETY: i * slot is inside the region.
            self.free[usize::from(locked)][class].push(Free(unsafe { region.add(i * slot) }));
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize, locked: bool, by: isize) {
        let r = &mut self.residency;
        let (keys, sum) = if locked {
            (&mut r.locked, &mut r.locked_bytes)
        } else {
            (&mut r.unlocked, &mut r.unlocked_bytes)
        };
        *keys = keys.wrapping_add_signed(by);
        *sum = sum.wrapping_add_signed(bytes as isize * by);
    }
}

/// Pages for `bytes` between two guard pages. They live as long as the process.
fn map_guarded(bytes: usize) -> io::Result<(NonNull<u8>, usize)> {
    // SAFETY: sysconf reads a constant of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let len = bytes.next_multiple_of(page);
    // SAFETY: a new anonymous mapping at an address of the kernel's choice, without access.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len + 2 * page,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: page is inside the mapping.
    let inner = unsafe { base.cast::<u8>().add(page) };
    // SAFETY: inner and len lie inside the mapping made above, page by page.
    if unsafe { libc::mprotect(inner.cast(), len, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(inner).map(|p| (p, len)).ok_or_else(|| io::Error::other("mapped at address 0"))
}

/// Keeps the pages out of core dumps and out of forked children, where the system can.
/// Whether they are wiped on fork.
fn advise(_region: NonNull<u8>, _len: usize) -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: advice on pages we mapped; neither changes what they hold here.
        unsafe {
            libc::madvise(_region.as_ptr().cast(), _len, libc::MADV_DONTDUMP);
            libc::madvise(_region.as_ptr().cast(), _len, libc::MADV_WIPEONFORK) == 0
        }
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// A word that a fork sets to zero, or `None` where the system cannot do that.
pub(super) fn wiped_on_fork() -> Option<&'static AtomicU64> {
    let (page, len) = map_guarded(size_of::<AtomicU64>()).ok()?;
    // SAFETY: the page is never unmapped, is aligned, and zeros are an AtomicU64.
    advise(page, len).then(|| unsafe { page.cast::<AtomicU64>().as_ref() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_say() {
        for (bytes, size) in [(1, 32), (32, 32), (33, 64), (2048, 2048), (4096, 4096)] {
            assert_eq!(SMALLEST << class_of(bytes), size);
        }
    }

    #[test]
    fn slots_do_not_overlap_and_are_counted() {
        let slots: Vec<_> = (0..2000).map(|_| Slot::take(100).unwrap()).collect();
        let mut at: Vec<_> = slots.iter().map(|s| s.at.as_ptr() as usize).collect();
        at.sort();
        assert!(at.windows(2).all(|w| w[1] - w[0] >= 128));
        let r = residency();
        assert!(r.locked + r.unlocked >= 2000);
        assert!(r.locked_bytes + r.unlocked_bytes >= 200_000);
    }
}
