//! Components: a map names one by its kind, and its settings stand below.

use foretell_connect::kind::{DecodeSettings, DecodeSpec, Kind};
use serde_json::Value;

use super::error::{FileError, list};
use super::schema::Registry;
use super::{Component, Reader, SINK_KEYS};

impl Reader<'_> {
    /// What is said of decoding, checked, and whether the source must complete it.
    pub(super) fn decode(&self, registry: Registry, infers: bool) -> Result<(Option<DecodeSpec>, bool), FileError> {
        if infers && self.tree.get("decode").is_none() {
            return Ok((None, true));
        }
        let (kind, settings) = self.kind(registry.decoders, &["decode"], "decoder")?;
        let text = DecodeSpec { kind: kind.name.to_string(), settings: settings.clone() };
        if infers && settings.get("columns").is_none() && has_columns(kind) {
            return Ok((Some(text), true));
        }
        (kind.parse)(settings).map_err(|error| self.settings_error(&["decode", kind.name], &error))?;
        Ok((Some(text), false))
    }

    /// The one component that a map names by its kind (a sink's own keys beside it are none).
    pub(super) fn component<S: ?Sized>(
        &self,
        kinds: &'static [Kind<S>],
        path: &[&str],
        what: &str,
    ) -> Result<Component<S>, FileError> {
        let (kind, settings) = self.kind(kinds, path, what)?;
        let full: Vec<&str> = path.iter().copied().chain([kind.name]).collect();
        let settings = (kind.parse)(settings).map_err(|error| self.settings_error(&full, &error))?;
        Ok(Component { kind: kind.name, settings })
    }

    /// Its kind, and its settings as they are written.
    fn kind<S: ?Sized>(
        &self,
        kinds: &'static [Kind<S>],
        path: &[&str],
        what: &str,
    ) -> Result<(&'static Kind<S>, Value), FileError> {
        let known = list(kinds.iter().map(|kind| kind.name));
        let (node, _) = self.tree.follow(path.iter().copied());
        if path.len() == 1 && self.tree.get(path[0]).is_none() {
            let remedy = format!("name a kind of {what}: {known}");
            return Err(self.error([], format!("`{}` is missing", path[0]), remedy));
        }
        self.expect_map(node, path, &format!("a kind of {what} ({known}) and its settings"))?;
        let named: Vec<_> = node
            .entries()
            .iter()
            .filter(|entry| !(what == "sink" && SINK_KEYS.contains(&entry.key.as_str())))
            .collect();
        let (entry, kind) = match named.as_slice() {
            [entry] => match kinds.iter().find(|kind| kind.name == entry.key) {
                Some(kind) => (entry, kind),
                None => {
                    let message = format!("unknown kind of {what} `{}`", entry.key);
                    return Err(self.error(path.iter().copied(), message, format!("known: {known}")));
                }
            },
            [] => {
                let message = format!("no kind of {what} is named");
                return Err(self.error(path.iter().copied(), message, format!("known: {known}")));
            }
            [first, second, ..] => {
                let message = format!("`{}` and `{}`: one kind of {what} is allowed here", first.key, second.key);
                return Err(self.error(path.iter().copied(), message, ""));
            }
        };
        // `console:` without settings means all defaults.
        let mut value = match entry.node.to_json() {
            Value::Null => Value::Object(serde_json::Map::new()),
            value => value,
        };
        self.inherit(&mut value, kind.name, kind.inherits);
        Ok((kind, value))
    }

    /// How to reach a service that the source names already. Never only a part of it: credentials of one service are
    /// not for another.
    fn inherit(&self, settings: &mut Value, kind: &str, groups: &[&[&str]]) {
        let Value::Object(settings) = settings else { return };
        for (index, keys) in groups.iter().enumerate() {
            if keys.iter().any(|key| settings.contains_key(*key)) {
                if index == 0 {
                    return;
                }
                continue;
            }
            for key in *keys {
                let Some(node) = self.tree.get("source").and_then(|source| source.get(kind)?.get(key)) else {
                    continue;
                };
                settings.insert((*key).to_string(), node.to_json());
            }
        }
    }
}

/// Whether a decoder's settings name columns.
fn has_columns(kind: &Kind<dyn DecodeSettings>) -> bool {
    let mut generator = schemars::SchemaGenerator::default();
    let schema: Value = (kind.schema)(&mut generator).into();
    let definitions = Value::Object(generator.take_definitions(true));
    let definition = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next());
    definition.map_or(&schema, |name| &definitions[name])["properties"]["columns"].is_object()
}
