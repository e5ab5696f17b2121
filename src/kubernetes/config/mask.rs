//! Keys out of the sight of the YAML parser, whose buffers nobody wipes: it gets a text in which other
//! signs of the same number stand for each run that may be one, and what it says of them is turned back.
use crate::{Result, crypto::random};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// Keys have 22 signs at least; they may be broken into lines.
const SHORTEST: usize = MAGIC + DIGITS;
const MAGIC: usize = 10;
const DIGITS: usize = 6;
/// An escape: a backslash, U and eight digits.
const ESCAPE: usize = 9;

pub(super) struct Mask<'a> {
    /// What a run is replaced with begins so.
    magic: String,
    runs: Vec<&'a str>,
}

impl<'a> Mask<'a> {
    /// What to parse, and what turns it back.
    pub(super) fn of(text: &'a str) -> Result<(String, Self)> {
        let mut bytes = [0u8; MAGIC];
        random(&mut bytes)?;
        let magic = bytes.iter().map(|b| char::from(b'a' + b % 26)).collect();
        let mut mask = Self { magic, runs: Vec::new() };
        let (mut numbers, mut out, mut at) = (HashMap::new(), String::with_capacity(text.len()), 0);
        while let Some((begin, run)) = next_run(text, at) {
            out.push_str(&text[at..begin]);
            // Anchors and their aliases must stay the same.
            let number = *numbers.entry(run).or_insert_with(|| {
                mask.runs.push(run);
                mask.runs.len() - 1
            });
            out.push_str(&mask.magic);
            out.push_str(&format!("{number:0DIGITS$}"));
            out.extend(std::iter::repeat_n('A', run.len() - SHORTEST));
            at = begin + run.len();
        }
        out.push_str(&text[at..]);
        Ok((out, mask))
    }

    pub(super) fn turn_back(&self, masked: &str) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(masked.len()));
        let mut rest = masked;
        while let Some((before, behind)) = rest.split_once(&self.magic) {
            out.push_str(before);
            let run = behind.get(..DIGITS).and_then(|number| self.runs.get(number.parse::<usize>().ok()?));
            match run.and_then(|run| Some((run, behind.get(run.len() - MAGIC..)?))) {
                Some((run, behind)) => {
                    out.push_str(run);
                    rest = behind;
                }
                None => {
                    out.push_str(&self.magic);
                    rest = behind;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// Where the next one begins, and it.
fn next_run(text: &str, mut at: usize) -> Option<(usize, &str)> {
    let is_sign = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let bytes = text.as_bytes();
    loop {
        let begin = at + bytes[at..].iter().position(is_sign)?;
        let end = begin + bytes[begin..].iter().take_while(|b| is_sign(b)).count();
        let is_escaped = begin > 0 && matches!(bytes[begin - 1], b'\\' | b'%');
        let begin = if is_escaped { end.min(begin + ESCAPE) } else { begin };
        if end - begin >= SHORTEST {
            return Some((begin, &text[begin..end]));
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_sees_no_key_and_they_come_back() {
        let key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
        for text in [
            format!("secret: {key}\nother: '{key}' # é {key}\n"),
            format!("\"\\n{key}\\x41{key}\\U00000041{key}\" {key}{key}"),
            format!("{}\n{}", &key[..22], &key[22..]),
            "short: a+b/c=\n".into(),
            String::new(),
        ] {
            let (masked, mask) = Mask::of(&text).unwrap();
            assert_eq!(masked.len(), text.len());
            assert!(!masked.contains("QUFBQUFBQU"), "{masked}");
            assert_eq!(*mask.turn_back(&masked), text);
            assert!(mask.runs.len() < 5, "each is kept once");
            // As a line that is folded: two runs become one.
            assert_eq!(*mask.turn_back(&masked.replace('\n', "")), text.replace('\n', ""));
            let cut = mask.turn_back(&masked[..masked.len() / 2]);
            assert!(cut.len() <= text.len());
        }
    }
}
