//! Oracle.

use foretell_odbc::Diagnostic;

use super::super::database::Cause;
use super::super::dialect::Dialect;
use super::super::schema::{ColumnKind, Name};
use super::super::values::Rules;
use super::flavor::{Flavor, Merge, STANDARD, merge};

pub(super) const FLAVOR: Flavor = Flavor {
    names: &["oracle"],
    dialect: &Sql,
    session: || {
        [
            "ALTER SESSION SET TIME_ZONE = '+00:00'",
            "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
            "ALTER SESSION SET NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS'",
            "ALTER SESSION SET NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6'",
        ]
        .map(str::to_owned)
        .to_vec()
    },
    schema: Some("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM dual"),
    insert: |dialect, insert| match insert.key {
        Some(_) => merge(dialect, insert, &Merge { hint: "", value: |_| "?".to_owned(), from: " FROM dual", end: "" }),
        None => (STANDARD.insert)(dialect, insert),
    },
    cause,
    ..STANDARD
};

/// The numbers of errors whose state is that of nothing.
fn cause(said: &Diagnostic) -> Option<Cause> {
    match said.native {
        // A deadlock, a lock that is not given, sessions and servers that end or begin, room that is lacking.
        54
        | 60
        | 18
        | 20
        | 28
        | 1012
        | 1033
        | 1034
        | 1089
        | 1090
        | 1092
        | 1109
        | 1536
        | 1653..=1655
        | 3113
        | 3114
        | 3135
        | 8177
        | 12514
        | 12518
        | 12520
        | 12528
        | 12537
        | 12541
        | 12545
        | 12571
        | 25408
        | 30006 => Some(Cause::Moment),
        // Constraints, NULL, numbers and texts that do not fit, partitions, a trigger's own words.
        1
        | 1400
        | 1401
        | 1407
        | 1426
        | 1438
        | 1722
        | 1830..=1867
        | 2290..=2292
        | 12899
        | 14400
        | 14402
        | 20000..=20999
        | 28115 => Some(Cause::Row),
        // Rights, names, the statement's form.
        900..=999 | 1017 | 1031 | 1950 => Some(Cause::Settings),
        _ => None,
    }
}

struct Sql;

impl Dialect for Sql {
    fn name(&self) -> &'static str {
        "Oracle"
    }

    fn release_savepoint(&self) -> Option<&'static str> {
        None
    }

    fn select_any(&self, table: &str) -> String {
        format!("SELECT 1 FROM {table} WHERE ROWNUM = 1")
    }

    fn inserts_plainly(&self) -> bool {
        true
    }

    fn create_table(&self, table: &Name, parts: &[String]) -> String {
        format!("CREATE TABLE {} ({})", self.table(table), parts.join(", "))
    }

    fn name_type(&self) -> &'static str {
        "VARCHAR2(249 CHAR)"
    }

    fn text_type(&self) -> &'static str {
        "CLOB"
    }

    fn words_type(&self) -> &'static str {
        "VARCHAR2(4000)"
    }

    fn int_type(&self) -> &'static str {
        "NUMBER(10)"
    }

    fn long_type(&self) -> &'static str {
        "NUMBER(19)"
    }

    fn time_type(&self) -> &'static str {
        "TIMESTAMP(6)"
    }

    fn id_type(&self) -> &'static str {
        "NUMBER(19) GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Int | ColumnKind::Year => "NUMBER(19)",
            ColumnKind::UInt => "NUMBER(20)",
            ColumnKind::Decimal { precision, scale } => {
                let precision = (*precision).clamp(1, 38);
                return format!("NUMBER({precision},{})", scale.unwrap_or(10).clamp(-84, 127));
            }
            ColumnKind::Float { .. } => "BINARY_DOUBLE",
            ColumnKind::Bool => "NUMBER(1)",
            ColumnKind::Binary => "BLOB",
            // Its DATE has a time of day.
            ColumnKind::Date => "DATE",
            ColumnKind::Time { .. } => "TIMESTAMP(6)",
            ColumnKind::Clock { .. } => "VARCHAR2(18)",
            ColumnKind::Json | ColumnKind::Text | ColumnKind::Other | ColumnKind::Array | ColumnKind::Any => "CLOB",
        }
        .to_owned()
    }

    fn rules(&self) -> Rules {
        Rules { nan: false, infinity: false, typed: true, empty: false }
    }
}
