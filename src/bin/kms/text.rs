//! Text from elsewhere, for a terminal and for a shell.
use serde::Serialize;
use std::{fmt::Write, path::Path};

/// Text that a terminal shows and does not obey: what is not printable is escaped, and so
/// is the backslash.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            c if is_printable(c) => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A path, likewise. What is no Unicode in it is replaced.
pub(crate) fn visible_path(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

/// One word for a shell, safe to paste whatever `text` is. `$'..'`, which bash, ksh and zsh
/// have, where it holds what is not printable.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    if text.chars().all(is_printable) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = String::from("$'");
    for c in text.chars() {
        match c {
            '\\' | '\'' => word.extend(['\\', c]),
            c if is_printable(c) => word.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| {
                write!(word, "\\{b:03o}").expect("writing to a string");
            }),
        }
    }
    word + "'"
}

/// A value as JSON, likewise: a document of its own.
pub(crate) fn json(value: &impl Serialize) -> String {
    visible_json(&serde_json::to_string_pretty(value).expect("numbers and strings")) + "\n"
}

/// JSON likewise: what is not printable stands only inside of its strings.
pub(crate) fn visible_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_printable(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a string");
            }
        }
    }
    out
}

/// Neither a control nor a format character (those that turn text around, among others), nor
/// a blank other than the usual one.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // Behind a letter, so that combining marks are not escaped.
    format!("x{c}").escape_debug().eq(['x', c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}\u{2028}\u{7f}\u{e0001}\\";
        assert_eq!(visible(hostile), r"a\u{1b}[2J\u{9b}31m\r\n\u{202e}\u{2028}\u{7f}\u{e0001}\\");
        assert_eq!(visible("e\u{301} \"é\" 'ж' 🔑"), "e\u{301} \"é\" 'ж' 🔑");
        let json = visible_json(&serde_json::to_string(hostile).unwrap());
        assert!(json.chars().all(is_printable), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(shell_word("purpose=backup"), "purpose=backup");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("a=it's $(x)"), r"'a=it'\''s $(x)'");
        assert_eq!(shell_word("a=\u{1b}'\\\u{9b}"), r"$'a=\033\'\\\302\233'");
    }
}
