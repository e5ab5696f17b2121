//! One block in a vector.
use super::{number, vector};
use crate::arch::lanes::{
    Block, Lanes,
    partial::{load_16, store_16},
    token::{LAST_WORDS, LAST_WORDS_ROTATED, REVERSE, X_128, accesses, of_one_block, operations},
};
use std::arch::{asm, x86_64::*};

/// The proof of AES-NI, PCLMULQDQ and AVX.
#[derive(Clone, Copy)]
pub(in crate::arch) struct Aesni(());

impl Aesni {
    pub(in crate::arch) fn detect() -> Option<Self> {
        let has = std::is_x86_feature_detected!("aes")
            && std::is_x86_feature_detected!("pclmulqdq")
            && std::is_x86_feature_detected!("avx");
        has.then_some(Self(()))
    }
}

/// Those that have more have this.
impl From<super::Vaes256> for Aesni {
    #[inline(always)]
    fn from(_: super::Vaes256) -> Self {
        Self(())
    }
}

impl From<super::Vaes512> for Aesni {
    #[inline(always)]
    fn from(_: super::Vaes512) -> Self {
        Self(())
    }
}

type V = __m128i;

impl Lanes for Aesni {
    type V = V;
    of_one_block!();

    operations! { "avx,aes,pclmulqdq":
        fn zero() -> V { _mm_setzero_si128() }
        fn all(block: Block) -> V { vector(block) }
        fn number(v: V) -> Block { number(v) }
        fn put(v: V, at: usize, block: Block) -> V { if at == 0 { vector(block) } else { v } }
        fn xor(a: V, b: V) -> V { _mm_xor_si128(a, b) }
        fn aes(state: V, key: V) -> V { _mm_aesenc_si128(state, key) }
        fn aes_last(state: V, key: V) -> V { _mm_aesenclast_si128(state, key) }
        fn inverse_aes(state: V, key: V) -> V { _mm_aesdec_si128(state, key) }
        fn inverse_aes_last(state: V, key: V) -> V { _mm_aesdeclast_si128(state, key) }
        fn last_words(v: V) -> V { _mm_shuffle_epi8(v, vector(LAST_WORDS)) }
        fn last_words_rotated(v: V) -> V { _mm_shuffle_epi8(v, vector(LAST_WORDS_ROTATED)) }
        fn sums_of_words(v: V) -> V {
            let v = _mm_xor_si128(v, _mm_slli_si128(v, 4));
            _mm_xor_si128(v, _mm_slli_si128(v, 8))
        }
        fn reverse(v: V) -> V { _mm_shuffle_epi8(v, vector(REVERSE)) }
        fn times_x(v: V) -> V {
            // No branch on the secret bit: its mask is all ones or all zeros.
            let carry = _mm_srai_epi32(_mm_shuffle_epi32(v, 0xff), 31);
            let doubled = _mm_or_si128(_mm_add_epi64(v, v), _mm_slli_si128(_mm_srli_epi64(v, 63), 8));
            _mm_xor_si128(doubled, _mm_and_si128(carry, vector(X_128)))
        }
        fn swap(v: V) -> V { _mm_shuffle_epi32(v, 0x4e) }
        fn lows(a: V, b: V) -> V { _mm_unpacklo_epi64(a, b) }
        fn highs(a: V, b: V) -> V { _mm_unpackhi_epi64(a, b) }
        fn mul_lows(a: V, b: V) -> V { _mm_clmulepi64_si128(a, b, 0x00) }
        fn mul_highs(a: V, b: V) -> V { _mm_clmulepi64_si128(a, b, 0x11) }
        fn mul_high_low(a: V, b: V) -> V { _mm_clmulepi64_si128(a, b, 0x01) }
        fn keep(v: V, from: usize, to: usize) -> V {
            let places = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let end = if from == 0 { to as i8 } else { 0 };
            _mm_and_si128(v, _mm_cmpgt_epi8(_mm_set1_epi8(end), places))
        }
    }

    accesses! { "avx,aes,pclmulqdq":
        fn load(at: *const u8) -> V { _mm_loadu_si128(at.cast()) }
        fn store(at: *mut u8, v: V) -> () { _mm_storeu_si128(at.cast(), v) }
        fn load_part(at: *const u8, from: usize, to: usize) -> V {
            if from >= to { _mm_setzero_si128() } else { vector(load_16(at, to)) }
        }
        fn store_part(at: *mut u8, v: V, from: usize, to: usize) -> () {
            if from >= to {
            } else if to == 16 {
                _mm_storeu_si128(at.cast(), v)
            } else {
                store_16(at, number(v), to)
            }
        }
    }

    #[inline(always)]
    fn pin(self, s: &mut [V; 8], sums: &mut [V; 3]) {
        // SAFETY: no instruction at all.
        unsafe {
            asm!("/* {} {} {} {} {} {} {} {} {} {} {} */",
                inout(xmm_reg) s[0], inout(xmm_reg) s[1], inout(xmm_reg) s[2], inout(xmm_reg) s[3],
                inout(xmm_reg) s[4], inout(xmm_reg) s[5], inout(xmm_reg) s[6], inout(xmm_reg) s[7],
                inout(xmm_reg) sums[0], inout(xmm_reg) sums[1], inout(xmm_reg) sums[2],
                options(pure, nomem, nostack, preserves_flags));
        }
    }
}
