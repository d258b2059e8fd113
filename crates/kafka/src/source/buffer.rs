//! What was fetched and not yet handed out, by ordinal. Pure: no client, no thread.

use std::collections::{BTreeMap, VecDeque};

use foretell_flow::{Chunk, Demand, Position, Records, RecordsBuilder, Topics};
use rdkafka::types::RDKafkaErrorCode;

use crate::error;
use crate::raw::{Batch, Message};

/// How far a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// The next offset to put into the buffer.
    filled: i64,
    /// The next offset to hand out.
    handed: i64,
    /// Whether an error came behind which nothing counts: after a damaged batch the client goes on in the middle of it.
    broken: bool,
}

/// Messages in the order in which they came, and the positions of the partitions that were sought.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    batches: VecDeque<Batch>,
    /// The next message of the first batch.
    cursor: usize,
    rows: usize,
    bytes: usize,
    progress: BTreeMap<i32, Progress>,
}

impl Buffer {
    /// Forgets everything: the assignment is void.
    pub(super) fn void(&mut self) {
        *self = Buffer::default();
    }

    /// Reads on from here: drops what is buffered. Partitions that are not named go on behind what was handed out.
    pub(super) fn seek(&mut self, positions: &[(i32, i64)]) {
        self.batches.clear();
        (self.cursor, self.rows, self.bytes) = (0, 0, 0);
        for progress in self.progress.values_mut() {
            (progress.filled, progress.broken) = (progress.handed, false);
        }
        for (partition, offset) in positions {
            self.progress.insert(*partition, Progress { filled: *offset, handed: *offset, broken: false });
        }
    }

    /// What to fetch: partitions and the next offset of each.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.progress.iter().map(|(partition, progress)| (*partition, progress.filled))
    }

    /// Adds what was fetched.
    pub(super) fn push(&mut self, batch: Batch) {
        for message in batch.iter() {
            if let Some(progress) = self.progress.get_mut(&message.ordinal()).filter(|progress| !progress.broken) {
                match message.error() {
                    None => progress.filled = progress.filled.max(message.offset().saturating_add(1)),
                    Some(RDKafkaErrorCode::PartitionEOF) => progress.filled = progress.filled.max(message.offset()),
                    Some(code) => progress.broken = error::breaks(code),
                }
            }
            self.rows = self.rows.saturating_add(1);
            self.bytes = self.bytes.saturating_add(message.size());
        }
        self.batches.push_back(batch);
    }

    /// Messages that wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes at most what is demanded; `None` where nothing moved.
    pub(super) fn take(&mut self, topics: &Topics, demand: Demand) -> Option<Chunk> {
        let mut records = RecordsBuilder::of_topics(topics.clone());
        let mut reached: BTreeMap<i32, i64> = BTreeMap::new();
        while records.len() < demand.rows {
            let Some(batch) = self.batches.front() else { break };
            let Some(message) = batch.get(self.cursor) else {
                self.batches.pop_front();
                self.cursor = 0;
                continue;
            };
            let full = records.bytes().saturating_add(message.size()) > demand.bytes && !records.is_empty();
            if full {
                break;
            }
            self.cursor = self.cursor.saturating_add(1);
            self.rows = self.rows.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(message.size());
            let Some(progress) = self.progress.get_mut(&message.ordinal()) else { continue };
            if hand_out(&message, progress, &mut records) {
                reached.insert(message.ordinal(), progress.handed);
            }
        }
        if reached.is_empty() {
            return None;
        }
        let position = |(ordinal, next)| Position { partition: topics.partition(ordinal), next };
        let records: Records = records.finish();
        Some(Chunk { records, reached: reached.into_iter().map(position).collect() })
    }
}

/// Whether the partition moved. An offset that was handed out before is dropped: each record comes once. So is one that
/// came behind an error.
fn hand_out(message: &Message<'_>, progress: &mut Progress, records: &mut RecordsBuilder) -> bool {
    let offset = message.offset();
    match message.error() {
        None if (progress.handed..progress.filled).contains(&offset) => {
            let (key, value) = (message.key(), message.value());
            records.push(message.ordinal(), offset, message.timestamp(), key, value, message.headers());
            progress.handed = offset.saturating_add(1);
            true
        }
        // The end: what lies between the last record and here are markers and records of aborted transactions.
        Some(RDKafkaErrorCode::PartitionEOF) if offset > progress.handed && offset <= progress.filled => {
            progress.handed = offset;
            true
        }
        _ => false,
    }
}
