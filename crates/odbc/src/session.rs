//! What a connection is asked for.

use crate::answer::{CatalogColumn, Column, Done, Fact, Place, Rows};
use crate::error::Error;
use crate::parameter::Parameter;
use crate::raw::{Catalog, Link, Statement};

/// Statements that stay prepared.
const PREPARED: usize = 32;

/// A connection, on its thread.
pub struct Session {
    /// The latest is the last. Before the link, which goes after them.
    prepared: Vec<(String, Statement)>,
    link: Link,
}

impl Session {
    pub(crate) fn connect(string: &str) -> Result<Self, Error> {
        Ok(Session { prepared: Vec::new(), link: Link::connect(string)? })
    }

    /// What the driver says of itself.
    ///
    /// # Errors
    /// It says nothing.
    pub fn fact(&self, fact: Fact) -> Result<String, Error> {
        self.link.info(match fact {
            Fact::Database => 17,
            Fact::Version => 18,
            Fact::Driver => 6,
        })
    }

    /// Whether there are transactions at all.
    ///
    /// # Errors
    /// The driver does not say.
    pub fn has_transactions(&self) -> Result<bool, Error> {
        Ok(self.link.number(46)? != 0)
    }

    /// What was committed by then is read, and no more.
    ///
    /// # Errors
    /// The driver has no such isolation.
    pub fn read_committed(&self) -> Result<(), Error> {
        self.link.set(108, 2)
    }

    /// Begins a transaction: it begins with the next statement.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn begin(&self) -> Result<(), Error> {
        self.link.set(102, 0)
    }

    /// Ends it, and with it the transaction mode.
    ///
    /// # Errors
    /// The database refuses, or its answer is lost.
    pub fn end(&self, commit: bool) -> Result<(), Error> {
        self.link.end(commit)?;
        self.link.set(102, 1)
    }

    /// Runs a statement without values.
    ///
    /// # Errors
    /// The database refuses.
    pub fn command(&self, sql: &str) -> Result<Done, Error> {
        let mut statement = self.link.statement()?;
        let (_, notes) = statement.direct(sql)?;
        let rows = statement.counted()?;
        Ok(Done { rows, notes })
    }

    /// Runs a statement with rows of values for its `?`; it stays prepared. All rows, or an error: what went in before it
    /// is the caller's to take back.
    ///
    /// # Errors
    /// The database refuses any of the rows.
    pub fn execute(&mut self, sql: &str, values: Vec<Parameter>) -> Result<Done, Error> {
        self.statement(sql)?.execute(values)
    }

    /// Runs a query with one row of values for its `?`.
    ///
    /// # Errors
    /// The database refuses, or a value is no text.
    pub fn query(&mut self, sql: &str, values: Vec<Parameter>) -> Result<Rows, Error> {
        // A query's columns are asked anew each time: a table may have been altered.
        let mut statement = self.link.statement()?;
        match values.is_empty() {
            true => drop(statement.direct(sql)?),
            false => {
                statement.prepare(sql)?;
                statement.run(values)?;
            }
        }
        let columns = statement.columns()?;
        let rows = statement.rows(&columns)?;
        Ok(Rows { columns, rows })
    }

    /// The columns that a query gives.
    ///
    /// # Errors
    /// The database refuses it.
    pub fn describe(&self, sql: &str) -> Result<Vec<Column>, Error> {
        let mut statement = self.link.statement()?;
        statement.prepare(sql)?;
        statement.columns()
    }

    /// Checks a statement.
    ///
    /// # Errors
    /// The database refuses it; many drivers ask it when the statement runs.
    pub fn check(&self, sql: &str) -> Result<(), Error> {
        self.link.statement()?.prepare(sql)
    }

    /// The columns of a table; empty where there is none of that name.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub fn columns(&self, place: &Place) -> Result<Vec<CatalogColumn>, Error> {
        let mut statement = self.link.statement()?;
        statement.catalog(Catalog::Columns, place)?;
        let rows = statement.all()?;
        let column = |row: &Vec<Option<String>>| {
            let text = |i: usize| row.get(i).cloned().flatten();
            let number = |i: usize| text(i).and_then(|text| text.trim().parse::<i64>().ok());
            // The catalog takes `_` and `%` in a name for patterns.
            if text(2)? != place.table {
                return None;
            }
            Some(CatalogColumn {
                schema: text(1).filter(|schema| !schema.is_empty()),
                name: text(3)?,
                code: number(4).and_then(|code| i16::try_from(code).ok()).unwrap_or_default(),
                type_name: text(5).unwrap_or_default(),
                size: number(6),
                digits: number(8),
                nullable: number(10) != Some(0),
                has_default: text(12).is_some_and(|text| !text.is_empty() && text != "NULL"),
            })
        };
        Ok(rows.iter().filter_map(column).collect())
    }

    /// The columns of the primary key and of each unique index of a table.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub fn unique(&self, place: &Place) -> Result<Vec<Vec<String>>, Error> {
        let mut keyed: Vec<(i64, String)> = Vec::new();
        let mut statement = self.link.statement()?;
        statement.catalog(Catalog::PrimaryKey, place)?;
        for row in statement.all()? {
            if let (Some(Some(name)), Some(Some(nth))) = (row.get(3), row.get(4)) {
                keyed.push((nth.trim().parse().unwrap_or_default(), name.clone()));
            }
        }
        keyed.sort();
        let mut out: Vec<Vec<String>> = Vec::new();
        if !keyed.is_empty() {
            out.push(keyed.into_iter().map(|(_, name)| name).collect());
        }
        let mut statement = self.link.statement()?;
        statement.catalog(Catalog::UniqueIndexes, place)?;
        let mut indexed: Vec<(String, i64, Option<String>)> = Vec::new();
        for row in statement.all()? {
            let text = |i: usize| row.get(i).cloned().flatten();
            // Statistics of the table itself have no index; of an index of some rows alone there is a condition.
            if let (Some(index), Some("0"), None) = (text(5), text(3).as_deref().map(str::trim), text(12)) {
                let nth = text(7).and_then(|nth| nth.trim().parse().ok()).unwrap_or_default();
                indexed.push((index, nth, text(8)));
            }
        }
        indexed.sort();
        for group in indexed.chunk_by(|(a, ..), (b, ..)| a == b) {
            // An index of an expression has no name in its place.
            let names: Option<Vec<String>> = group.iter().map(|(_, _, name)| name.clone()).collect();
            out.extend(names.filter(|names| !out.contains(names)));
        }
        Ok(out)
    }

    /// The names of the tables and views that can be seen.
    ///
    /// # Errors
    /// The catalog does not answer.
    pub fn tables(&self) -> Result<Vec<String>, Error> {
        let mut statement = self.link.statement()?;
        statement.catalog(Catalog::Tables, &Place { table: "%".to_owned(), ..Place::default() })?;
        Ok(statement.all()?.into_iter().filter_map(|row| row.into_iter().nth(2).flatten()).collect())
    }

    fn statement(&mut self, sql: &str) -> Result<&mut Statement, Error> {
        let ready = match self.prepared.iter().position(|(text, _)| text == sql) {
            Some(at) => self.prepared.remove(at),
            None => {
                let mut statement = self.link.statement()?;
                statement.prepare(sql)?;
                if self.prepared.len() >= PREPARED {
                    self.prepared.remove(0);
                }
                (sql.to_owned(), statement)
            }
        };
        self.prepared.push(ready);
        self.prepared.last_mut().map(|(_, statement)| statement).ok_or(Error::Ended)
    }
}
