//! Columns of lists: which part of the values is each row's.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "offsets that Arrow checked")]

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// All values of a column of lists, and for each row where its own are (`None` where the row is NULL). `None` where the
/// column is not one of lists.
pub(in crate::families) fn lists(column: &ArrayRef) -> Option<(&ArrayRef, Vec<Option<Range<usize>>>)> {
    fn ranges(column: &ArrayRef, ends: impl Iterator<Item = (usize, usize)>) -> Vec<Option<Range<usize>>> {
        ends.enumerate().map(|(row, (start, end))| column.is_valid(row).then_some(start..end)).collect()
    }
    match column.data_type() {
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let ends = list.offsets().windows(2).map(|pair| (pair[0] as usize, pair[1] as usize));
            Some((list.values(), ranges(column, ends)))
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            let ends = list.offsets().windows(2).map(|pair| (pair[0] as usize, pair[1] as usize));
            Some((list.values(), ranges(column, ends)))
        }
        _ => None,
    }
}
