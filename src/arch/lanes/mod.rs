//! What a kernel is written over: vectors of AES blocks.
#[cfg(target_arch = "aarch64")]
mod aarch64;
mod partial;
mod token;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::Armv8;
pub(super) use partial::load_16;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Aesni, Vaes256, Vaes512};

/// A block as it lies in memory.
pub(super) type Block = u128;

/// An instruction set. A value is the proof that the processor has it: only detection makes
/// one. Its operations are inlined into the functions of `entry_points!`, which the compiler
/// may use that instruction set in; called from elsewhere they are right, and slow.
pub(super) trait Lanes: Copy + Send + Sync + 'static {
    /// A vector of [`L`](Self::L) blocks.
    type V: Copy;
    const L: usize;
    /// The same instruction set on single blocks.
    type One: Lanes;
    fn one(self) -> Self::One;

    fn zero(self) -> Self::V;
    /// This block in every lane.
    fn all(self, block: Block) -> Self::V;
    /// This block in lane 0, zeros in the others.
    fn first(self, block: One<Self>) -> Self::V;
    /// This block in every lane.
    fn every(self, block: One<Self>) -> Self::V;
    /// The vector of `blocks[at..at + L]`.
    fn of(self, blocks: [One<Self>; 4], at: usize) -> Self::V;
    /// Lane 0, as a number.
    fn number(self, v: Self::V) -> Block;
    /// One lane, `at` below L.
    fn lane(self, v: Self::V, at: usize) -> One<Self>;
    /// The sum of all lanes.
    fn fold(self, v: Self::V) -> One<Self>;
    /// `v`, and in lane `at` this block; if there is no such lane, `v`.
    fn put(self, v: Self::V, at: usize, block: Block) -> Self::V;

    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    #[inline(always)]
    fn xor3(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.xor(self.xor(a, b), c)
    }
    /// SubBytes, ShiftRows, MixColumns, and the round key.
    fn aes(self, state: Self::V, key: Self::V) -> Self::V;
    /// The last round has no MixColumns.
    fn aes_last(self, state: Self::V, key: Self::V) -> Self::V;
    /// InvShiftRows, InvSubBytes, InvMixColumns, and the round key of the equivalent inverse cipher.
    fn inverse_aes(self, state: Self::V, key: Self::V) -> Self::V;
    /// The last round has no InvMixColumns.
    fn inverse_aes_last(self, state: Self::V, key: Self::V) -> Self::V;
    /// The last word of each block in all its words, as it is or rotated by a byte.
    fn last_words(self, v: Self::V) -> Self::V;
    fn last_words_rotated(self, v: Self::V) -> Self::V;
    /// w0, w0+w1, w0+w1+w2, w0+w1+w2+w3 of each block's words.
    fn sums_of_words(self, v: Self::V) -> Self::V;
    /// The bytes of each block in reverse order.
    fn reverse(self, v: Self::V) -> Self::V;
    /// Each block times x, in the field of GHASH as `hash` has it.
    fn times_x(self, v: Self::V) -> Self::V;
    /// The halves of each block, exchanged.
    fn swap(self, v: Self::V) -> Self::V;
    /// Of each two blocks the low halves, or the high ones.
    fn lows(self, a: Self::V, b: Self::V) -> Self::V;
    fn highs(self, a: Self::V, b: Self::V) -> Self::V;
    /// Products of polynomials: low by low half, high by high, and the crossed two.
    fn mul_lows(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul_highs(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul_high_low(self, a: Self::V, b: Self::V) -> Self::V;
    #[inline(always)]
    fn mul_low_high(self, a: Self::V, b: Self::V) -> Self::V {
        self.mul_high_low(b, a)
    }

    /// # Safety
    /// 16 L bytes can be read there.
    unsafe fn load(self, at: *const u8) -> Self::V;
    /// # Safety
    /// 16 L bytes can be written there.
    unsafe fn store(self, at: *mut u8, v: Self::V);
    /// Bytes `from..to` of a vector that begins at `at`, zeros around them. `from` is 0, or
    /// 16 L, or 32 in a vector of four; `to` is at most 16 L.
    ///
    /// # Safety
    /// Those bytes can be read.
    unsafe fn load_part(self, at: *const u8, from: usize, to: usize) -> Self::V;
    /// # Safety
    /// Those bytes can be written.
    unsafe fn store_part(self, at: *mut u8, v: Self::V, from: usize, to: usize);
    /// Bytes `from..to` of `v`, zeros around them.
    fn keep(self, v: Self::V, from: usize, to: usize) -> Self::V;

    /// Does nothing, and the compiler moves no instruction on these across it: it would
    /// undo the order in which AES and GHASH are written beside each other.
    fn pin(self, states: &mut [Self::V; 8], sums: &mut [Self::V; 3]);
}

/// A single block in a register.
pub(super) type One<T> = <<T as Lanes>::One as Lanes>::V;

/// The vector of blocks that begins at `at`.
#[inline(always)]
pub(super) fn read<T: Lanes>(t: T, blocks: &[Block], at: usize) -> T::V {
    let blocks = &blocks[at..at + T::L];
    // SAFETY: the slice is L blocks long.
    unsafe { t.load(blocks.as_ptr().cast()) }
}

#[inline(always)]
pub(super) fn write<T: Lanes>(t: T, blocks: &mut [Block], at: usize, v: T::V) {
    let blocks = &mut blocks[at..at + T::L];
    // SAFETY: the slice is L blocks long.
    unsafe { t.store(blocks.as_mut_ptr().cast(), v) }
}
