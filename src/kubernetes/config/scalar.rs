//! What a scalar of YAML 1.1 stands for, as go.yaml.in/yaml/v2 and then encoding/json take it: `yes`
//! is a bool, `0x10`, `1e3` and `1_000` are numbers.
use super::{base64, node::Value};
use zeroize::Zeroizing;

const CORE: &str = "tag:yaml.org,2002:";
const TRUE_OR_FALSE: &str =
    " y Y yes Yes YES true True TRUE on On ON n N no No NO false False FALSE off Off OFF ";
const NULL: &str = " ~ null Null NULL ";
const NO_NUMBER: &str = " .nan .NaN .NAN .inf .Inf .INF +.inf +.Inf +.INF -.inf -.Inf -.INF ";

/// `tag`: in full. `plain`: without quotes, and no block. `Err` says what is wrong.
pub(super) fn resolve(text: &str, tag: Option<&str>, plain: bool) -> Result<Value, &'static str> {
    let owned = || Value::Text(Zeroizing::new(text.to_owned()));
    let Some(tag) = tag else { return Ok(if plain { untagged(text) } else { owned() }) };
    let Some(core) = tag.strip_prefix(CORE) else { return Ok(owned()) };
    let value = untagged(text);
    let is_right = match (core, &value) {
        ("str" | "merge", _) => return Ok(owned()),
        ("binary", _) => return binary(text),
        ("null", Value::Null) | ("bool", Value::Bool) | ("float", Value::Number(_)) => true,
        // A float is none, and reads as one.
        ("int", Value::Number(_)) => integer(&Zeroizing::new(text.replace('_', ""))).is_some(),
        ("null" | "bool" | "int" | "float", _) => false,
        ("timestamp", _) => return Err("has the tag !!timestamp, which no field takes"),
        _ => return Ok(owned()),
    };
    if is_right { Ok(value) } else { Err("is not what its tag says") }
}

/// A byte string; the server takes it as text, in which each byte that is none is replaced.
fn binary(text: &str) -> Result<Value, &'static str> {
    let bytes = base64::decode(text).ok_or("has the tag !!binary and is not base64")?;
    let mut out = Zeroizing::new(String::with_capacity(3 * bytes.len()));
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Ok(Value::Text(out))
}

fn untagged(text: &str) -> Value {
    let is_one_of =
        |words: &str| text.len() < 6 && !text.contains(' ') && words.contains(&format!(" {text} "));
    let first = text.bytes().next();
    match first {
        None => Value::Null,
        Some(b'+' | b'-' | b'.' | b'0'..=b'9') => match number(text) {
            Some(value) => Value::Number(value),
            None if is_one_of(NO_NUMBER) => Value::Number(None),
            None => Value::Text(Zeroizing::new(text.to_owned())),
        },
        _ if is_one_of(NULL) => Value::Null,
        _ if is_one_of(TRUE_OR_FALSE) => Value::Bool,
        _ => Value::Text(Zeroizing::new(text.to_owned())),
    }
}

/// The number, within a Some if there is one; that is None if it is none of 64 bits.
fn number(text: &str) -> Option<Option<i64>> {
    if text.starts_with('.') {
        return float(text);
    }
    let plain = Zeroizing::new(text.replace('_', ""));
    integer(&plain).or_else(|| float(&plain))
}

/// As strconv.ParseInt and ParseUint read it with base 0.
fn integer(plain: &str) -> Option<Option<i64>> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, body) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    let is_unsigned = plain.len() == digits.len();
    if let (Some("0b"), true, Ok(n)) = (plain.get(..2), is_unsigned, i64::from_str_radix(body, radix)) {
        // There even with a sign of its own.
        return Some(Some(n));
    }
    if body.is_empty() || !body.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    match i128::from_str_radix(body, radix).map(|n| if negative { -n } else { n }) {
        Ok(n) if i64::try_from(n).is_ok() => Some(i64::try_from(n).ok()),
        Ok(n) if is_unsigned && u64::try_from(n).is_ok() => Some(None),
        _ => None,
    }
}

fn float(plain: &str) -> Option<Option<i64>> {
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = all_digits(whole) && all_digits(part) && !(whole.is_empty() && part.is_empty());
    let has_exponent = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['-', '+']).unwrap_or(e);
        !digits.is_empty() && all_digits(digits)
    });
    if !has_digits || !has_exponent {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    // Out of range it is a text.
    value.is_finite().then(|| (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, tag: Option<&str>, plain: bool) -> String {
        match resolve(text, tag, plain) {
            Ok(Value::Null) => "null".into(),
            Ok(Value::Bool) => "bool".into(),
            Ok(Value::Number(n)) => format!("{n:?}"),
            Ok(Value::Text(text)) => format!("{:?}", *text),
            Ok(_) => unreachable!("no scalar"),
            Err(said) => said.into(),
        }
    }

    #[test]
    fn plain_scalars_are_those_of_yaml_1_1() {
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(shown(text, None, true), "null");
            assert_eq!(shown(text, None, false), format!("{text:?}"));
        }
        for text in ["y", "No", "on", "TRUE"] {
            assert_eq!(shown(text, None, true), "bool");
        }
        for (text, n) in [
            ("16", 16),
            ("0x10", 16),
            ("0X_10", 16),
            ("020", 16),
            ("0o20", 16),
            ("0b1_0000", 16),
            ("+16", 16),
            ("-0x10", -16),
            ("1.6e1", 16),
            ("16.", 16),
            ("08", 8),
            ("0b-1", -1),
            ("-0.0", 0),
            ("9e3", 9000),
        ] {
            assert_eq!(shown(text, None, true), format!("Some({n})"), "{text}");
        }
        for text in ["1.5", ".5", ".inf", "-.INF", ".NaN", "18446744073709551615", "1e300", "1e20"] {
            assert_eq!(shown(text, None, true), "None", "{text}");
        }
        for text in
            ["nO", "yES", "0x", "+", ".", "1e", "1e999", "0b2", "2001-01-01", "a b", "_1", "1:2", "y n"]
        {
            assert_eq!(shown(text, None, true), format!("{text:?}"), "{text}");
        }
    }

    #[test]
    fn a_tag_must_be_true() {
        let tag = |name: &str| format!("tag:yaml.org,2002:{name}");
        assert_eq!(shown("1", Some(&tag("str")), true), "\"1\"");
        assert_eq!(shown("1", Some(&tag("int")), false), "Some(1)");
        assert_eq!(shown("YWI=", Some(&tag("binary")), false), "\"ab\"");
        assert_eq!(shown("1", Some("!own"), true), "\"1\"");
        for wrong in [("int", "1.5"), ("int", "a"), ("bool", "1"), ("null", "a"), ("float", "a")] {
            assert_eq!(shown(wrong.1, Some(&tag(wrong.0)), true), "is not what its tag says");
        }
    }
}
