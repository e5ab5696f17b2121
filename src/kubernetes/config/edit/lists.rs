//! Lists in a text, edited where they stand: every other byte stays.
use super::super::node::{Node, Value};
use std::{ops::Range, rc::Rc};
use zeroize::Zeroizing;

/// The items of a list, each as a piece of the text that can change places with another.
pub(super) struct Pieces<'a> {
    text: &'a str,
    /// One after the other; in a block whole lines, comments before an item included.
    pieces: Vec<Range<usize>>,
    /// The column of the dashes; None within brackets.
    column: Option<usize>,
}

impl<'a> Pieces<'a> {
    /// None where the list is written as no edit knows it.
    pub(super) fn of(text: &'a str, list: &Node) -> Option<Self> {
        let Value::List(open, items) = &list.value else { return None };
        match text.as_bytes().get(*open)? {
            b'[' => {
                let pieces: Vec<_> = items.iter().map(|item| item.at.clone()).collect();
                is_in_order(&pieces).then_some(Self { text, pieces, column: None })
            }
            b'-' => Self::of_block(text, *open, items),
            _ => None,
        }
    }

    fn of_block(text: &'a str, first: usize, items: &[Rc<Node>]) -> Option<Self> {
        let line = line_start(text, first);
        let column = first - line;
        text[line..first].bytes().all(|b| b == b' ').then_some(())?;
        let mut begin = with_comments_before(text, line);
        let mut pieces = Vec::with_capacity(items.len());
        for item in items {
            let last = text[..item.at.end].trim_end().len();
            let end = text[last..].find('\n').map_or(text.len(), |n| last + n + 1);
            pieces.push(begin..end);
            begin = end;
        }
        is_in_order(&pieces).then_some(Self { text, pieces, column: Some(column) })
    }

    /// How far the dashes are indented; None within brackets.
    pub(super) fn column(&self) -> Option<usize> {
        self.column
    }

    /// The text with `item` behind the first item.
    pub(super) fn with_second(&self, item: &str) -> Option<Zeroizing<String>> {
        let at = self.pieces.first()?.end;
        let (before, after) = self.text.split_at(at);
        let between = match self.column {
            None => ", ",
            Some(_) if before.ends_with('\n') => "",
            Some(_) => self.line_end(),
        };
        Some(joined(&[before, between, item, after]))
    }

    /// The text with the item `n` as the first one.
    pub(super) fn with_first(&self, n: usize) -> Option<Zeroizing<String>> {
        let order = [n].into_iter().chain((0..self.pieces.len()).filter(|i| *i != n));
        let (mut parts, mut at) = (Vec::new(), 0);
        for (place, from) in self.pieces.iter().zip(order) {
            let piece = self.text.get(self.pieces.get(from)?.clone())?;
            parts.extend([&self.text[at..place.start], piece]);
            if self.column.is_some() && !piece.ends_with('\n') {
                parts.push(self.line_end());
            }
            at = place.end;
        }
        parts.push(&self.text[at..]);
        Some(joined(&parts))
    }

    /// The text without the item `n`, which is not the only one.
    pub(super) fn without(&self, n: usize) -> Option<Zeroizing<String>> {
        let piece = self.pieces.get(n)?;
        let cut = match (self.column, n) {
            (Some(_), _) => piece.clone(),
            (None, 0) => piece.start..self.pieces.get(1)?.start,
            (None, _) => self.pieces[n - 1].end..piece.end,
        };
        Some(joined(&[&self.text[..cut.start], &self.text[cut.end..]]))
    }

    pub(super) fn line_end(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }
}

fn is_in_order(pieces: &[Range<usize>]) -> bool {
    let is_one = pieces.iter().all(|piece| piece.start < piece.end);
    is_one && pieces.windows(2).all(|pair| pair[0].end <= pair[1].start)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

fn with_comments_before(text: &str, mut line: usize) -> usize {
    while line > 0 {
        let above = line_start(text, line - 1);
        if !text[above..line].trim_start().starts_with('#') {
            break;
        }
        line = above;
    }
    line
}

/// In memory that no growing left behind.
fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    text
}
