//! The first document of a YAML text.
use super::{
    mask::Mask,
    node::{Node, Value},
    place::{self, Path},
    scalar::resolve,
};
use crate::{Error, Result};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use std::{borrow::Cow, collections::HashMap, fmt::Display, ops::Range, rc::Rc};

const BOM: char = '\u{feff}';
/// A configuration is not deeper than nine.
const MOST_LEVELS: usize = 32;
/// Values and texts, aliases followed.
const MOST_WEIGHT: usize = 200_000;

pub(super) fn parse(text: &str) -> Result<Rc<Node>> {
    let bom = if text.starts_with(BOM) { BOM.len_utf8() } else { 0 };
    check_characters(text, bom)?;
    check_version(text, bom)?;
    let (masked, mask) = Mask::of(text)?;
    let mut builder = Builder {
        text,
        mask,
        bom,
        starts: starts(text, bom),
        parser: Parser::new_from_str(&masked[bom..]),
        anchors: HashMap::new(),
        weight: 0,
        flows: 0,
    };
    builder.document()
}

struct Builder<'a> {
    text: &'a str,
    mask: Mask<'a>,
    bom: usize,
    /// Of each character, if there are others than ASCII.
    starts: Option<Vec<u32>>,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node>>,
    weight: usize,
    /// So many brackets are open.
    flows: usize,
}

type Taken<'a> = (Event<'a>, Range<usize>);

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Rc<Node>> {
        loop {
            match self.next(&Path::Root)? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd, at) => return Ok(Rc::new(Node::scalar(at, Value::Null))),
                // What follows is nothing to the server.
                event => return self.node(event, &Path::Root, 0),
            }
        }
    }

    fn next(&mut self, path: &Path<'_>) -> Result<Taken<'a>> {
        match self.parser.next_event() {
            None => Err(self.error(self.text.len(), path, "ends too early")),
            Some(Ok((event, span))) => {
                let at = self.bytes(&span);
                Ok((event, at))
            }
            Some(Err(e)) => {
                // All but this are texts of the parser's own.
                let said = if e.info().contains('`') { "unexpected character" } else { e.info() };
                let at = self.byte(e.marker().index());
                Err(self.error(at, path, format_args!("no YAML: {said}")))
            }
        }
    }

    fn node(&mut self, (event, at): Taken<'a>, path: &Path<'_>, level: usize) -> Result<Rc<Node>> {
        if level > MOST_LEVELS {
            return Err(self.error(at.start, path, "is nested too deep"));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let said = "is an alias of what it is itself part of";
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| self.error(at.start, path, said))?;
                self.add(node.weight, at.start, path)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => (self.scalar(text, style, tag, at, path)?, anchor),
            Event::SequenceStart(anchor, _) => {
                (self.within(at, |this, at| this.list(at, path, level))?, anchor)
            }
            Event::MappingStart(anchor, _) => {
                (self.within(at, |this, at| this.map(at, path, level))?, anchor)
            }
            _ => return Err(self.error(at.start, path, "no YAML: a value is missing")),
        };
        self.add(1, node.at.start, path)?;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn within<T>(
        &mut self,
        at: Range<usize>,
        read: impl FnOnce(&mut Self, Range<usize>) -> Result<T>,
    ) -> Result<T> {
        let outside = self.flows;
        self.flows += usize::from(self.is_flow(&at));
        let result = read(self, at);
        self.flows = outside;
        result
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<Cow<'a, Tag>>,
        at: Range<usize>,
        path: &Path<'_>,
    ) -> Result<Node> {
        let text = self.mask.turn_back(&text);
        self.add(text.len() / 64, at.start, path)?;
        if self.flows > 0 && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return Err(self.error(at.start, path, "no YAML: a block within brackets"));
        }
        let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
        let value = resolve(&text, tag.as_deref(), style == ScalarStyle::Plain);
        value.map(|value| Node::scalar(at.clone(), value)).map_err(|said| self.error(at.start, path, said))
    }

    fn list(&mut self, start: Range<usize>, path: &Path<'_>, level: usize) -> Result<Node> {
        let mut items = Vec::new();
        loop {
            match self.next(path)? {
                (Event::SequenceEnd, end) => {
                    return Ok(Node::list(self.whole(start.clone(), &end, &items), self.open(&start), items));
                }
                event => items.push(self.node(event, &Path::Item(path, items.len()), level + 1)?),
            }
        }
    }

    fn map(&mut self, start: Range<usize>, path: &Path<'_>, level: usize) -> Result<Node> {
        let (mut pairs, mut parts) = (Vec::new(), Vec::new());
        loop {
            let key = match self.next(path)? {
                (Event::MappingEnd, end) => return Ok(Node::map(self.whole(start, &end, &parts), pairs)),
                event => event,
            };
            let is_merge = is_merge(&key.0);
            let key = self.node(key, path, level + 1)?;
            let next = self.next(path)?;
            let is_alias = matches!(next.0, Event::Alias(_));
            let value = self.node(next, &path.field(key.text().unwrap_or_default()), level + 1)?;
            parts.extend([Rc::clone(&key), Rc::clone(&value)].into_iter().take(2 - usize::from(is_alias)));
            if is_merge {
                self.merge(&value, is_alias, &mut pairs, path)?;
            } else {
                pairs.push((key, value));
            }
        }
    }

    /// `<<: *defaults`, `<<: [*a, *b]`. What is there twice then is an error later.
    fn merge(
        &self,
        value: &Rc<Node>,
        is_alias: bool,
        pairs: &mut Vec<(Rc<Node>, Rc<Node>)>,
        path: &Path<'_>,
    ) -> Result<()> {
        let from = match &value.value {
            Value::List(_, items) if !is_alias => items.iter().collect(),
            _ => vec![value],
        };
        for node in from {
            let Value::Map(merged) = &node.value else {
                return Err(self.error(node.at.start, path, "only maps can be merged"));
            };
            pairs.extend(merged.iter().cloned());
        }
        Ok(())
    }

    /// Of a block only its parts say where it ends.
    fn whole(&self, start: Range<usize>, end: &Range<usize>, parts: &[Rc<Node>]) -> Range<usize> {
        let last = parts.iter().map(|part| part.at.end).max().unwrap_or(start.start);
        start.start..if self.is_flow(&start) { end.end } else { last }
    }

    /// Whether what begins so has brackets. A block begins with nothing, but for its anchor and tag.
    fn is_flow(&self, start: &Range<usize>) -> bool {
        !start.is_empty() && self.text[..start.end].ends_with(['[', '{'])
    }

    /// Its bracket or its first dash. Where a block is not indented, it begins behind that.
    fn open(&self, start: &Range<usize>) -> usize {
        if self.is_flow(start) {
            return start.end - 1;
        }
        let is_dash = self.text[start.end..].starts_with('-');
        let before = self.text[..start.end].trim_end_matches([' ', '\t']);
        if is_dash && !before.ends_with('-') { start.end } else { before.len().max(1) - 1 }
    }

    fn add(&mut self, weight: usize, at: usize, path: &Path<'_>) -> Result<()> {
        self.weight = self.weight.saturating_add(weight);
        let is_too_much = self.weight > MOST_WEIGHT;
        if is_too_much { Err(self.error(at, path, "holds too much, aliases followed")) } else { Ok(()) }
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }

    fn byte(&self, character: usize) -> usize {
        let byte = match &self.starts {
            None => self.bom + character,
            Some(starts) => starts.get(character).map_or(self.text.len(), |byte| *byte as usize),
        };
        byte.min(self.text.len())
    }

    fn error(&self, at: usize, path: &Path<'_>, said: impl Display) -> Error {
        place::error(self.text, at, path, said)
    }
}

fn is_merge(event: &Event<'_>) -> bool {
    let Event::Scalar(text, style, _, tag) = event else { return false };
    let is_tag = |tag: &Cow<'_, Tag>| tag.is_yaml_core_schema() && tag.suffix == "merge";
    text == "<<" && tag.as_ref().map_or(*style == ScalarStyle::Plain, is_tag)
}

/// Those that YAML 1.1 takes; and a byte order mark only where it is one.
fn check_characters(text: &str, bom: usize) -> Result<()> {
    let is_wrong = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        BOM | '\u{fffe}' | '\u{ffff}' => true,
        c => c < ' ' || ('\u{7f}'..'\u{a0}').contains(&c),
    };
    match text[bom..].find(is_wrong) {
        Some(at) => Err(place::error(text, bom + at, &Path::Root, "a control character")),
        None => Ok(()),
    }
}

/// `%YAML 1.2` is none that the server takes.
fn check_version(text: &str, bom: usize) -> Result<()> {
    let is_before = |line: &&str| line.trim().is_empty() || line.starts_with(['#', '%']);
    let mut at = bom;
    for line in text[bom..].split_inclusive('\n').take_while(is_before) {
        let mut words = line.split_whitespace();
        if words.next() == Some("%YAML") && words.next() != Some("1.1") {
            return Err(place::error(text, at, &Path::Root, "the server reads YAML 1.1 only"));
        }
        at += line.len();
    }
    Ok(())
}

fn starts(text: &str, bom: usize) -> Option<Vec<u32>> {
    let index = |(i, _): (usize, char)| u32::try_from(bom + i).unwrap_or(u32::MAX);
    (!text.is_ascii()).then(|| text[bom..].char_indices().map(index).collect())
}
