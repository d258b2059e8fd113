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

/// Resolves a node in place, as far as it can be; says what is wrong. `schema` is the whole document's.
pub(super) fn resolve(node: &mut Node, schema: &Value, surroundings: &ReferenceSources<'_>) -> Vec<ResolveError> {
    let mut walk = Walk { schema, surroundings, path: Vec::new(), errors: Vec::new() };
    walk.node(node, &[schema], node.line);
    walk.errors
}

struct Walk<'a> {
    schema: &'a Value,
    surroundings: &'a ReferenceSources<'a>,
    path: Vec<String>,
    errors: Vec<ResolveError>,
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

    fn node(&mut self, node: &mut Node, schemas: &[&'a Value], line: usize) {
        let expected = self.expected(schemas);
        if let Err(error) = self.value(node, &expected, line) {
            self.errors.push(error);
            return;
        }
        match &mut node.data {
            Data::Scalar(_) => {}
            Data::List(_) if expected.objects().next().is_some() && !expected.takes_type("array") => {
                let message = "a map is needed here, and not a list";
                self.errors.push(self.wrong(line, message, "write `NAME: …` without a `-` before it"));
            }
            Data::List(nodes) => {
                let items: Vec<&Value> = expected.schemas.iter().filter_map(|schema| schema.get("items")).collect();
                for (index, node) in nodes.iter_mut().enumerate() {
                    self.path.push(index.to_string());
                    let line = node.line;
                    self.node(node, &items, line);
                    self.path.pop();
                }
            }
            Data::Map(entries) => {
                let known = expected.closed();
                for entry in entries {
                    if let Some(known) = known.as_ref().filter(|known| !known.contains(&entry.key.as_str())) {
                        let error = self.unknown(&entry.key, entry.line, known);
                        self.errors.push(error);
                        continue;
                    }
                    self.path.push(entry.key.clone());
                    self.node(&mut entry.node, &expected.member(&entry.key), entry.line);
                    self.path.pop();
                }
            }
        }
    }

    /// Reads a reference, fills in variables, and refuses secrets that stand in the file.
    fn value(&self, node: &mut Node, expected: &Expected<'_>, line: usize) -> Result<(), ResolveError> {
        // `{ env: PORT }` is text, but where only a number fits it means the number.
        let value = |text: String| if expected.takes_type("string") { Value::from(text) } else { scalar(&text) };
        if let Some(reference) = reference(node, expected) {
            let reference = reference.map_err(|message| self.wrong(line, message, ""))?;
            node.data = Data::Scalar(value(self.read(&reference, line)?));
            node.reference = Some(reference);
            return Ok(());
        }
        self.check_secret(node, expected, line)?;
        if let Data::Scalar(Value::String(text)) = &node.data
            && let Some(text) = self.fill(text, line)?
        {
            node.data = Data::Scalar(value(text));
            self.check_secret(node, expected, line)?;
        }
        Ok(())
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

    /// A text in which `${NAME}` is replaced by the environment variable, and `${NAME:-TEXT}` by it or, where it is not
    /// set, by the text; `$${` is `${`. `None` where there is nothing to replace.
    fn fill(&self, text: &str, line: usize) -> Result<Option<String>, ResolveError> {
        if !text.contains("${") {
            return Ok(None);
        }
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str("${");
                rest = after;
                continue;
            }
            filled.push_str(before);
            let Some((inside, after)) = after.split_once('}') else {
                return Err(self.wrong(line, "`${` without its `}`", "write `$${` for the letters `${`"));
            };
            let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, text)| (name, Some(text)));
            let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            if name.is_empty() || !name.chars().all(word) {
                let remedy = "write `${NAME}` for an environment variable, `$${` for the letters `${`";
                return Err(self.wrong(line, "`${…}` holds no name", remedy));
            }
            match (self.variable(name, line), default) {
                (Ok(value), _) => filled.push_str(&value),
                (Err(_), Some(default)) => filled.push_str(default),
                (Err(error), None) => return Err(error),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(Some(filled))
    }

    fn check_secret(&self, node: &Node, expected: &Expected<'_>, line: usize) -> Result<(), ResolveError> {
        let remedy = "write `{ env: NAME }` or `{ file: PATH }`, so that the file can be shared";
        let Data::Scalar(value) = &node.data else { return Ok(()) };
        let filled = value.as_str().is_some_and(|text| text.contains("${"));
        if expected.names.contains(&"Secret") && filled {
            let message = "a secret is not filled in within a text, so that no message shows it";
            return Err(self.wrong(line, message, "write `{ env: NAME }` or `{ file: PATH }`"));
        }
        if expected.names.contains(&"Secret") && !value.is_null() {
            return Err(self.wrong(line, "a secret stands in the pipeline file", remedy));
        }
        let has_password = value.as_str().is_some_and(holds_password);
        if expected.names.contains(&"SecretUrl") && has_password {
            return Err(self.wrong(line, "the URL holds a password, and stands in the pipeline file", remedy));
        }
        Ok(())
    }

    fn variable(&self, name: &str, line: usize) -> Result<String, ResolveError> {
        (self.surroundings.env)(name).map_err(|error| match error {
            std::env::VarError::NotPresent => self.wrong(
                line,
                format!("the environment variable `{name}` is not set"),
                format!("set it before foretell starts: `export {name}=…`"),
            ),
            std::env::VarError::NotUnicode(_) => {
                self.wrong(line, format!("the environment variable `{name}` is not UTF-8"), "")
            }
        })
    }

    fn read(&self, reference: &Reference, line: usize) -> Result<String, ResolveError> {
        match reference {
            Reference::Env(name) => self.variable(name, line),
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
