//! `tables`: reference tables that a query can join.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foretell_connect::human::HumanDuration;
use foretell_connect::kind::{Kind, TableSettings, settings_of};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{FileError, Reader, list};

/// A table that the queries can join to the records, e.g. to turn encoded ids back into names: one kind of table, and
/// these beside it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommonTableSettings {
    /// The column, or the list of columns, that identifies a row. Two rows with one key are refused, so that a join on
    /// it gives at most one row per record. Without it, a record that matches several rows gives several.
    #[serde(default)]
    pub(crate) key: Key,
    /// For CSV and JSON Lines: the types of columns by name, as in `decode`: `{ id: int64, name: utf8? }`. The types of
    /// all other columns are found from their values.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub(crate) types: Map<String, Value>,
    /// How often it is read again, e.g. `10m`; by default it is read once, at start. New rows serve the batches that
    /// begin after they were read; if reading fails, the earlier rows stay.
    #[serde(default)]
    pub(crate) refresh: Option<HumanDuration>,
}

/// One column or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a column's name, or a list of names")]
pub(crate) enum Key {
    /// One.
    One(String),
    /// Several, or none.
    Several(Vec<String>),
}

impl Default for Key {
    fn default() -> Self {
        Key::Several(Vec::new())
    }
}

impl Key {
    /// The columns.
    pub(crate) fn columns(&self) -> &[String] {
        match self {
            Key::One(column) => std::slice::from_ref(column),
            Key::Several(columns) => columns,
        }
    }
}

/// One table.
#[derive(Clone)]
pub(crate) struct TableEntry {
    /// Its name in the queries.
    pub(crate) name: String,
    /// The name of its kind, e.g. `file`.
    pub(crate) kind: &'static str,
    /// Where its rows are.
    pub(crate) settings: Arc<dyn TableSettings>,
    /// The columns that tell its rows apart; none where two rows may be alike.
    pub(crate) key: Vec<String>,
    /// Types of columns by name.
    pub(crate) types: Map<String, Value>,
    /// How often it is read again.
    pub(crate) refresh: Option<Duration>,
}

impl fmt::Debug for TableEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Names that the queries' own tables have.
const TAKEN: [&str; 2] = ["records", "result"];

impl Reader<'_> {
    pub(super) fn tables(&self, kinds: &'static [Kind<dyn TableSettings>]) -> Result<Vec<TableEntry>, FileError> {
        const FORM: &str = "NAME: { file: PATH }` or `NAME: { sql: { url: …, table: … } }";
        let Some(tables) = self.tree.get("tables") else { return Ok(Vec::new()) };
        self.expect_map(tables, &["tables"], &format!("`{FORM}`"))?;
        let mut entries = Vec::new();
        for entry in tables.entries() {
            let path = ["tables", entry.key.as_str()];
            self.check_word(&path, &entry.key, "a table", "it is a table's name in SQL")?;
            if TAKEN.contains(&entry.key.as_str()) {
                return Err(self.error(path, "a query has a table of this name already", "give it another name"));
            }
            self.expect_map(&entry.node, &path, &format!("`{FORM}`"))?;
            let inside = |key| ["tables", entry.key.as_str(), key];
            let mut common = entry.node.to_json();
            let mut named = Vec::new();
            for kind in kinds {
                let value = common.as_object_mut().and_then(|common| common.remove(kind.name));
                named.extend(value.filter(|value| !value.is_null()).map(|value| (kind, value)));
            }
            let common: CommonTableSettings =
                settings_of(common).map_err(|error| self.settings_error(&path, &error))?;
            let Ok([(kind, value)]) = <[_; 1]>::try_from(named) else {
                let message = format!("one of {} is needed", list(kinds.iter().map(|kind| kind.name)));
                return Err(self.error(path, message, format!("write `{FORM}`")));
            };
            let settings = (kind.parse)(value).map_err(|error| self.settings_error(&inside(kind.name), &error))?;
            if !common.types.is_empty() {
                let accepted = settings.takes_types();
                accepted.map_err(|remedy| self.error(inside("types"), "means nothing here", remedy))?;
            }
            let refresh = common.refresh.map(|refresh| refresh.0);
            if refresh.is_some_and(|refresh| refresh.is_zero()) {
                return Err(self.error(inside("refresh"), "no time lies between", "e.g. `10m`; left out: once"));
            }
            entries.push(TableEntry {
                name: entry.key.clone(),
                kind: kind.name,
                settings: Arc::from(settings),
                key: common.key.columns().to_vec(),
                types: common.types,
                refresh,
            });
        }
        Ok(entries)
    }
}
