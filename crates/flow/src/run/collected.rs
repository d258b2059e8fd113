//! Records on their way into a batch.

use std::collections::BTreeMap;

use crate::{Chunk, Partition, Records};

/// What was collected for a batch.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) records: Vec<Records>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) reached: BTreeMap<Partition, i64>,
}

impl Collected {
    pub(super) fn add(&mut self, chunk: Chunk) {
        self.rows += chunk.records.len();
        self.bytes += chunk.records.bytes();
        self.reached.extend(chunk.reached.into_iter().map(|p| (p.partition, p.next)));
        self.records.push(chunk.records);
    }
}
