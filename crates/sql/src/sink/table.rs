//! A database's table, and how the result's columns fit it.

use std::fmt;

use arrow::datatypes::{DataType, SchemaRef};
use foretell_flow::StageError;

use super::database::Dialect;
use super::values::{fits, kind_for};

/// A table's name, perhaps with its schema's (in MariaDB: database's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// Reads `table` or `schema.table`.
    pub(super) fn read(text: &str) -> Self {
        match text.split_once('.') {
            Some((schema, table)) => Name { schema: Some(schema.to_owned()), table: table.to_owned() },
            None => Name { schema: None, table: text.to_owned() },
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

/// What a table's column can hold, as far as it decides how values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    UInt,
    /// A year of four digits.
    Year,
    /// A float.
    Float {
        /// Whether it is one of four bytes.
        single: bool,
    },
    /// A number in digits.
    Decimal {
        /// How many it has, for `create: true`.
        precision: u8,
        /// How many of them are after the point; `None` where there is no limit.
        scale: Option<i64>,
    },
    Bool,
    Text,
    Json,
    Binary,
    Date,
    /// A date with a time of day.
    Time {
        /// Digits after the second.
        digits: u8,
        /// Whether it is an instant; else a local time.
        instant: bool,
    },
    /// A time of day.
    Clock {
        /// Digits after the second.
        digits: u8,
    },
    /// A type that is written as text: `uuid`, `enum`.
    Other,
    /// No type at all (SQLite).
    Any,
}

/// A table's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// As the database spells it.
    pub(super) type_name: String,
    pub(super) kind: Kind,
    /// Whether an INSERT must name it: NOT NULL, no default, not filled by the database.
    pub(super) needed: bool,
    /// Whether the database computes it, so that an INSERT must not name it.
    pub(super) computed: bool,
    /// How long a value may be, where the database makes another one fit and says nothing: the characters of a text whose
    /// last spaces it would cut, the bytes of a binary one that it would fill up, those of a type that cuts.
    pub(super) limit: Option<usize>,
    /// Whether a text that is a number becomes another value: the one of that number in MariaDB's `enum` and `set`, a
    /// number in SQLite's columns of types that it does not know.
    pub(super) by_number: bool,
    /// Whether a value of its own would take the place of NULL.
    pub(super) fills_null: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: Name,
    pub(super) columns: Vec<Column>,
    /// Column names by unique index or primary key.
    pub(super) unique: Vec<Vec<String>>,
    /// Why it cannot take part in transactions, e.g. its engine.
    pub(super) no_transactions: Option<String>,
    /// Whether it is a view, of which that cannot be known.
    pub(super) is_view: bool,
    /// What may not be done with it: `INSERT`, `UPDATE`.
    pub(super) denied: Vec<&'static str>,
}

/// The table's columns for the result's, in the result's order.
pub(super) fn fit(table: &Table, schema: &SchemaRef, dialect: &Dialect) -> Result<Vec<Column>, StageError> {
    let mut taken: Vec<Column> = Vec::new();
    for field in schema.fields() {
        let column = find(table, field.name())?;
        if taken.iter().any(|c| c.name == column.name) {
            return Err(StageError::settings(format!(
                "column `{}` of table `{}` is named twice in the result",
                column.name, table.name
            ))
            .remedy("give one of them another name in the query (`AS`)"));
        }
        if column.computed {
            return Err(StageError::settings(format!(
                "column `{}` of table `{}` is computed by the database",
                column.name, table.name
            ))
            .remedy("leave it out of the sink's `columns`"));
        }
        if !fits(field.data_type(), &column.kind) {
            return Err(misfit(field.name(), field.data_type(), column, table));
        }
        taken.push(column.clone());
    }
    if let Some(missing) = table.columns.iter().find(|c| c.needed && !taken.iter().any(|t| t.name == c.name)) {
        return Err(StageError::settings(format!(
            "column `{}` of table `{}` is NOT NULL, has no default and is not in the result",
            missing.name, table.name
        ))
        .remedy(format!(
            "add it to the query, or `ALTER TABLE {} ALTER COLUMN {} SET DEFAULT …`",
            dialect.table(&table.name),
            dialect.quoted(&missing.name)
        )));
    }
    Ok(taken)
}

/// Finds a table's column: by exact name, else by one that differs in case alone.
pub(super) fn find<'t>(table: &'t Table, name: &str) -> Result<&'t Column, StageError> {
    if let Some(column) = table.columns.iter().find(|c| c.name == name) {
        return Ok(column);
    }
    let folded = name.to_lowercase();
    let mut alike = table.columns.iter().filter(|c| c.name.to_lowercase() == folded);
    match (alike.next(), alike.next()) {
        (Some(column), None) => Ok(column),
        (Some(a), Some(b)) => Err(StageError::settings(format!(
            "column `{name}` of the result could be `{}` or `{}` of table `{}`",
            a.name, b.name, table.name
        ))
        .remedy("name it so in the query (`AS`)")),
        _ => {
            let names = table.columns.iter().map(|c| c.name.as_str());
            let hint = nearest(name, names.clone()).map(|n| format!("did you mean `{n}`? "));
            let all: Vec<String> = names.map(|n| format!("`{n}`")).collect();
            Err(StageError::settings(format!(
                "table `{}` has no column `{name}`; it has {}",
                table.name,
                all.join(", ")
            ))
            .remedy(format!(
                "{}rename the column in the query (`AS`), or name the sink's `columns`",
                hint.unwrap_or_default()
            )))
        }
    }
}

fn misfit(name: &str, from: &DataType, column: &Column, table: &Table) -> StageError {
    let remedy = match (from.is_floating(), column.kind) {
        (true, Kind::Int | Kind::UInt | Kind::Year) => {
            "its fraction would be lost: round it in the query (`CAST(… AS BIGINT)`)"
        }
        _ => "cast it in the query, or change the table's column",
    };
    StageError::settings(format!(
        "column `{name}` of the result is {from}, column `{}` of table `{}` is {}",
        column.name, table.name, column.type_name
    ))
    .remedy(remedy)
}

/// The name that is nearest, if it is near.
pub(super) fn nearest<'n>(name: &str, among: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let folded = name.to_lowercase();
    among
        .map(|n| (strsim::damerau_levenshtein(&folded, &n.to_lowercase()), n))
        .filter(|(distance, n)| *distance <= 1 + n.chars().count().max(name.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, n)| n)
}

/// `CREATE TABLE` for the result's columns; those of `key` are NOT NULL and its primary key.
pub(super) fn create(name: &Name, schema: &SchemaRef, key: &[String], dialect: &Dialect) -> Result<String, StageError> {
    let mut parts = Vec::new();
    for field in schema.fields() {
        let kind = kind_for(field.data_type()).ok_or_else(|| {
            StageError::settings(format!("column `{}` is {}, which has no SQL type", field.name(), field.data_type()))
                .remedy("cast it in the query")
        })?;
        let is_key = key.contains(field.name());
        let type_name = match (is_key, kind) {
            (true, Kind::Text) => dialect.name_type.to_owned(),
            _ => (dialect.type_for)(&kind),
        };
        let null = if is_key { " NOT NULL" } else { "" };
        parts.push(format!("{} {type_name}{null}", dialect.quoted(field.name())));
    }
    if !key.is_empty() {
        let key: Vec<String> = key.iter().map(|k| dialect.quoted(k)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(format!("CREATE TABLE IF NOT EXISTS {} ({}){}", dialect.table(name), parts.join(", "), dialect.table_options))
}
