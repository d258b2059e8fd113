//! A YAML document as a tree in which every value knows its line.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::Value;

/// A value of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) data: Data,
    /// Where the value came from, if the file holds a reference in its place.
    pub(crate) reference: Option<Reference>,
}

/// A scalar, a list or a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// Null, bool, number or text.
    Scalar(Value),
    /// In order.
    List(Vec<Node>),
    /// In order; no key twice.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// The key's line.
    pub(crate) line: usize,
    /// The value.
    pub(crate) node: Node,
}

/// `{ env: NAME }` or `{ file: PATH }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// An environment variable.
    Env(String),
    /// A file's content.
    File(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Env(name) => write!(f, "{{ env: {name} }}"),
            Reference::File(path) => write!(f, "{{ file: {path} }}"),
        }
    }
}

/// YAML that cannot be parsed: the line, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) message: String,
}

impl Node {
    /// Reads one document.
    pub(crate) fn parse(text: &str) -> Result<Node, YamlError> {
        let documents = MarkedYaml::load_from_str(text).map_err(|error| {
            // What is missing at the end shows behind the last line.
            let line = error.marker().line().clamp(1, text.lines().count().max(1));
            let message = match error.info() {
                "duplicated key in mapping" => twice(text, line, error.marker().col()),
                info => format!(
                    "not YAML: {info}: is this line, or the one above, indented otherwise than its neighbours, or is a \
                     bracket or a quote left open?"
                ),
            };
            YamlError { line, message }
        })?;
        match documents.as_slice() {
            [document] => convert(document),
            [] => Err(YamlError { line: 1, message: "the file is empty".to_string() }),
            [_, second, ..] => {
                let message = "a second document begins: one file holds one pipeline".to_string();
                Err(YamlError { line: second.span.start.line(), message })
            }
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The entries; none where it is not a map.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value, without lines.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Data::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
        }
    }

    /// Says that this and all in it is on a line.
    pub(super) fn relocate(&mut self, line: usize) {
        self.line = line;
        match &mut self.data {
            Data::Scalar(_) => {}
            Data::List(nodes) => nodes.iter_mut().for_each(|node| node.relocate(line)),
            Data::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.line = line;
                entry.node.relocate(line);
            }),
        }
    }

    /// Follows keys and indices as far as they lead: the last value there is, and the line of its key.
    pub(crate) fn follow<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> (&Node, usize) {
        let mut at = (self, self.line);
        for step in path {
            let next = match &at.0.data {
                Data::Map(entries) => {
                    entries.iter().find(|entry| entry.key == step).map(|entry| (&entry.node, entry.line))
                }
                Data::List(nodes) => step.parse().ok().and_then(|n: usize| nodes.get(n)).map(|node| (node, node.line)),
                Data::Scalar(_) => None,
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    /// Everything that came by reference, as it stands now.
    pub(crate) fn references(&self) -> Vec<&Node> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(node) = open.pop() {
            if node.reference.is_some() {
                found.push(node);
            }
            match &node.data {
                Data::Scalar(_) => {}
                Data::List(nodes) => open.extend(nodes),
                Data::Map(entries) => open.extend(entries.iter().map(|entry| &entry.node)),
            }
        }
        found
    }
}

/// Which key is there twice, and where it is first, as far as the lines tell.
fn twice(text: &str, line: usize, column: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let at = line.saturating_sub(1);
    let indent = |line: &str| line.chars().take_while(|letter| *letter == ' ').count();
    let word = |line: &str, from: usize| {
        let rest: String = line.chars().skip(from).collect();
        rest.split_once(':').map(|(key, _)| key.trim().to_string()).filter(|key| !key.is_empty())
    };
    let here = lines.get(at).copied().unwrap_or_default();
    let Some(key) = word(here, column) else { return "this key is there twice in one map".to_string() };
    let own = |other: &str| {
        let blank = other.trim().is_empty() || other.trim_start().starts_with('#');
        blank || indent(other) >= indent(here)
    };
    let above = lines.iter().take(at).enumerate().rev().take_while(|(_, other)| own(other));
    let first = above.filter(|(_, other)| indent(other) == column && word(other, column).as_ref() == Some(&key)).last();
    let first = first.map(|(at, _)| format!(", first on line {}", at + 1)).unwrap_or_default();
    format!("`{key}` is there twice in one map{first}")
}

/// A plain scalar as YAML reads it: `5` is a number.
pub(crate) fn scalar(text: &str) -> Value {
    value(&Scalar::parse_from_cow(text.into()))
}

fn value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::from(*value),
        Scalar::Integer(value) => Value::from(*value),
        // JSON knows no infinity; nor does any setting.
        Scalar::FloatingPoint(value) => {
            serde_json::Number::from_f64(value.0).map_or_else(|| Value::from(value.0.to_string()), Value::Number)
        }
        Scalar::String(text) => Value::from(text.as_ref()),
    }
}

fn convert(yaml: &MarkedYaml<'_>) -> Result<Node, YamlError> {
    let line = yaml.span.start.line();
    let wrong = |message: &str| Err(YamlError { line, message: message.to_string() });
    let data = match &yaml.data {
        YamlData::Value(scalar) => Data::Scalar(value(scalar)),
        YamlData::Sequence(list) => Data::List(list.iter().map(convert).collect::<Result<_, _>>()?),
        YamlData::Mapping(map) => {
            let mut entries = Vec::with_capacity(map.len());
            for (key, node) in map {
                let line = key.span.start.line();
                let key = match &key.data {
                    YamlData::Value(Scalar::String(key)) => key.to_string(),
                    YamlData::Value(Scalar::Integer(key)) => key.to_string(),
                    YamlData::Value(Scalar::Boolean(key)) => key.to_string(),
                    _ => return Err(YamlError { line, message: "a key must be text".to_string() }),
                };
                entries.push(Entry { key, line, node: convert(node)? });
            }
            Data::Map(entries)
        }
        YamlData::Tagged(..) => return wrong("tags such as `!name` have no meaning here"),
        YamlData::Alias(_) => return wrong("an alias without its anchor"),
        YamlData::Representation(..) | YamlData::BadValue => return wrong("not a value"),
    };
    Ok(Node { line, data, reference: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_lines_and_their_order() {
        let node = Node::parse("b: 1\na:\n  - x\n  - { y: 2.5, z: ~ }\n").unwrap();
        assert_eq!(node.to_json().to_string(), r#"{"b":1,"a":["x",{"y":2.5,"z":null}]}"#);
        assert_eq!(node.follow(["a", "1", "z"]).1, 4);
        assert_eq!(node.follow(["a", "7"]).1, 2);
    }

    #[test]
    fn what_is_not_a_pipeline_is_refused_with_its_line() {
        let cases = [
            ("", 1, "the file is empty"),
            ("a: 1\nb: [", 2, "not YAML: "),
            ("a: 1\nb: 2\na: 3\n", 3, "`a` is there twice in one map, first on line 1"),
            ("x:\n  a: 1\n\n  b:\n    a: 2\n  a: 3\n", 6, "`a` is there twice in one map, first on line 2"),
            ("a: 1\n---\nb: 2\n", 3, "a second document begins"),
            ("a:\n  b: !secret x\n", 2, "tags such as `!name`"),
            ("[1]: 2\n", 1, "a key must be text"),
        ];
        for (text, line, message) in cases {
            let error = Node::parse(text).unwrap_err();
            assert!(error.line == line && error.message.starts_with(message), "{text:?}: {error:?}");
        }
    }
}
