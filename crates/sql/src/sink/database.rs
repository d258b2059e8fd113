//! What the protocol asks of a connection to a database, and what a failure means.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use foretell_flow::StageError;

use super::dialect::Dialect;
use super::insert::Insert;
use super::schema::{Name, Table, Texts};
use super::values::Data;

/// A statement that has no answer by then is given up with its connection. Above the databases' own lock timeouts.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection that does not come about by then is given up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server ends a transaction whose client is silent for this long, and with it the locks of a frozen worker.
pub(super) const IDLE_SECONDS: u32 = 60;

/// How long a statement waits for another transaction's locks.
pub(super) const LOCK_SECONDS: u32 = 40;

/// A value of the progress tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Value::Int(number.into())
    }
}

/// What a database refuses with. `text` never holds a record's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) text: String,
    /// What a person can do, where that is known; else empty.
    pub(super) remedy: &'static str,
}

/// Why a statement failed, as far as it matters for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A row of the statement: the others can be stored.
    Row,
    /// The server refused the statement, for a row or for what concerns all of them: the other rows tell.
    Unsure,
    /// The moment: a lost connection, a deadlock, a lock that was not given, a server that goes down.
    Moment,
    /// The statement took longer than it may: one of fewer rows may not.
    Late,
    /// The schema, a permission, the statement itself: only a person can change that. A trigger may meet it for some
    /// rows alone.
    Settings,
}

impl Cause {
    /// Whether the same may succeed later.
    pub(super) fn passes(self) -> bool {
        matches!(self, Cause::Moment | Cause::Late)
    }
}

impl Failure {
    fn new(cause: Cause, text: impl Into<String>) -> Self {
        Failure { cause, text: text.into(), remedy: "" }
    }

    pub(super) fn row(text: impl Into<String>) -> Self {
        Failure::new(Cause::Row, text)
    }

    pub(super) fn unsure(text: impl Into<String>) -> Self {
        Failure::new(Cause::Unsure, text)
    }

    pub(super) fn moment(text: impl Into<String>) -> Self {
        Failure::new(Cause::Moment, text)
    }

    pub(super) fn settings(text: impl Into<String>) -> Self {
        Failure::new(Cause::Settings, text)
    }

    /// What the run loop hears; `place` says where.
    pub(super) fn at(self, place: impl fmt::Display) -> StageError {
        let message = format!("{place}: {}", self.text);
        let error = match self.cause.passes() {
            true => StageError::unavailable(message),
            false => StageError::settings(message),
        };
        if self.remedy.is_empty() { error } else { error.remedy(self.remedy) }
    }
}

/// What is said of an error that no server sent.
pub(super) fn transport_failure(error: &sqlx::Error) -> Failure {
    use sqlx::Error;
    match error {
        Error::Io(error) => Failure::moment(error.to_string()),
        Error::Tls(error) => Failure::settings(format!("TLS: {error}")),
        Error::Configuration(error) => Failure::settings(error.to_string()),
        // A value that the protocol has no form for, such as a year of six digits.
        Error::Encode(_) => Failure::row("a value cannot be sent"),
        Error::Protocol(_) => Failure::moment("the server's answer could not be read"),
        Error::WorkerCrashed => Failure::moment("the database's thread is gone"),
        _ => Failure::settings("the server's answer has another form than expected"),
    }
}

/// Waits, but not for ever.
pub(super) async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(Cause::Late, format!("no answer within {} s", STATEMENT_TIMEOUT.as_secs()))),
    }
}

/// How long a connection may take to end in good order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Ends a connection.
pub(super) async fn close(closing: impl Future<Output = Result<(), sqlx::Error>>) {
    // What was committed is safe, and nothing else matters.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
}

/// Begins a transaction that will write, where a statement does that.
pub(super) async fn begin(db: &mut dyn Database) -> Result<(), Failure> {
    match db.dialect().begin() {
        Some(statement) => db.command(statement).await,
        None => Ok(()),
    }
}

/// One connection; `Sync` so that a sink that holds one can be lent. An error that ends a write also ends the connection.
#[async_trait]
pub(super) trait Database: Send + Sync {
    /// Its SQL.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Runs a statement without values: BEGIN, SAVEPOINT, DDL.
    async fn command(&mut self, sql: &str) -> Result<(), Failure>;

    /// Runs a statement with `?` for its values; it stays prepared. Returns how many rows it hit (found, not changed).
    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure>;

    /// Runs a query with `?` for its values.
    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure>;

    /// Runs one query without values, and gives what it gives as texts.
    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure>;

    /// What the database knows of a table; `None` where no table has that name.
    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure>;

    /// The tables that can be seen, for messages.
    async fn tables(&mut self) -> Result<Vec<String>, Failure>;

    /// Checks what only the database can check of an INSERT, and writes nothing.
    async fn probe(&mut self, insert: &Insert, columns: &[Data]) -> Result<(), Failure>;

    /// How many rows of this many columns go into one statement, and how many bytes of values. A database without
    /// multi-row `VALUES` answers 1, or sends its rows as a prepared batch.
    fn chunk(&self, columns: usize) -> (usize, usize);

    /// Inserts rows, all or none of them.
    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure>;

    /// Ends the session in good order; a server that does not answer is not waited for.
    async fn close(self: Box<Self>);
}
