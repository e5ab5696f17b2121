//! Kernels that leak: what looks for leaks must find them. Valgrind does in `constant_time`, and
//! tests/python/disassembly.py in the compiled code.
use super::{
    key::Key,
    lanes::{Aesni, Block, Lanes},
};
use std::hint::black_box;

pub(super) mod by_branch {
    use super::*;

    #[target_feature(enable = "avx,aes,pclmulqdq")]
    #[inline(never)]
    pub(in super::super) fn kernel(t: Aesni, key: &Key) -> Block {
        let secret = secret(t, key);
        if secret & 1 == 0 { black_box(secret) } else { 0 }
    }
}

pub(super) mod by_address {
    use super::*;

    #[target_feature(enable = "avx,aes,pclmulqdq")]
    #[inline(never)]
    pub(in super::super) fn kernel(t: Aesni, key: &Key) -> Block {
        key.powers[(secret(t, key) % 32) as usize]
    }
}

#[inline(always)]
fn secret(t: Aesni, key: &Key) -> Block {
    t.number(t.aes(t.all(key.rounds[0]), t.all(key.rounds[1])))
}
