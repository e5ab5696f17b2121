//! Wycheproof: HKDF. Its Extract, which is HMAC, is of the test.
use super::{
    super::{
        hkdf::{expand_sha256, expand_sha512},
        hmac::{hmac_sha256, hmac_sha512},
    },
    PASSED, account,
};
use crate::{ErrorKind, Result};
use wycheproof::hkdf::{Test, TestName, TestSet};

#[test]
fn hkdf_sha256() {
    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let outcomes = set.test_groups.iter().flat_map(|group| &group.tests).map(|case| {
        let prk = hmac_sha256(&case.salt, &[&case.ikm]);
        outcome(case, |okm| expand_sha256(&prk, &[&case.info], okm))
    });
    account(86, outcomes, &[(PASSED, 86)]);
}

#[test]
fn hkdf_sha512() {
    let set = TestSet::load(TestName::HkdfSha512).unwrap();
    let outcomes = set.test_groups.iter().flat_map(|group| &group.tests).map(|case| {
        let prk = hmac_sha512(&case.salt, &[&case.ikm]);
        outcome(case, |okm| expand_sha512(&prk, &[&case.info], okm))
    });
    account(83, outcomes, &[(PASSED, 83)]);
}

fn outcome(case: &Test, expand: impl Fn(&mut [u8]) -> Result<()>) -> &'static str {
    let mut okm = vec![0; case.size];
    let result = expand(&mut okm);
    if case.result.must_fail() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit, "{case:?}");
    } else {
        result.unwrap();
        assert_eq!(okm, *case.okm, "{case:?}");
    }
    PASSED
}
