//! Keys: the AES-256 schedule (FIPS 197, section 5.2) and powers of the hash key.
use super::{
    bulk::rounds,
    hash::{multiply, sums_of_halves},
    lanes::{Block, Lanes, One, read, write},
};

/// Powers of H that are kept at most: nine vectors of the widest kernel.
pub(super) const MOST: usize = 36;

/// A key of AES-256-GCM, ready for messages of some length.
#[repr(C, align(64))]
pub(super) struct Key {
    /// The 15 round keys, and room for a whole vector.
    pub(super) rounds: [Block; 16],
    /// `powers[MOST - i]` is H^i: the factors of `n` blocks in a row are read upwards from
    /// `MOST - n`. Zeros behind them: a sum of eight blocks may have none. H is as `hash` has it.
    pub(super) powers: [Block; MOST + 8],
    /// For each two vectors of powers in a group, the sums of their halves.
    pub(super) middles: [Block; 16],
}

impl Key {
    pub(super) const ZEROS: Self = Self { rounds: [0; 16], powers: [0; MOST + 8], middles: [0; 16] };

    /// The blocks of a message of `len` bytes in vectors: one in front, J0's, and the lengths.
    pub(super) fn blocks(len: usize) -> usize {
        len.div_ceil(16).saturating_add(3)
    }
}

/// `blocks`: how many a message has at most that are to be hashed, lengths included, AAD not
/// counted. No more powers are made than they need.
#[inline(always)]
pub(super) fn set<T: Lanes>(t: T, key: &mut Key, bytes: &[u8; 32], blocks: usize) {
    set_halves(t, key, halves(t.one(), bytes), blocks);
}

/// The same of a key in registers.
#[inline(always)]
pub(super) fn set_halves<T: Lanes>(t: T, key: &mut Key, halves: [One<T>; 2], blocks: usize) {
    let hash_key = schedule(t.one(), &mut key.rounds, halves);
    let (o, p) = (t.one(), &mut key.powers);
    let h1 = times_x(o, hash_key);
    let h2 = multiply(o, h1, h1);
    let (h3, h4) = (multiply(o, h2, h1), multiply(o, h2, h2));
    let (four, h4, mut i) = ([h4, h3, h2, h1], t.every(h4), 0);
    while i < 4 {
        let some = t.of(four, i);
        write(t, p, MOST - 4 + i, some);
        write(t, p, MOST - 8 + i, multiply(t, some, h4));
        i += T::L;
    }
    let (mut made, all) = (8, 9 * T::L);
    while made < all && made < blocks {
        let (top, to) = (t.all(p[MOST - made]), made.min(all - made));
        let mut i = T::L;
        while i <= to {
            let more = multiply(t, read(t, p, MOST - i), top);
            write(t, p, MOST - made - i, more);
            i += T::L;
        }
        made += to;
    }
    if blocks > 8 * T::L {
        for pair in 0..4 {
            let at = MOST - 8 * T::L + 2 * pair * T::L;
            let middle = sums_of_halves(t, read(t, p, at), read(t, p, at + T::L));
            write(t, &mut key.middles, pair * T::L, middle);
        }
    }
}

/// Two blocks, at the same time.
#[inline(always)]
pub(super) fn encrypt<O: Lanes>(o: O, keys: &[Block; 16], blocks: [Block; 2]) -> [O::V; 2] {
    let mut states = [o.all(blocks[0] ^ keys[0]), o.all(blocks[1] ^ keys[0])];
    rounds(o, keys, &mut states, 1, 14);
    let last = read(o, keys, 14);
    [o.aes_last(states[0], last), o.aes_last(states[1], last)]
}

#[inline(always)]
pub(super) fn halves<O: Lanes>(o: O, key: &[u8; 32]) -> [O::V; 2] {
    // SAFETY: the key has 32 bytes.
    unsafe { [o.load(key.as_ptr()), o.load(key.as_ptr().add(16))] }
}

/// The schedule; gives what AES makes of the zero block.
///
/// AESENCLAST is SubBytes and the XOR: ShiftRows changes nothing where all words of a block
/// are the same. On the chain from one round key to the next there are two instructions,
/// where AESKEYGENASSIST would be slow. Unrolled by hand: the compiler leaves a loop that
/// goes through memory.
#[inline(always)]
pub(super) fn schedule<O: Lanes>(o: O, rounds: &mut [Block; 16], halves: [O::V; 2]) -> O::V {
    let [mut before, mut last] = halves;
    write(o, rounds, 0, before);
    write(o, rounds, 1, last);
    let mut state = o.aes(before, last);
    macro_rules! step {
        ($i:literal, $round:literal) => {
            let mut sums = o.sums_of_words(before);
            let words = if $i % 2 == 0 {
                sums = o.xor(sums, o.all($round * 0x0000_0001_0000_0001_0000_0001_0000_0001));
                o.last_words_rotated(last)
            } else {
                o.last_words(last)
            };
            (before, last) = (last, o.aes_last(words, sums));
            write(o, rounds, $i, last);
            state = if $i < 14 { o.aes(state, last) } else { o.aes_last(state, last) };
        };
    }
    step!(2, 1);
    step!(3, 0);
    step!(4, 2);
    step!(5, 0);
    step!(6, 4);
    step!(7, 0);
    step!(8, 8);
    step!(9, 0);
    step!(10, 16);
    step!(11, 0);
    step!(12, 32);
    step!(13, 0);
    step!(14, 64);
    let _ = before;
    state
}

/// The hash key as the multiplication wants it: bits reversed, and once more times x.
#[inline(always)]
fn times_x<O: Lanes>(o: O, hash_key: O::V) -> O::V {
    let h = o.number(o.reverse(hash_key));
    // No branch on the secret bit: its mask is all ones or all zeros.
    let carry = 0u128.wrapping_sub(h >> 127) & (0xc200_0000_0000_0000 << 64 | 1);
    o.all(h << 1 ^ carry)
}
