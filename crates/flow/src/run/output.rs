//! What a sink gets of a batch: rows, and where they come from.

use arrow::array::{Array, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::filter;

use crate::dead_letter::with_places;
use crate::{Location, Provenance, Range, StageError, Topics};

/// What one sink gets of a batch.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) rows: RecordBatch,
    pub(super) provenance: Option<Provenance>,
    pub(super) topics: Topics,
}

impl Output {
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
        let lanes: Vec<i32> = ranges.iter().filter_map(|range| self.topics.lane(&range.partition)).collect();
        let provenance = self.provenance.as_ref()?;
        let mask: BooleanArray = provenance.partitions.values().iter().map(|p| Some(lanes.contains(p))).collect();
        let rows = arrow::compute::filter_record_batch(&self.rows, &mask).expect("one entry a row");
        let keep = |array: &dyn Array| filter(array, &mask).expect("one entry a row");
        let partitions = keep(&provenance.partitions).as_any().downcast_ref::<Int32Array>().cloned();
        let offsets = keep(&provenance.offsets).as_any().downcast_ref::<Int64Array>().cloned();
        let provenance = Provenance { partitions: partitions?, offsets: offsets? };
        Some(Output { rows, provenance: Some(provenance), topics: self.topics.clone() })
    }
}
