//! What an annotation may be called.

/// Two labels or more, of 1 to 63 letters in lower case, digits and inner `-`; in all 253 bytes. One `.`
/// may stand at the end.
pub(crate) fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        bytes.len() <= 63
            && ends.iter().all(|end| end.is_some_and(|byte| is_letter(*byte)))
            && bytes.iter().all(|byte| is_letter(*byte) || *byte == b'-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}
