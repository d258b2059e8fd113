//! What a sink gets of a batch: rows, and where they come from.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter};

use crate::dead_letter::with_places;
use crate::{Location, Provenance, Range, StageError, Topics};

/// What one sink gets of a batch.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) rows: RecordBatch,
    pub(super) provenance: Option<Provenance>,
    pub(super) topics: Topics,
}

/// The bytes that outputs hold; what several of them share counts once.
pub(super) fn held_bytes(outputs: &[Output]) -> usize {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for output in outputs.iter().filter(|output| output.rows.num_rows() > 0) {
        let columns = output.rows.columns().iter();
        let new = columns.filter(|column| seen.insert(Arc::as_ptr(column).cast::<()>()));
        bytes += new.map(|column| column.get_array_memory_size()).sum::<usize>();
        if let Some(Provenance { partitions, offsets }) = &output.provenance
            && seen.insert(offsets.values().inner().data_ptr().as_ptr().cast_const().cast())
        {
            bytes += partitions.get_array_memory_size() + offsets.get_array_memory_size();
        }
    }
    bytes
}

impl Output {
    /// The rows of several, one after the other.
    pub(super) fn concat(outputs: &[Output]) -> Result<Output, StageError> {
        let [first, .., _] = outputs else { return Ok(outputs[0].clone()) };
        let defect = |_| StageError::defect("a sink's batches have other columns than each other");
        let rows = concat_batches(&first.rows.schema(), outputs.iter().map(|output| &output.rows)).map_err(defect)?;
        let all: Option<Vec<&Provenance>> = outputs.iter().map(|output| output.provenance.as_ref()).collect();
        let provenance = all.map(|all| Provenance {
            partitions: all
                .iter()
                .flat_map(|provenance| provenance.partitions.values())
                .copied()
                .collect::<Vec<_>>()
                .into(),
            offsets: all.iter().flat_map(|provenance| provenance.offsets.values()).copied().collect::<Vec<_>>().into(),
        });
        // One source's lists of topics: the longest says what all of them say.
        let topics = outputs.iter().fold(&first.topics, |topics, output| topics.or_longer(&output.topics)).clone();
        Ok(Output { rows, provenance, topics })
    }

    /// Some of its columns, in this order.
    pub(super) fn columns(&self, indices: &[usize]) -> Result<Output, StageError> {
        let rows = self
            .rows
            .project(indices)
            .map_err(|_| StageError::defect("a query gives other columns than it declares"))?;
        Ok(Output { rows, ..self.clone() })
    }

    /// The same without rows.
    pub(super) fn empty(&self) -> Output {
        let provenance = self.provenance.as_ref().map(|provenance| Provenance {
            partitions: provenance.partitions.slice(0, 0),
            offsets: provenance.offsets.slice(0, 0),
        });
        Output { rows: RecordBatch::new_empty(self.rows.schema()), provenance, topics: self.topics.clone() }
    }

    /// Dead letters with the places of their records.
    pub(super) fn with_places(self, places: &[Location]) -> Output {
        Output { rows: with_places(&self.rows, places), ..self }
    }

    /// The rows that come from the partition of one of these ranges.
    pub(super) fn of_ranges(&self, ranges: &[Range]) -> Option<Output> {
        let ordinals: Vec<i32> = ranges.iter().filter_map(|range| self.topics.ordinal(&range.partition)).collect();
        let provenance = self.provenance.as_ref()?;
        let mask: BooleanArray = provenance.partitions.values().iter().map(|p| Some(ordinals.contains(p))).collect();
        let rows = arrow::compute::filter_record_batch(&self.rows, &mask).expect("one entry a row");
        let keep = |array: &dyn Array| filter(array, &mask).expect("one entry a row");
        let partitions = keep(&provenance.partitions).as_any().downcast_ref::<Int32Array>().cloned();
        let offsets = keep(&provenance.offsets).as_any().downcast_ref::<Int64Array>().cloned();
        let provenance = Provenance { partitions: partitions?, offsets: offsets? };
        Some(Output { rows, provenance: Some(provenance), topics: self.topics.clone() })
    }
}
