//! Four blocks in a vector.
use super::{Aesni, Vaes256, number, vector};
use crate::arch::lanes::{
    Block, Lanes,
    token::{LAST_WORDS, LAST_WORDS_ROTATED, REVERSE, X_128, accesses, operations},
};
use std::arch::{asm, x86_64::*};

/// The proof of AVX-512 F, BW, DQ and VL, BMI2 and what `Vaes256` proves.
#[derive(Clone, Copy)]
pub(in crate::arch) struct Vaes512(());

impl Vaes512 {
    pub(in crate::arch) fn detect() -> Option<Self> {
        let has = Vaes256::detect().is_some()
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("bmi2");
        has.then_some(Self(()))
    }
}

type V = __m512i;

#[inline]
#[target_feature(enable = "avx512f")]
fn every(block: Block) -> V {
    _mm512_broadcast_i32x4(vector(block))
}

/// A bit for each of the bytes `from..to`.
#[inline]
#[target_feature(enable = "bmi2")]
fn mask(from: usize, to: usize) -> u64 {
    _bzhi_u64(u64::MAX, to as u32) & (u64::MAX << from)
}

impl Lanes for Vaes512 {
    type V = V;
    const L: usize = 4;
    type One = Aesni;

    #[inline(always)]
    fn one(self) -> Aesni {
        self.into()
    }

    operations! { "avx512f,avx512bw,avx512dq,avx512vl,avx2,vaes,vpclmulqdq,aes,pclmulqdq,bmi2":
        fn zero() -> V { _mm512_setzero_si512() }
        fn all(block: Block) -> V { every(block) }
        fn first(block: __m128i) -> V { _mm512_zextsi128_si512(block) }
        fn every(block: __m128i) -> V { _mm512_broadcast_i32x4(block) }
        fn of(blocks: [__m128i; 4], _at: usize) -> V {
            let [a, b, c, d] = blocks;
            let low = _mm512_castsi256_si512(_mm256_set_m128i(b, a));
            _mm512_inserti64x4(low, _mm256_set_m128i(d, c), 1)
        }
        fn number(v: V) -> Block { number(_mm512_castsi512_si128(v)) }
        fn lane(v: V, at: usize) -> __m128i {
            match at {
                0 => _mm512_castsi512_si128(v),
                1 => _mm512_extracti32x4_epi32(v, 1),
                2 => _mm512_extracti32x4_epi32(v, 2),
                _ => _mm512_extracti32x4_epi32(v, 3),
            }
        }
        fn fold(v: V) -> __m128i {
            let v = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
            _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1))
        }
        fn put(v: V, at: usize, block: Block) -> V {
            let lane = if at < 4 { 0xf << (4 * at) } else { 0 };
            _mm512_mask_broadcast_i32x4(v, lane, vector(block))
        }
        fn xor(a: V, b: V) -> V { _mm512_xor_si512(a, b) }
        fn xor3(a: V, b: V, c: V) -> V { _mm512_ternarylogic_epi64(a, b, c, 0x96) }
        fn aes(state: V, key: V) -> V { _mm512_aesenc_epi128(state, key) }
        fn aes_last(state: V, key: V) -> V { _mm512_aesenclast_epi128(state, key) }
        fn inverse_aes(state: V, key: V) -> V { _mm512_aesdec_epi128(state, key) }
        fn inverse_aes_last(state: V, key: V) -> V { _mm512_aesdeclast_epi128(state, key) }
        fn last_words(v: V) -> V { _mm512_shuffle_epi8(v, every(LAST_WORDS)) }
        fn last_words_rotated(v: V) -> V { _mm512_shuffle_epi8(v, every(LAST_WORDS_ROTATED)) }
        fn sums_of_words(v: V) -> V {
            let v = _mm512_xor_si512(v, _mm512_bslli_epi128(v, 4));
            _mm512_xor_si512(v, _mm512_bslli_epi128(v, 8))
        }
        fn reverse(v: V) -> V { _mm512_shuffle_epi8(v, every(REVERSE)) }
        fn times_x(v: V) -> V {
            // No branch on the secret bit: its mask is all ones or all zeros.
            let carry = _mm512_srai_epi32(_mm512_shuffle_epi32(v, 0xff), 31);
            let carried = _mm512_bslli_epi128(_mm512_srli_epi64(v, 63), 8);
            let doubled = _mm512_or_si512(_mm512_add_epi64(v, v), carried);
            _mm512_xor_si512(doubled, _mm512_and_si512(carry, every(X_128)))
        }
        fn swap(v: V) -> V { _mm512_shuffle_epi32(v, 0x4e) }
        fn lows(a: V, b: V) -> V { _mm512_unpacklo_epi64(a, b) }
        fn highs(a: V, b: V) -> V { _mm512_unpackhi_epi64(a, b) }
        fn mul_lows(a: V, b: V) -> V { _mm512_clmulepi64_epi128(a, b, 0x00) }
        fn mul_highs(a: V, b: V) -> V { _mm512_clmulepi64_epi128(a, b, 0x11) }
        fn mul_high_low(a: V, b: V) -> V { _mm512_clmulepi64_epi128(a, b, 0x01) }
        fn keep(v: V, from: usize, to: usize) -> V { _mm512_maskz_mov_epi8(mask(from, to), v) }
    }

    accesses! { "avx512f,avx512bw,avx512dq,avx512vl,avx2,vaes,vpclmulqdq,aes,pclmulqdq,bmi2":
        fn load(at: *const u8) -> V { _mm512_loadu_si512(at.cast()) }
        fn store(at: *mut u8, v: V) -> () { _mm512_storeu_si512(at.cast(), v) }
        fn load_part(at: *const u8, from: usize, to: usize) -> V {
            _mm512_maskz_loadu_epi8(mask(from, to), at.cast())
        }
        fn store_part(at: *mut u8, v: V, from: usize, to: usize) -> () {
            _mm512_mask_storeu_epi8(at.cast(), mask(from, to), v)
        }
    }

    #[inline(always)]
    fn pin(self, s: &mut [V; 8], sums: &mut [V; 3]) {
        #[inline]
        #[target_feature(enable = "avx512f")]
        fn pin(s: &mut [V; 8], sums: &mut [V; 3]) {
            // SAFETY: no instruction at all.
            unsafe {
                asm!("/* {} {} {} {} {} {} {} {} {} {} {} */",
                    inout(zmm_reg) s[0], inout(zmm_reg) s[1], inout(zmm_reg) s[2], inout(zmm_reg) s[3],
                    inout(zmm_reg) s[4], inout(zmm_reg) s[5], inout(zmm_reg) s[6], inout(zmm_reg) s[7],
                    inout(zmm_reg) sums[0], inout(zmm_reg) sums[1], inout(zmm_reg) sums[2],
                    options(pure, nomem, nostack, preserves_flags));
            }
        }
        // SAFETY: the token proves that the processor has these features.
        unsafe { pin(s, sums) }
    }
}
