//! What a connection does through sqlx, whichever database it is to: each statement ends in time, and a failure is told in
//! the words of this crate.

use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Connection, Encode, Execute, Executor, Row as _, SqlSafeStr, Statement as _,
    Type, TypeInfo as _,
};

use super::database::{CONNECT_TIMEOUT, Failure, Value, within};
use super::schema::Texts;

type Row<C> = <<C as Connection>::Database as sqlx::Database>::Row;
type Outcome<C> = <<C as Connection>::Database as sqlx::Database>::QueryResult;

/// A connection of sqlx.
pub(super) struct Client<C> {
    connection: C,
    /// What an error of this database means.
    failure: fn(&sqlx::Error) -> Failure,
}

impl<C> Client<C>
where
    C: Connection,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    pub(super) async fn connect(options: &C::Options, failure: fn(&sqlx::Error) -> Failure) -> Result<Self, Failure> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, C::connect_with(options)).await;
        let late = |_| Failure::moment(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()));
        let connection = connecting.map_err(late)?.map_err(|error| failure(&error))?;
        Ok(Client { connection, failure })
    }

    /// Runs a statement without values.
    pub(super) async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        self.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop)
    }

    /// Runs a statement.
    pub(super) async fn execute<'q>(
        &mut self,
        query: impl Execute<'q, C::Database> + 'q,
    ) -> Result<Outcome<C>, Failure> {
        let failure = self.failure;
        within(async { self.connection.execute(query).await.map_err(|error| failure(&error)) }).await
    }

    /// Does with the connection what only this database's own can.
    pub(super) async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut C) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        let failure = self.failure;
        within(async { work(&mut self.connection).await.map_err(|error| failure(&error)) }).await
    }

    /// Runs a query.
    pub(super) async fn rows<'q>(&mut self, query: impl Execute<'q, C::Database> + 'q) -> Result<Vec<Row<C>>, Failure> {
        let failure = self.failure;
        within(async { self.connection.fetch_all(query).await.map_err(|error| failure(&error)) }).await
    }

    /// Runs a query and reads each of its values.
    pub(super) async fn fetch<'q>(
        &mut self,
        query: impl Execute<'q, C::Database> + 'q,
        value: fn(&Row<C>, usize) -> Result<Value, Failure>,
    ) -> Result<Vec<Vec<Value>>, Failure> {
        let rows = self.rows(query).await?;
        rows.iter().map(|row| (0..row.len()).map(|i| value(row, i)).collect()).collect()
    }

    /// Has a statement checked; names and types of the columns that it gives.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Vec<(String, String)>, Failure> {
        let failure = self.failure;
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        let prepared = within(async { self.connection.prepare(sql).await.map_err(|error| failure(&error)) }).await?;
        let column = |column: &<C::Database as sqlx::Database>::Column| {
            (column.name().to_owned(), column.type_info().name().to_owned())
        };
        Ok(prepared.columns().iter().map(column).collect())
    }

    /// Runs one query without values, and gives what it gives as texts.
    pub(super) async fn texts(
        &mut self,
        sql: &str,
        text: fn(&Row<C>, usize) -> Result<Option<String>, sqlx::Error>,
    ) -> Result<Texts, Failure> {
        let columns = self.prepare(sql).await?;
        let rows = self.rows(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        let value = |row: &Row<C>, i: usize| text(row, i).map_err(|_| not_text(i));
        let width = columns.len();
        let rows: Result<_, _> = rows.iter().map(|row| (0..width).map(|i| value(row, i)).collect()).collect();
        Ok(Texts { columns, rows: rows? })
    }

    /// Ends it; a server that does not answer is left.
    pub(super) async fn close(self) {
        super::database::close(self.connection.close()).await;
    }
}

/// A value that a query gives is not text, and cannot be told as such.
pub(super) fn not_text(column: usize) -> Failure {
    Failure::settings(format!("column {} is not text", column.saturating_add(1)))
}

/// The values of a statement as the database takes them.
pub(super) fn arguments<A>(values: &[Value]) -> Result<A, Failure>
where
    A: Arguments,
    Option<String>: for<'t> Encode<'t, A::Database> + Type<A::Database>,
    i64: for<'t> Encode<'t, A::Database> + Type<A::Database>,
{
    let mut arguments = A::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<String>),
            Value::Int(number) => arguments.add(*number),
            Value::Text(text) => arguments.add(Some(text.clone())),
        }
        .map_err(|_| Failure::settings("a setting cannot be sent"))?;
    }
    Ok(arguments)
}

/// The texts among a query's values.
pub(super) fn names(rows: Vec<Vec<Value>>) -> Vec<String> {
    rows.into_iter()
        .flatten()
        .filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None })
        .collect()
}
