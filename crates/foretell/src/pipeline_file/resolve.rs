//! From what the file says to what it means: references are read, secrets that stand in the file are refused, and
//! unknown keys are named with their nearest neighbour. The schema says what each place takes.

use std::path::Path;

use serde_json::Value;

use foretell_suggest::nearest;

use super::error::list;
use super::node::{Data, Node, Reference, scalar};

/// Keys that had another name once.
const RENAMED: &[(&str, &str)] = &[("lanes", "partitions")];

/// Something wrong at a place of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolveError {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// Where references are read from.
pub(super) struct ReferenceSources<'a> {
    /// Environment variables.
    pub(super) env: &'a dyn Fn(&str) -> Result<String, std::env::VarError>,
    /// Paths are relative to this folder.
    pub(super) base: &'a Path,
}

/// Resolves a node in place. `schema` is the whole document's.
pub(super) fn resolve(
    node: &mut Node,
    schema: &Value,
    surroundings: &ReferenceSources<'_>,
) -> Result<(), ResolveError> {
    let mut walk = Walk { schema, surroundings, path: Vec::new() };
    walk.node(node, &[schema], node.line)
}

struct Walk<'a> {
    schema: &'a Value,
    surroundings: &'a ReferenceSources<'a>,
    path: Vec<String>,
}

/// What may stand at a place: the alternatives of its schema, and the names by which they were reached.
#[derive(Default)]
struct Expected<'a> {
    schemas: Vec<&'a Value>,
    names: Vec<&'a str>,
}

impl<'a> Expected<'a> {
    fn takes_type(&self, name: &str) -> bool {
        self.schemas.iter().any(|schema| match schema.get("type") {
            Some(Value::Array(types)) => types.iter().any(|t| t == name),
            Some(t) => t == name,
            // An enumeration of texts, or no word about the type.
            None => match schema.get("enum") {
                Some(Value::Array(values)) => name == "string" && values.iter().any(Value::is_string),
                _ => schema
                    .get("const")
                    .map_or(schema.get("properties").is_none(), |c| name == "string" && c.is_string()),
            },
        })
    }

    fn objects(&self) -> impl Iterator<Item = &&'a Value> {
        self.schemas.iter().filter(|s| s.get("properties").is_some() || s.get("additionalProperties").is_some())
    }

    /// What a key's value must be: from the properties, else from what is said of additional ones.
    fn member(&self, key: &str) -> Vec<&'a Value> {
        let objects: Vec<_> = self.objects().collect();
        let named: Vec<_> = objects.iter().filter_map(|s| s.get("properties")?.get(key)).collect();
        if !named.is_empty() {
            return named;
        }
        objects.iter().filter_map(|s| s.get("additionalProperties").filter(|a| a.is_object())).collect()
    }

    /// The keys that are known, where no others are allowed.
    fn closed(&self) -> Option<Vec<&'a str>> {
        let mut objects = self.objects().peekable();
        objects.peek()?;
        let mut known = Vec::new();
        for object in objects {
            if object.get("additionalProperties") != Some(&Value::Bool(false)) {
                return None;
            }
            if let Some(Value::Object(properties)) = object.get("properties") {
                known.extend(properties.keys().map(String::as_str));
            }
        }
        Some(known)
    }
}

impl<'a> Walk<'a> {
    fn expected(&self, schemas: &[&'a Value]) -> Expected<'a> {
        let mut expected = Expected::default();
        let mut open: Vec<&'a Value> = schemas.to_vec();
        // Settings do not nest without end; the bound is there for a schema that refers to itself.
        for _ in 0..1000 {
            let Some(schema) = open.pop() else { break };
            if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/")) {
                expected.names.push(name);
                open.extend(self.schema.get("$defs").and_then(|defs| defs.get(name)));
            }
            let mut alternatives = false;
            for key in ["anyOf", "oneOf", "allOf"] {
                if let Some(Value::Array(list)) = schema.get(key) {
                    alternatives = true;
                    open.extend(list);
                }
            }
            if schema.get("$ref").is_none() && (!alternatives || schema.get("properties").is_some()) {
                expected.schemas.push(schema);
            }
        }
        expected
    }

    fn wrong(&self, line: usize, message: impl Into<String>, remedy: impl Into<String>) -> ResolveError {
        ResolveError { line, path: self.path.clone(), message: message.into(), remedy: remedy.into() }
    }

    fn node(&mut self, node: &mut Node, schemas: &[&'a Value], line: usize) -> Result<(), ResolveError> {
        let expected = self.expected(schemas);
        if let Some(reference) = reference(node, &expected) {
            let reference = reference.map_err(|message| self.wrong(line, message, ""))?;
            let text = self.read(&reference, line)?;
            // `{ env: PORT }` is text, but where only a number fits it means the number.
            let value = if expected.takes_type("string") { Value::from(text) } else { scalar(&text) };
            node.data = Data::Scalar(value);
            node.reference = Some(reference);
            return Ok(());
        }
        self.check_secret(node, &expected, line)?;
        match &mut node.data {
            Data::Scalar(value) => self.check_filled_in(value.as_str().unwrap_or_default(), &expected, line),
            Data::List(nodes) => {
                let items: Vec<&Value> = expected.schemas.iter().filter_map(|schema| schema.get("items")).collect();
                for (index, node) in nodes.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    let line = node.line;
                    self.node(node, &items, line)?;
                    self.path.pop();
                }
                Ok(())
            }
            Data::Map(entries) => {
                if let Some(known) = expected.closed() {
                    let unknown = entries.iter().find(|entry| !known.contains(&entry.key.as_str()));
                    if let Some(entry) = unknown {
                        return Err(self.unknown(&entry.key, entry.line, &known));
                    }
                }
                for entry in entries {
                    self.path.push(entry.key.clone());
                    self.node(&mut entry.node, &expected.member(&entry.key), entry.line)?;
                    self.path.pop();
                }
                Ok(())
            }
        }
    }

    fn unknown(&self, key: &str, line: usize, known: &[&str]) -> ResolveError {
        let mut known = known.to_vec();
        known.sort_unstable();
        known.dedup();
        let all = if known.is_empty() {
            "none is known here".to_string()
        } else {
            format!("known here: {}", list(known.iter().copied()))
        };
        let renamed = RENAMED.iter().find(|(old, new)| *old == key && known.contains(new)).map(|(_, new)| *new);
        let remedy = match renamed.or_else(|| nearest(key, known.iter().copied())) {
            Some(near) => format!("did you mean `{near}`? ({all})"),
            None => all,
        };
        self.wrong(line, format!("unknown key `{key}`"), remedy)
    }

    /// `${NAME}`, as Compose and others write it, means nothing here: a server of that name would be looked up.
    fn check_filled_in(&self, text: &str, expected: &Expected<'_>, line: usize) -> Result<(), ResolveError> {
        let variable = |text: &str| {
            let name = text.strip_prefix("${")?.split_once('}')?.0;
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (!name.is_empty() && name.chars().all(word)).then(|| name.to_string())
        };
        let address = |key: &String| ["brokers", "connect", "listen", "endpoint", "url"].contains(&key.as_str());
        let is_address = expected.names.contains(&"SecretUrl") || self.path.iter().rev().take(2).any(address);
        let Some(name) = text.match_indices("${").find_map(|(at, _)| variable(&text[at..])) else { return Ok(()) };
        if text == format!("${{{name}}}") {
            let message = format!("`${{{name}}}` is taken as it stands: nothing is filled in");
            return Err(self.wrong(line, message, format!("write `{{ env: {name} }}`")));
        }
        if is_address {
            let message = format!("`${{{name}}}` is taken as it stands: nothing is filled in within a value");
            return Err(self.wrong(line, message, "put the whole value into a variable, and write `{ env: NAME }`"));
        }
        Ok(())
    }

    fn check_secret(&self, node: &Node, expected: &Expected<'_>, line: usize) -> Result<(), ResolveError> {
        let remedy = "write `{ env: NAME }` or `{ file: PATH }`, so that the file can be shared";
        let Data::Scalar(value) = &node.data else { return Ok(()) };
        if expected.names.contains(&"Secret") && !value.is_null() {
            return Err(self.wrong(line, "a secret stands in the pipeline file", remedy));
        }
        let has_password = value.as_str().is_some_and(holds_password);
        if expected.names.contains(&"SecretUrl") && has_password {
            return Err(self.wrong(line, "the URL holds a password, and stands in the pipeline file", remedy));
        }
        Ok(())
    }

    fn read(&self, reference: &Reference, line: usize) -> Result<String, ResolveError> {
        match reference {
            Reference::Env(name) => (self.surroundings.env)(name).map_err(|error| match error {
                std::env::VarError::NotPresent => self.wrong(
                    line,
                    format!("the environment variable `{name}` is not set"),
                    format!("set it before foretell starts: `export {name}=…`"),
                ),
                std::env::VarError::NotUnicode(_) => {
                    self.wrong(line, format!("the environment variable `{name}` is not UTF-8"), "")
                }
            }),
            Reference::File(path) => {
                let full = self.surroundings.base.join(path);
                let text = std::fs::read_to_string(&full).map_err(|error| {
                    let reason = match error.kind() {
                        std::io::ErrorKind::NotFound => "does not exist".to_string(),
                        std::io::ErrorKind::InvalidData => "is not UTF-8".to_string(),
                        _ => format!("cannot be read: {error}"),
                    };
                    let remedy = "the path is relative to the pipeline file";
                    self.wrong(line, format!("the file `{}` {reason}", full.display()), remedy)
                })?;
                let trimmed = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
                Ok(trimmed.to_string())
            }
        }
    }
}

/// The reference that a node is, where the place does not take a map with such a key.
fn reference(node: &Node, expected: &Expected<'_>) -> Option<Result<Reference, String>> {
    let has = |key: &str| node.entries().iter().any(|entry| entry.key == key);
    let key = ["env", "file"].into_iter().find(|key| has(key))?;
    let taken = !expected.member(key).is_empty();
    if taken {
        return None;
    }
    let ours = node.entries().len() == 1;
    let text = node.get(key).and_then(|value| match &value.data {
        Data::Scalar(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    });
    match text {
        Some(text) if ours && key == "env" => Some(Ok(Reference::Env(text))),
        Some(text) if ours => Some(Ok(Reference::File(text))),
        // A map of settings with one misspelt key is better told as just that.
        _ if expected.objects().next().is_some() => None,
        _ => Some(Err("a reference is `{ env: NAME }` or `{ file: PATH }`, and nothing else beside it".to_string())),
    }
}

/// Whether a URL holds a password; a malformed one counts as holding one.
fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let in_authority = rest
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, password)| !password.is_empty()));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let in_query = query.split(['&', ';']).filter_map(|pair| pair.split_once('=')).any(|(key, value)| {
        let key = key.to_ascii_lowercase();
        !value.is_empty() && (key.contains("password") || key == "pwd" || key.contains("secret"))
    });
    in_authority || in_query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_seen() {
        for url in ["mysql://u:p@h/db", "postgres://h/db?user=a&password=x", "mysql://u:p#/?@h", "u:p@h"] {
            assert!(holds_password(url), "{url}");
        }
        for url in ["mysql://h/db", "mysql://u@h:3306/db", "sqlite://file.db?mode=rwc", "postgres://u:@h/db"] {
            assert!(!holds_password(url), "{url}");
        }
    }
}
