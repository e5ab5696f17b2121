//! Blocks: many at once where they are opened, one after the other where they are sealed.
use super::BLOCK;
use crate::arch::lanes::{Block, Lanes, read};
use std::mem::MaybeUninit;

/// Vectors at once: as many as hide how long a round of one takes.
const DEEP: usize = 8;

/// Decrypts the blocks behind an IV. `keys`: of the inverse cipher.
#[inline(always)]
pub(in crate::arch) fn open<T: Lanes>(t: T, keys: &[Block], sealed: &[u8], out: &mut [MaybeUninit<u8>]) {
    let mut at = 0;
    open_by::<T, DEEP>(t, keys, sealed, out, &mut at);
    open_by::<T, 1>(t, keys, sealed, out, &mut at);
    open_by::<T::One, 1>(t.one(), keys, sealed, out, &mut at);
    assert!(at == out.len(), "whole blocks");
}

/// K vectors at once, from byte `at` on as long as there are so many.
#[inline(always)]
fn open_by<T: Lanes, const K: usize>(
    t: T,
    keys: &[Block],
    sealed: &[u8],
    out: &mut [MaybeUninit<u8>],
    at: &mut usize,
) {
    let (width, last) = (BLOCK * T::L, keys.len() - 1);
    while out.len() - *at >= K * width {
        // The block before each one, the IV first, and behind those the blocks.
        let input = &sealed[*at..][..BLOCK + K * width];
        let output = &mut out[*at..][..K * width];
        // SAFETY: K vectors and a block lie there.
        let load = |i| unsafe { t.load(input.as_ptr().add(i)) };
        let first = t.all(keys[0]);
        let mut states = [first; K];
        for (j, state) in states.iter_mut().enumerate() {
            *state = t.xor(load(BLOCK + j * width), first);
        }
        for key in &keys[1..last] {
            let key = t.all(*key);
            for state in &mut states {
                *state = t.inverse_aes(*state, key);
            }
        }
        let key = t.all(keys[last]);
        for (j, state) in states.into_iter().enumerate() {
            // The last round adds the block before together with its key.
            let plain = t.inverse_aes_last(state, t.xor(key, load(j * width)));
            // SAFETY: K vectors lie there.
            unsafe { t.store(output.as_mut_ptr().add(j * width).cast(), plain) };
        }
        *at += K * width;
    }
}

/// Encrypts blocks in place.
#[inline(always)]
pub(in crate::arch) fn seal<T: Lanes>(t: T, keys: &[Block], iv: &[u8; BLOCK], blocks: &mut [u8]) {
    let (o, last) = (t.one(), keys.len() - 1);
    let (blocks, rest) = blocks.as_chunks_mut::<BLOCK>();
    assert!(rest.is_empty(), "whole blocks");
    // SAFETY: a block has 16 bytes.
    let load = |block: &[u8; BLOCK]| unsafe { o.load(block.as_ptr()) };
    let (first, mut before) = (read(o, keys, 0), load(iv));
    for block in blocks {
        let mut state = o.xor(before, o.xor(load(block), first));
        for i in 1..last {
            state = o.aes(state, read(o, keys, i));
        }
        before = o.aes_last(state, read(o, keys, last));
        // SAFETY: a block has 16 bytes.
        unsafe { o.store(block.as_mut_ptr(), before) };
    }
}
