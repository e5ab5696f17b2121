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
    let ([a, b], o) = (halves, t.one());
    let [hash_key] = schedule(o, &mut key.rounds, [[a], [b]]);
    let [h4, h3, h2, h1] = four_powers(t, t.first(hash_key));
    set_powers(t, key, [t.lane(h4, 0), t.lane(h3, 0), t.lane(h2, 0), t.lane(h1, 0)], blocks);
}

/// H^4, H^3, H^2 and H, as the multiplication wants them: bits reversed, and once more times x.
#[inline(always)]
fn four_powers<T: Lanes>(t: T, hash_key: T::V) -> [T::V; 4] {
    let h1 = t.times_x(t.reverse(hash_key));
    let h2 = multiply(t, h1, h1);
    [multiply(t, h2, h2), multiply(t, h2, h1), h2, h1]
}

/// All powers that so many blocks need: eight at least, and then twice as many each time.
#[inline(always)]
fn set_powers<T: Lanes>(t: T, key: &mut Key, four: [One<T>; 4], blocks: usize) {
    let by = t.every(four[0]);
    // In `made[i]` the highest is H^((i + 1) L).
    let mut made = [t.zero(); 9];
    for i in 0..4 / T::L {
        made[i] = t.of(four, 4 - (i + 1) * T::L);
        made[i + 4 / T::L] = multiply(t, made[i], by);
    }
    for i in 0..8 / T::L {
        write(t, &mut key.powers, MOST - (i + 1) * T::L, made[i]);
    }
    macro_rules! more {
        ($from:literal, $count:literal) => {
            if $from >= 8 / T::L && $from * T::L < blocks {
                let by = t.every(t.lane(made[$from - 1], 0));
                for i in 0..$count {
                    if ($from + i) * T::L < blocks {
                        made[$from + i] = multiply(t, made[i], by);
                        write(t, &mut key.powers, MOST - ($from + i + 1) * T::L, made[$from + i]);
                    }
                }
            }
        };
    }
    more!(2, 2);
    more!(4, 4);
    more!(8, 1);
    if blocks > 8 * T::L {
        for pair in 0..4 {
            let middle = sums_of_halves(t, made[7 - 2 * pair], made[6 - 2 * pair]);
            write(t, &mut key.middles, pair * T::L, middle);
        }
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
    /// Four powers of H of each, the highest ones first.
    powers: [[Block; MANY]; 4],
}

impl Keys {
    pub(super) const ZEROS: Self = Self { keys: [Key::ZEROS; MANY], powers: [[0; MANY]; 4] };
}

/// The first and the second halves of their bytes.
pub(in crate::arch) type Halves = [[Block; MANY]; 2];

/// Sets the first [`many`] keys; whoever has fewer gives any halves for the others. There may have
/// been other keys before.
#[inline(always)]
pub(in crate::arch) fn set_many<T: Lanes>(t: T, all: &mut Keys, halves: &Halves, blocks: usize) {
    let Keys { keys, powers } = all;
    let halves = [vectors(t, &halves[0]), vectors(t, &halves[1])];
    let hash_keys = schedule(t, keys, halves);
    for j in 0..4 {
        let four = four_powers(t, hash_keys[j]);
        for i in 0..4 {
            write(t, &mut powers[i], j * T::L, four[i]);
        }
    }
    // One key after the other: these chains are short enough to overlap.
    for k in 0..many::<T>() {
        let mut four = [t.one().zero(); 4];
        for i in 0..4 {
            four[i] = read(t.one(), &powers[i], k);
        }
        set_powers(t, &mut keys[k], four, blocks);
    }
}

/// One of the halves of all keys.
#[inline(always)]
fn vectors<T: Lanes>(t: T, halves: &[Block; MANY]) -> [T::V; 4] {
    let of = |j| read(t, halves, j * T::L);
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
