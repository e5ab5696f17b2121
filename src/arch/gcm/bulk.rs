//! Whole groups of eight vectors: AES of one beside GHASH of another.
use super::{
    data::{Data, Group},
    hash::{add_pair, fold_in},
    key::{Key, MOST},
    lanes::{Block, Lanes, read},
};

/// What the counter's last byte adds to a block.
#[repr(align(64))]
struct Counters([Block; 256]);

static COUNTERS: Counters = {
    let (mut all, mut i) = ([0; 256], 0);
    while i < 256 {
        all[i] = (i as Block) << 120;
        i += 1;
    }
    Counters(all)
};

/// What the counter blocks of the span of 256 around block `v` share, the first round key
/// added.
#[inline(always)]
pub(super) fn span<T: Lanes>(t: T, key: &Key, base: Block, v: usize) -> T::V {
    let counter = (v as u32 & !0xff).swap_bytes();
    t.all(base ^ Block::from(counter) << 96 ^ key.rounds[0])
}

/// The counter blocks of K vectors from block `v` on, which are all of one span.
#[inline(always)]
pub(super) fn start<T: Lanes, const K: usize>(t: T, span: T::V, v: usize) -> [T::V; K] {
    let counters = &COUNTERS.0[v & 0xff..][..K * T::L];
    let mut states = [span; K];
    for j in 0..K {
        states[j] = t.xor(span, read(t, counters, j * T::L));
    }
    states
}

/// Rounds `from..to`.
#[inline(always)]
pub(super) fn rounds<T: Lanes, const K: usize>(
    t: T,
    keys: &[Block; 16],
    states: &mut [T::V; K],
    from: usize,
    to: usize,
) {
    for r in from..to {
        let round = t.all(keys[r]);
        for state in &mut *states {
            *state = t.aes(*state, round);
        }
    }
}

/// The whole groups from block `v` on; the block behind them. `x`: sealing, the last group
/// as it was written, whose hash is still to be added; `y`: the hash before that.
#[inline(always)]
pub(super) fn bulk<T: Lanes, const SEAL: bool>(
    t: T,
    key: &Key,
    base: Block,
    data: &Data<'_>,
    v: &mut usize,
    x: &mut [T::V; 8],
    mut y: T::V,
) -> T::V {
    let end = data.end() / 16 / (8 * T::L) * (8 * T::L);
    while *v < end {
        let (shared, stop) = (span(t, key, base, *v), end.min((*v | 0xff) + 1));
        while *v < stop {
            y = group::<T, SEAL>(t, key, start(t, shared, *v), data.group(t, 16 * *v), x, y);
            *v += 8 * T::L;
        }
    }
    y
}

/// One group: its rounds, and beside them the hash of the group before, whose ciphertext is
/// still in registers (sealing), or of this one (opening). The compiler would do all
/// multiplications first, which costs a quarter of the speed: `pin` keeps them where they are.
#[inline(always)]
fn group<T: Lanes, const SEAL: bool>(
    t: T,
    key: &Key,
    mut s: [T::V; 8],
    data: Group,
    x: &mut [T::V; 8],
    y: T::V,
) -> T::V {
    let mut sums = [t.zero(); 3];
    macro_rules! pair {
        ($j:literal) => {
            let (i, p) = (2 * $j, MOST - 8 * T::L + 2 * $j * T::L);
            let (a, b) = if SEAL { (x[i], x[i + 1]) } else { (data.load(t, i), data.load(t, i + 1)) };
            let (mut a, b) = (t.reverse(a), t.reverse(b));
            // The one that waits for the hash so far comes last.
            if $j == 0 {
                a = t.xor(a, y);
            }
            let powers = [read(t, &key.powers, p), read(t, &key.powers, p + T::L)];
            add_pair(t, &mut sums, [a, b], powers, read(t, &key.middles, $j * T::L));
            t.pin(&mut s, &mut sums);
        };
    }
    macro_rules! rounds {
        ($from:literal .. $to:literal) => {
            rounds(t, &key.rounds, &mut s, $from, $to);
            t.pin(&mut s, &mut sums);
        };
    }
    if !SEAL {
        data.fetch_ahead(t);
    }
    rounds!(1..4);
    pair!(3);
    rounds!(4..6);
    pair!(2);
    rounds!(6..8);
    pair!(1);
    rounds!(8..10);
    pair!(0);
    rounds!(10..12);
    let [low, middle, high] = sums;
    sums[1] = fold_in(t, low, t.xor3(middle, low, high));
    rounds!(12..14);
    let hashed = fold_in(t, sums[1], sums[2]);
    let (last, data) = (t.all(key.rounds[14]), data.again());
    for j in 0..8 {
        // The last round adds the data together with its key.
        let out = t.aes_last(s[j], t.xor(last, data.load(t, j)));
        data.store(t, j, out);
        x[j] = out;
    }
    t.first(t.fold(hashed))
}
