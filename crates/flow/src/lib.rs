//! How does a record travel?
//!
//! Records, plans, positions, the traits of the stages and the run loop that lands every result exactly once. This
//! crate knows no Kafka, no SQL, no file format and no model: it moves Arrow batches between stages that others
//! implement, and it alone decides what is retried, replayed or stopped.
//!
//! The protocol in one sentence: every sink stores, in the same atomic act as its rows, the position it has reached in
//! each source partition, and the pipeline's first such sink (the leader) also stores the plans that the others still
//! lack, so that whatever dies in between is replayed with the same records, the same time and the same models.

#![forbid(unsafe_code)]

mod clock;
mod dead_letter;
mod error;
pub mod monitor;
mod plan;
mod record;
mod run;
mod stage;
pub mod testing;
mod topics;

pub use clock::{Clock, SystemClock};
pub use dead_letter::{BadRecord, Location, Provenance, dead_letter_schema, dead_letters};
pub use error::{Fault, StageError};
pub use plan::{Partition, Plan, PlanPart, Position, Range, Recipe};
pub use record::{Cut, Header, Records, RecordsBuilder};
pub use run::{
    DecodeKeys, Keys, Limits, OnBadRecord, Rows, Settings, SinkInput, SinkStage, Snapshot, StageFactory, Stages, Stats,
    Trigger, Worker, check_positions, records_schema,
};
pub use stage::{
    Bounds, Checkpoint, Chunk, Claim, Decode, Decoded, Demand, EPHEMERAL_LOG, Event, Housekeeping, PlanRetention,
    Queried, Query, Refused, Reset, Scope, Sharing, Sink, SinkTraits, Source, Trace, Write, Written,
};
pub use topics::Topics;
