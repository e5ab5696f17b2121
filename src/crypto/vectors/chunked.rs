//! Wycheproof: C2SP chunked encryption, the instance Cobblestone-256.
use super::{
    super::chunked::{CHUNK, Cobblestone, HEAD, TAG, tests::raw},
    PASSED, account,
};
use sha2::{Digest, Sha512};
use std::io::Read;
use wycheproof::chunked_encryption::{Test, TestFlag, TestName, TestSet};

const KEY: &str = "an input key has 256 bits";

#[test]
fn cobblestone_256() {
    let set = TestSet::load(TestName::Cobblestone256).unwrap();
    account(
        35,
        set.test_groups.iter().flat_map(|group| &group.tests).map(outcome),
        &[(PASSED, 33), (KEY, 2)],
    );
}

fn outcome(case: &Test) -> &'static str {
    let has = |flag| case.flags.contains(&flag);
    let what = &case.comment;
    let Ok(input_key) = <&[u8; 32]>::try_from(case.key.as_slice()) else {
        assert!(has(TestFlag::InvalidKeySize), "{what}");
        return KEY;
    };
    let mut sealed = Vec::new();
    flate2::read::ZlibDecoder::new(case.ct.as_slice()).read_to_end(&mut sealed).unwrap();

    let head = sealed.first_chunk::<HEAD>();
    let Some(key) = head.and_then(|head| Cobblestone::of(input_key, &case.ctx, head).ok()) else {
        assert!(has(TestFlag::HeaderFailure), "{what}");
        return PASSED;
    };
    assert!(!has(TestFlag::HeaderFailure), "{what}");
    assert_is_derived(&key, case);

    let chunks: Vec<&[u8]> = sealed[HEAD..].chunks(CHUNK + TAG).collect();
    let opened: Vec<_> = (0..).zip(&chunks).map_while(|(i, chunk)| open(&key, i, chunk)).collect();
    let plaintext = opened.concat();
    assert_eq!(plaintext.len(), case.msg_length.unwrap_or(0), "{what}");
    if let Some(hash) = &case.msg_sha512 {
        assert_eq!(Sha512::digest(&plaintext)[..], ***hash, "{what}");
    }

    let ends = opened.len() == chunks.len() && opened.last().is_some_and(|chunk| chunk.len() < CHUNK);
    assert_eq!(ends, !case.result.must_fail(), "{what}");
    let last = chunks.len().checked_sub(1).and_then(|i| open(&key, i as u64, chunks[i]));
    let last_is_valid = last.is_some_and(|chunk| chunk.len() < CHUNK);
    assert_eq!(last_is_valid, ends || has(TestFlag::ValidFinalChunk), "{what}");

    // The chunks that opened are those that would be sealed.
    for ((i, chunk), data) in (0..).zip(chunks).zip(opened) {
        let mut sealed = Vec::new();
        key.seal_chunk(i, &data, &mut sealed).unwrap();
        assert!(sealed == chunk, "{what}");
    }
    PASSED
}

fn open(key: &Cobblestone, index: u64, chunk: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let opened = key.open_chunk(index, chunk, &mut out);
    assert!(opened.is_ok() || out.is_empty());
    opened.ok().map(|()| out)
}

/// From the file's AEAD key and base nonce.
fn assert_is_derived(key: &Cobblestone, case: &Test) {
    let (aead_key, base_nonce) = (case.aead_key.as_ref().unwrap(), case.base_nonce.as_ref().unwrap());
    let expected = raw(aead_key.as_slice().try_into().unwrap(), base_nonce.as_slice().try_into().unwrap());
    let seal = |key: &Cobblestone| {
        let mut out = Vec::new();
        key.seal_chunk(0, &[0; 64], &mut out).unwrap();
        out
    };
    assert_eq!(seal(key), seal(&expected), "{}", case.comment);
}
