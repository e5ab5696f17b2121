//! Keys: the schedules of AES (FIPS 197, section 5.2), and those of its equivalent inverse
//! cipher (section 5.3.5).
use crate::arch::lanes::{Block, Lanes, read, write};

/// Round keys of AES-256, which has the most.
const MOST: usize = 15;

/// The round keys of a key, in the order that they are needed.
pub(in crate::arch) struct Key {
    sealing: [Block; MOST],
    opening: [Block; MOST],
    count: usize,
}

impl Key {
    /// For a key of so many bytes, not set yet.
    pub(super) const fn of_size(bytes: usize) -> Self {
        Self { sealing: [0; MOST], opening: [0; MOST], count: count(bytes) }
    }

    pub(super) fn sealing(&self) -> &[Block] {
        &self.sealing[..self.count]
    }

    pub(super) fn opening(&self) -> &[Block] {
        &self.opening[..self.count]
    }
}

/// 11, 13 or 15.
const fn count(bytes: usize) -> usize {
    bytes / 4 + 7
}

/// `bytes`: 16, 24 or 32, of a key of that size.
#[inline(always)]
pub(in crate::arch) fn set<T: Lanes>(t: T, key: &mut Key, bytes: &[u8]) {
    let (o, last) = (t.one(), count(bytes.len()) - 1);
    schedule(o, &mut key.sealing, bytes);
    for i in 0..=last {
        let round = read(o, &key.sealing, i);
        let is_mixed = i > 0 && i < last;
        write(o, &mut key.opening, last - i, if is_mixed { unmix(o, round) } else { round });
    }
}

/// The round keys, word by word, where there are zeros: all sizes have the same rule, and this is
/// done once for a key.
#[inline(always)]
fn schedule<O: Lanes>(o: O, rounds: &mut [Block; MOST], bytes: &[u8]) {
    for (i, four) in bytes.as_chunks().0.iter().enumerate() {
        put(rounds, i, u32::from_le_bytes(*four));
    }
    let size = bytes.len() / 4;
    let (mut constant, mut place) = (1, 0);
    for i in size..4 * count(bytes.len()) {
        let mut new = word(rounds, i - 1);
        if place == 0 {
            new = substituted(o, new).rotate_right(8) ^ constant;
            constant = (constant << 1) ^ if constant < 0x80 { 0 } else { 0x11b };
        } else if size == 8 && place == 4 {
            new = substituted(o, new);
        }
        put(rounds, i, word(rounds, i - size) ^ new);
        place = if place + 1 == size { 0 } else { place + 1 };
    }
}

#[inline(always)]
fn word(rounds: &[Block; MOST], i: usize) -> u32 {
    (rounds[i / 4] >> (32 * (i % 4))) as u32
}

#[inline(always)]
fn put(rounds: &mut [Block; MOST], i: usize, word: u32) {
    rounds[i / 4] |= Block::from(word) << (32 * (i % 4));
}

/// SubWord: ShiftRows changes nothing where all words of a block are the same.
#[inline(always)]
fn substituted<O: Lanes>(o: O, word: u32) -> u32 {
    let two = u64::from(word) << 32 | u64::from(word);
    o.number(o.aes_last(o.all(Block::from(two) << 64 | Block::from(two)), o.zero())) as u32
}

/// InvMixColumns: what comes before it in a round is undone beforehand.
#[inline(always)]
fn unmix<O: Lanes>(o: O, round: O::V) -> O::V {
    o.inverse_aes(o.aes_last(round, o.zero()), o.zero())
}
