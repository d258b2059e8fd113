//! The traits of the stages: what the run loop asks of sources, decoders, queries and sinks, and in which order.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::{Location, Partition, Plan, PlanPart, Position, Provenance, Range, Records, StageError, Topics};

// ---------------------------------------------------------------- source

/// Where records come from. One source serves one worker; it is one member of a consumer group.
///
/// Order of calls: `next` until it says [`Event::Assigned`]; then `notes`, `bounds` and `seek` for those partitions; then
/// `next` for records, while its [`Housekeeping`] is asked from another task. After [`Event::Revoked`] everything
/// buffered is void, and `next` is called until the next assignment.
#[async_trait]
pub trait Source: Send {
    /// Waits for records or for a change of the assignment. Between calls the source goes on polling its service, so
    /// that a slow pipeline is never thrown out of its group; it fetches no more than a bounded buffer.
    ///
    /// Records come in offset order within a partition, from where `seek` put it, each once. Cancel safe.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable) only after the service was away for long; short outages are waited out.
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError>;

    /// How many partitions there are in all, whoever reads them.
    async fn partitions(&mut self) -> Result<usize, StageError>;

    /// What the service says of partitions: identity, first and end offset, committed offset. A fresh answer each call.
    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError>;

    /// Reads on from these positions: what was buffered for these partitions is dropped.
    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError>;

    /// What was noted with commits, of every partition of the log that has such a note.
    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        Ok(Vec::new())
    }

    /// How many other workers of the pipeline live and keep on another machine what earlier batches were made with, and
    /// what may change. Waits while one that is gone may still be taken for living. Asked at a worker's first assignment.
    async fn elsewhere(&mut self) -> Result<usize, StageError> {
        Ok(0)
    }

    /// Whether further topics may come to it by themselves: those that match a pattern. One that comes to a pipeline that ran
    /// before begins at its first record.
    fn grows(&self) -> bool {
        false
    }

    /// Other identities of the same log: those under which other pipelines read it. Empty where a log has one identity
    /// whoever reads it. Asked where a sink has lost its positions, or is new.
    async fn aliases(&mut self) -> Result<Vec<String>, StageError> {
        Ok(Vec::new())
    }

    /// What housekeeping asks, from a task of its own: neither side waits for the other.
    fn housekeeping(&mut self) -> Arc<dyn Housekeeping>;

    /// Where a person finds the records at these places, one entry each; `None` from a source whose records have no
    /// place but their offset. The same at every replay. Asked for bad records only.
    async fn places(&mut self, _records: &Provenance) -> Result<Option<Vec<Location>>, StageError> {
        Ok(None)
    }
}

/// What a source does beside the batch loop: it says how far behind the sinks are, and commits to the consumer group.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// By position, how many records are between it and the end of its log; an estimate where offsets do not count
    /// records.
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError>;

    /// Tells the service how far every sink is, for lag tools: advisory, monotone, never read back where a sink stores
    /// positions. A source that keeps its records itself may let go of those below. The note says which sinks the
    /// pipeline has, and is given back by [`Source::notes`], also to other processes and at other starts, as long as
    /// the service remembers it.
    async fn commit(&self, positions: &[Position], note: &str) -> Result<(), StageError>;
}

/// How much the run loop wants at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Records.
    pub rows: usize,
    /// Bytes of keys and values; one larger record still comes alone.
    pub bytes: usize,
    /// How long to wait for the first record; what is there then comes at once.
    pub wait: Duration,
}

/// What a source has to say.
#[expect(clippy::large_enum_variant, reason = "one event a batch, never kept in numbers")]
#[derive(Debug)]
pub enum Event {
    /// These partitions are ours now: all of them, not only the new ones.
    Assigned(Vec<Partition>),
    /// The assignment is void.
    Revoked,
    /// Records.
    Records(Chunk),
    /// Nothing came within the time.
    Idle,
    /// A source that ends has ended: every record has been handed out.
    Ended,
}

/// Records and how far they reach.
#[derive(Debug)]
pub struct Chunk {
    /// The records; may be empty where only positions moved (transaction markers, compaction).
    pub records: Records,
    /// For every partition that moved: the next offset to consume, at least the last record's offset + 1.
    pub reached: Vec<Position>,
}

/// The beginning of the identity of a log that ends with its process. What such a log held can never be read again: when a worker starts, its first claim replaces it (position and plans), and the log says what is lacking.
pub const EPHEMERAL_LOG: &str = "passing ";

/// What a service says of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Which.
    pub partition: Partition,
    /// Names the log for ever: cluster id and topic id. Another identity under the same name is another log. That of a
    /// log that ends with its process begins with [`EPHEMERAL_LOG`].
    pub identity: String,
    /// The first offset that is still there.
    pub first: i64,
    /// The offset that the next record will get.
    pub end: i64,
    /// Where a pipeline that has no position begins, as `start:` says.
    pub start: i64,
    /// What the consumer group committed last.
    pub committed: Option<i64>,
}

// ---------------------------------------------------------------- decode and query

/// Bytes to columns. Pure but for what `prepare` fetches: no I/O, no state that one batch leaves to the next.
pub trait Decode: Send {
    /// The columns that every record gives, in the order of the pipeline file.
    fn schema(&self) -> SchemaRef;

    /// Whether records without a value go no further, and are not bad.
    fn skips_tombstones(&self) -> bool {
        false
    }

    /// Gets what it needs to decode these records, and asks others for that: called before each `decode`.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Fault::Unavailable) where others do not answer.
    fn prepare(&mut self, _records: &Records) -> Result<(), StageError> {
        Ok(())
    }

    /// Decodes values. A record that does not decode is a value in `bad`, never an error.
    fn decode(&mut self, records: &Records) -> Decoded;
}

/// Decoded records.
#[derive(Debug)]
pub struct Decoded {
    /// The columns of the good records, in order.
    pub columns: RecordBatch,
    /// The bad ones, ascending by row; every record is either here or in `columns`.
    pub bad: Vec<Refused>,
}

/// A row that a stage cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Index in the batch handed to the stage.
    pub row: usize,
    /// Which stage and where: `decode csv`, `model mri: OneHotEncoder`, `query: CAST(x AS BIGINT)`.
    pub stage: String,
    /// Why, without the value: `field 5 (AGE): not an int64`.
    pub reason: String,
}

/// Rows to rows: SQL in which models are functions.
pub trait Query: Send {
    /// The columns of the result.
    fn schema(&self) -> SchemaRef;

    /// What a result row depends on. Unless that is the batch, partitions can be replayed alone and by any worker.
    fn scope(&self) -> Scope;

    /// Whether the query looks at a column of its table: what it does not look at need not be made.
    fn reads(&self, _column: &str) -> bool {
        true
    }

    /// Runs the query over one batch; `from` is where its rows come from, as far as that is known, and `time` what
    /// `now()` says, in microseconds since the epoch.
    ///
    /// # Errors
    /// [`Data`](crate::Fault::Data), only where no single row is at fault: a failing aggregate. It names the expression.
    fn run(&mut self, batch: &RecordBatch, from: Option<&Provenance>, time: i64) -> Result<Queried, StageError>;

    /// What was run last is a new batch, or a slice of one, and not a replay: whoever watches what comes by counts it.
    fn count(&mut self) {}
}

/// What a row of a result depends on; the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One record.
    Record,
    /// The records of one partition in the batch: a plan's range of that partition must be replayed as a whole.
    Partition,
    /// All records of the batch.
    Batch,
}

/// A query's answer.
#[derive(Debug)]
pub struct Queried {
    /// The result's rows.
    pub rows: RecordBatch,
    /// Where each row comes from: its record; or its partition, and the last offset of that in the batch. `None` where
    /// a row depends on the whole batch.
    pub provenance: Option<Provenance>,
    /// Input rows that a model refused or the query failed on, ascending; they have no row in the result.
    pub refused: Vec<Refused>,
}

// ---------------------------------------------------------------- sink

/// Where rows land.
///
/// Order of calls: `positions` (may be called at any time), then `claim`, then `write` after `write` in offset order,
/// each after the `slice`s of its batch, where the sink takes them. After any error of `write` the run loop calls `claim`
/// again and believes what that says: the write happened as a whole or not at all (by partition, where
/// [`SinkTraits::atomic`] says so).
#[async_trait]
pub trait Sink: Send {
    /// Where a sink wants to be told, before each claim, whether the partitions are all that the source has: a hint, which
    /// another worker's claim may make untrue at any time.
    fn alone(&mut self) -> Option<&mut bool> {
        None
    }

    /// Every position that is stored for this pipeline and sink, of any partition, with the plans kept there.
    /// Reads only; nothing stored yet (not even the place for it) is an empty list.
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError>;

    /// Takes the partitions over: fences earlier owners (at the latest with its first write, where positions are compared and
    /// set), waits out or settles their writes in flight, finishes what a
    /// crash left half done, stores `start` where no position is stored yet, and returns what is stored then, one entry
    /// a claim. Partitions claimed earlier and not named now are given up.
    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError>;

    /// Sets rows of the batch that is under way aside, where nobody sees them: the next `write` stores them with its own,
    /// in the order in which they came. An error or a claim makes void what was set aside. Called only where
    /// [`SinkTraits::slices`] says so.
    async fn slice(&mut self, _rows: &RecordBatch) -> Result<(), StageError> {
        Err(StageError::defect("this sink takes batches as a whole"))
    }

    /// Stores rows and positions in one atomic act: each range's `from` must be the stored position (else
    /// [`Fenced`](crate::Fault::Fenced) and nothing is stored), and becomes `to`.
    async fn write(&mut self, write: &Write) -> Result<Written, StageError>;

    /// What the place where this sink keeps its positions has beside them: positions of sinks of other names or of other
    /// pipelines that wrote to the same target, rows that no position stands behind. Asked where nothing is stored for
    /// this sink, before the first claim. Reads only.
    async fn traces(&mut self) -> Result<Vec<Trace>, StageError> {
        Ok(Vec::new())
    }

    /// What is stored for this sink becomes another's (of another pipeline, it may be), which writes to the same target
    /// and has nothing yet: for `foretell positions`, while neither is running.
    async fn hand_over(&mut self, _pipeline: &str, _sink: &str) -> Result<(), StageError> {
        Err(StageError::settings("this sink keeps no positions"))
    }

    /// Sets or forgets what is stored: for `foretell positions`, while the pipeline is not running; and between two
    /// claims, where what is stored is of a log that ended with its process.
    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError>;

    /// Ends cleanly: closes files, leaves no lease behind. Called once, after the last write. Not calling it loses
    /// nothing.
    async fn close(&mut self) -> Result<(), StageError> {
        Ok(())
    }
}

/// How a sink behaves; known when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkTraits {
    /// Whether it stores positions. One that does not (a console) never leads, and is promised nothing.
    pub keeps_positions: bool,
    /// How many workers may write.
    pub sharing: Sharing,
    /// Whether one `write` is atomic over all its ranges, or only within each partition.
    pub atomic: bool,
    /// Whether it takes a batch slice by slice, so that a batch may be larger than memory.
    pub slices: bool,
}

/// How many workers may write to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Any number.
    Shared,
    /// Any number, but all on one machine.
    Machine,
    /// One in the whole pipeline.
    Single,
}

/// Takes over one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub partition: Partition,
    /// The log's identity; stored, and compared by the run loop.
    pub identity: String,
    /// The position where none is stored.
    pub start: i64,
}

/// What a sink has stored for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which.
    pub partition: Partition,
    /// The identity of the log it was read from.
    pub identity: String,
    /// The next offset to consume.
    pub next: i64,
    /// The plans kept here for other sinks, by offset: in a leader, and in one that led before.
    pub plans: Vec<PlanPart>,
}

/// What was found where a sink has nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// Positions of another sink.
    Sink {
        /// Its pipeline.
        pipeline: String,
        /// Its name.
        sink: String,
        /// The identities of the logs that they were read from.
        logs: Vec<String>,
    },
    /// Rows without a position; in words: what and where.
    Rows(String),
}

/// One atomic act.
#[derive(Debug, Clone)]
pub struct Write {
    /// The batch that the rows belong to, or the last of several that are stored in one act: its id, its time. Its ranges
    /// may be wider than this write's, or a part of them.
    pub plan: Arc<Plan>,
    /// What this write covers; no partition twice, never empty.
    pub ranges: Vec<Range>,
    /// The rows, beside those that were set aside for it; may be none.
    pub rows: RecordBatch,
    /// Where each row comes from, as the query says: at least its partition. `None` where a row depends on the whole
    /// batch.
    pub provenance: Option<Provenance>,
    /// What the provenance's numbers mean.
    pub topics: Topics,
    /// Which plans to keep for the other sinks, and which to delete.
    pub retention: Option<PlanRetention>,
}

/// What a sink keeps for the other sinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRetention {
    /// The plan's parts, to be stored with this write; they replace what is stored from their beginning on. Empty where
    /// no other sink needs them.
    pub parts: Vec<PlanPart>,
    /// By partition, the lowest position of the other sinks: stored parts that end at or below it are deleted.
    pub floor: Vec<Position>,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Rows that this sink alone refused, and that it stored in its own rejects in the same act.
    pub rejected: u64,
}

/// Changes what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// The position becomes this one (and its log that identity); plans of the partition are forgotten.
    Set {
        /// The new position.
        position: Position,
        /// The log's identity.
        identity: String,
    },
    /// All positions and plans of the pipeline in this sink go, or those of one partition.
    Forget(Option<Partition>),
}
