//! Every kernel against the RustCrypto crates.
use super::{BLOCK, CbcKey, KERNEL_STACK};
use crate::{
    arch::{
        Engine,
        gcm::tests::{Random, depth, stack_that_is_wiped},
    },
    secret::STACK,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const SIZES: [usize; 3] = [16, 24, 32];
/// Around what is written: what stands there must stay.
const CANARY: u8 = 0xca;
const LONGEST: usize = 4096;

fn engines() -> impl Iterator<Item = Option<Engine>> {
    [None].into_iter().chain(Engine::all().map(Some))
}

/// What is written behind `offset` bytes, and before as many.
fn opened(key: &CbcKey, sealed: &[u8], offset: usize) -> Vec<u8> {
    let len = sealed.len() - BLOCK;
    let mut out = vec![CANARY; offset + len + 64];
    let (start, all) = (out.as_ptr(), out.len());
    out.truncate(offset);
    key.open_onto(sealed, &mut out).unwrap();
    assert!(out.len() == offset + len && out.as_ptr() == start, "in the room that was there");
    // SAFETY: all of them were written above, and nothing was moved.
    unsafe { out.set_len(all) };
    assert!(out.iter().enumerate().all(|(i, b)| *b == CANARY || (offset..offset + len).contains(&i)));
    out[offset..][..len].to_vec()
}

fn sealed(key: &CbcKey, iv: &[u8; BLOCK], plaintext: &[u8], offset: usize) -> Vec<u8> {
    let mut out = [&vec![CANARY; offset], plaintext, &[CANARY; 64]].concat();
    key.seal(iv, &mut out[offset..][..plaintext.len()]).unwrap();
    assert!(out[..offset].iter().chain(&out[offset + plaintext.len()..]).all(|b| *b == CANARY));
    [iv, &out[offset..][..plaintext.len()]].concat()
}

#[test]
fn every_number_of_blocks_on_every_kernel() {
    let mut random = Random(0x6362_6321);
    for size in SIZES {
        for len in (0..=LONGEST).step_by(BLOCK) {
            let (key, iv, plaintext) = (random.bytes(size), random.array(), random.bytes(len));
            let (by, offset) = (CbcKey::on(None, &key).unwrap(), (len / BLOCK * 7) % 64);
            let expected = sealed(&by, &iv, &plaintext, 0);
            assert!(opened(&by, &expected, offset) == plaintext);
            for engine in Engine::all() {
                let by = CbcKey::on(Some(engine), &key).unwrap();
                assert!(sealed(&by, &iv, &plaintext, offset) == expected, "{} {size} {len}", engine.name());
                assert!(opened(&by, &expected, offset) == plaintext, "{} {size} {len}", engine.name());
            }
        }
    }
}

#[test]
fn keys_of_other_sizes_are_refused_alike() {
    for engine in engines() {
        for size in (0..40).filter(|size| !SIZES.contains(size)) {
            let said = CbcKey::on(engine, &vec![0; size]).err().unwrap().to_string();
            assert!(said.contains("16, 24 or 32 bytes"), "{said}");
        }
    }
}

#[test]
fn what_is_not_of_whole_blocks_is_not_taken() {
    for engine in engines() {
        let (key, mut out) = (CbcKey::on(engine, &[1; 16]).unwrap(), Vec::new());
        let open = AssertUnwindSafe(|| key.open_onto(&[0; 33], &mut out));
        assert!(catch_unwind(open).is_err());
        let seal = AssertUnwindSafe(|| key.seal(&[0; BLOCK], &mut [0; 17]));
        assert!(catch_unwind(seal).is_err());
    }
}

#[test]
fn less_stack_is_used_than_is_wiped() {
    for size in SIZES {
        let (bytes, plaintext, mut out) = (vec![7; size], vec![1; 4096], Vec::with_capacity(8192));
        let mut used = |engine| {
            let key = CbcKey::on(engine, &bytes).unwrap();
            let sealed = sealed(&key, &[3; BLOCK], &plaintext, 0);
            let new = depth(|| drop(CbcKey::on(engine, &bytes).unwrap()));
            assert!(new > 100 && new < stack_that_is_wiped() - 512, "{new} of {}", stack_that_is_wiped());
            [
                depth(|| key.seal(&[3; BLOCK], &mut plaintext.clone()).unwrap()),
                depth(|| key.open_onto(&sealed, &mut out).unwrap()),
            ]
        };
        let most = if Engine::best().is_some() { KERNEL_STACK } else { STACK };
        for (engine, most) in [(Engine::best(), most), (None, STACK)] {
            let used = used(engine);
            assert!(used.into_iter().all(|used| used > 100 && used < most - 512), "{used:?} of {most}");
        }
    }
}
