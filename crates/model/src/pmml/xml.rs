//! The document: elements and attributes by their names. Entities and document types are refused, and what a document may
//! hold is bounded by its size.

use roxmltree::{Document, Node, ParsingOptions};

use super::FORMAT;
use crate::Error;

/// Attributes of one element: each is compared with all before it.
const ATTRIBUTES: usize = 512;

/// An element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'d> {
    node: Node<'d, 'd>,
}

pub(super) fn error(offset: usize, message: impl Into<String>) -> Error {
    Error::Format { format: FORMAT, offset, message: message.into() }
}

/// Parses a document.
pub(super) fn parse(text: &str) -> Result<Document<'_>, Error> {
    if let Some(at) = crowded(text.as_bytes()) {
        return Err(error(at, format!("an element of more than {ATTRIBUTES} attributes")));
    }
    // An element takes three bytes at least.
    let nodes = u32::try_from(text.len() / 3).unwrap_or(u32::MAX);
    let options = ParsingOptions { allow_dtd: false, nodes_limit: nodes.max(16), ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|wrong| {
        let at = wrong.pos();
        let line = text.split_inclusive('\n').take(at.row.saturating_sub(1) as usize).map(str::len).sum::<usize>();
        error(line.saturating_add(at.col.saturating_sub(1) as usize), format!("it is no well-formed XML: {wrong}"))
    })
}

/// Where an element of too many attributes begins.
fn crowded(bytes: &[u8]) -> Option<usize> {
    let (mut start, mut quote, mut count) = (None, None, 0usize);
    for (at, byte) in bytes.iter().enumerate() {
        match (start, quote, *byte) {
            (None, _, b'<') => (start, count) = (Some(at), 0),
            (Some(_), Some(open), byte) if byte == open => quote = None,
            (Some(_), None, b'"' | b'\'') => {
                quote = Some(*byte);
                count = count.saturating_add(1);
                if count > ATTRIBUTES {
                    return start;
                }
            }
            (Some(_), None, b'>') => start = None,
            _ => {}
        }
    }
    None
}

impl<'d> Element<'d> {
    pub(super) fn root(document: &'d Document<'d>) -> Self {
        Element { node: document.root_element() }
    }

    pub(super) fn name(self) -> &'d str {
        self.node.tag_name().name()
    }

    pub(super) fn error(self, message: impl Into<String>) -> Error {
        error(self.node.range().start, format!("{}: {}", self.name(), message.into()))
    }

    /// Refuses what is not read.
    pub(super) fn unsupported(self, what: impl Into<String>, supported: &str) -> Error {
        Error::unsupported(format!("PMML: byte {} ({})", self.node.range().start, self.name()), what, supported)
    }

    pub(super) fn children(self) -> impl Iterator<Item = Element<'d>> {
        self.node.children().filter(Node::is_element).map(|node| Element { node })
    }

    pub(super) fn all(self, name: &'static str) -> impl Iterator<Item = Element<'d>> {
        self.children().filter(move |child| child.name() == name)
    }

    pub(super) fn child(self, name: &'static str) -> Option<Element<'d>> {
        self.all(name).next()
    }

    pub(super) fn needed(self, name: &'static str) -> Result<Element<'d>, Error> {
        self.child(name).ok_or_else(|| self.error(format!("it has no `{name}`")))
    }

    pub(super) fn text(self) -> &'d str {
        self.node.text().unwrap_or_default()
    }

    pub(super) fn get(self, name: &str) -> Option<&'d str> {
        self.node.attribute(name)
    }

    pub(super) fn attribute(self, name: &str) -> Result<&'d str, Error> {
        self.get(name).ok_or_else(|| self.error(format!("`{name}` is missing")))
    }

    /// A number, where it is there.
    pub(super) fn number(self, name: &str) -> Result<Option<f64>, Error> {
        let parse = |text: &str| number(text).ok_or_else(|| self.error(format!("`{name}` is no number")));
        self.get(name).map(parse).transpose()
    }

    pub(super) fn number_or(self, name: &str, default: f64) -> Result<f64, Error> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    /// Whether an attribute says yes.
    pub(super) fn flag(self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// The values of an `Array`: divided by blanks, in quotes where they hold some.
    pub(super) fn array(self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        let mut chars = self.text().chars().peekable();
        loop {
            while chars.next_if(|char| char.is_whitespace()).is_some() {}
            let Some(first) = chars.peek() else { return Ok(all) };
            let mut one = String::new();
            if *first == '"' {
                chars.next();
                loop {
                    match chars.next() {
                        Some('\\') => one.extend(chars.next_if(|char| matches!(char, '"' | '\\')).or(Some('\\'))),
                        Some('"') => break,
                        Some(char) => one.push(char),
                        None => return Err(self.error("a text in its list has no end")),
                    }
                }
            } else {
                while let Some(char) = chars.next_if(|char| !char.is_whitespace()) {
                    one.push(char);
                }
            }
            all.push(one);
        }
    }

    /// The numbers of an `Array`, or of a `REAL-SparseArray`.
    pub(super) fn numbers(self, most: usize) -> Result<Vec<f64>, Error> {
        let wrong = || self.error("a value in its list is no number");
        if self.name() != "REAL-SparseArray" {
            return self.array()?.iter().map(|text| number(text).ok_or_else(wrong)).collect();
        }
        let count = self.number("n")?.map_or(most, |n| n as usize).min(most);
        let mut all = vec![self.number_or("defaultValue", 0.0)?; count];
        let places = self.child("Indices").map_or(Ok(Vec::new()), Element::array)?;
        let values = self.child("REAL-Entries").map_or(Ok(Vec::new()), Element::array)?;
        for (place, value) in places.iter().zip(&values) {
            let place = place.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
            let slot = place.and_then(|place| all.get_mut(place)).ok_or_else(wrong)?;
            *slot = number(value).ok_or_else(wrong)?;
        }
        Ok(all)
    }

    /// The first child that is an array of some kind.
    pub(super) fn list(self) -> Option<Element<'d>> {
        self.children().find(|child| matches!(child.name(), "Array" | "REAL-SparseArray" | "INT-SparseArray"))
    }
}

/// A number as XML Schema writes it.
pub(super) fn number(text: &str) -> Option<f64> {
    match text.trim() {
        "INF" | "Infinity" => Some(f64::INFINITY),
        "-INF" | "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}
