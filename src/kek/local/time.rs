//! Times of RFC 3339.
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in UTC, to the second.
pub(super) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    format(seconds)
}

fn format(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86400);
    let second = seconds % 86400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Of the proleptic Gregorian calendar; `days` since 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Whether `text` has the shape of a date-time (RFC 3339, section 5.6).
pub(super) fn is_rfc3339(text: &str) -> bool {
    let shape = |text: &[u8], pattern: &[u8]| {
        text.len() == pattern.len()
            && text.iter().zip(pattern).all(|(t, p)| if *p == b'0' { t.is_ascii_digit() } else { t == p })
    };
    let Some((start, rest)) = text.as_bytes().split_at_checked(19) else { return false };
    let fraction = match rest {
        [b'.', digits @ ..] => 1 + digits.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = &rest[fraction..];
    shape(start, b"0000-00-00T00:00:00")
        && fraction != 1
        && (zone == b"Z" || shape(zone, b"+00:00") || shape(zone, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_known_times() {
        assert_eq!(format(0), "1970-01-01T00:00:00Z");
        assert_eq!(format(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(format(1_795_564_799), "2026-11-24T23:59:59Z");
        assert!(is_rfc3339(&now()));
    }

    #[test]
    fn takes_the_forms_of_the_standard() {
        for good in ["2026-11-24T05:35:50Z", "2026-11-24T05:35:50.123Z", "2026-11-24T05:35:50+01:00"] {
            assert!(is_rfc3339(good));
        }
        for bad in ["", "2026-11-24", "2026-11-24T05:35:50", "2026-11-24T05:35:50.Z", "2026-11-24T05:35:50Zé"]
        {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
