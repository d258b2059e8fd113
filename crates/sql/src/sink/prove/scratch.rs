//! The tables of a proof, and sinks that are opened on them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono_tz::Tz;
use foretell_flow::testing::sinks::{self, Scissors, Subject};
use foretell_flow::{Sharing, Sink, SinkTraits, StageError};

use super::super::address::Address;
use super::super::database::{Database, Failure, Value};
use super::super::progress::{OwnTables, Owner};
use super::super::protocol::{Plan, SqlSink};
use super::super::schema::Name;
use super::super::table::create;
use super::cut::{Fate, Fated};

/// A place in a database that nothing else knows.
#[derive(Clone)]
pub(super) struct Scratch {
    address: Arc<dyn Address>,
    zone: Tz,
    pub(super) rows: Name,
    pub(super) rejects: Name,
    own: OwnTables,
}

impl Scratch {
    pub(super) async fn new(address: Arc<dyn Address>, schema: Option<&str>, zone: Tz) -> Result<Self, StageError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let name = |what: &str| Name { schema: schema.map(str::to_owned), table: format!("foretell_{what}_{now:x}") };
        let scratch = Scratch {
            address,
            zone,
            rows: name("proof"),
            rejects: name("proof_rejected"),
            own: OwnTables { progress: name("proof_progress"), plans: name("proof_plans") },
        };
        let place = scratch.address.place();
        let made = match scratch.make(&sinks::schema(), &[]).await {
            Ok(()) => scratch.remove().await,
            Err(failure) => Err(failure),
        };
        made.map_err(|failure| {
            failure.at(place).remedy(
                "a proof needs tables of its own: let a user prove it who may create and drop tables, or name a schema \
                 where that is so (`progress_schema`)",
            )
        })?;
        Ok(scratch)
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn Database>, Failure> {
        self.address.connect(true).await
    }

    /// Removes all of it.
    pub(super) async fn remove(&self) -> Result<(), Failure> {
        let mut db = self.connect().await?;
        for table in [&self.rows, &self.rejects, &self.own.progress, &self.own.plans] {
            if db.describe(table).await?.is_some() {
                let sql = format!("DROP TABLE {}", db.dialect().table(table));
                db.command(&sql).await?;
            }
        }
        db.close().await;
        Ok(())
    }

    /// Nothing in any of its tables. Quicker than to make them anew.
    async fn clear(&self) -> Result<(), Failure> {
        let mut db = self.connect().await?;
        for table in [&self.own.progress, &self.own.plans, &self.rejects, &self.rows] {
            if db.describe(table).await?.is_some() {
                let sql = format!("DELETE FROM {}", db.dialect().table(table));
                db.command(&sql).await?;
            } else if *table == self.rows {
                let sql = create(&self.rows, &sinks::schema(), &[], db.dialect());
                db.command(&sql.map_err(|error| Failure::settings(error.message))?).await?;
            }
        }
        db.close().await;
        Ok(())
    }

    /// An empty table for rows, and nothing else.
    pub(super) async fn make(&self, schema: &SchemaRef, key: &[String]) -> Result<(), Failure> {
        self.remove().await?;
        let mut db = self.connect().await?;
        let sql = create(&self.rows, schema, key, db.dialect()).map_err(|error| Failure::settings(error.message))?;
        db.command(&sql).await?;
        db.close().await;
        Ok(())
    }

    fn plan(&self, address: Box<dyn Address>, owner: (&str, &str), schema: SchemaRef, key: &[String]) -> Plan {
        Plan {
            address,
            owner: Owner { pipeline: owner.0.to_owned(), sink: owner.1.to_owned() },
            table: self.rows.clone(),
            key: key.to_vec(),
            rejects: self.rejects.clone(),
            own: self.own.clone(),
            exactly_once: true,
            create: false,
            schema,
            delete: None,
            zone: self.zone,
        }
    }

    pub(super) async fn sink(&self, schema: SchemaRef, key: &[String]) -> Result<SqlSink, StageError> {
        let address = self.fated(Fate::default());
        SqlSink::open(self.plan(address.0, (sinks::PIPELINE, sinks::SINK), schema, key)).await
    }

    fn fated(&self, fate: Fate) -> (Box<dyn Address>, Arc<Fate>) {
        let fate = Arc::new(fate);
        (Box::new(Fated { address: self.address.clone(), fate: fate.clone() }), fate)
    }

    async fn opened(&self, fate: Fate, pipeline: &str, sink: &str) -> (Box<dyn Sink>, Arc<Fate>) {
        let (address, fate) = self.fated(fate);
        let sink = SqlSink::open(self.plan(address, (pipeline, sink), sinks::schema(), &[])).await;
        match sink {
            Ok(sink) => (Box::new(sink), fate),
            Err(error) => panic!("the sink does not open: {error}"),
        }
    }
}

#[async_trait]
impl Subject for Scratch {
    fn traits(&self) -> SinkTraits {
        SinkTraits { keeps_positions: true, sharing: Sharing::Shared, atomic: true, slices: false }
    }

    fn fences_by_claim(&self) -> bool {
        false
    }

    async fn renew(&mut self) {
        if let Err(failure) = self.clear().await {
            panic!("tables cannot be made or emptied: {}", failure.text);
        }
    }

    async fn open(&mut self) -> Box<dyn Sink> {
        self.opened(Fate::default(), sinks::PIPELINE, sinks::SINK).await.0
    }

    async fn open_mortal(&mut self, nth: usize) -> Option<Box<dyn Sink>> {
        Some(self.opened(Fate::of_death(nth), sinks::PIPELINE, sinks::SINK).await.0)
    }

    async fn open_cuttable(&mut self) -> Option<(Box<dyn Sink>, Scissors)> {
        let (sink, fate) = self.opened(Fate::default(), sinks::PIPELINE, sinks::SINK).await;
        Some((sink, Box::new(move |cut| fate.cut(cut))))
    }

    async fn open_as(&mut self, pipeline: &str, sink: &str) -> Option<Box<dyn Sink>> {
        Some(self.opened(Fate::default(), pipeline, sink).await.0)
    }

    async fn landed(&mut self) -> Vec<(i32, i64)> {
        let found = async {
            let mut db = self.connect().await?;
            let q = |name: &str| db.dialect().quoted(name);
            let (partition, offset) = (q("partition"), q("offset"));
            let table = db.dialect().table(&self.rows);
            let sql = format!("SELECT {partition}, {offset} FROM {table} ORDER BY {partition}, {offset}");
            db.fetch(&sql, &[]).await
        };
        let number = |value: &Value| if let Value::Int(number) = value { Some(*number) } else { None };
        let row = |row: &Vec<Value>| match row.as_slice() {
            [partition, offset] => Some((i32::try_from(number(partition)?).ok()?, number(offset)?)),
            _ => None,
        };
        match found.await {
            Ok(rows) => rows.iter().map(row).collect::<Option<Vec<_>>>().unwrap_or_default(),
            Err(failure) => panic!("the rows cannot be read: {}", failure.text),
        }
    }
}
