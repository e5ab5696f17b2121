//! AArch64 with the AES and PMULL instructions of ARMv8: one block in a vector.
use super::{
    Block, Lanes,
    partial::{load_16, store_16},
    token::{LAST_WORDS, LAST_WORDS_ROTATED, REVERSE, X_128, accesses, of_one_block, operations},
};
use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

/// The proof of AES and PMULL.
#[derive(Clone, Copy)]
pub(in crate::arch) struct Armv8(());

impl Armv8 {
    pub(in crate::arch) fn detect() -> Option<Self> {
        let has = is_aarch64_feature_detected!("aes") && is_aarch64_feature_detected!("pmull");
        has.then_some(Self(()))
    }
}

type V = uint8x16_t;

#[inline]
#[target_feature(enable = "neon")]
fn vector(block: Block) -> V {
    vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(block as u64), vcreate_u64((block >> 64) as u64)))
}

#[inline]
#[target_feature(enable = "neon")]
fn number(v: V) -> Block {
    let v = vreinterpretq_u64_u8(v);
    Block::from(vgetq_lane_u64(v, 1)) << 64 | Block::from(vgetq_lane_u64(v, 0))
}

#[inline]
#[target_feature(enable = "neon")]
fn low(v: V) -> u64 {
    vgetq_lane_u64(vreinterpretq_u64_u8(v), 0)
}

#[inline]
#[target_feature(enable = "neon")]
fn high(v: V) -> u64 {
    vgetq_lane_u64(vreinterpretq_u64_u8(v), 1)
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn multiply(a: u64, b: u64) -> V {
    vreinterpretq_u8_p128(vmull_p64(a, b))
}

impl Lanes for Armv8 {
    type V = V;
    of_one_block!();

    operations! { "neon,aes":
        fn zero() -> V { vdupq_n_u8(0) }
        fn all(block: Block) -> V { vector(block) }
        fn number(v: V) -> Block { number(v) }
        fn put(v: V, at: usize, block: Block) -> V { if at == 0 { vector(block) } else { v } }
        fn xor(a: V, b: V) -> V { veorq_u8(a, b) }
        // AESE adds its key first, where x86 adds it last.
        fn aes(state: V, key: V) -> V { veorq_u8(vaesmcq_u8(vaeseq_u8(state, vdupq_n_u8(0))), key) }
        fn aes_last(state: V, key: V) -> V { veorq_u8(vaeseq_u8(state, vdupq_n_u8(0)), key) }
        fn inverse_aes(state: V, key: V) -> V { veorq_u8(vaesimcq_u8(vaesdq_u8(state, vdupq_n_u8(0))), key) }
        fn inverse_aes_last(state: V, key: V) -> V { veorq_u8(vaesdq_u8(state, vdupq_n_u8(0)), key) }
        fn last_words(v: V) -> V { vqtbl1q_u8(v, vector(LAST_WORDS)) }
        fn last_words_rotated(v: V) -> V { vqtbl1q_u8(v, vector(LAST_WORDS_ROTATED)) }
        fn sums_of_words(v: V) -> V {
            let v = veorq_u8(v, vextq_u8(vdupq_n_u8(0), v, 12));
            veorq_u8(v, vextq_u8(vdupq_n_u8(0), v, 8))
        }
        fn reverse(v: V) -> V { vqtbl1q_u8(v, vector(REVERSE)) }
        fn times_x(v: V) -> V {
            // No branch on the secret bit: its mask is all ones or all zeros.
            let h = number(v);
            vector(h << 1 ^ (0u128.wrapping_sub(h >> 127) & X_128))
        }
        fn swap(v: V) -> V { vextq_u8(v, v, 8) }
        fn lows(a: V, b: V) -> V {
            vreinterpretq_u8_u64(vtrn1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)))
        }
        fn highs(a: V, b: V) -> V {
            vreinterpretq_u8_u64(vtrn2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)))
        }
        fn mul_lows(a: V, b: V) -> V { multiply(low(a), low(b)) }
        fn mul_highs(a: V, b: V) -> V { multiply(high(a), high(b)) }
        fn mul_high_low(a: V, b: V) -> V { multiply(high(a), low(b)) }
        fn keep(v: V, from: usize, to: usize) -> V {
            let end = if from == 0 { to as u8 } else { 0 };
            vandq_u8(v, vcltq_u8(vector(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100), vdupq_n_u8(end)))
        }
    }

    accesses! { "neon,aes":
        fn load(at: *const u8) -> V { vld1q_u8(at) }
        fn store(at: *mut u8, v: V) -> () { vst1q_u8(at, v) }
        fn load_part(at: *const u8, from: usize, to: usize) -> V {
            if from >= to { vdupq_n_u8(0) } else { vector(load_16(at, to)) }
        }
        fn store_part(at: *mut u8, v: V, from: usize, to: usize) -> () {
            if from < to {
                store_16(at, number(v), to)
            }
        }
    }

    #[inline(always)]
    fn pin(self, s: &mut [V; 8], sums: &mut [V; 3]) {
        // SAFETY: no instruction at all.
        unsafe {
            asm!("/* {0:v} {1:v} {2:v} {3:v} {4:v} {5:v} {6:v} {7:v} {8:v} {9:v} {10:v} */",
                inout(vreg) s[0], inout(vreg) s[1], inout(vreg) s[2], inout(vreg) s[3],
                inout(vreg) s[4], inout(vreg) s[5], inout(vreg) s[6], inout(vreg) s[7],
                inout(vreg) sums[0], inout(vreg) sums[1], inout(vreg) sums[2],
                options(pure, nomem, nostack, preserves_flags));
        }
    }
}
