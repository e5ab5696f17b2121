//! Comparing in constant time.
use subtle::{Choice, ConstantTimeEq};

/// Whether the bytes are the same; their number is no secret. By words: byte by byte, a tag would
/// take as long as a short message, and a header as long as a long one.
#[inline]
pub(crate) fn same(a: &[u8], b: &[u8]) -> Choice {
    if a.len() != b.len() {
        return Choice::from(0);
    }
    let ((a, a_end), (b, b_end)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a.iter().zip(b).map(|(a, b)| u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b));
    let end = a_end.iter().zip(b_end).map(|(a, b)| u64::from(a ^ b));
    words.chain(end).fold(0, |all, differs| all | differs).ct_eq(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts_and_the_length() {
        for len in 0..40 {
            let a: Vec<u8> = (0..len).collect();
            assert!(bool::from(same(&a, &a.clone())));
            assert!(!bool::from(same(&a, &[&a[..], &[0]].concat())));
            for bit in 0..8 * usize::from(len) {
                let mut b = a.clone();
                b[bit / 8] ^= 1 << (bit % 8);
                assert!(!bool::from(same(&a, &b)) && !bool::from(same(&b, &a)));
            }
        }
    }
}
