//! What the tokens of all processors are written with.
use super::Block;

/// Of a block, the place that each byte is taken from.
pub(super) const REVERSE: Block = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f;
pub(super) const LAST_WORDS: Block = 0x0f0e_0d0c_0f0e_0d0c_0f0e_0d0c_0f0e_0d0c;
pub(super) const LAST_WORDS_ROTATED: Block = 0x0c0f_0e0d_0c0f_0e0d_0c0f_0e0d_0c0f_0e0d;

/// x^128 in the field of GHASH as `hash` has it: what a block times x is reduced by.
pub(super) const X_128: Block = 0xc200_0000_0000_0000 << 64 | 1;

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
pub(super) use operations;

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
pub(super) use accesses;

/// Of a vector of one block: it is its only lane.
macro_rules! of_one_block {
    () => {
        const L: usize = 1;
        type One = Self;

        #[inline(always)]
        fn one(self) -> Self {
            self
        }

        #[inline(always)]
        fn first(self, block: Self::V) -> Self::V {
            block
        }

        #[inline(always)]
        fn every(self, block: Self::V) -> Self::V {
            block
        }

        #[inline(always)]
        fn of(self, blocks: [Self::V; 4], at: usize) -> Self::V {
            blocks[at]
        }

        #[inline(always)]
        fn lane(self, v: Self::V, _: usize) -> Self::V {
            v
        }

        #[inline(always)]
        fn fold(self, v: Self::V) -> Self::V {
            v
        }
    };
}
pub(super) use of_one_block;
