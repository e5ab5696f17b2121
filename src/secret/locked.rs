//! A value in a slot of the slab.
use super::{check_fork, slab::Slot};
use crate::Result;
use std::{fmt, marker::PhantomData};

/// A key, in any form, in key memory. Not `Clone`; `Debug` shows nothing; the bytes are
/// wiped when it is dropped.
///
/// `T` is plain data: its destructor is not run, the bytes of its slot are wiped instead.
pub(crate) struct Locked<T> {
    slot: Slot,
    value: PhantomData<T>,
}

// SAFETY: a Locked<T> owns its T alone, as a Box<T> would; the slot is not shared.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: a shared Locked<T> hands out &T only.
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// Moves what `make` gives into key memory. What it leaves on the stack is for
    /// [`without_residue`](super::without_residue) to wipe.
    pub(crate) fn new(make: impl FnOnce() -> T) -> Result<Self> {
        let slot = Slot::take(size_of::<T>())?;
        const { assert!(align_of::<T>() <= 64, "slots of 64 bytes and more are aligned to 64") };
        // SAFETY: the slot is ours alone, at least size_of::<T>() long, and aligned for T.
        unsafe { slot.pointer().cast::<T>().write(make()) };
        Ok(Self { slot, value: PhantomData })
    }

    /// The value; the error Forked in a child, where the pages were wiped.
    #[inline]
    pub(crate) fn get(&self) -> Result<&T> {
        check_fork()?;
        // SAFETY: the slot is large and aligned enough for T, and was initialised by `new`
        // or `fill`; `&self` keeps it alive and unchanged.
        Ok(unsafe { self.slot.pointer().cast::<T>().as_ref() })
    }

    /// As [`get`](Self::get), to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Result<&mut T> {
        check_fork()?;
        // SAFETY: as in `get`, and `&mut self` makes the access unique.
        Ok(unsafe { self.slot.pointer().cast::<T>().as_mut() })
    }
}

impl<const N: usize> Locked<[u8; N]> {
    /// Bytes written in place by `fill`: no copy of them exists elsewhere.
    pub(crate) fn fill(fill: impl FnOnce(&mut [u8; N]) -> Result<()>) -> Result<Self> {
        let slot = Slot::take(N)?;
        let mut key = Self { slot, value: PhantomData };
        // A free slot holds zeros: any bytes are a [u8; N].
        fill(key.get_mut()?)?;
        Ok(key)
    }

    /// A copy of bytes that the caller wipes.
    pub(crate) fn copy_of(bytes: &[u8; N]) -> Result<Self> {
        Self::fill(|b| {
            b.copy_from_slice(bytes);
            Ok(())
        })
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_key_leaves_zeros() {
        let key = Locked::copy_of(&[0xa5; 48]).unwrap();
        let at = key.slot.pointer();
        assert_eq!(key.get().unwrap(), &[0xa5; 48]);
        assert_eq!(format!("{key:?}"), "Locked(..)");
        // Held, so that the slot is not handed to another test while we look.
        let looked = key.slot.wipe_and_look(|| {
            // SAFETY: the slot is still ours inside this closure; its pages stay mapped.
            unsafe { std::slice::from_raw_parts(at.as_ptr(), 48) }.to_vec()
        });
        assert_eq!(looked, [0; 48]);
    }

    #[test]
    fn values_of_any_plain_type_are_aligned() {
        #[repr(align(64))]
        struct Wide([u8; 700]);
        let v = Locked::new(|| Wide([7; 700])).unwrap();
        assert_eq!(std::ptr::from_ref(v.get().unwrap()) as usize % 64, 0);
        assert!(v.get().unwrap().0.iter().all(|b| *b == 7));
    }
}
