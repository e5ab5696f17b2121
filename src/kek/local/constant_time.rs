//! Base64 of keys, in a crate that is made for it. How the parser of JSON finds the end of a
//! text depends on which of its bytes are quotes and backslashes: base64 has neither.
use crate::secret::constant_time::{constant_time, hidden, hide, is_hidden, leaks, shown};
use base64ct::{Base64, Encoding};

/// It tells itself whether the text is base64, and whether its end is: by as many branches, whatever
/// the key is.
#[test]
#[ignore = "under valgrind: tests/constant_time runs it"]
fn f28_keys_go_to_base64_and_back_in_constant_time() {
    for byte in 0..=255u8 {
        let key: [u8; 32] = hidden(std::array::from_fn(|i| byte.wrapping_mul(i as u8)));
        let mut text = [0; 44];
        constant_time(|| Base64::encode(&key, &mut text).map(|_| ())).unwrap();
        assert!(is_hidden(&text[..42]), "all but the padding, and some bits before it");
        for is_right in [true, false] {
            let (mut key, mut text) = ([0; 32], shown(text));
            text[20] = if is_right { text[20] } else { b'"' };
            // The last two are asked whether they are padding.
            hide(&mut text[..42]);
            let (leaks, decoded) = leaks(|| Base64::decode(text, &mut key).map(|_| ()));
            assert_eq!((leaks, shown(decoded).is_ok()), (if is_right { 2 } else { 1 }, is_right));
        }
    }
}
