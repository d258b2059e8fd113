//! What a database says of its tables: names, columns, keys; and rows as texts.

use std::fmt;

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
pub(super) enum ColumnKind {
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
    /// An array as PostgreSQL writes it: `{1,2}`.
    Array,
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
    pub(super) kind: ColumnKind,
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
    /// Whether the column would replace NULL with a value of its own.
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
    /// Whether it is a view, which has no index of its own.
    pub(super) is_view: bool,
    /// What may not be done with it: `INSERT`, `UPDATE`.
    pub(super) denied: Vec<&'static str>,
}

/// The rows of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    /// Name and type of each column, as the database spells them.
    pub(crate) columns: Vec<(String, String)>,
    /// Values as texts; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}
