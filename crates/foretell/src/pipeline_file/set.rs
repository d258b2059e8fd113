//! `--set KEY=VALUE`: settings of the command line in place of the file's.

use serde_json::Value;

use super::node::{Data, Entry, Node};

/// One setting of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// The keys down to it.
    path: Vec<String>,
    /// What it is to be, as YAML.
    value: Node,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let form = "write `KEY=VALUE`, e.g. `sinks.db.sql.table=results`";
        let (keys, value) = text.split_once('=').ok_or_else(|| form.to_string())?;
        let path: Vec<String> = keys.split('.').map(|key| key.trim().to_string()).collect();
        if path.iter().any(String::is_empty) {
            return Err(form.to_string());
        }
        let value = match value.trim() {
            "" => Node { line: 1, data: Data::Scalar(Value::from("")), reference: None },
            value => Node::parse(value).map_err(|error| format!("the value of `{keys}` is {}", error.message))?,
        };
        Ok(Setting { path, value })
    }
}

impl Setting {
    /// Puts it into a file's tree; maps that are not there are made. Errors about it name the line of what is above it.
    ///
    /// # Errors
    /// A key leads through something that is not a map, or beyond the end of a list.
    pub(super) fn apply(&self, tree: &mut Node) -> Result<(), String> {
        let mut at = tree;
        for (depth, key) in self.path.iter().enumerate() {
            let line = at.line;
            if matches!(at.data, Data::Scalar(Value::Null)) {
                at.data = Data::Map(Vec::new());
            }
            at = match &mut at.data {
                Data::Map(entries) => {
                    let found = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                        let node = Node { line, data: Data::Scalar(Value::Null), reference: None };
                        entries.push(Entry { key: key.clone(), line, node });
                        entries.len() - 1
                    });
                    &mut entries[found].node
                }
                Data::List(nodes) => {
                    let count = nodes.len();
                    let found = key.parse().ok().and_then(|index: usize| nodes.get_mut(index));
                    found.ok_or_else(|| format!("`{}`: the list has {count} entries, from 0", self.shown(depth + 1)))?
                }
                Data::Scalar(_) => return Err(format!("`{}` is a value, and has no keys", self.shown(depth))),
            };
        }
        let line = at.line;
        *at = self.value.clone();
        at.relocate(line);
        Ok(())
    }

    fn shown(&self, depth: usize) -> String {
        self.path.iter().take(depth).map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, settings: &[&str]) -> Result<String, String> {
        let mut tree = Node::parse(text).unwrap();
        for setting in settings {
            setting.parse::<Setting>()?.apply(&mut tree)?;
        }
        Ok(tree.to_json().to_string())
    }

    #[test]
    fn values_are_yaml_and_maps_are_made() {
        let text = "a: 1\nb: { c: [x, y] }\nd:\n";
        assert_eq!(
            set(text, &["a=2", "b.c.1=z", "d.e.f={ env: X }", "g=a=b"]).unwrap(),
            r#"{"a":2,"b":{"c":["x","z"]},"d":{"e":{"f":{"env":"X"}}},"g":"a=b"}"#
        );
        assert_eq!(set(text, &["a="]).unwrap(), r#"{"a":"","b":{"c":["x","y"]},"d":null}"#);
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        for (setting, told) in [
            ("a", "write `KEY=VALUE`"),
            ("a..b=1", "write `KEY=VALUE`"),
            ("a.b=1", "`a` is a value, and has no keys"),
            ("b.c.7=1", "`b.c.7`: the list has 2 entries, from 0"),
            ("b=[", "the value of `b` is not YAML"),
        ] {
            let error = set("a: 1\nb: { c: [x, y] }\n", &[setting]).unwrap_err();
            assert!(error.starts_with(told), "{setting}: {error}");
        }
    }
}
