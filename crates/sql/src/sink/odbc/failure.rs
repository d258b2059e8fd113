//! What an error of a driver means.

use foretell_odbc::{Diagnostic, Error};

use super::super::database::{Cause, Failure};
use super::flavor::Flavor;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing with values of records: the database's own words can be shown.
    Asking,
    /// Rows: its words may hold their values.
    Storing,
}

const INSTALL: &str = "install unixODBC (Debian: `apt-get install unixodbc`) and the database's driver";

pub(super) fn failure(error: &Error, flavor: &Flavor, doing: Doing) -> Failure {
    match error {
        Error::Missing(_) => Failure { remedy: INSTALL, ..Failure::settings(error.to_string()) },
        Error::Ended => Failure::moment(error.to_string()),
        Error::Form(text) => Failure::settings(*text),
        Error::Refused(all) => match all.first() {
            Some(said) => refused(said, flavor, doing),
            None => Failure::settings(error.to_string()),
        },
    }
}

fn refused(said: &Diagnostic, flavor: &Flavor, doing: Doing) -> Failure {
    let cause = (flavor.cause)(said).unwrap_or_else(|| cause(&said.state));
    let (state, native) = (&said.state, said.native);
    let number = if native == 0 || !flavor.numbers { String::new() } else { format!(", error {native}") };
    let is_safe = cause.passes() || ["08", "28", "3D", "3F", "IM"].iter().any(|class| state.starts_with(class));
    if doing == Doing::Asking || is_safe {
        let text = said.text.trim();
        return Failure { cause, ..Failure::moment(format!("{text} (SQLSTATE {state}{number})")) };
    }
    let what = if cause == Cause::Row { reason(state) } else { "the statement was refused" };
    Failure { cause, ..Failure::moment(format!("{what} (SQLSTATE {state}{number})")) }
}

/// Why a row was refused.
pub(super) fn reason(state: &str) -> &'static str {
    match state {
        "23502" => "NULL in a column that is NOT NULL",
        "23505" => "a key that is there already",
        "22001" | "01004" => "too long",
        "22003" => "a number out of range",
        "22007" | "22008" | "22018" | "22P02" | "01S07" => "not a value of the column's type",
        _ if state.starts_with("23") || state.starts_with("44") => "a constraint does not hold",
        _ => "refused",
    }
}

/// What a state means, whichever database it is of.
fn cause(state: &str) -> Cause {
    match (state, state.get(..2).unwrap_or_default()) {
        // The time of a statement.
        ("HYT00" | "57014", _) => Cause::Late,
        ("40002", _) | (_, "22" | "23" | "44") => Cause::Row,
        // The network and its time, other transactions, resources, a server that ends.
        ("HYT01" | "55P03" | "25P03", _) | (_, "08" | "40" | "53" | "57" | "58") => Cause::Moment,
        // Names, rights, the statement's form, a driver that is not there or cannot do it.
        ("HYC00", _) | (_, "0A" | "25" | "26" | "28" | "3D" | "3F" | "42" | "IM" | "S0") => Cause::Settings,
        _ => Cause::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::super::flavor::STANDARD;
    use super::*;

    fn of(state: &str, doing: Doing) -> Failure {
        let said = Diagnostic { state: state.into(), native: 7, text: "near 'secret'".into() };
        failure(&Error::Refused(vec![said]), &STANDARD, doing)
    }

    #[test]
    fn what_passes_is_told_from_what_a_person_must_change() {
        for (state, cause) in [
            ("08S01", Cause::Moment),
            ("40001", Cause::Moment),
            ("HYT00", Cause::Late),
            ("23000", Cause::Row),
            ("22001", Cause::Row),
            ("42S02", Cause::Settings),
            ("IM002", Cause::Settings),
            ("HY000", Cause::Unsure),
        ] {
            assert_eq!(of(state, Doing::Storing).cause, cause, "{state}");
        }
    }

    #[test]
    fn no_value_is_shown() {
        for state in ["23000", "22018", "42000", "HY000"] {
            let failure = of(state, Doing::Storing);
            assert!(!failure.text.contains("secret") && failure.text.contains(state), "{failure:?}");
        }
        assert!(of("42000", Doing::Asking).text.contains("secret"));
        let missing = failure(&Error::Missing("no file".into()), &STANDARD, Doing::Asking);
        assert_eq!(missing.text, "the ODBC driver manager cannot be loaded: no file");
        assert!(missing.remedy.contains("unixodbc"));
    }
}
