//! GHASH (SP 800-38D, section 6.4): sums of products in GF(2^128).
//!
//! Blocks are byte-reversed, so that a product of polynomials over their 64-bit halves is
//! the product in the field, shifted by one bit; H is kept times x for that. A sum is
//! reduced once: modulo x^128 + x^127 + x^126 + x^121 + 1, by two multiplications with
//! the polynomial's upper half (Gueron and Kounavis, 2010, in the reflected form).
use super::lanes::{Block, Lanes, One, read};

const POLYNOMIAL: Block = 0xc200_0000_0000_0000 << 64 | 0xc200_0000_0000_0000;

/// What is not yet reduced: low, middle and high part.
pub(super) type Sums<V> = [V; 3];

/// The product in each lane. Karatsuba's way where vectors are wide: of three multiplications and two
/// shuffles, Zen 5 begins the shuffles at once, and a multiplication every two clocks.
#[inline(always)]
pub(super) fn multiply<T: Lanes>(t: T, a: T::V, b: T::V) -> T::V {
    let (low, high) = (t.mul_lows(a, b), t.mul_highs(a, b));
    let middle = if T::L == 1 {
        t.xor(t.mul_high_low(a, b), t.mul_low_high(a, b))
    } else {
        t.xor3(t.mul_lows(t.xor(a, t.swap(a)), t.xor(b, t.swap(b))), low, high)
    };
    reduce(t, [low, middle, high])
}

#[inline(always)]
fn reduce<T: Lanes>(t: T, [low, middle, high]: Sums<T::V>) -> T::V {
    let middle = fold_in(t, low, middle);
    fold_in(t, middle, high)
}

/// Takes `low` away, and adds to the part above it what that is worth there.
#[inline(always)]
pub(super) fn fold_in<T: Lanes>(t: T, low: T::V, above: T::V) -> T::V {
    t.xor3(above, t.swap(low), t.mul_lows(t.all(POLYNOMIAL), low))
}

/// Adds the products of two vectors, Karatsuba's way: `middles` are the sums of the factors'
/// halves, and what `sums` has in the middle lacks the low and the high part.
#[inline(always)]
pub(super) fn add_pair<T: Lanes>(
    t: T,
    [low, middle, high]: &mut Sums<T::V>,
    blocks: [T::V; 2],
    powers: [T::V; 2],
    middles: T::V,
) {
    let [(a, b), (c, d)] = [blocks, powers].map(|[a, b]| (a, b));
    let halves = sums_of_halves(t, a, b);
    *low = t.xor3(*low, t.mul_lows(a, c), t.mul_lows(b, d));
    *high = t.xor3(*high, t.mul_highs(a, c), t.mul_highs(b, d));
    *middle = t.xor3(*middle, t.mul_lows(halves, middles), t.mul_highs(halves, middles));
}

/// The halves of each block, added; those of two vectors in one.
#[inline(always)]
pub(super) fn sums_of_halves<T: Lanes>(t: T, a: T::V, b: T::V) -> T::V {
    t.xor(t.lows(a, b), t.highs(a, b))
}

/// The hash of K vectors, their blocks reversed, with the powers from `at` on: one reduction.
#[inline(always)]
pub(super) fn hash<T: Lanes, const K: usize>(t: T, x: &[T::V; K], powers: &[Block], at: usize) -> One<T> {
    let mut sums = [t.zero(); 3];
    let mut j = 0;
    while j + 1 < K {
        let (c, d) = (read(t, powers, at + j * T::L), read(t, powers, at + (j + 1) * T::L));
        add_pair(t, &mut sums, [x[j], x[j + 1]], [c, d], sums_of_halves(t, c, d));
        j += 2;
    }
    let [mut low, mut middle, mut high] = sums;
    middle = t.xor3(middle, low, high);
    if j < K {
        let (a, c) = (x[j], read(t, powers, at + j * T::L));
        low = t.xor(low, t.mul_lows(a, c));
        high = t.xor(high, t.mul_highs(a, c));
        middle = t.xor3(middle, t.mul_high_low(a, c), t.mul_low_high(a, c));
    }
    t.fold(reduce(t, [low, middle, high]))
}
