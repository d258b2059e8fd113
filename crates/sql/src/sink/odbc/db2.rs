//! Db2.

use foretell_odbc::Diagnostic;

use super::super::database::{Cause, LOCK_SECONDS};
use super::super::dialect::Dialect;
use super::super::schema::{Column, ColumnKind, Name};
use super::flavor::{Flavor, Merge, STANDARD, merge, standard_type};

pub(super) const FLAVOR: Flavor = Flavor {
    names: &["db2"],
    dialect: &Sql,
    session: || vec![format!("SET CURRENT LOCK TIMEOUT {LOCK_SECONDS}")],
    schema: Some("SELECT CURRENT SCHEMA FROM SYSIBM.SYSDUMMY1"),
    insert: |dialect, insert| match insert.key {
        Some(_) => merge(dialect, insert, &Merge { hint: "", value: cast, from: " FROM SYSIBM.SYSDUMMY1", end: "" }),
        None => (STANDARD.insert)(dialect, insert),
    },
    cause,
    ..STANDARD
};

/// A value of a SELECT must have a type. These are wide enough for whatever is sent; the column then takes it or refuses.
fn cast(column: &Column) -> String {
    let wide = match column.kind {
        ColumnKind::Int | ColumnKind::Year => "BIGINT",
        ColumnKind::UInt | ColumnKind::Decimal { .. } => "DECFLOAT(34)",
        ColumnKind::Float { .. } => "DOUBLE",
        ColumnKind::Bool => "BOOLEAN",
        ColumnKind::Binary => "VARBINARY(32000)",
        ColumnKind::Date => "DATE",
        ColumnKind::Time { .. } => "TIMESTAMP(6)",
        ColumnKind::Clock { .. } => "TIME",
        ColumnKind::Text | ColumnKind::Json | ColumnKind::Other | ColumnKind::Array | ColumnKind::Any => {
            "VARCHAR(32000)"
        }
    };
    format!("CAST(? AS {wide})")
}

/// The numbers of errors whose state is that of nothing.
fn cause(said: &Diagnostic) -> Option<Cause> {
    match said.native {
        // A deadlock or a lock that is not given, a connection that is lost, logs and table spaces that are full.
        -911 | -913 | -1224 | -1229 | -30081 | -964 | -289 | -4499 => Some(Cause::Moment),
        // NULL, a key that is there, a constraint, what does not fit, a trigger's own words.
        -407 | -803 | -530 | -545 | -302 | -404 | -413 | -420 | -433 | -438 => Some(Cause::Row),
        _ => None,
    }
}

struct Sql;

impl Dialect for Sql {
    fn name(&self) -> &'static str {
        "Db2"
    }

    fn savepoint(&self) -> &'static str {
        "SAVEPOINT foretell ON ROLLBACK RETAIN CURSORS"
    }

    fn select_locked(&self, columns: &str, table: &str, filter: &str) -> String {
        format!("SELECT {columns} FROM {table} WHERE {filter} WITH RS USE AND KEEP EXCLUSIVE LOCKS")
    }

    fn select_any(&self, table: &str) -> String {
        format!("SELECT 1 FROM {table} FETCH FIRST 1 ROW ONLY")
    }

    fn inserts_plainly(&self) -> bool {
        true
    }

    fn create_table(&self, table: &Name, parts: &[String]) -> String {
        // A key's columns must be NOT NULL, which those of foretell are.
        format!("CREATE TABLE {} ({})", self.table(table), parts.join(", "))
    }

    fn name_type(&self) -> &'static str {
        // A key has room for 1,024 bytes where pages have four kilobytes.
        "VARCHAR(120)"
    }

    fn text_type(&self) -> &'static str {
        "CLOB(16M)"
    }

    fn words_type(&self) -> &'static str {
        "VARCHAR(600)"
    }

    fn id_type(&self) -> &'static str {
        "BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        standard_type(kind, "CLOB(16M)", "BLOB(16M)")
    }
}
