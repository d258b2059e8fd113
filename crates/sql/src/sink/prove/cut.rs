//! Connections that are cut, at a COMMIT or at any statement: the address of a database, in front of which they are.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use async_trait::async_trait;
use foretell_flow::testing::sinks::Cut;

use super::super::address::Address;
use super::super::database::{Database, Failure, Value};
use super::super::dialect::Dialect;
use super::super::insert::Insert;
use super::super::schema::{Name, Table, Texts};
use super::super::values::Data;

const GOES_ON: u8 = 0;
const BEFORE: u8 = 1;
const AFTER: u8 = 2;

/// What becomes of connections.
#[derive(Default)]
pub(super) struct Fate {
    /// How the next COMMIT is cut.
    commit: AtomicU8,
    /// At which statement all of them die, from 1: before it where this is odd, else behind it; 0 is never.
    dies_at: AtomicUsize,
    sent: AtomicUsize,
}

impl Fate {
    pub(super) fn of_death(nth: usize) -> Self {
        Fate { dies_at: AtomicUsize::new(nth.saturating_add(1)), ..Fate::default() }
    }

    pub(super) fn cut(&self, cut: Cut) {
        self.commit.store(if cut == Cut::BeforeCommit { BEFORE } else { AFTER }, Ordering::SeqCst);
    }

    fn next(&self, sql: &str) -> u8 {
        let dies_at = self.dies_at.load(Ordering::SeqCst);
        if dies_at == 0 {
            return if sql == "COMMIT" { self.commit.swap(GOES_ON, Ordering::SeqCst) } else { GOES_ON };
        }
        let nth = self.sent.fetch_add(1, Ordering::SeqCst).saturating_mul(2);
        // After its death nothing is heard of it.
        match dies_at.saturating_sub(1) {
            at if at == nth => BEFORE,
            at if at == nth.saturating_add(1) => AFTER,
            at if at < nth => BEFORE,
            _ => GOES_ON,
        }
    }
}

/// An address whose connections have a fate.
pub(super) struct Fated {
    pub(super) address: Arc<dyn Address>,
    pub(super) fate: Arc<Fate>,
}

#[async_trait]
impl Address for Fated {
    fn dialect(&self) -> &'static dyn Dialect {
        self.address.dialect()
    }

    fn place(&self) -> String {
        self.address.place()
    }

    fn file(&self) -> Option<&Path> {
        self.address.file()
    }

    async fn connect(&self, create: bool) -> Result<Box<dyn Database>, Failure> {
        let database = self.address.connect(create).await?;
        let dialect = database.dialect();
        Ok(Box::new(Mortal { database: Some(database), dialect, fate: self.fate.clone() }))
    }
}

struct Mortal {
    /// `None` once it is cut.
    database: Option<Box<dyn Database>>,
    dialect: &'static dyn Dialect,
    fate: Arc<Fate>,
}

fn cut() -> Failure {
    Failure::moment("the connection was cut")
}

impl Mortal {
    fn alive(&mut self) -> Result<&mut Box<dyn Database>, Failure> {
        self.database.as_mut().ok_or_else(cut)
    }
}

/// A statement that may be the last.
macro_rules! fated {
    ($self:ident, $sql:expr, $database:ident, $work:expr) => {{
        let fate = $self.fate.next($sql);
        if fate == BEFORE {
            $self.database = None;
        }
        let $database = $self.alive()?;
        let outcome = $work.await;
        if fate == AFTER {
            $self.database = None;
            return Err(cut());
        }
        outcome
    }};
}

#[async_trait]
impl Database for Mortal {
    fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        fated!(self, sql, database, database.command(sql))
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
        fated!(self, sql, database, database.execute(sql, values))
    }

    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        self.alive()?.fetch(sql, values).await
    }

    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
        self.alive()?.texts(sql).await
    }

    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
        self.alive()?.describe(name).await
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        self.alive()?.tables().await
    }

    async fn probe(&mut self, insert: &Insert, columns: &[Data]) -> Result<(), Failure> {
        self.alive()?.probe(insert, columns).await
    }

    fn chunk(&self, columns: usize) -> (usize, usize) {
        self.database.as_ref().map_or((1, 1), |database| database.chunk(columns))
    }

    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        fated!(self, "INSERT", database, database.insert(insert, columns, rows))
    }

    async fn close(self: Box<Self>) {
        if let Some(database) = self.database {
            database.close().await;
        }
    }
}
