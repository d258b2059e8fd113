//! The tables beside the user's: positions, plans and refused rows.
//!
//! `foretell_progress` has one row a partition, whose `next` only a compare-and-set moves. `foretell_plans` has the
//! plans that other sinks still lack. Rows that this database alone refuses go to `foretell_rejected`. All three are
//! written in the same transaction as the rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono_tz::Tz;
use foretell_flow::{Checkpoint, Claim, Partition, PlanPart, Position, Range, Recipe, Write};
use serde::{Deserialize, Serialize};

use super::database::{Cause, Database, Failure, Value};
use super::dialect::Dialect;
use super::schema::Name;
use super::statement::RefusedRow;
use foretell_connect::text;

/// The tables' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnTables {
    pub(super) progress: Name,
    pub(super) plans: Name,
}

impl OwnTables {
    /// Those of every pipeline, in a schema where one is named.
    pub(super) fn within(schema: Option<&str>) -> Self {
        let name = |table: &str| Name { schema: schema.map(str::to_owned), table: table.to_owned() };
        OwnTables { progress: name("foretell_progress"), plans: name("foretell_plans") }
    }
}

const PLAN_COLUMNS: [&str; 9] =
    ["pipeline", "sink", "topic", "partition", "from_offset", "to_offset", "id", "time", "recipe"];

/// What the column `recipe` of `foretell_plans` holds.
#[derive(Serialize, Deserialize)]
struct Made {
    #[serde(flatten)]
    recipe: Recipe,
    /// When the plan was kept; missing in rows of earlier versions.
    #[serde(default)]
    kept: i64,
    /// How many parts the plan has; missing in rows of earlier versions.
    #[serde(default)]
    of: usize,
}

/// Whose progress: every key begins with these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pipeline: String,
    pub(super) sink: String,
}

impl Owner {
    fn key(&self, partition: &Partition) -> Vec<Value> {
        vec![
            self.pipeline.as_str().into(),
            self.sink.as_str().into(),
            (*partition.topic).into(),
            partition.index.into(),
        ]
    }

    fn name(&self) -> Vec<Value> {
        vec![self.pipeline.as_str().into(), self.sink.as_str().into()]
    }
}

/// The progress tables' SQL in one dialect.
pub(super) struct Statements {
    dialect: &'static dyn Dialect,
    own: OwnTables,
    advance: String,
    lock: String,
    start: String,
    read: String,
    keep: String,
    trim: String,
    above: String,
    owners: String,
    plans: String,
    here: String,
}

impl Statements {
    pub(super) fn new(dialect: &'static dyn Dialect, own: OwnTables) -> Self {
        let q = |name: &str| dialect.quoted(name);
        let (progress, plans) = (dialect.table(&own.progress), dialect.table(&own.plans));
        let columns = |names: &[&str]| names.iter().map(|n| q(n)).collect::<Vec<_>>().join(", ");
        let mine = format!("{} = ? AND {} = ?", q("pipeline"), q("sink"));
        let here = format!("{mine} AND {} = ? AND {} = ?", q("topic"), q("partition"));
        let (next, from, to) = (q("next"), q("from_offset"), q("to_offset"));
        Statements {
            dialect,
            own,
            advance: format!("UPDATE {progress} SET {next} = ? WHERE {here} AND {next} = ?"),
            lock: dialect.select_locked(&columns(&["next", "identity"]), &progress, &here),
            start: dialect.insert_if_absent(
                &progress,
                &["pipeline", "sink", "topic", "partition", "next", "identity"],
                &["pipeline", "sink", "topic", "partition"],
            ),
            read: format!(
                "SELECT {} FROM {progress} WHERE {mine}",
                columns(&["topic", "partition", "next", "identity"])
            ),
            keep: dialect.insert_head(&plans, &PLAN_COLUMNS),
            trim: format!("DELETE FROM {plans} WHERE {here} AND {from} < ? AND {to} <= ?"),
            above: format!("DELETE FROM {plans} WHERE {here} AND {to} > ?"),
            owners: format!("SELECT DISTINCT {} FROM {progress}", columns(&["pipeline", "sink", "identity"])),
            plans: format!(
                "SELECT {} FROM {plans} WHERE {mine} ORDER BY {from}",
                columns(&["topic", "partition", "from_offset", "to_offset", "id", "time", "recipe"])
            ),
            here,
        }
    }

    /// The tables' DDL, by name, in the order in which they are made: who sees the positions' table may read the plans'.
    pub(super) fn tables(&self, rejects: Option<&Name>) -> Vec<(Name, String)> {
        let d = self.dialect;
        let (name, text) = (d.name_type(), d.text_type());
        let key = [("pipeline", name), ("sink", name), ("topic", name), ("partition", d.int_type())];
        let table = |at: &Name, columns: &[(&str, &str)], key: &[&str]| {
            let mut parts: Vec<String> = columns.iter().map(|(n, t)| format!("{} {t}", d.quoted(n))).collect();
            if !key.is_empty() {
                let key: Vec<String> = key.iter().map(|n| d.quoted(n)).collect();
                parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
            }
            (at.clone(), d.create_table(at, &parts))
        };
        let not_null: Vec<(&str, String)> = key.iter().map(|(n, t)| (*n, format!("{t} NOT NULL"))).collect();
        let with = |more: &[(&'static str, String)]| -> Vec<(&str, String)> {
            not_null.iter().cloned().chain(more.iter().cloned()).collect()
        };
        let (long, text_null) = (format!("{} NOT NULL", d.long_type()), text.to_owned());
        let (text, words) = (format!("{text} NOT NULL"), format!("{} NOT NULL", d.words_type()));
        let progress = with(&[("next", long.clone()), ("identity", words.clone())]);
        let plans = with(&[
            ("from_offset", long.clone()),
            ("to_offset", long.clone()),
            ("id", words.clone()),
            ("time", long),
            ("recipe", text.clone()),
        ]);
        fn borrowed<'a>(columns: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
            columns.iter().map(|(n, t)| (*n, t.as_str())).collect()
        }
        let mut out = vec![
            table(&self.own.plans, &borrowed(&plans), &["pipeline", "sink", "topic", "partition", "from_offset"]),
            table(&self.own.progress, &borrowed(&progress), &["pipeline", "sink", "topic", "partition"]),
        ];
        if let Some(rejects) = rejects {
            let columns = vec![
                ("pipeline", words.clone()),
                ("sink", words.clone()),
                ("topic", d.words_type().to_owned()),
                ("partition", d.int_type().to_owned()),
                ("offset", d.long_type().to_owned()),
                ("reason", words),
                ("time", d.time_type().to_owned() + " NOT NULL"),
                ("row", text_null),
            ];
            // Some servers take no table without a primary key. One that was made without it serves as well.
            let columns: Vec<(&str, String)> = [("id", d.id_type().to_owned())].into_iter().chain(columns).collect();
            out.push(table(rejects, &borrowed(&columns), &[]));
        }
        out
    }

    /// Moves the positions of all ranges; the first one that is not where it should be is returned.
    pub(super) async fn advance<'r>(
        &self,
        db: &mut dyn Database,
        owner: &Owner,
        ranges: &'r [Range],
    ) -> Result<Option<&'r Range>, Failure> {
        // One order for all workers, so that they wait for each other instead of dying in a deadlock.
        let mut ordered: Vec<&Range> = ranges.iter().collect();
        ordered.sort_by(|a, b| a.partition.cmp(&b.partition));
        for range in ordered {
            if range.from == range.to {
                // Some drivers do not count a row that is as it was.
                let rows = db.fetch(&self.lock, &owner.key(&range.partition)).await?;
                match rows.first().and_then(|row| row.first()) {
                    Some(Value::Int(next)) if *next == range.from => continue,
                    _ => return Ok(Some(range)),
                }
            }
            let mut values = vec![Value::Int(range.to)];
            values.extend(owner.key(&range.partition));
            values.push(range.from.into());
            if db.execute(&self.advance, &values).await? != 1 {
                return Ok(Some(range));
            }
        }
        Ok(None)
    }

    /// Stores starts where nothing is stored, and reads what is stored with a lock: it waits for a commit in flight.
    pub(super) async fn claim(
        &self,
        db: &mut dyn Database,
        owner: &Owner,
        claims: &[Claim],
    ) -> Result<Vec<Checkpoint>, Failure> {
        let mut ordered: Vec<&Claim> = claims.iter().collect();
        ordered.sort_by(|a, b| a.partition.cmp(&b.partition));
        let mut stored = BTreeMap::new();
        for claim in ordered {
            let key = owner.key(&claim.partition);
            let mut rows = db.fetch(&self.lock, &key).await?;
            if rows.is_empty() {
                let mut values = key.clone();
                values.extend([claim.start.into(), claim.identity.as_str().into()]);
                self.start(db, &values).await?;
                rows = db.fetch(&self.lock, &key).await?;
            }
            match rows.first().map(Vec::as_slice) {
                Some([Value::Int(next), Value::Text(identity)]) => {
                    stored.insert(claim.partition.clone(), (*next, identity.clone()));
                }
                _ => return Err(Failure::moment(format!("the position of {} cannot be read", claim.partition))),
            }
        }
        let mut plans = self.plans(db, owner).await?;
        let checkpoint = |claim: &Claim| {
            let (next, identity) = stored.get(&claim.partition)?.clone();
            let partition = claim.partition.clone();
            Some(Checkpoint { plans: plans.remove(&partition).unwrap_or_default(), partition, identity, next })
        };
        Ok(claims.iter().filter_map(checkpoint).collect())
    }

    /// Everything that is stored.
    pub(super) async fn positions(&self, db: &mut dyn Database, owner: &Owner) -> Result<Vec<Checkpoint>, Failure> {
        let rows = db.fetch(&self.read, &owner.name()).await?;
        let mut plans = self.plans(db, owner).await?;
        let mut out = Vec::new();
        for row in &rows {
            let [Value::Text(topic), Value::Int(index), Value::Int(next), Value::Text(identity)] = row.as_slice()
            else {
                return Err(foreign(&self.own.progress));
            };
            let partition = self.partition(topic, *index)?;
            let plans = plans.remove(&partition).unwrap_or_default();
            out.push(Checkpoint { partition, identity: identity.clone(), next: *next, plans });
        }
        out.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(out)
    }

    async fn plans(&self, db: &mut dyn Database, owner: &Owner) -> Result<BTreeMap<Partition, Vec<PlanPart>>, Failure> {
        let mut out: BTreeMap<Partition, Vec<PlanPart>> = BTreeMap::new();
        for row in db.fetch(&self.plans, &owner.name()).await? {
            let [
                Value::Text(topic),
                Value::Int(index),
                Value::Int(from),
                Value::Int(to),
                Value::Text(id),
                Value::Int(time),
                Value::Text(recipe),
            ] = row.as_slice()
            else {
                return Err(foreign(&self.own.plans));
            };
            let made = serde_json::from_str(recipe).map_err(|_| foreign(&self.own.plans));
            let Made { recipe, kept, of } = made?;
            let partition = self.partition(topic, *index)?;
            let range = Range { partition: partition.clone(), from: *from, to: *to };
            let part = PlanPart { id: id.clone(), time: *time, recipe, range, kept, of };
            out.entry(partition).or_default().push(part);
        }
        Ok(out)
    }

    /// Drops the parts of a partition's plans that end above an offset.
    pub(super) async fn above(&self, db: &mut dyn Database, owner: &Owner, part: &PlanPart) -> Result<(), Failure> {
        let mut values = owner.key(&part.range.partition);
        values.push(part.range.from.into());
        db.execute(&self.above, &values).await.map(drop)
    }

    /// Whose positions are stored, and of which logs.
    pub(super) async fn owners(&self, db: &mut dyn Database) -> Result<Vec<(Owner, String)>, Failure> {
        let mut out = Vec::new();
        for row in db.fetch(&self.owners, &[]).await? {
            let [Value::Text(pipeline), Value::Text(sink), Value::Text(identity)] = row.as_slice() else {
                return Err(foreign(&self.own.progress));
            };
            out.push((Owner { pipeline: pipeline.clone(), sink: sink.clone() }, identity.clone()));
        }
        Ok(out)
    }

    /// Makes one owner's positions and plans another's; how many positions.
    pub(super) async fn hand_over(&self, db: &mut dyn Database, from: &Owner, to: &Owner) -> Result<u64, Failure> {
        let q = |name: &str| self.dialect.quoted(name);
        let (pipeline, sink) = (q("pipeline"), q("sink"));
        let mut moved = 0;
        for table in [&self.own.plans, &self.own.progress] {
            let table = self.dialect.table(table);
            let sql = format!("UPDATE {table} SET {pipeline} = ?, {sink} = ? WHERE {pipeline} = ? AND {sink} = ?");
            moved = db.execute(&sql, &[to.name(), from.name()].concat()).await?;
        }
        Ok(moved)
    }

    /// Stores parts of a plan.
    pub(super) async fn keep(&self, db: &mut dyn Database, owner: &Owner, parts: &[PlanPart]) -> Result<(), Failure> {
        // Far below every database's limit of values in a statement.
        let most = if self.dialect.many_rows() { 64 } else { 1 };
        for parts in parts.chunks(most) {
            let mut values = Vec::with_capacity(parts.len().saturating_mul(PLAN_COLUMNS.len()));
            for part in parts {
                let made = Made { recipe: part.recipe.clone(), kept: part.kept, of: part.of };
                let recipe = serde_json::to_string(&made)
                    .map_err(|_| Failure::settings("the plan's recipe cannot be written as JSON"))?;
                values.extend(owner.key(&part.range.partition));
                values.extend([part.range.from.into(), part.range.to.into()]);
                values.extend([part.id.as_str().into(), part.time.into(), Value::Text(recipe)]);
            }
            let rows = self.dialect.values(PLAN_COLUMNS.len(), parts.len());
            db.execute(&format!("{} {rows}", self.keep), &values).await?;
        }
        Ok(())
    }

    /// Drops the parts of a partition's plans that end at or below a position.
    pub(super) async fn trim(&self, db: &mut dyn Database, owner: &Owner, floor: &Position) -> Result<(), Failure> {
        let mut values = owner.key(&floor.partition);
        values.extend([floor.next.into(), floor.next.into()]);
        db.execute(&self.trim, &values).await.map(drop)
    }

    /// Stores a position whatever was there; its plans go.
    pub(super) async fn set(
        &self,
        db: &mut dyn Database,
        owner: &Owner,
        position: &Position,
        identity: &str,
    ) -> Result<(), Failure> {
        self.forget(db, owner, Some(&position.partition)).await?;
        let mut values = owner.key(&position.partition);
        values.extend([position.next.into(), identity.into()]);
        self.start(db, &values).await
    }

    /// Stores a start where there is none.
    async fn start(&self, db: &mut dyn Database, values: &[Value]) -> Result<(), Failure> {
        if self.dialect.inserts_if_absent() {
            return db.execute(&self.start, values).await.map(drop);
        }
        db.command(self.dialect.savepoint()).await?;
        match db.execute(&self.start, values).await {
            // Another worker was first.
            Err(failure) if failure.cause == Cause::Row => db.command(self.dialect.back_to_savepoint()).await,
            outcome => outcome.map(drop),
        }
    }

    /// Forgets positions and plans.
    pub(super) async fn forget(
        &self,
        db: &mut dyn Database,
        owner: &Owner,
        partition: Option<&Partition>,
    ) -> Result<(), Failure> {
        let mine = format!("{} = ? AND {} = ?", self.dialect.quoted("pipeline"), self.dialect.quoted("sink"));
        let (filter, values) = match partition {
            Some(partition) => (&self.here, owner.key(partition)),
            None => (&mine, owner.name()),
        };
        for table in [&self.own.progress, &self.own.plans] {
            db.execute(&format!("DELETE FROM {} WHERE {filter}", self.dialect.table(table)), &values).await?;
        }
        Ok(())
    }

    fn partition(&self, topic: &str, index: i64) -> Result<Partition, Failure> {
        let index = i32::try_from(index).map_err(|_| foreign(&self.own.progress))?;
        Ok(Partition { topic: topic.into(), index })
    }

    /// The table of the positions.
    pub(super) fn progress(&self) -> &Name {
        &self.own.progress
    }
}

fn foreign(table: &Name) -> Failure {
    Failure::settings(format!("table `{table}` holds what foretell did not write"))
}

/// Pairs of group and member, in order, as lists of members.
pub(super) fn grouped(rows: &[Vec<Value>]) -> Vec<Vec<String>> {
    let mut out: Vec<(&str, Vec<String>)> = Vec::new();
    for row in rows {
        let [Value::Text(group), Value::Text(member)] = row.as_slice() else { continue };
        match out.last_mut() {
            Some((last, members)) if last == group => members.push(member.clone()),
            _ => out.push((group, vec![member.clone()])),
        }
    }
    out.into_iter().map(|(_, members)| members).collect()
}

/// The columns of `foretell_rejected`.
pub(super) fn rejects_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("pipeline"),
        text("sink"),
        text("topic"),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        text("reason"),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        text("row"),
    ]))
}

/// Refused rows as rows of `foretell_rejected`: where they come from, why, when the batch was, and the row as JSON.
pub(super) fn rejects(owner: &Owner, write: &Write, refused: &[RefusedRow], zone: Tz) -> Result<RecordBatch, Failure> {
    let no_json = |_| Failure::settings("a refused row cannot be written as JSON");
    let at: UInt32Array = refused.iter().map(|r| u32::try_from(r.row).ok()).collect();
    let rows = take_record_batch(&write.rows, &at).map_err(no_json)?;
    let rows = text::plain(&rows, zone).and_then(|rows| text::json_lines(&rows)).map_err(no_json)?;
    let rows = String::from_utf8_lossy(&rows);
    // Line ends within texts are escaped.
    let rows: StringArray = rows.lines().map(Some).collect();
    let origin = write.provenance.as_ref();
    let ordinal = |r: &RefusedRow| origin.map(|o| o.partitions.value(r.row));
    let index = |r: &RefusedRow| ordinal(r).map(|ordinal| write.topics.index(ordinal));
    let topic = |r: &RefusedRow| {
        let ordinal = Some(ordinal(r)?);
        let mut partitions = write.ranges.iter().map(|range| &range.partition);
        partitions.find(|partition| write.topics.ordinal(partition) == ordinal).map(|found| found.topic.to_string())
    };
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; refused.len()])) };
    let times = TimestampMicrosecondArray::from(vec![write.plan.time; refused.len()]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        same(&owner.pipeline),
        same(&owner.sink),
        Arc::new(refused.iter().map(topic).collect::<StringArray>()),
        Arc::new(refused.iter().map(index).collect::<Int32Array>()),
        Arc::new(refused.iter().map(|r| origin.map(|o| o.offsets.value(r.row))).collect::<Int64Array>()),
        Arc::new(refused.iter().map(|r| Some(r.reason.as_str())).collect::<StringArray>()),
        Arc::new(times),
        Arc::new(rows),
    ];
    RecordBatch::try_new(rejects_schema(), columns).map_err(no_json)
}
