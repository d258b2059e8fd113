//! A connection by ODBC.

use async_trait::async_trait;
use foretell_odbc::{Connection, Error, Fact, Place, Session};

use super::super::database::{Cause, Database, Failure, Value, within};
use super::super::dialect::Dialect;
use super::super::insert::Insert;
use super::super::schema::{Name, Table, Texts};
use super::super::values::Data;
use super::failure::{Doing, failure, reason};
use super::flavor::{Flavor, STANDARD};
use super::flavors::flavor;
use super::{bind, catalog};

/// Rows in one call, and bytes of values.
const MAX_ROWS: usize = 2_048;
const MAX_BYTES: usize = 8 << 20;

/// Bytes that the rows of one call take.
const ROOM: usize = 16 << 20;

/// What is said beside a statement that cut a value.
const CUT: [&str; 2] = ["01004", "01S07"];

/// A connection.
pub(super) struct Odbc {
    connection: Connection,
    flavor: &'static Flavor,
}

impl Odbc {
    pub(super) async fn connect(string: String) -> Result<Self, Failure> {
        let asking = |error: Error| failure(&error, &STANDARD, Doing::Asking);
        let connection = within(async { Connection::open(string).await.map_err(asking) }).await?;
        let name = connection.run(|session| session.fact(Fact::Database)).await.map_err(asking)?;
        let mut odbc = Odbc { connection, flavor: flavor(&name) };
        if !odbc.ask(|session| session.has_transactions()).await? {
            return Err(Failure::settings(format!("{name}: the driver has no transactions")));
        }
        // Not every driver can be asked; `foretell check --prove` tries.
        let _ = odbc.ask(|session| session.read_committed()).await;
        for command in (odbc.flavor.session)() {
            odbc.command(&command).await?;
        }
        Ok(odbc)
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: Doing,
        work: impl FnOnce(&mut Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let told = |error: Error| failure(&error, self.flavor, doing);
        within(async { self.connection.run(work).await.map_err(told) }).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        self.run(Doing::Asking, work).await
    }

    /// Where a table is, as the catalog knows it.
    async fn place(&mut self, name: &Name) -> Result<Place, Failure> {
        let mut schema = name.schema.clone();
        if let (None, Some(query)) = (&schema, self.flavor.schema) {
            let rows = self.ask(|session| session.query(query, Vec::new())).await?.rows;
            schema = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        }
        let schema = schema.map(|schema| schema.trim_end().to_owned());
        let (catalog, schema) = if self.flavor.schema_is_catalog { (schema, None) } else { (None, schema) };
        Ok(Place { catalog, schema, table: name.table.clone() })
    }

    async fn insert_group(
        &mut self,
        sql: &str,
        insert: &Insert,
        columns: &[Data],
        rows: &[u32],
    ) -> Result<(), Failure> {
        let values = insert
            .columns
            .iter()
            .zip(columns)
            .map(|(to, data)| bind::parameter(data, to, rows, self.flavor.times_as_text))
            .collect();
        let sql = sql.to_owned();
        let done = self.run(Doing::Storing, move |session| session.execute(&sql, values)).await?;
        let cut = |state: &str| CUT.contains(&state) || state.starts_with("22");
        if let Some(note) = done.notes.iter().find(|note| self.flavor.notes_tell || cut(&note.state)) {
            return Err(Failure::row(format!(
                "{} (SQLSTATE {}, error {})",
                reason(&note.state),
                note.state,
                note.native
            )));
        }
        let fewer = done.rows.is_some_and(|stored| stored < rows.len() as u64);
        match fewer && insert.key.is_none() && !insert.deletes {
            true => Err(Failure::unsure("skipped by a trigger or rule of the table, which gave no row to store")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Database for Odbc {
    fn dialect(&self) -> &'static dyn Dialect {
        self.flavor.dialect
    }

    /// Transactions are begun and ended by the driver's own calls: not every database has statements for it.
    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        let dialect = self.flavor.dialect;
        if [dialect.begin(), dialect.begin_reading()].contains(&Some(sql)) {
            self.ask(|session| session.begin()).await?;
            return match self.flavor.begun {
                Some(begun) => self.ask(|session| session.command(begun)).await.map(drop),
                None => Ok(()),
            };
        }
        match sql {
            "COMMIT" => self.run(Doing::Storing, |session| session.end(true)).await,
            "ROLLBACK" => self.ask(|session| session.end(false)).await,
            _ => {
                let sql = sql.to_owned();
                self.ask(move |session| session.command(&sql)).await.map(drop)
            }
        }
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
        let (sql, values) = (sql.to_owned(), bind::row(values));
        let done = self.run(Doing::Storing, move |session| session.execute(&sql, values)).await?;
        done.rows.ok_or_else(|| Failure::settings("the driver does not count the rows that a statement hits"))
    }

    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        let (sql, values) = (sql.to_owned(), bind::row(values));
        let found = self.ask(move |session| session.query(&sql, values)).await?;
        let codes: Vec<i16> = found.columns.iter().map(|column| column.code).collect();
        let value = |(text, code): (Option<String>, &i16)| match text {
            None => Value::Null,
            Some(text) => match (code, text.trim().parse()) {
                (-6 | -5 | 2..=5, Ok(number)) => Value::Int(number),
                _ => Value::Text(text),
            },
        };
        Ok(found.rows.into_iter().map(|row| row.into_iter().zip(&codes).map(value).collect()).collect())
    }

    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
        let sql = sql.to_owned();
        let found = self.ask(move |session| session.query(&sql, Vec::new())).await?;
        let columns = found.columns.iter().map(|column| (column.name.clone(), catalog::type_name(column))).collect();
        Ok(Texts { columns, rows: found.rows })
    }

    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
        if let Some(describe) = self.flavor.describe {
            return describe(self, name).await;
        }
        let place = self.place(name).await?;
        let columns = self.ask({
            let place = place.clone();
            move |session| session.columns(&place)
        });
        let columns = columns.await?;
        if columns.is_empty() {
            return Ok(None);
        }
        if let [first, .., last] = columns.as_slice()
            && first.schema != last.schema
        {
            let text = format!("table `{name}` is in several schemas");
            return Err(Failure { remedy: "name the schema: `table: schema.table`", ..Failure::settings(text) });
        }
        let sql = format!("SELECT * FROM {} WHERE 1 = 0", self.flavor.dialect.table(name));
        let found = self.ask(move |session| session.describe(&sql)).await?;
        // A view has no keys; of some drivers that is an error.
        let unique = match self.ask(move |session| session.unique(&place)).await {
            Err(failure) if failure.cause.passes() => return Err(failure),
            unique => unique.unwrap_or_default(),
        };
        Ok(Some(catalog::table(name, &columns, &found, unique)))
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        self.ask(|session| session.tables()).await
    }

    async fn probe(&mut self, insert: &Insert, _columns: &[Data]) -> Result<(), Failure> {
        let (nothing, one) =
            (self.flavor.dialect.insert_of_nothing(insert), (self.flavor.insert)(self.flavor.dialect, insert));
        self.ask(move |session| {
            session.check(&one)?;
            session.begin()?;
            let outcome = session.command(&nothing);
            session.end(false)?;
            outcome.map(drop)
        })
        .await
        .map_err(|failure| if failure.cause.passes() { failure } else { Failure { cause: Cause::Settings, ..failure } })
    }

    fn chunk(&self, _columns: usize) -> (usize, usize) {
        (MAX_ROWS, MAX_BYTES)
    }

    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        if rows.iter().any(|row| columns.iter().any(|data| bind::has_no_form(data, *row as usize))) {
            return Err(Failure::row("a year that the interface has no form for"));
        }
        let dialect = self.flavor.dialect;
        let sql = if insert.deletes { dialect.delete_rows(insert, 1) } else { (self.flavor.insert)(dialect, insert) };
        for group in bind::groups(columns, rows, ROOM) {
            self.insert_group(&sql, insert, columns, group).await?;
        }
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}
