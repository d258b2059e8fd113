//! The records of a batch on their way into Arrow columns: what CSV and JSON share.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use foretell_flow::{Decoded, Refused};

use super::cell::Cell;
use super::column::{Column, Columns};
use super::values::Values;

/// The records of a batch as they are decoded, in order: the good ones as rows, and the bad ones.
pub(super) struct Rows<'a> {
    stage: &'static str,
    columns: &'a Columns,
    values: Vec<Values>,
    len: usize,
    bad: Vec<Refused>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(stage: &'static str, columns: &'a Columns, capacity: usize) -> Self {
        let values = columns.iter().map(|column| Values::new(&column.data_type, capacity)).collect();
        Rows { stage, columns, values, len: 0, bad: Vec::new() }
    }

    pub(super) fn refuse(&mut self, row: usize, reason: String) {
        self.bad.push(Refused { row, stage: self.stage.to_string(), reason });
    }

    /// Adds a row where `fill` gives every column one value; else nothing is added.
    pub(super) fn try_push<E>(
        &mut self,
        fill: impl FnOnce(&'a Columns, &mut [Values]) -> Result<(), E>,
    ) -> Result<(), E> {
        let filled = fill(self.columns, &mut self.values);
        match filled {
            Ok(()) => self.len = self.len.saturating_add(1),
            Err(_) => self.values.iter_mut().for_each(|values| values.truncate(self.len)),
        }
        filled
    }

    /// Adds the record of this index in the batch, whose shape is right, or refuses it for its first wrong cell.
    /// `label(i, column)` names that field in the reason. Whether it was added.
    pub(super) fn push<C: Cell>(
        &mut self,
        row: usize,
        cells: impl Iterator<Item = C>,
        label: impl FnOnce(usize, &Column) -> String,
    ) -> bool {
        let pushed = self.try_push(|columns, values| {
            for (number, ((column, values), cell)) in columns.iter().zip(values).zip(cells).enumerate() {
                values.push(column, &cell).map_err(|wrong| (number, column, wrong))?;
            }
            Ok(())
        });
        if let Err((number, column, wrong)) = pushed {
            self.refuse(row, format!("field {}: {}", label(number, column), wrong.describe(&column.data_type)));
            return false;
        }
        true
    }

    pub(super) fn finish(self, schema: &SchemaRef) -> Decoded {
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        let arrays = self.values.into_iter().map(Values::finish).collect();
        let columns = RecordBatch::try_new_with_options(schema.clone(), arrays, &options);
        Decoded { columns: columns.expect("the columns fit their schema"), bad: self.bad }
    }
}
