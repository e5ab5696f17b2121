//! Published vectors. Every case of every file is accounted for: it passed, or it is of a
//! kind that this crate refuses on purpose, for a reason that is named and counted.
mod aead;
#[cfg(feature = "passphrase")]
mod argon2;
mod cbc;
mod chunked;
mod kdf;
mod keywrap;
mod mac;
mod nist;
mod nist_cbc;
mod secretbox;
mod xaes;

use std::collections::BTreeMap;

/// A valid case that gave the right bytes, both ways where there are two, or an invalid one
/// that was refused.
pub(crate) const PASSED: &str = "passed";

/// Exact counts: a case that a new version of a file adds or drops does not go unnoticed.
pub(crate) fn account(
    total: usize,
    outcomes: impl Iterator<Item = &'static str>,
    expected: &[(&'static str, usize)],
) {
    let mut counts = BTreeMap::new();
    outcomes.for_each(|outcome| *counts.entry(outcome).or_insert(0) += 1);
    assert_eq!(counts, BTreeMap::from_iter(expected.iter().copied()));
    assert_eq!(counts.values().sum::<usize>(), total);
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).unwrap_or_else(|| panic!("not hex: {hex}")) as u8).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte: {hex}");
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}
