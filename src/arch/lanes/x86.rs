//! x86-64: three instruction sets.
//!
//! | token | instructions | blocks in a vector |
//! |---|---|---|
//! | `Aesni` | AES-NI, PCLMULQDQ, AVX | 1 |
//! | `Vaes256` | the same, VAES, VPCLMULQDQ, AVX2 | 2 |
//! | `Vaes512` | the same, AVX-512 F, BW, DQ and VL | 4 |
mod aesni;
mod vaes256;
mod vaes512;

pub(in crate::arch) use aesni::Aesni;
pub(in crate::arch) use vaes256::Vaes256;
pub(in crate::arch) use vaes512::Vaes512;

use super::Block;
use std::arch::x86_64::{__m128i, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64};

#[inline]
#[target_feature(enable = "sse2")]
fn vector(block: Block) -> __m128i {
    _mm_set_epi64x((block >> 64) as i64, block as i64)
}

#[inline]
#[target_feature(enable = "sse2")]
fn number(v: __m128i) -> Block {
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v)) as u64;
    Block::from(high) << 64 | Block::from(_mm_cvtsi128_si64(v) as u64)
}
