//! Sparse tables of scipy's, as files keep them.

use foretell_pickle::{ArrayView, View};

use crate::Error;
use crate::attributes::some_attr;

/// The numbers of a row that are stored, with their columns.
pub(in crate::families) type SparseRow = Vec<(usize, f64)>;

/// A sparse table of scipy's, row by row, and how many columns it has.
pub(in crate::families) fn sparse_rows(view: &View<'_>) -> Result<(Vec<SparseRow>, usize), Error> {
    let shape = match some_attr(view, "_shape")? {
        Some(shape) => shape,
        None => view.attr("shape")?,
    };
    let (rows, columns) = (shape.item(0)?.as_usize()?, shape.item(1)?.as_usize()?);
    let numbers = |array: &ArrayView<'_>| -> Result<Vec<usize>, Error> {
        Ok(array.u64s()?.into_iter().map(|one| usize::try_from(one).unwrap_or(usize::MAX)).collect())
    };
    let starts = numbers(&view.attr("indptr")?.array()?)?;
    let indices = numbers(&view.attr("indices")?.array()?)?;
    let data = view.attr("data")?.array()?.f64s()?;
    if starts.len() != rows.saturating_add(1) || indices.len() != data.len() {
        return Err(Error::state(view.path(), "a sparse table whose parts do not fit"));
    }
    if let Some(column) = indices.iter().find(|column| **column >= columns) {
        return Err(Error::out_of_range(view.path(), format!("column {column}")));
    }
    let mut table = Vec::with_capacity(rows);
    let mut before = 0;
    for end in starts.iter().skip(1) {
        let entries = indices.get(before..*end).zip(data.get(before..*end));
        let Some((columns, values)) = entries else {
            return Err(Error::state(view.path(), "a sparse table whose rows are out of range"));
        };
        let mut row: SparseRow = columns.iter().copied().zip(values.iter().copied()).collect();
        row.sort_by_key(|entry| entry.0);
        table.push(row);
        before = *end;
    }
    Ok((table, columns))
}
