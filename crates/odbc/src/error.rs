//! What can go wrong, as ODBC tells it.

use std::fmt;

/// What a driver says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Five characters; the first two are the class.
    pub state: String,
    /// The database's own number of it.
    pub native: i32,
    /// The database's own words, which may hold values.
    pub text: String,
}

/// Why a call did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The driver manager cannot be loaded, with what the system says.
    Missing(String),
    /// The driver or the database refused; there is at least one.
    Refused(Vec<Diagnostic>),
    /// The connection's thread has ended.
    Ended,
    /// What was asked for, or what came, has no form here.
    Form(&'static str),
}

impl Error {
    /// The first that the driver said.
    pub fn first(&self) -> Option<&Diagnostic> {
        if let Error::Refused(all) = self { all.first() } else { None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(why) => write!(f, "the ODBC driver manager cannot be loaded: {why}"),
            Error::Refused(all) => match all.first() {
                Some(Diagnostic { state, native, .. }) => write!(f, "refused (SQLSTATE {state}, error {native})"),
                None => f.write_str("refused"),
            },
            Error::Ended => f.write_str("the connection has ended"),
            Error::Form(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
