//! What is asked of a database, and what it answers.

use crate::error::Diagnostic;

/// What a driver says of itself and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The database's product, e.g. `PostgreSQL`.
    Database,
    /// Its version.
    Version,
    /// The driver's file.
    Driver,
}

/// Where a table is; what is `None` is not asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Of databases that call it so: the database.
    pub catalog: Option<String>,
    /// The schema.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// A result's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// As ODBC numbers types.
    pub code: i16,
    /// As the database spells it.
    pub type_name: String,
    /// Whether the database numbers it by itself.
    pub numbered: bool,
}

/// A query's rows, as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Its columns.
    pub columns: Vec<Column>,
    /// `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A table's column as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogColumn {
    /// The schema of its table, where the database has any.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// As ODBC numbers types.
    pub code: i16,
    /// As the database spells it.
    pub type_name: String,
    /// Characters, bytes or digits.
    pub size: Option<i64>,
    /// Digits after the point, or after the second.
    pub digits: Option<i64>,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether it has a default.
    pub has_default: bool,
}

/// What a statement did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// How many rows it hit, where the driver counts them.
    pub rows: Option<u64>,
    /// What the driver said beside.
    pub notes: Vec<Diagnostic>,
}
