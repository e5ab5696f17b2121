//! SHA-256 (FIPS 180-4) of lists.
use sha2::{Digest, Sha256};

/// Each part stands behind its length: no two lists have the same digest.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_apart_however_their_parts_are_cut() {
        let of = |parts: &[&[u8]]| digest(parts.iter().copied());
        let all = [
            of(&[]),
            of(&[b""]),
            of(&[b"", b""]),
            of(&[b"ab"]),
            of(&[b"ab", b""]),
            of(&[b"", b"ab"]),
            of(&[b"a", b"b"]),
            of(&[b"b", b"a"]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
        let framed = Sha256::digest(b"\x02\0\0\0\0\0\0\0ab\0\0\0\0\0\0\0\0");
        assert_eq!(of(&[b"ab", b""])[..], framed[..]);
    }
}
