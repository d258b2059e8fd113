//! `tables`: reference tables that a query can join.

use std::path::Path;
use std::time::Duration;

use foretell_connect::human::HumanDuration;
use foretell_files::table::Format;
use foretell_sql::table as sql;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{FileError, Reader};

/// A table that the queries can join to the records, e.g. to turn encoded ids back into names.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableSettings {
    /// A file: CSV with a header (`.csv`), JSON Lines (`.jsonl`) or Parquet (`.parquet`). Relative to the pipeline file.
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// Instead of a file: a table or a query of MariaDB, MySQL, PostgreSQL or SQLite.
    #[serde(default)]
    pub(crate) sql: Option<sql::Settings>,
    /// The column, or the list of columns, that tells its rows apart. Two rows of one key are refused, so that a join on
    /// it gives at most one row a record. Without it a record that matches several rows gives several.
    #[serde(default)]
    pub(crate) key: Key,
    /// Of CSV and JSON Lines: the types of columns by name, as a decoder's, `{ id: int64, name: utf8? }`. Columns that are
    /// not named are what their values are.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub(crate) types: Map<String, Value>,
    /// How often it is read again, e.g. `10m`; by default once, at start. What comes of it serves the batches that begin
    /// after it; where it fails, the rows of before stay.
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
#[derive(Debug, Clone)]
pub(crate) struct TableEntry {
    /// Its name in the queries.
    pub(crate) name: String,
    /// Where its rows are.
    pub(crate) source: TableSource,
    /// The columns that tell its rows apart; none where two rows may be alike.
    pub(crate) key: Vec<String>,
    /// How often it is read again.
    pub(crate) refresh: Option<Duration>,
}

/// Where a table's rows are.
#[derive(Debug, Clone)]
pub(crate) enum TableSource {
    /// A file: as the pipeline file calls it, from its folder.
    File {
        /// The name in the pipeline file.
        name: String,
        /// How it is written.
        format: Format,
        /// Types of columns.
        types: Map<String, Value>,
    },
    /// A database.
    Sql(sql::Settings),
}

/// Names that the queries' own tables have.
const TAKEN: [&str; 2] = ["records", "result"];

impl Reader<'_> {
    pub(super) fn tables(&self) -> Result<Vec<TableEntry>, FileError> {
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
            let settings: TableSettings = self.required(&path, FORM)?;
            let inside = |key| ["tables", entry.key.as_str(), key];
            let source = match (settings.file, settings.sql) {
                (Some(name), None) => match Format::of(Path::new(&name)) {
                    Some(Format::Parquet) if !settings.types.is_empty() => {
                        let remedy = "leave it out: a Parquet file tells the types of its columns";
                        return Err(self.error(inside("types"), "means nothing here", remedy));
                    }
                    Some(format) => TableSource::File { name, format, types: settings.types },
                    None => {
                        let remedy = "its name must end with `.csv`, `.jsonl` or `.parquet`";
                        return Err(self.error(inside("file"), "the file's name does not tell what it is", remedy));
                    }
                },
                (None, Some(sql)) if sql.table.is_some() == sql.query.is_some() => {
                    return Err(self.error(inside("sql"), "either `table` or `query` is needed", ""));
                }
                (None, Some(_)) if !settings.types.is_empty() => {
                    let remedy = "leave it out: cast in a `query` instead";
                    return Err(self.error(inside("types"), "means nothing here", remedy));
                }
                (None, Some(sql)) => TableSource::Sql(sql),
                _ => return Err(self.error(path, "either `file` or `sql` is needed", format!("write `{FORM}`"))),
            };
            let refresh = settings.refresh.map(|refresh| refresh.0);
            if refresh.is_some_and(|refresh| refresh.is_zero()) {
                return Err(self.error(inside("refresh"), "no time lies between", "e.g. `10m`; left out: once"));
            }
            entries.push(TableEntry { name: entry.key.clone(), source, key: settings.key.columns().to_vec(), refresh });
        }
        Ok(entries)
    }
}
