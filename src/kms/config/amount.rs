//! Numbers with a unit.

/// Bytes, by unit.
pub(super) const BYTES: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
/// Seconds, by unit.
pub(super) const TIME: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

/// `64 GiB` or `64GiB`, by the units given. No sign, no fraction, no other spaces.
pub(super) fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let factor = units.iter().find(|u| u.0 == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_unit() {
        for (text, bytes) in [("64 GiB", 64 << 30), ("64GiB", 64 << 30), ("1 B", 1), ("0TiB", 0)] {
            assert_eq!(amount(text, BYTES), Some(bytes), "{text}");
        }
        assert_eq!(amount("10m", TIME), Some(600));
        assert_eq!(amount("18446744073709551615s", TIME), Some(u64::MAX));
        let bad =
            ["", "64", "GiB", "64 gib", "64  GiB", " 64 GiB", "64 GiB ", "-1 B", "+1 B", "1.5 GiB", "1e3 B"];
        for text in [&bad[..], &["18446744073709551616 B", "16777216 TiB", "١ B", "1 GB", "10m"]].concat() {
            assert_eq!(amount(text, BYTES), None, "{text}");
        }
    }
}
