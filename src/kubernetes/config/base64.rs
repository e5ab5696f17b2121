//! Base64 as the server reads it: padded, line ends ignored, and the bits that the last sign has too
//! many ignored as well. In constant time but for the length.
use base64ct::{Base64, Base64Unpadded, Encoding};
use zeroize::Zeroizing;

/// None for what is no base64.
pub(super) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut signs = Zeroizing::new(Vec::with_capacity(text.len()));
    signs.extend(text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
    let pads = signs.iter().rev().take(2).take_while(|b| **b == b'=').count();
    if signs.len() % 4 != 0 {
        return None;
    }
    let whole = signs.len();
    signs[whole - pads..].fill(b'A');
    let mut bytes = Zeroizing::new(vec![0; whole / 4 * 3]);
    Base64Unpadded::decode(&*signs, &mut bytes).ok()?;
    bytes.truncate(whole / 4 * 3 - pads);
    Some(bytes)
}

/// With padding, in one line.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut signs = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
    let text = Base64::encode(bytes, &mut signs).unwrap_or_default();
    Zeroizing::new(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_the_server_reads() {
        for len in 0..50 {
            let bytes: Vec<u8> = (0..len).map(|i: u8| i.wrapping_mul(37)).collect();
            let text = encode(&bytes);
            assert_eq!(*decode(&text).unwrap(), bytes);
            let broken = text.chars().flat_map(|c| [c, '\r', '\n']).collect::<String>();
            assert_eq!(*decode(&broken).unwrap(), bytes);
        }
        assert_eq!(*decode("YR==").unwrap(), b"a");
        for wrong in ["YQ", "YQ=", "Y===", "====", "YQ==YQ==", "=YQ=", "Y Q==", "Y-_=", "YQ==\n=", "é==="] {
            assert!(decode(wrong).is_none(), "{wrong}");
        }
    }
}
