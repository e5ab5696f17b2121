//! A plugin's ciphertext and annotations, as the ciphertext of a wrapped DEK.
//!
//! 1 byte `2`, the protocol's version · 2 bytes, the length of the ciphertext, and the ciphertext ·
//! for each annotation in the order of the names: 2 bytes and the name, 2 bytes and the value.
//! Lengths are big-endian. Names come once, and in order: there is one encoding.
use super::{Annotations, MOST};
use crate::{Error, Result};

const VERSION: u8 = 2;

/// # Errors
/// Limit if an annotation does not fit into its length.
pub(crate) fn encode(ciphertext: &[u8], annotations: &Annotations) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    let mut put = |bytes: &[u8]| {
        let len =
            u16::try_from(bytes.len()).map_err(|_| Error::limit("an annotation beyond 65,535 bytes"))?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(bytes);
        Ok::<_, Error>(())
    };
    put(ciphertext)?;
    for (name, value) in annotations {
        put(name.as_bytes())?;
        put(value)?;
    }
    Ok(out)
}

/// # Errors
/// Authentication if nobody encoded it: where it stands, all else would be that as well.
pub(crate) fn decode(wrapped: &[u8]) -> Result<(Vec<u8>, Annotations)> {
    parse(wrapped).ok_or_else(Error::authentication)
}

fn parse(wrapped: &[u8]) -> Option<(Vec<u8>, Annotations)> {
    let (&VERSION, mut rest) = wrapped.split_first()? else { return None };
    let ciphertext = take(&mut rest).filter(|ciphertext| (1..=MOST).contains(&ciphertext.len()))?;
    let mut annotations = Annotations::new();
    while !rest.is_empty() {
        let name = std::str::from_utf8(take(&mut rest)?).ok()?;
        let is_in_order = annotations.last_key_value().is_none_or(|(last, _)| last.as_str() < name);
        annotations.insert(name.into(), take(&mut rest)?.to_vec());
        is_in_order.then_some(())?;
    }
    Some((ciphertext.to_vec(), annotations))
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, behind) = rest.split_first_chunk()?;
    let (taken, behind) = behind.split_at_checked(u16::from_be_bytes(*len).into())?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_is_one_encoding() {
        let all = Annotations::from([("a.b".into(), vec![1]), ("c.d".into(), vec![])]);
        let wire = encode(&[7, 8], &all).unwrap();
        assert_eq!(wire, b"\x02\0\x02\x07\x08\0\x03a.b\0\x01\x01\0\x03c.d\0\0");
        assert_eq!(decode(&wire).unwrap(), (vec![7, 8], all));
        let mut bad: Vec<Vec<u8>> = (0..wire.len()).map(|n| wire[..n].to_vec()).collect();
        // Whole again, without an annotation.
        bad.retain(|cut| ![5, 13].contains(&cut.len()));
        bad.extend([
            [&wire[..], &[0]].concat(),
            b"\x01\0\x01a".to_vec(),
            b"\x02\0\0".to_vec(),
            b"\x02\0\x01a\0\x01b\0\0\0\x01a\0\0".to_vec(),
            b"\x02\0\x01a\0\x01b\0\0\0\x01b\0\0".to_vec(),
            b"\x02\0\x01a\0\x01\xff\0\0".to_vec(),
        ]);
        for bad in bad {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
        assert!(encode(&[7], &Annotations::from([("a.b".into(), vec![0; 65536])])).is_err());
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same(bytes: Vec<u8>) {
            let bytes = [&[VERSION], &bytes[..]].concat();
            if let Ok((ciphertext, annotations)) = decode(&bytes) {
                prop_assert_eq!(encode(&ciphertext, &annotations).unwrap(), bytes);
            }
        }
    }
}
