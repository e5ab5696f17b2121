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

pub(super) use aesni::Aesni;
pub(super) use vaes256::Vaes256;
pub(super) use vaes512::Vaes512;

use super::lanes::Block;
use std::arch::x86_64::{__m128i, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64};

/// Of a block, the place that each byte is taken from.
const REVERSE: Block = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
const LAST_WORDS: Block = 0x0f0e_0d0c_0f0e_0d0c_0f0e_0d0c_0f0e_0d0c;
const LAST_WORDS_ROTATED: Block = 0x0c0f_0e0d_0c0f_0e0d_0c0f_0e0d_0c0f_0e0d;

/// Methods of a token: each a function that may use the instructions that it proves.
macro_rules! operations {
    ($features:literal: $($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty $body:block)*) => {
        $($(#[$doc])*
        #[inline(always)]
        fn $name(self, $($arg: $type),*) -> $result {
            #[inline]
            #[target_feature(enable = $features)]
            fn body($($arg: $type),*) -> $result $body
            // SAFETY: the token proves that the processor has these features.
            unsafe { body($($arg),*) }
        })*
    };
}
use operations;

/// The same, of methods that read or write where they are told: they are unsafe, as the trait
/// says.
macro_rules! accesses {
    ($features:literal: $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty $body:block)*) => {
        $(#[inline(always)]
        /// # Safety
        /// As the trait says.
        unsafe fn $name(self, $($arg: $type),*) -> $result {
            #[inline]
            #[target_feature(enable = $features)]
            /// # Safety
            /// As the trait says.
            unsafe fn body($($arg: $type),*) -> $result {
                // SAFETY: whoever calls says what may be read or written there.
                unsafe { $body }
            }
            // SAFETY: the token proves that the processor has these features, and whoever
            // calls says the rest.
            unsafe { body($($arg),*) }
        })*
    };
}
use accesses;

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
