//! What errors of PostgreSQL mean.

use sqlx::postgres::PgDatabaseError;

use super::database::{Cause, Failure, transport_failure};

/// What an error means; the server's own text only where it holds no values.
pub(super) fn failure(error: &sqlx::Error) -> Failure {
    let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>()) else {
        return transport_failure(error);
    };
    let code = error.code();
    let class = code.get(..2).unwrap_or_default();
    let what = match code {
        "23502" => "NULL in a column that is NOT NULL",
        "23505" => "a key that is there already",
        "23503" => "a foreign key that is not there",
        "23514" | "23P01" | "44000" => "a constraint does not hold",
        "22003" => "a number out of range",
        "22001" => "too long",
        "22007" | "22008" | "22P02" | "22021" | "22P05" => "not a value of the column's type",
        "P0001" => "refused by a trigger",
        "42501" => "refused by the table's row security",
        _ => "refused",
    };
    // A right to the table has the same code as a policy that this row does not meet.
    let policy = code == "42501" && error.routine() == Some("ExecWithCheckOptions");
    // 21000: two rows of one statement have one key, in the database's eyes; apart they can be stored.
    if matches!(class, "22" | "23" | "44" | "54") || matches!(code, "P0001" | "21000") || policy {
        return Failure::row(match error.column().or(error.constraint()) {
            Some(name) => format!("{what} (`{name}`, SQLSTATE {code})"),
            None => format!("{what} (SQLSTATE {code})"),
        });
    }
    // What a trigger says in its own words is about the row, with whatever code it says it.
    let raised = error.routine() == Some("exec_stmt_raise");
    let cause = if raised { Cause::Unsure } else { cause(code, error.routine()) };
    // What stands near a mistake (42601) may be a value.
    let shown = cause.passes() || (!raised && matches!(class, "28" | "3D" | "3F" | "42" | "0A") && code != "42601");
    let text = match (shown, raised) {
        (true, _) => error.message(),
        (_, true) => "refused by a trigger",
        _ => "the statement was refused",
    };
    let remedy = match code {
        _ if POOLED.contains(&code) => POOLER,
        "28000" | "28P01" => "check user and password in `url`",
        "3D000" => "create the database, or correct its name in `url`",
        _ => "",
    };
    Failure { cause, text: format!("{text} (SQLSTATE {code})"), remedy }
}

/// A prepared statement is there already, or is not there: another session made it.
const POOLED: &[&str] = &["26000", "42P05"];

const POOLER: &str = "a pooler such as PgBouncer gives each transaction another session: set its `pool_mode = session` for \
                      this database, or name the server itself";

/// What an error that is not a row's, and not a trigger's, means for what comes next.
fn cause(code: &str, routine: Option<&str>) -> Cause {
    match (code, code.get(..2).unwrap_or_default()) {
        ("57014", _) => Cause::Late,
        // A lock that is not given, a session that was silent too long, a server that is read only until it leads, an object
        // in use, an inner error such as a row of the catalog that changes at this moment.
        ("55P03" | "25P03" | "25P04" | "25006" | "55006" | "XX000", _) => Cause::Moment,
        // A table was altered, and with it what was prepared.
        ("0A000", _) if routine == Some("RevalidateCachedQuery") => Cause::Moment,
        // The network, other transactions, a disk or the memory that is full, a server that ends, its files.
        (_, "08" | "40" | "53" | "57" | "58") => Cause::Moment,
        // Names, rights, the statement's form, the session's state, the server itself.
        (_, "0A" | "0L" | "0P" | "25" | "26" | "28" | "2B" | "34" | "3D" | "3F" | "42" | "55" | "F0" | "XX") => {
            Cause::Settings
        }
        _ => Cause::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_a_person_must_change() {
        for (code, routine, wanted) in [
            ("0A000", Some("RevalidateCachedQuery"), Cause::Moment),
            ("0A000", Some("transformInsertStmt"), Cause::Settings),
            ("08006", None, Cause::Moment),
            ("25006", None, Cause::Moment),
            ("26000", None, Cause::Settings),
            ("40001", None, Cause::Moment),
            ("40P01", None, Cause::Moment),
            ("42P01", None, Cause::Settings),
            ("42P05", None, Cause::Settings),
            ("53100", None, Cause::Moment),
            ("53300", None, Cause::Moment),
            ("55006", None, Cause::Moment),
            ("57014", None, Cause::Late),
            ("57P01", None, Cause::Moment),
            ("57P03", None, Cause::Moment),
            ("58030", None, Cause::Moment),
            ("XX000", None, Cause::Moment),
            ("XX001", None, Cause::Settings),
        ] {
            assert_eq!(cause(code, routine), wanted, "{code} {routine:?}");
        }
    }
}
