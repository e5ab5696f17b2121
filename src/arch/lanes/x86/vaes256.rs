//! Two blocks in a vector.
use super::{Aesni, number, vector};
use crate::arch::lanes::{
    Block, Lanes,
    partial::{load_16, store_16},
    token::{LAST_WORDS, LAST_WORDS_ROTATED, REVERSE, X_128, accesses, operations},
};
use std::arch::{asm, x86_64::*};

/// The proof of VAES, VPCLMULQDQ, AVX2 and what `Aesni` proves.
#[derive(Clone, Copy)]
pub(in crate::arch) struct Vaes256(());

impl Vaes256 {
    pub(in crate::arch) fn detect() -> Option<Self> {
        let has = Aesni::detect().is_some()
            && std::is_x86_feature_detected!("vaes")
            && std::is_x86_feature_detected!("vpclmulqdq")
            && std::is_x86_feature_detected!("avx2");
        has.then_some(Self(()))
    }
}

type V = __m256i;

#[inline]
#[target_feature(enable = "avx2")]
fn every(block: Block) -> V {
    _mm256_broadcastsi128_si256(vector(block))
}

/// VPSHUFB. The compiler would make one of it and of what exchanges halves behind it, and then take
/// four shuffles and two blends for two of each.
#[inline]
#[target_feature(enable = "avx2")]
fn shuffle(v: V, order: V) -> V {
    let out;
    // SAFETY: changes no more than what it gives.
    unsafe {
        asm!("vpshufb {}, {}, {}", out(ymm_reg) out, in(ymm_reg) v, in(ymm_reg) order,
            options(pure, nomem, nostack, preserves_flags));
    }
    out
}

impl Lanes for Vaes256 {
    type V = V;
    const L: usize = 2;
    type One = Aesni;

    #[inline(always)]
    fn one(self) -> Aesni {
        self.into()
    }

    operations! { "avx2,vaes,vpclmulqdq,aes,pclmulqdq":
        fn zero() -> V { _mm256_setzero_si256() }
        fn all(block: Block) -> V { every(block) }
        fn first(block: __m128i) -> V { _mm256_zextsi128_si256(block) }
        fn every(block: __m128i) -> V { _mm256_broadcastsi128_si256(block) }
        fn of(blocks: [__m128i; 4], at: usize) -> V { _mm256_set_m128i(blocks[at + 1], blocks[at]) }
        fn number(v: V) -> Block { number(_mm256_castsi256_si128(v)) }
        fn lane(v: V, at: usize) -> __m128i {
            if at == 0 { _mm256_castsi256_si128(v) } else { _mm256_extracti128_si256(v, 1) }
        }
        fn fold(v: V) -> __m128i {
            _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))
        }
        fn put(v: V, at: usize, block: Block) -> V {
            match at {
                0 => _mm256_inserti128_si256(v, vector(block), 0),
                1 => _mm256_inserti128_si256(v, vector(block), 1),
                _ => v,
            }
        }
        fn xor(a: V, b: V) -> V { _mm256_xor_si256(a, b) }
        fn aes(state: V, key: V) -> V { _mm256_aesenc_epi128(state, key) }
        fn aes_last(state: V, key: V) -> V { _mm256_aesenclast_epi128(state, key) }
        fn inverse_aes(state: V, key: V) -> V { _mm256_aesdec_epi128(state, key) }
        fn inverse_aes_last(state: V, key: V) -> V { _mm256_aesdeclast_epi128(state, key) }
        fn last_words(v: V) -> V { _mm256_shuffle_epi8(v, every(LAST_WORDS)) }
        fn last_words_rotated(v: V) -> V { _mm256_shuffle_epi8(v, every(LAST_WORDS_ROTATED)) }
        fn sums_of_words(v: V) -> V {
            let v = _mm256_xor_si256(v, _mm256_slli_si256(v, 4));
            _mm256_xor_si256(v, _mm256_slli_si256(v, 8))
        }
        fn reverse(v: V) -> V { shuffle(v, every(REVERSE)) }
        fn times_x(v: V) -> V {
            // No branch on the secret bit: its mask is all ones or all zeros.
            let carry = _mm256_srai_epi32(_mm256_shuffle_epi32(v, 0xff), 31);
            let carried = _mm256_slli_si256(_mm256_srli_epi64(v, 63), 8);
            let doubled = _mm256_or_si256(_mm256_add_epi64(v, v), carried);
            _mm256_xor_si256(doubled, _mm256_and_si256(carry, every(X_128)))
        }
        fn swap(v: V) -> V { _mm256_shuffle_epi32(v, 0x4e) }
        fn lows(a: V, b: V) -> V { _mm256_unpacklo_epi64(a, b) }
        fn highs(a: V, b: V) -> V { _mm256_unpackhi_epi64(a, b) }
        fn mul_lows(a: V, b: V) -> V { _mm256_clmulepi64_epi128(a, b, 0x00) }
        fn mul_highs(a: V, b: V) -> V { _mm256_clmulepi64_epi128(a, b, 0x11) }
        fn mul_high_low(a: V, b: V) -> V { _mm256_clmulepi64_epi128(a, b, 0x01) }
        fn keep(v: V, from: usize, to: usize) -> V {
            let places = _mm256_setr_epi8(
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
            );
            let end = if from == 0 { to as i8 } else { 0 };
            _mm256_and_si256(v, _mm256_cmpgt_epi8(_mm256_set1_epi8(end), places))
        }
    }

    accesses! { "avx2,vaes,vpclmulqdq,aes,pclmulqdq":
        fn load(at: *const u8) -> V { _mm256_loadu_si256(at.cast()) }
        fn store(at: *mut u8, v: V) -> () { _mm256_storeu_si256(at.cast(), v) }
        fn load_part(at: *const u8, from: usize, to: usize) -> V {
            if from >= to {
                _mm256_setzero_si256()
            } else if to == 32 {
                _mm256_loadu_si256(at.cast())
            } else if to <= 16 {
                _mm256_zextsi128_si256(vector(load_16(at, to)))
            } else {
                let high = vector(load_16(at.add(16), to - 16));
                _mm256_set_m128i(high, _mm_loadu_si128(at.cast()))
            }
        }
        fn store_part(at: *mut u8, v: V, from: usize, to: usize) -> () {
            let (low, high) = (_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
            if from >= to {
            } else if to == 32 {
                _mm256_storeu_si256(at.cast(), v)
            } else if to < 16 {
                store_16(at, number(low), to)
            } else {
                _mm_storeu_si128(at.cast(), low);
                store_16(at.add(16), number(high), to - 16)
            }
        }
    }

    #[inline(always)]
    fn pin(self, s: &mut [V; 8], sums: &mut [V; 3]) {
        #[inline]
        #[target_feature(enable = "avx")]
        fn pin(s: &mut [V; 8], sums: &mut [V; 3]) {
            // SAFETY: no instruction at all.
            unsafe {
                asm!("/* {} {} {} {} {} {} {} {} {} {} {} */",
                    inout(ymm_reg) s[0], inout(ymm_reg) s[1], inout(ymm_reg) s[2], inout(ymm_reg) s[3],
                    inout(ymm_reg) s[4], inout(ymm_reg) s[5], inout(ymm_reg) s[6], inout(ymm_reg) s[7],
                    inout(ymm_reg) sums[0], inout(ymm_reg) sums[1], inout(ymm_reg) sums[2],
                    options(pure, nomem, nostack, preserves_flags));
            }
        }
        // SAFETY: the token proves that the processor has these features.
        unsafe { pin(s, sums) }
    }
}
