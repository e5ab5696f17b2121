//! A JSON text, as encoding/json of Go takes it.
use super::{
    node::{Node, Value},
    place::{self, Path},
};
use crate::{Error, Result};
use std::rc::Rc;
use zeroize::Zeroizing;

const MOST_LEVELS: usize = 32;

/// Of the encodings that a file can have only this one begins so.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_whitespace()).starts_with('{')
}

pub(super) fn parse(text: &str) -> Result<Rc<Node>> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(&Path::Root, 0)?;
    reader.blank();
    if reader.at < text.len() {
        Err(reader.error(&Path::Root, "more behind the end of the JSON"))
    } else {
        Ok(node)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, path: &Path<'_>, level: usize) -> Result<Rc<Node>> {
        if level > MOST_LEVELS {
            return Err(self.error(path, "is nested too deep"));
        }
        self.blank();
        let start = self.at;
        let node = match self.peek() {
            Some(b'{') => self.map(path, level)?,
            Some(b'[') => self.list(path, level)?,
            Some(b'"') => {
                let text = self.string(path)?;
                Node::scalar(start..self.at, Value::Text(text))
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number(path)?;
                Node::scalar(start..self.at, Value::Number(number))
            }
            _ => {
                let value = self.word(path)?;
                Node::scalar(start..self.at, value)
            }
        };
        Ok(Rc::new(node))
    }

    fn map(&mut self, path: &Path<'_>, level: usize) -> Result<Node> {
        let (start, mut pairs) = (self.at, Vec::new());
        self.at += 1;
        while !self.ends(b'}', pairs.is_empty(), path)? {
            let key = self.at;
            let name = self.string(path)?;
            let key = Rc::new(Node::scalar(key..self.at, Value::Text(name)));
            self.blank();
            self.expect(b':', path)?;
            let value = self.value(&path.field(key.text().unwrap_or_default()), level + 1)?;
            pairs.push((key, value));
        }
        Ok(Node::map(start..self.at, pairs))
    }

    fn list(&mut self, path: &Path<'_>, level: usize) -> Result<Node> {
        let (start, mut items) = (self.at, Vec::new());
        self.at += 1;
        while !self.ends(b']', items.is_empty(), path)? {
            let item = self.value(&Path::Item(path, items.len()), level + 1)?;
            items.push(item);
        }
        Ok(Node::list(start..self.at, start, items))
    }

    /// At the end of a list, or at its next item.
    fn ends(&mut self, end: u8, is_first: bool, path: &Path<'_>) -> Result<bool> {
        self.blank();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(true);
        }
        if !is_first {
            self.expect(b',', path)?;
            self.blank();
        }
        Ok(false)
    }

    fn string(&mut self, path: &Path<'_>) -> Result<Zeroizing<String>> {
        self.expect(b'"', path)?;
        let rest = &self.text[self.at..];
        let mut is_escaped = false;
        let end = rest.bytes().position(|b| {
            let ends = b == b'"' && !is_escaped;
            is_escaped = b == b'\\' && !is_escaped;
            ends
        });
        let raw = &rest[..end.ok_or_else(|| self.error(path, "a string without end"))?];
        let text = unescaped(raw).ok_or_else(|| self.error(path, "no string of JSON"))?;
        self.at += raw.len() + 1;
        Ok(text)
    }

    fn number(&mut self, path: &Path<'_>) -> Result<Option<i64>> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
        let raw = &rest[..end.unwrap_or(rest.len())];
        serde_json::from_str::<serde_json::Number>(raw).map_err(|_| self.error(path, "no number of JSON"))?;
        self.at += raw.len();
        Ok(raw.parse().ok())
    }

    fn word(&mut self, path: &Path<'_>) -> Result<Value> {
        let rest = &self.text[self.at..];
        for (word, value) in [("null", Value::Null), ("true", Value::Bool), ("false", Value::Bool)] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error(path, "no JSON: a value is missing"))
    }

    fn expect(&mut self, sign: u8, path: &Path<'_>) -> Result<()> {
        if self.peek() != Some(sign) {
            return Err(self.error(path, format_args!("no JSON: here must be a {:?}", char::from(sign))));
        }
        self.at += 1;
        Ok(())
    }

    fn blank(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, path: &Path<'_>, said: impl std::fmt::Display) -> Error {
        place::error(self.text, self.at, path, said)
    }
}

fn unescaped(raw: &str) -> Option<Zeroizing<String>> {
    // As long as it can get: nothing is left behind where it grew.
    let mut out = Zeroizing::new(String::with_capacity(raw.len()));
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(escape(&mut rest)?),
            c if c < ' ' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

fn escape(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let high = unit(rest)?;
            let mut ahead = rest.clone();
            let is_high = (0xd800..0xdc00).contains(&high);
            let low = (is_high && ahead.next() == Some('\\') && ahead.next() == Some('u'))
                .then(|| unit(&mut ahead));
            match low.flatten() {
                Some(low @ 0xdc00..0xe000) => {
                    *rest = ahead;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
                }
                // A half of a pair is no character.
                _ => char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
            }
        }
        c @ ('"' | '\\' | '/') => c,
        _ => return None,
    })
}

fn unit(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |n, _| Some(16 * n + rest.next()?.to_digit(16)?))
}
