//! SQL Server and Azure SQL.

use foretell_odbc::Diagnostic;

use super::super::database::{Cause, LOCK_SECONDS};
use super::super::dialect::Dialect;
use super::super::schema::{ColumnKind, Name};
use super::flavor::{Flavor, Merge, STANDARD, decimal, merge};

pub(super) const FLAVOR: Flavor = Flavor {
    names: &["microsoft sql server"],
    dialect: &Sql,
    session: || {
        let lock = u64::from(LOCK_SECONDS).saturating_mul(1_000);
        // A row that is refused takes no other back; texts that are too long are refused; divisions by zero, too.
        vec![format!("SET XACT_ABORT OFF; SET ANSI_WARNINGS ON; SET ARITHABORT ON; SET LOCK_TIMEOUT {lock}")]
    },
    schema: Some("SELECT SCHEMA_NAME()"),
    insert: |dialect, insert| match insert.key {
        Some(_) => {
            merge(dialect, insert, &Merge { hint: " WITH (HOLDLOCK)", value: |_| "?".to_owned(), from: "", end: ";" })
        }
        None => (STANDARD.insert)(dialect, insert),
    },
    cause,
    ..STANDARD
};

/// The numbers of errors whose state is that of a mistake in the statement, or of nothing.
fn cause(said: &Diagnostic) -> Option<Cause> {
    match said.native {
        // A deadlock, a lock that is not given, a database that recovers, moves or has no room, a session that was ended.
        1205 | 1222 | 596 | 922 | 927 | 983 | 1105 | 9002 | 17142 | 40197 | 40501 | 40613 | 49918..=49920 => {
            Some(Cause::Moment)
        }
        // Conversions, truncation, overflow, a key that is there, a constraint, a trigger's own words.
        220
        | 232
        | 241
        | 242
        | 245
        | 248
        | 295
        | 296
        | 515
        | 547
        | 2601
        | 2627
        | 2628
        | 8114
        | 8115
        | 8152
        | 8169
        | 50000.. => Some(Cause::Row),
        _ => None,
    }
}

struct Sql;

impl Dialect for Sql {
    fn name(&self) -> &'static str {
        "SQL Server"
    }

    fn quoted(&self, identifier: &str) -> String {
        format!("[{}]", identifier.replace(']', "]]"))
    }

    fn savepoint(&self) -> &'static str {
        "SAVE TRANSACTION foretell"
    }

    fn back_to_savepoint(&self) -> &'static str {
        "ROLLBACK TRANSACTION foretell"
    }

    fn release_savepoint(&self) -> Option<&'static str> {
        None
    }

    fn select_locked(&self, columns: &str, table: &str, filter: &str) -> String {
        format!("SELECT {columns} FROM {table} WITH (UPDLOCK, HOLDLOCK, ROWLOCK) WHERE {filter}")
    }

    fn select_any(&self, table: &str) -> String {
        format!("SELECT TOP 1 1 FROM {table}")
    }

    fn inserts_plainly(&self) -> bool {
        true
    }

    fn create_table(&self, table: &Name, parts: &[String]) -> String {
        format!("CREATE TABLE {} ({})", self.table(table), parts.join(", "))
    }

    fn name_type(&self) -> &'static str {
        // A key has room for 900 bytes.
        "NVARCHAR(120) COLLATE Latin1_General_BIN2"
    }

    fn text_type(&self) -> &'static str {
        "NVARCHAR(MAX)"
    }

    fn time_type(&self) -> &'static str {
        "DATETIME2(6)"
    }

    fn id_type(&self) -> &'static str {
        "BIGINT IDENTITY PRIMARY KEY"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Int | ColumnKind::Year => "BIGINT",
            ColumnKind::UInt => "DECIMAL(20,0)",
            ColumnKind::Decimal { precision, scale } => return decimal(*precision, *scale, 38),
            ColumnKind::Float { .. } => "FLOAT(53)",
            ColumnKind::Bool => "BIT",
            ColumnKind::Binary => "VARBINARY(MAX)",
            ColumnKind::Date => "DATE",
            ColumnKind::Time { .. } => "DATETIME2(6)",
            ColumnKind::Clock { .. } => "TIME(6)",
            ColumnKind::Json | ColumnKind::Text | ColumnKind::Other | ColumnKind::Array | ColumnKind::Any => {
                "NVARCHAR(MAX)"
            }
        }
        .to_owned()
    }
}
