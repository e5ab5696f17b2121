//! Durations as Go's time.ParseDuration reads them.
use std::time::Duration;

/// Longer than zero, and at most 2^63 - 1 ns. `Err` says what is wrong.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    let said = "must be a duration with its unit, as \"3s\", \"500ms\" or \"1m30s\"";
    let nanos = nanoseconds(text).ok_or(said)?;
    if nanos == 0 || text.starts_with('-') {
        return Err("must be longer than 0");
    }
    i64::try_from(nanos).map(|_| Duration::from_nanos(nanos)).map_err(|_| said)
}

const MOST: u64 = 1 << 63;

fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let (mut sum, mut any) = (0u64, false);
    while !rest.is_empty() {
        let (whole, behind) = digits(rest);
        let (part, behind) = behind.strip_prefix('.').map_or(("", behind), digits);
        let unit = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
        let in_unit = unit_of(&behind[..unit])?;
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        let nanos = whole.checked_mul(in_unit)?.checked_add(fraction(part, in_unit))?;
        sum = sum.checked_add(nanos)?;
        if nanos > MOST || sum > MOST {
            return None;
        }
        (rest, any) = (&behind[unit..], true);
    }
    any.then_some(sum)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// With the rounding that Go has.
fn fraction(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for digit in digits.bytes() {
        if value > (MOST - 1) / 10 {
            break;
        }
        value = value * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn unit_of(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_go() {
        let good = [
            ("3s", 3_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            (".5s", 500_000_000),
            ("+5.s", 5_000_000_000),
            ("1µs", 1_000),
            ("2μs", 2_000),
            ("9223372036854775807ns", i64::MAX as u64),
            ("0.3h", 1_080_000_000_000),
        ];
        for (text, nanos) in good {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        let bad = [
            "",
            "3",
            "s",
            ".s",
            "3 s",
            "-",
            "+",
            "1e3s",
            "3S",
            "9223372036854775808ns",
            "3000000h",
            "1d",
            "3s ",
            "1.5.s",
        ];
        for text in bad {
            assert!(parse(text).unwrap_err().contains("unit"), "{text}");
        }
        for text in ["0", "-0", "0s", "-3s", "0.1ns"] {
            assert_eq!(parse(text), Err("must be longer than 0"), "{text}");
        }
    }
}
