//! The sink: positions, rows, plans and refused rows in one transaction.
//!
//! Its statements are, in this order: the compare-and-set of every range, the rows, the refused rows, the plans,
//! COMMIT. A second writer of a range waits at the first of them for the row's lock and then finds another position.
//! Whatever goes wrong, the connection is dropped; the next claim makes a new one and reads the positions with a lock,
//! which waits until a commit in flight has landed or is gone.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono_tz::Tz;
use foretell_flow::testing::crash_point;
use foretell_flow::{Checkpoint, Claim, Partition, PlanRetention, Reset, Sink, StageError, Trace, Write, Written};
use foretell_suggest::nearest;

use super::address::Address;
use super::database::{Cause, Database, Failure, begin};
use super::deletion;
use super::dialect::Dialect;
use super::insert::Insert;
use super::progress::{OwnTables, Owner, Statements, rejects, rejects_schema};
use super::schema::{Name, Table};
use super::statement::{RefusedRow, insert_batch};
use super::table::{create, find, fit};
use super::values::convert;

/// What the settings and the context say.
pub(super) struct Plan {
    pub(super) address: Box<dyn Address>,
    pub(super) owner: Owner,
    pub(super) table: Name,
    /// The key's columns in the result; empty without `mode: upsert`.
    pub(super) key: Vec<String>,
    pub(super) rejects: Name,
    pub(super) own: OwnTables,
    pub(super) exactly_once: bool,
    pub(super) create: bool,
    pub(super) schema: SchemaRef,
    /// Where in the result the column stands that says what is deleted; `schema` is without it.
    pub(super) delete: Option<usize>,
    pub(super) zone: Tz,
}

/// A sink that writes to one table.
pub(super) struct SqlSink {
    plan: Plan,
    statements: Statements,
    connection: Option<Box<dyn Database>>,
    /// Known once the tables are there.
    ready: Option<Ready>,
    /// Rows in one statement at most: fewer after one took too long.
    most: AtomicUsize,
    /// The ends of the plans' parts that are stored here, by partition: nothing is trimmed where there are none.
    kept: HashMap<Partition, VecDeque<i64>>,
}

#[derive(Clone)]
struct Ready {
    insert: Insert,
    /// `None` where refused rows are only counted.
    rejects: Option<Insert>,
}

impl SqlSink {
    /// Connects and checks everything that can be wrong; writes nothing.
    pub(super) async fn open(plan: Plan) -> Result<Self, StageError> {
        let statements = Statements::new(plan.address.dialect(), plan.own.clone());
        let mut sink = SqlSink {
            plan,
            statements,
            connection: None,
            ready: None,
            most: AtomicUsize::new(usize::MAX),
            kept: HashMap::new(),
        };
        if sink.plan.address.absent() && sink.plan.create {
            create(&sink.plan.table, &sink.plan.schema, &sink.plan.key, sink.plan.address.dialect())?;
            return Ok(sink);
        }
        let mut db = sink.connect().await?;
        sink.statements = Statements::new(db.dialect(), sink.plan.own.clone());
        match db.describe(&sink.plan.table).await.map_err(|f| sink.failed(f))? {
            Some(table) => {
                sink.check(db.as_mut(), table).await?;
            }
            None if sink.plan.create => {
                create(&sink.plan.table, &sink.plan.schema, &sink.plan.key, sink.plan.address.dialect())?;
            }
            None => return Err(sink.no_table(db.as_mut()).await),
        }
        sink.connection = Some(db);
        Ok(sink)
    }

    fn place(&self) -> String {
        format!("table `{}` ({}, {})", self.plan.table, self.plan.address.dialect().name(), self.plan.address.place())
    }

    fn failed(&self, failure: Failure) -> StageError {
        failure.at(self.place())
    }

    async fn connect(&mut self) -> Result<Box<dyn Database>, StageError> {
        if let Some(db) = self.connection.take() {
            return Ok(db);
        }
        self.plan.address.connect(self.plan.create).await.map_err(|f| self.failed(f))
    }

    async fn no_table(&self, db: &mut dyn Database) -> StageError {
        let tables = db.tables().await.unwrap_or_default();
        let hint = nearest(&self.plan.table.table, tables.iter().map(String::as_str));
        let hint = hint.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
        StageError::settings(format!("{}: the table does not exist", self.place()))
            .remedy(format!("{hint}create it, or set `create: true`"))
    }

    /// Checks that rows can go into the table, and how.
    async fn check(&self, db: &mut dyn Database, table: Table) -> Result<Insert, StageError> {
        let dialect = db.dialect();
        if let Some(why) = &table.no_transactions
            && self.plan.exactly_once
        {
            let place = self.place();
            let (what, remedy) = match table.is_view {
                true => (
                    format!("{place}: {why}"),
                    "name the table that the view is of, or set `delivery: at_least_once`".to_owned(),
                ),
                false => {
                    let alter = dialect.give_transactions(&dialect.table(&table.name));
                    let alter = alter.map(|alter| format!("{alter}, or ")).unwrap_or_default();
                    (
                        format!("{place}: {why}, which has no transactions"),
                        format!("{alter}set `delivery: at_least_once`"),
                    )
                }
            };
            return Err(StageError::settings(what).remedy(remedy));
        }
        let upsert = !self.plan.key.is_empty();
        if let Some(right) = table.denied.iter().find(|r| **r == "INSERT" || upsert) {
            return Err(StageError::settings(format!("{}: the user may not {right}", self.place()))
                .remedy(format!("`GRANT {right} ON {} TO …`", dialect.table(&table.name))));
        }
        let columns = fit(&table, &self.plan.schema, dialect)?;
        let mut key = Vec::new();
        for name in &self.plan.key {
            let column = find(&table, name)?;
            let index = columns.iter().position(|c| c.name == column.name).ok_or_else(|| {
                StageError::settings(format!("`key`: column `{name}` is not in the result"))
                    .remedy("add it to the query or to the sink's `columns`")
            })?;
            key.push(index);
        }
        let insert = Insert { table: table.name.clone(), columns, key: upsert.then_some(key), deletes: false };
        if let Some(key) = &insert.key {
            check_key(&table, &insert, key, dialect)?;
        }
        let empty = RecordBatch::new_empty(self.plan.schema.clone());
        let sample: Result<Vec<_>, String> = insert
            .columns
            .iter()
            .zip(empty.columns())
            .zip(self.plan.schema.fields())
            .map(|((c, a), f)| convert(f, a, c, &dialect.rules(), self.plan.zone).map(|(data, _)| data))
            .collect();
        let sample = sample.map_err(|text| self.failed(Failure::settings(text)))?;
        db.probe(&insert, &sample).await.map_err(|f| self.failed(f))?;
        Ok(insert)
    }

    /// Makes the tables that are missing and looks at them.
    async fn prepare(&self, db: &mut dyn Database) -> Result<Ready, StageError> {
        let mut wanted = Vec::new();
        if self.plan.create {
            let sql = create(&self.plan.table, &self.plan.schema, &self.plan.key, db.dialect())?;
            wanted.push((self.plan.table.clone(), sql));
        }
        if self.plan.exactly_once {
            wanted.extend(self.statements.tables(Some(&self.plan.rejects)));
        }
        let mut missing = Vec::new();
        for (name, sql) in wanted {
            match db.describe(&name).await.map_err(|f| self.failed(f))? {
                None => missing.push((name, sql)),
                Some(table) => {
                    if let Some(why) = table.no_transactions.as_ref().filter(|_| self.plan.exactly_once) {
                        return Err(StageError::settings(format!("table `{name}`: {why}, which has no transactions"))
                            .remedy(match db.dialect().give_transactions(&db.dialect().table(&name)) {
                                Some(alter) => format!("drop it, or {alter}"),
                                None => "drop it".to_owned(),
                            }));
                    }
                    if name != self.plan.table {
                        self.may_use(db, &table)?;
                    }
                }
            }
        }
        for i in 0..missing.len() {
            let Some((name, sql)) = missing.get(i) else { continue };
            let Err(failure) = db.command(sql).await else { continue };
            // Another worker may have been first.
            if let Ok(Some(_)) = db.describe(name).await {
                continue;
            }
            if failure.cause.passes() {
                return Err(self.failed(failure));
            }
            let rest: Vec<&str> = missing.iter().skip(i).map(|(_, sql)| sql.as_str()).collect();
            let elsewhere = self.elsewhere();
            return Err(failure.at(format!("table `{name}` cannot be created")).remedy(format!(
                "run this as a user who may: {}{elsewhere};\nor set `delivery: at_least_once`, which needs no table of \
                 its own",
                rest.join("; ")
            )));
        }
        let Some(table) = db.describe(&self.plan.table).await.map_err(|f| self.failed(f))? else {
            return Err(self.no_table(db).await);
        };
        let insert = self.check(db, table).await?;
        let rejects = match db.describe(&self.plan.rejects).await.map_err(|f| self.failed(f))? {
            Some(table) => {
                let columns = fit(&table, &rejects_schema(), db.dialect())?;
                Some(Insert { table: table.name, columns, key: None, deletes: false })
            }
            None => None,
        };
        Ok(Ready { insert, rejects })
    }

    /// Refuses a table of its own that the user has not every right to.
    fn may_use(&self, db: &dyn Database, table: &Table) -> Result<(), StageError> {
        let name = &table.name;
        let needed = |right: &&&str| *name != self.plan.rejects || **right == "INSERT";
        let Some(right) = table.denied.iter().find(needed) else { return Ok(()) };
        let grant = format!("`GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO …`", db.dialect().table(name));
        Err(StageError::settings(format!("table `{name}`: the user may not {right}"))
            .remedy(format!("{grant}{}", self.elsewhere())))
    }

    /// Where else its own tables could be: beside a table in a schema that is not the connection's own.
    fn elsewhere(&self) -> String {
        let (beside, chosen) = (self.plan.table.schema.as_ref(), self.plan.own.progress.schema.as_ref());
        beside.filter(|_| chosen.is_none()).map_or_else(String::new, |schema| {
            format!(";\nor set `progress_schema: {schema}`, so that they are made beside the table")
        })
    }

    /// A connection to a database whose tables are there.
    async fn ready(&mut self) -> Result<(Box<dyn Database>, Ready), StageError> {
        let mut db = self.connect().await?;
        let ready = match &self.ready {
            Some(ready) => ready.clone(),
            None => self.prepare(db.as_mut()).await?,
        };
        self.ready = Some(ready.clone());
        Ok((db, ready))
    }

    /// All of one write but its COMMIT.
    async fn transact(&self, db: &mut dyn Database, ready: &Ready, write: &Write) -> Result<Written, StageError> {
        let failed = |failure: Failure| self.failed(failure);
        let owner = &self.plan.owner;
        begin(db).await.map_err(failed)?;
        if self.plan.exactly_once
            && let Some(range) = self.statements.advance(db, owner, &write.ranges).await.map_err(failed)?
        {
            return Err(StageError::fenced(format!(
                "{}: {} is not at {} any more: another worker wrote",
                self.place(),
                range.partition,
                range.from
            )));
        }
        let most = self.most.load(Ordering::Relaxed);
        let (rows, deleted) = deletion::cut(&write.rows, self.plan.delete);
        let refused = insert_batch(db, &ready.insert, &rows, deleted.as_ref(), self.plan.zone, most).await;
        self.pace(most, db.chunk(ready.insert.columns.len()).0.min(write.rows.num_rows()), &refused);
        let refused = refused.map_err(failed)?;
        if !refused.is_empty() {
            self.reject(db, ready, write, &refused).await.map_err(failed)?;
        }
        if let Some(keep) = write.retention.as_ref().filter(|_| self.plan.exactly_once) {
            for part in &keep.parts {
                let last = self.kept.get(&part.range.partition).and_then(VecDeque::back);
                if last.is_some_and(|end| *end > part.range.from) {
                    self.statements.above(db, owner, part).await.map_err(failed)?;
                }
            }
            self.statements.keep(db, owner, &keep.parts).await.map_err(failed)?;
            for floor in &keep.floor {
                if self.trims(floor.next, &floor.partition, keep) {
                    self.statements.trim(db, owner, floor).await.map_err(failed)?;
                }
            }
        }
        Ok(Written { rejected: refused.len() as u64 })
    }

    /// Fewer rows in a statement after one that took too long; with each that does not, more again.
    fn pace(&self, most: usize, rows: usize, outcome: &Result<Vec<RefusedRow>, Failure>) {
        let most = match outcome {
            Ok(_) => most.saturating_mul(2),
            Err(failure) if failure.cause == Cause::Late => {
                let fewer = (most.min(rows) / 2).max(1);
                tracing::info!(
                    sink = self.plan.owner.sink,
                    rows = fewer,
                    "a statement took too long: fewer rows in one"
                );
                fewer
            }
            Err(_) => return,
        };
        self.most.store(most, Ordering::Relaxed);
    }

    fn trims(&self, floor: i64, partition: &Partition, keep: &PlanRetention) -> bool {
        let first = self.kept.get(partition).and_then(VecDeque::front).copied();
        let new = keep.parts.iter().map(|p| &p.range).filter(|r| r.partition == *partition).map(|r| r.to);
        first.into_iter().chain(new).any(|end| end <= floor)
    }

    /// Keeps what the database refused beside the table.
    async fn reject(
        &self,
        db: &mut dyn Database,
        ready: &Ready,
        write: &Write,
        refused: &[RefusedRow],
    ) -> Result<(), Failure> {
        let first = refused.first().map(|r| r.reason.as_str()).unwrap_or_default();
        let table = self.plan.table.to_string();
        let Some(into) = &ready.rejects else {
            tracing::warn!(
                sink = self.plan.owner.sink,
                table,
                rows = refused.len(),
                reason = first,
                "the database refused rows; there is no table to keep them in"
            );
            return Ok(());
        };
        tracing::warn!(
            sink = self.plan.owner.sink,
            table,
            rows = refused.len(),
            reason = first,
            "the database refused rows; they are in `{}`",
            into.table
        );
        let batch = rejects(&self.plan.owner, write, refused, self.plan.zone)?;
        let lost = insert_batch(db, into, &batch, None, self.plan.zone, usize::MAX).await?;
        match lost.first() {
            None => Ok(()),
            Some(row) => {
                Err(Failure::settings(format!("`{}` does not take a refused row: {}", into.table, row.reason)))
            }
        }
    }

    async fn commit(&self, db: &mut dyn Database) -> Result<(), StageError> {
        db.command("COMMIT").await.map_err(|failure| match failure.cause.passes() {
            true => {
                StageError::unavailable(format!("{}: the outcome of COMMIT is unknown: {}", self.place(), failure.text))
            }
            false => StageError::settings(format!("{}: COMMIT was refused: {}", self.place(), failure.text)),
        })
    }

    async fn has_rows(&self, db: &mut dyn Database) -> Result<bool, StageError> {
        if db.describe(&self.plan.table).await.map_err(|f| self.failed(f))?.is_none() {
            return Ok(false);
        }
        let sql = db.dialect().select_any(&db.dialect().table(&self.plan.table));
        Ok(!db.texts(&sql).await.map_err(|f| self.failed(f))?.rows.is_empty())
    }

    fn remember(&mut self, holdings: &[Checkpoint]) {
        let ends = |h: &Checkpoint| (h.partition.clone(), h.plans.iter().map(|p| p.range.to).collect());
        self.kept = holdings.iter().map(ends).collect();
    }
}

/// That the database itself holds the key unique.
fn check_key(table: &Table, insert: &Insert, key: &[usize], dialect: &dyn Dialect) -> Result<(), StageError> {
    let name = |&i: &usize| insert.columns.get(i).map(|c| c.name.clone());
    let mut wanted: Vec<String> = key.iter().filter_map(name).collect();
    wanted.sort();
    let sorted = |columns: &Vec<String>| {
        let mut columns = columns.clone();
        columns.sort();
        columns
    };
    if !table.unique.iter().any(|columns| sorted(columns) == wanted) {
        return Err(StageError::settings(format!(
            "`key`: table `{}` has no unique index on just {}",
            table.name,
            wanted.join(", ")
        ))
        .remedy(match table.is_view {
            true => "name the table that the view is of",
            false => "create one: without it the database cannot tell which row to replace",
        }));
    }
    let given = |column: &String| insert.columns.iter().any(|c| c.name == *column);
    let other = table.unique.iter().find(|columns| sorted(columns) != wanted && columns.iter().all(given));
    match other.filter(|_| dialect.upserts_by_any_index()) {
        Some(columns) => Err(StageError::settings(format!(
            "`mode: upsert`: table `{}` has another unique index, on {}; {} would replace the row that any of them \
             finds",
            table.name,
            columns.join(", "),
            dialect.name()
        ))
        .remedy("drop that index, or leave its columns out of the sink's `columns`")),
        None => Ok(()),
    }
}

#[async_trait]
impl Sink for SqlSink {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        if !self.plan.exactly_once || self.plan.address.absent() {
            return Ok(Vec::new());
        }
        let mut db = self.connect().await?;
        let table = db.describe(self.statements.progress()).await.map_err(|f| self.failed(f))?;
        let holdings = match table {
            Some(table) => {
                self.may_use(db.as_ref(), &table)?;
                self.statements.positions(db.as_mut(), &self.plan.owner).await.map_err(|f| self.failed(f))?
            }
            None => Vec::new(),
        };
        self.connection = Some(db);
        Ok(holdings)
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let (mut db, _) = self.ready().await?;
        if !self.plan.exactly_once {
            self.connection = Some(db);
            let checkpoint = |c: &Claim| Checkpoint {
                partition: c.partition.clone(),
                identity: c.identity.clone(),
                next: c.start,
                plans: Vec::new(),
            };
            return Ok(claims.iter().map(checkpoint).collect());
        }
        begin(db.as_mut()).await.map_err(|f| self.failed(f))?;
        let holdings =
            self.statements.claim(db.as_mut(), &self.plan.owner, claims).await.map_err(|f| self.failed(f))?;
        self.commit(db.as_mut()).await?;
        self.remember(&holdings);
        self.connection = Some(db);
        Ok(holdings)
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        // Whoever drops this future, or gets an error from it, drops the connection: the server takes all back.
        let (mut db, ready) = self.ready().await?;
        let written = self.transact(db.as_mut(), &ready, write).await?;
        crash_point("sql-before-commit");
        self.commit(db.as_mut()).await?;
        crash_point("sql-after-commit");
        if let Some(keep) = &write.retention {
            for part in &keep.parts {
                let ends = self.kept.entry(part.range.partition.clone()).or_default();
                while ends.back().is_some_and(|end| *end > part.range.from) {
                    ends.pop_back();
                }
                ends.push_back(part.range.to);
            }
            for floor in &keep.floor {
                if let Some(ends) = self.kept.get_mut(&floor.partition) {
                    while ends.front().is_some_and(|end| *end <= floor.next) {
                        ends.pop_front();
                    }
                }
            }
        }
        self.connection = Some(db);
        Ok(written)
    }

    async fn traces(&mut self) -> Result<Vec<Trace>, StageError> {
        if !self.plan.exactly_once || self.plan.address.absent() {
            return Ok(Vec::new());
        }
        let mut db = self.connect().await?;
        let owners = match db.describe(self.statements.progress()).await.map_err(|f| self.failed(f))? {
            Some(_) => self.statements.owners(db.as_mut()).await.map_err(|f| self.failed(f))?,
            None => Vec::new(),
        };
        let own = &self.plan.owner;
        let mut traces: Vec<Trace> = Vec::new();
        for (owner, log) in owners {
            // Pipelines share a database: whatever wrote under this name, the rows are not in this table, since it is
            // empty.
            let other = owner.pipeline != own.pipeline;
            if (other && (owner.sink != own.sink || !self.has_rows(db.as_mut()).await?)) || owner == *own {
                continue;
            }
            let found = traces.iter_mut().find_map(|trace| match trace {
                Trace::Sink { pipeline, sink, logs } if *pipeline == owner.pipeline && *sink == owner.sink => {
                    Some(logs)
                }
                _ => None,
            });
            match found {
                Some(logs) => logs.push(log),
                None => traces.push(Trace::Sink { pipeline: owner.pipeline, sink: owner.sink, logs: vec![log] }),
            }
        }
        self.connection = Some(db);
        Ok(traces)
    }

    async fn hand_over(&mut self, pipeline: &str, sink: &str) -> Result<(), StageError> {
        let (mut db, _) = self.ready().await?;
        let to = Owner { pipeline: pipeline.into(), sink: sink.into() };
        begin(db.as_mut()).await.map_err(|f| self.failed(f))?;
        let moved = self.statements.hand_over(db.as_mut(), &self.plan.owner, &to).await;
        moved.map_err(|f| self.failed(f))?;
        self.commit(db.as_mut()).await?;
        self.kept.clear();
        self.connection = Some(db);
        Ok(())
    }

    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError> {
        if !self.plan.exactly_once {
            return Err(StageError::settings(format!("{}: no positions are kept here", self.place())));
        }
        if matches!(reset, Reset::Forget(_)) && self.positions().await?.is_empty() {
            return Ok(());
        }
        let (mut db, _) = self.ready().await?;
        let owner = &self.plan.owner;
        begin(db.as_mut()).await.map_err(|f| self.failed(f))?;
        match reset {
            Reset::Set { position, identity } => self.statements.set(db.as_mut(), owner, position, identity).await,
            Reset::Forget(partition) => self.statements.forget(db.as_mut(), owner, partition.as_ref()).await,
        }
        .map_err(|f| self.failed(f))?;
        self.commit(db.as_mut()).await?;
        self.kept.clear();
        self.connection = Some(db);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StageError> {
        if let Some(db) = self.connection.take() {
            db.close().await;
        }
        Ok(())
    }
}
