//! Up to sixteen bytes, by whole words.
use super::Block;

/// The first `n` bytes, zeros behind them.
///
/// # Safety
/// `n` bytes can be read there; `n` is at most 16.
#[inline]
pub(in crate::arch) unsafe fn load_16(at: *const u8, n: usize) -> Block {
    // SAFETY: each word that is read lies within the first `n` bytes.
    unsafe {
        let u64_at = |i| u64::from_le(at.add(i).cast::<u64>().read_unaligned());
        let u32_at = |i| u64::from(u32::from_le(at.add(i).cast::<u32>().read_unaligned()));
        let u8_at = |i| u64::from(*at.add(i));
        // Two words that overlap, each shifted to its place: where both have a byte, it is the same one.
        match n {
            16 => Block::from(u64_at(0)) | Block::from(u64_at(8)) << 64,
            9..16 => Block::from(u64_at(0)) | Block::from(u64_at(n - 8)) << (8 * (n - 8)),
            8 => u64_at(0).into(),
            4..8 => (u32_at(0) | u32_at(n - 4) << (8 * (n - 4))).into(),
            1..4 => (u8_at(0) | u8_at(n / 2) << (8 * (n / 2)) | u8_at(n - 1) << (8 * (n - 1))).into(),
            _ => 0,
        }
    }
}

/// The first `n` bytes of a block.
///
/// # Safety
/// `n` bytes can be written there; `n` is at most 16.
#[inline]
pub(super) unsafe fn store_16(at: *mut u8, block: Block, n: usize) {
    let (mut at, mut left) = (at, block);
    // SAFETY: the bits of `n` say which words fit, one after the other.
    unsafe {
        if n & 16 != 0 {
            at.cast::<Block>().write_unaligned(left.to_le());
            return;
        }
        if n & 8 != 0 {
            at.cast::<u64>().write_unaligned((left as u64).to_le());
            (at, left) = (at.add(8), left >> 64);
        }
        if n & 4 != 0 {
            at.cast::<u32>().write_unaligned((left as u32).to_le());
            (at, left) = (at.add(4), left >> 32);
        }
        if n & 2 != 0 {
            at.cast::<u16>().write_unaligned((left as u16).to_le());
            (at, left) = (at.add(2), left >> 16);
        }
        if n & 1 != 0 {
            *at = left as u8;
        }
    }
}
