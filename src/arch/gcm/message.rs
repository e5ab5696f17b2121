//! A message: where its blocks lie in vectors.
//!
//! Block `v` of a message is the one whose counter is `v`. Block 0 is not used, block 1 is J0
//! (its key stream masks the tag), the data begins with block 2. So groups of eight vectors
//! are aligned to the counter's last byte, and counter blocks are the exclusive or of a
//! constant and of what all blocks of a span of 256 share.
//!
//! For GHASH the last block of the AAD stands in the place of J0, and the block of lengths
//! behind the data: a message of up to a group is one sum, reduced once.
//!
//! Places in the data are bytes, counted from block 0.
use super::{
    bulk::{bulk, rounds, span, start},
    data::{Data, FRONT},
    hash::{hash, multiply},
    key::{Key, MOST},
    lanes::{Block, Lanes, One, load_16, read},
};

/// What the parts of a message share.
struct Message<'a> {
    key: &'a Key,
    /// The counter block with a counter of 0.
    base: Block,
    data: Data<'a>,
    /// Of AAD and data, in bits.
    lengths: Block,
}

/// Encrypts or decrypts, and gives the tag. `key` was set for so many blocks at least:
/// those of the data, and three.
#[inline(always)]
pub(in crate::arch) fn crypt<T: Lanes, const SEAL: bool>(
    t: T,
    key: &Key,
    nonce: &[u8; 12],
    aad: &[u8],
    data: Data<'_>,
) -> Block {
    let mut base = [0; 16];
    base[..12].copy_from_slice(nonce);
    let lengths = Block::from(8 * aad.len() as u64) << 64 | Block::from(8 * data.len() as u64);
    let message = Message { key, base: Block::from_le_bytes(base), data, lengths };
    message.crypt::<T, SEAL>(t, hash_aad(t, key, aad))
}

impl Message<'_> {
    /// `aad`: the hash of all its blocks but the last, which is added to it.
    #[inline(always)]
    fn crypt<T: Lanes, const SEAL: bool>(&self, t: T, aad: Block) -> Block {
        let (end, group) = (self.data.end(), 8 * T::L);
        let aad = t.put(t.zero(), 1 % T::L, aad);
        if end <= 16 * group {
            let y = if T::L == 1 { [t.zero(), aad] } else { [aad, t.zero()] };
            let (hashed, j0) = self.finish::<T, SEAL>(t, 0, y);
            return self.tag(t, hashed, j0);
        }
        let (mut x, j0) = self.part::<T, SEAL, 8>(t, 0, 16 * group);
        x[1 / T::L] = t.xor(x[1 / T::L], aad);
        let (mut v, mut y) = (group, t.zero());
        if !SEAL {
            y = t.first(hash(t, &x, &self.key.powers, MOST - group));
        }
        if end >= 32 * group {
            reverse(t, &mut x);
            y = bulk::<T, SEAL>(t, self.key, self.base, &self.data, &mut v, &mut x, y);
            reverse(t, &mut x);
            x[0] = t.xor(x[0], y);
        }
        let rest = end - 16 * v;
        if SEAL && rest <= 16 * (T::L - 1) {
            // All messages whose length is a power of two: one sum with the last group.
            let (last, _) = self.part::<T, SEAL, 1>(t, v, rest);
            let at = rest.div_ceil(16);
            let last = t.put(last[0], at, self.lengths);
            let x = [x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], last];
            return self.tag(t, hash(t, &x, &self.key.powers, MOST - group - at - 1), j0);
        }
        if SEAL {
            y = t.first(hash(t, &x, &self.key.powers, MOST - group));
        }
        let (hashed, _) = self.finish::<T, SEAL>(t, v, [y, t.zero()]);
        self.tag(t, hashed, j0)
    }

    /// The end of a message: a group at most from block `v` on, and the lengths. `y`: what is
    /// to be added to the first two vectors for the hash. Gives the hash and J0's key stream.
    #[inline(always)]
    fn finish<T: Lanes, const SEAL: bool>(&self, t: T, v: usize, y: [T::V; 2]) -> (One<T>, One<T>) {
        macro_rules! of {
            ($k:literal) => {
                self.finish_some::<T, SEAL, $k>(t, v, y)
            };
        }
        match (self.blocks_from(v) + 1).div_ceil(T::L) {
            1 => of!(1),
            2 => of!(2),
            3 => of!(3),
            4 => of!(4),
            5 => of!(5),
            6 => of!(6),
            7 => of!(7),
            _ => of!(8),
        }
    }

    #[inline(always)]
    fn finish_some<T: Lanes, const SEAL: bool, const K: usize>(
        &self,
        t: T,
        v: usize,
        y: [T::V; 2],
    ) -> (One<T>, One<T>) {
        let (mut x, j0) = self.part::<T, SEAL, K>(t, v, self.data.end() - 16 * v);
        let at = self.blocks_from(v);
        for j in 0..K {
            x[j] = t.put(x[j], at.wrapping_sub(j * T::L), self.lengths);
        }
        x[0] = t.xor(x[0], y[0]);
        if T::L == 1 && K > 1 {
            x[1] = t.xor(x[1], y[1]);
        }
        let mut hashed = hash(t, &x, &self.key.powers, MOST - 1 - at);
        if K == 8 && at == 8 * T::L {
            // No place was left for the lengths.
            let (o, h) = (t.one(), read(t.one(), &self.key.powers, MOST - 1));
            hashed = o.xor(hashed, multiply(o, o.all(self.lengths), h));
        }
        (hashed, j0)
    }

    /// AES and data of K vectors from block `v` on, of which the first `to` bytes are there, if
    /// they are not in front of the data. Gives what is to be hashed, and J0's key stream if
    /// this is where that is.
    #[inline(always)]
    fn part<T: Lanes, const SEAL: bool, const K: usize>(
        &self,
        t: T,
        v: usize,
        to: usize,
    ) -> ([T::V; K], One<T>) {
        let width = 16 * T::L;
        let mut s: [T::V; K] = start(t, span(t, self.key, self.base, v), v);
        rounds(t, &self.key.rounds, &mut s, 1, 14);
        let last = t.all(self.key.rounds[14]);
        let front = if v == 0 { FRONT } else { 0 };
        for j in 0..K {
            s[j] = t.aes_last(s[j], last);
        }
        let j0 = t.lane(s[if K > 1 { 1 / T::L } else { 0 }], 1 % T::L);
        for j in 0..K {
            let (place, from) = (16 * v + j * width, front.saturating_sub(j * width).min(width));
            let to = to.saturating_sub(j * width).min(width);
            let data = self.data.load(t, place, from, to);
            let out = t.xor(data, s[j]);
            self.data.store(t, place, out, from, to);
            s[j] = t.reverse(if SEAL { t.keep(out, from, to) } else { data });
        }
        (s, j0)
    }

    /// How many blocks of data there are from block `v` on, those in front of it included.
    #[inline(always)]
    fn blocks_from(&self, v: usize) -> usize {
        (self.data.end() - 16 * v).div_ceil(16)
    }

    #[inline(always)]
    fn tag<T: Lanes>(&self, t: T, hashed: One<T>, j0: One<T>) -> Block {
        let o = t.one();
        o.number(o.xor(o.reverse(hashed), j0))
    }
}

#[inline(always)]
fn reverse<T: Lanes>(t: T, x: &mut [T::V; 8]) {
    for x in x {
        *x = t.reverse(*x);
    }
}

/// The hash of all blocks of the AAD but the last, which is added to it.
#[inline(always)]
fn hash_aad<T: Lanes>(t: T, key: &Key, aad: &[u8]) -> Block {
    let mut y = 0;
    let before = aad.len().saturating_sub(1) / 16 * 16;
    let (whole, last) = aad.split_at(before);
    for eight in whole.chunks(128) {
        let mut x = [t.zero(); 8];
        for j in 0..8 / T::L {
            let (place, width) = (16 * T::L * j, 16 * T::L);
            let to = eight.len().saturating_sub(place).min(width);
            // SAFETY: `to` ends the part of these bytes that is in this vector.
            x[j] = t.reverse(unsafe { t.load_part(eight.as_ptr().wrapping_add(place), 0, to) });
        }
        x[0] = t.xor(x[0], t.put(t.zero(), 0, y));
        let at = MOST - eight.len() / 16;
        y = t.one().number(match T::L {
            4 => hash(t, &[x[0], x[1]], &key.powers, at),
            2 => hash(t, &[x[0], x[1], x[2], x[3]], &key.powers, at),
            _ => hash(t, &x, &key.powers, at),
        });
    }
    // SAFETY: the last block has 16 bytes at most.
    y ^ unsafe { load_16(last.as_ptr(), last.len()) }.swap_bytes()
}
