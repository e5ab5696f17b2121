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

/// Of the proleptic Gregorian calendar; `day` since 1970-01-01.
fn date(mut day: u64) -> (u64, u64, u64) {
    let (mut year, mut month) = (1970, 1);
    while day >= days(year, month) {
        day -= days(year, month);
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    (year, month, day + 1)
}

/// How many a month has.
fn days(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether `text` is a date-time (RFC 3339, section 5.6). Leap seconds are taken anywhere.
pub(super) fn is_rfc3339(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let Some((start, rest)) = text.as_bytes().split_at_checked(19) else { return false };
    let fraction = match rest {
        [b'.', digits @ ..] => 1 + digits.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = match &rest[fraction..] {
        [b'Z'] => true,
        [b'+' | b'-', zone @ ..] => numbers(zone, b"00:00").is_some_and(|n| n[0] < 24 && n[1] < 60),
        _ => false,
    };
    let date = numbers(start, b"0000-00-00T00:00:00").is_some_and(|n| {
        (1..=12).contains(&n[1])
            && (1..=days(n[0], n[1])).contains(&n[2])
            && n[3] < 24
            && n[4] < 60
            && n[5] <= 60
    });
    date && zone && fraction != 1
}

/// The numbers of a text that has this shape.
fn numbers(text: &[u8], shape: &[u8]) -> Option<Vec<u64>> {
    let fits = |(t, s): (&u8, &u8)| if *s == b'0' { t.is_ascii_digit() } else { t == s };
    let fits = text.len() == shape.len() && text.iter().zip(shape).all(fits);
    let parts = text.split(|b| !b.is_ascii_digit());
    fits.then(|| parts.map(|p| p.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'))).collect())
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
        for good in [
            "2026-11-24T05:35:50Z",
            "2026-11-24T05:35:50.123Z",
            "2026-11-24t05:35:60-23:59",
            "2024-02-29T00:00:00z",
        ] {
            assert!(is_rfc3339(good));
        }
        for bad in ["", "2026-11-24", "2026-11-24T05:35:50", "2026-11-24T05:35:50.Z", "2026-11-24T05:35:50Zé"]
        {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
