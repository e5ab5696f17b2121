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
pub(in crate::arch) struct Key {
    /// The 15 round keys, and room for a whole vector.
    pub(super) rounds: [Block; 16],
    /// `powers[MOST - i]` is H^i: the factors of `n` blocks in a row are read upwards from
    /// `MOST - n`. Zeros behind them: a sum of eight blocks may have none. H is as `hash` has it.
    pub(super) powers: [Block; MOST + 8],
    /// For each two vectors of powers in a group, the sums of their halves.
    pub(super) middles: [Block; 16],
}

impl Key {
    pub(in crate::arch) const ZEROS: Self = Self { rounds: [0; 16], powers: [0; MOST + 8], middles: [0; 16] };

    /// The blocks of a message of `len` bytes in vectors: one in front, J0's, and the lengths.
    pub(super) fn blocks(len: usize) -> usize {
        len.div_ceil(16).saturating_add(3)
    }
}

/// `blocks`: how many a message has at most that are to be hashed, lengths included, AAD not
/// counted. No more powers are made than they need.
#[inline(always)]
pub(in crate::arch) fn set<T: Lanes>(t: T, key: &mut Key, bytes: &[u8; 32], blocks: usize) {
    set_halves(t, key, halves(t.one(), bytes), blocks);
}

/// The same of a key in registers.
#[inline(always)]
pub(super) fn set_halves<T: Lanes>(t: T, key: &mut Key, halves: [One<T>; 2], blocks: usize) {
    let [a, b] = halves;
    let [hash_key] = schedule(t.one(), &mut key.rounds, [[a], [b]]);
    let (o, p) = (t.one(), &mut key.powers);
    let h1 = o.all(times_x(o.number(hash_key)));
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
        let needed = all.min(blocks.next_multiple_of(T::L));
        let (top, to) = (t.all(p[MOST - made]), made.min(needed - made));
        let mut i = T::L;
        while i <= to {
            let more = multiply(t, read(t, p, MOST - i), top);
            write(t, p, MOST - made - i, more);
            i += T::L;
        }
        made += to;
    }
    if blocks > 8 * T::L {
        set_middles(t, key);
    }
}

#[inline(always)]
fn set_middles<T: Lanes>(t: T, key: &mut Key) {
    for pair in 0..4 {
        let at = MOST - 8 * T::L + 2 * pair * T::L;
        let middle = sums_of_halves(t, read(t, &key.powers, at), read(t, &key.powers, at + T::L));
        write(t, &mut key.middles, pair * T::L, middle);
    }
}

/// Keys that are set at the same time at most: each alone is one long chain of instructions, of
/// which each waits for the one before.
pub(super) const MANY: usize = 16;

/// So many of them in this instruction set: four vectors, a key in each lane.
#[inline(always)]
pub(in crate::arch) const fn many<T: Lanes>() -> usize {
    4 * T::L
}

/// Keys that are set at the same time, and room for what they are made of.
#[repr(C, align(64))]
pub(in crate::arch) struct Keys {
    pub(super) keys: [Key; MANY],
    /// H^(i + 1) of each, from block `i * MANY` on.
    powers: [Block; MOST * MANY],
}

impl Keys {
    pub(super) const ZEROS: Self = Self { keys: [Key::ZEROS; MANY], powers: [0; MOST * MANY] };
}

/// The first and the second halves of their bytes.
pub(in crate::arch) type Halves = [[Block; MANY]; 2];

/// Sets the first [`many`] keys; whoever has fewer gives any halves for the others. There may have
/// been other keys before.
#[inline(always)]
pub(in crate::arch) fn set_many<T: Lanes>(t: T, all: &mut Keys, halves: &Halves, blocks: usize) {
    let Keys { keys, powers } = all;
    let halves = [vectors(t, &halves[0], 0), vectors(t, &halves[1], 0)];
    let hash_keys = schedule(t, keys, halves);
    for j in 0..4 {
        write(t, powers, j * T::L, hash_keys[j]);
    }
    for h in &mut powers[..MANY] {
        *h = times_x(*h);
    }
    let (mut made, needed) = (1, blocks.clamp(8, 9 * T::L));
    while made < needed {
        let top: [T::V; 4] = vectors(t, powers, made - 1);
        let more = made.min(needed - made);
        for i in 0..more {
            let power = vectors(t, powers, i);
            for j in 0..4 {
                write(t, powers, (made + i) * MANY + j * T::L, multiply(t, power[j], top[j]));
            }
        }
        made += more;
    }
    for j in 0..many::<T>() {
        for i in 0..made {
            keys[j].powers[MOST - 1 - i] = powers[i * MANY + j];
        }
        if blocks > 8 * T::L {
            set_middles(t, &mut keys[j]);
        }
    }
}

/// The first [`many`] blocks of the group `i` of as many as there are keys.
#[inline(always)]
fn vectors<T: Lanes>(t: T, blocks: &[Block], i: usize) -> [T::V; 4] {
    let of = |j| read(t, blocks, i * MANY + j * T::L);
    [of(0), of(1), of(2), of(3)]
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

/// Where the round keys of K vectors go.
pub(super) trait RoundKeys<T: Lanes, const K: usize> {
    fn put(&mut self, t: T, i: usize, keys: &[T::V; K]);
}

/// Of a single key.
impl<O: Lanes> RoundKeys<O, 1> for [Block; 16] {
    #[inline(always)]
    fn put(&mut self, o: O, i: usize, [key]: &[O::V; 1]) {
        write(o, self, i, *key);
    }
}

impl<T: Lanes> RoundKeys<T, 4> for [Key; MANY] {
    #[inline(always)]
    fn put(&mut self, t: T, i: usize, keys: &[T::V; 4]) {
        for j in 0..4 {
            for lane in 0..T::L {
                write(t.one(), &mut self[j * T::L + lane].rounds, i, t.lane(keys[j], lane));
            }
        }
    }
}

/// The schedule, of a key in each lane of K vectors; gives what AES makes of the zero block.
///
/// AESENCLAST is SubBytes and the XOR: ShiftRows changes nothing where all words of a block
/// are the same. On the chain from one round key to the next there are two instructions,
/// where AESKEYGENASSIST would be slow. Unrolled by hand: the compiler leaves a loop that
/// goes through memory.
#[inline(always)]
pub(super) fn schedule<T: Lanes, const K: usize>(
    t: T,
    keys: &mut impl RoundKeys<T, K>,
    [mut before, mut last]: [[T::V; K]; 2],
) -> [T::V; K] {
    keys.put(t, 0, &before);
    keys.put(t, 1, &last);
    let mut states = before;
    for j in 0..K {
        states[j] = t.aes(before[j], last[j]);
    }
    macro_rules! step {
        ($i:literal, $round:literal) => {
            let mut next = last;
            for j in 0..K {
                let mut sums = t.sums_of_words(before[j]);
                let words = if $i % 2 == 0 {
                    sums = t.xor(sums, t.all($round * 0x0000_0001_0000_0001_0000_0001_0000_0001));
                    t.last_words_rotated(last[j])
                } else {
                    t.last_words(last[j])
                };
                next[j] = t.aes_last(words, sums);
                states[j] = if $i < 14 { t.aes(states[j], next[j]) } else { t.aes_last(states[j], next[j]) };
            }
            (before, last) = (last, next);
            keys.put(t, $i, &last);
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
    states
}

/// The hash key as the multiplication wants it: bits reversed, and once more times x.
#[inline(always)]
fn times_x(hash_key: Block) -> Block {
    let h = hash_key.swap_bytes();
    // No branch on the secret bit: its mask is all ones or all zeros.
    let carry = 0u128.wrapping_sub(h >> 127) & (0xc200_0000_0000_0000 << 64 | 1);
    h << 1 ^ carry
}
