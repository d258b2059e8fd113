//! What errors of MariaDB and MySQL mean.

use sqlx::mysql::MySqlDatabaseError;

use super::database::{Cause, Failure, transport_failure};

/// What an error means; the server's own text only where it holds no values.
pub(super) fn failure(error: &sqlx::Error) -> Failure {
    let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref::<MySqlDatabaseError>()) else {
        return transport_failure(error);
    };
    let (number, state) = (error.number(), error.code().unwrap_or_default());
    if known(number).is_some() || ["22", "23", "45"].iter().any(|class| state.starts_with(class)) {
        return Failure::row(reason(number, error.message()));
    }
    let cause = cause(number, state, error.message());
    // What stands near a mistake may be a value.
    let shown = (["28", "42"].iter().any(|class| state.starts_with(class)) && number != 1064) || number < 1060;
    let shown = cause.passes() || (cause == Cause::Settings && (shown || number == 1364));
    let text = if shown { error.message() } else { "the statement was refused" };
    let remedy = match number {
        1044 | 1045 => "check user, password and database in `url`",
        1049 => "create the database, or correct its name in `url`",
        _ => "",
    };
    Failure { cause, text: format!("{text} (error {number})"), remedy }
}

/// Errors that pass by themselves, or that a person mends at the server while it is tried again.
const PASSING: &[u16] = &[
    1020, 1205, 1206, 1213, 1637, 1689, // other transactions: changed, waited for, in a deadlock, too many
    1021, 1037, 1038, 1041, 1114, 1135, 1878, // a disk or the memory is full, no further thread
    1040, 1129, 1203, 1226, // too many connections, or too much of one user
    1042, 1043, 1047, 1053, 1077, 1080, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1189, 1190, 1317, 1927, 2006, 2013,
    4031, // the network, a server that starts or ends or that its cluster does not let work yet
    1180, 3100, 3101, // a commit that the cluster or the engine did not let through
    1223, 1290, 1836, // a backup's lock, a server that is read only until it leads
    1243, 1412, 1615, // a table that was altered, and with it what was prepared
];

/// The statement was ended for its time.
const LATE: &[u16] = &[1969, 3024];

/// Linux's error for a disk that is full, within the text of an error of the engine.
const NO_SPACE: &str = "Got error 28 ";

/// What an error that is not a row's means for what comes next.
pub(super) fn cause(number: u16, state: &str, message: &str) -> Cause {
    match number {
        _ if PASSING.contains(&number) || (number == 1030 && message.starts_with(NO_SPACE)) => Cause::Moment,
        _ if LATE.contains(&number) => Cause::Late,
        // Names, rights, the statement's form, the engine.
        1030 | 1044 | 1045 | 1049 | 1064 | 1142 | 1143 | 1227 | 1305 | 1364 | 1370 | 1449 => Cause::Settings,
        _ if ["08", "28", "3D", "42S"].iter().any(|class| state.starts_with(class)) => Cause::Settings,
        _ => Cause::Unsure,
    }
}

/// What a row was refused for, of those errors that only a row can cause.
pub(super) fn known(number: u16) -> Option<&'static str> {
    Some(match number {
        1048 => "NULL in a column that is NOT NULL",
        1062 => "a key that is there already",
        1118 => "longer than a row of the table can be",
        1242 => "a trigger's subquery gives several rows",
        1264 | 1690 => "a number out of range",
        1265 => "not a value of the column's type, or longer than it takes",
        1406 => "too long",
        1292 | 1366 | 1411 => "not a value of the column's type",
        1452 | 1216 => "a foreign key that is not there",
        1526 => "no partition for it",
        3819 | 4025 => "a constraint does not hold",
        1644 => "refused by a trigger",
        _ => return None,
    })
}

/// Why a row was refused, with the column or key that the server names, and no value.
pub(super) fn reason(number: u16, message: &str) -> String {
    let what = known(number).unwrap_or("refused");
    match named(message) {
        Some(name) => format!("{what} (`{name}`, error {number})"),
        None => format!("{what} (error {number})"),
    }
}

/// The column or key that a message names: a plain identifier after these words, never a value.
fn named(message: &str) -> Option<&str> {
    let rest = ["for column ", "Column ", "for key ", "CONSTRAINT "].iter().find_map(|word| {
        let at = message.rfind(word)?;
        message.get(at.checked_add(word.len())?..)
    })?;
    let mut names = rest.split(['\'', '`']).filter(|part| !part.is_empty() && *part != ".");
    // `db`.`table`.`column` ends in what is looked for; a quoted word stands alone.
    let name = match rest.starts_with('`') {
        true => rest.split(' ').next()?.rsplit('`').find(|part| !part.is_empty())?,
        false => names.next()?,
    };
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    (plain && name.len() <= 64).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_a_person_must_change() {
        for (number, state, message, wanted) in [
            (1047, "08S01", "WSREP has not yet prepared node for application use", Cause::Moment),
            (1180, "HY000", "Got error 149 during COMMIT", Cause::Moment),
            (1205, "HY000", "", Cause::Moment),
            (1213, "40001", "", Cause::Moment),
            (1223, "HY000", "", Cause::Moment),
            (1290, "HY000", "The MariaDB server is running with the --read-only option", Cause::Moment),
            (1412, "HY000", "Table definition has changed, please retry transaction", Cause::Moment),
            (3101, "HY000", "", Cause::Moment),
            (1021, "HY000", "Disk full", Cause::Moment),
            (1030, "HY000", "Got error 28 \"No space left on device\" from storage engine", Cause::Moment),
            (1030, "HY000", "Got error 168 \"Unknown (generic) error from engine\"", Cause::Settings),
            (1969, "70100", "", Cause::Late),
            (3024, "HY000", "", Cause::Late),
            (1049, "42000", "", Cause::Settings),
            (1142, "42000", "", Cause::Settings),
            (1146, "42S02", "", Cause::Settings),
        ] {
            assert_eq!(cause(number, state, message), wanted, "{number}");
        }
    }
}
