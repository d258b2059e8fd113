//! Whether a table's key is unique.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::row::{RowConverter, SortField};
use foretell_flow::StageError;

use super::Rows;

/// Checks that no two rows have the same values in these columns. Rows with a NULL among them match no record, so that
/// any number of them may be there.
///
/// # Errors
/// Names a column that is not there, or the places of two rows of one key; never their values.
pub fn check_key(rows: &Rows, key: &[String]) -> Result<(), StageError> {
    let schema = rows.batch.schema();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(key.len());
    for name in key {
        let Some(column) = rows.batch.column_by_name(name) else {
            let all: Vec<String> = schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
            let message = format!("`key`: there is no column `{name}`; there are {}", all.join(", "));
            return Err(StageError::settings(message));
        };
        columns.push(column.clone());
    }
    let failed = |_| StageError::settings("`key`: a column is of a type that cannot be compared");
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let values = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&columns)).map_err(failed)?;
    let mut seen = HashMap::with_capacity(values.num_rows());
    for row in (0..values.num_rows()).filter(|row| columns.iter().all(|column| column.is_valid(*row))) {
        if let Some(first) = seen.insert(values.row(row), row) {
            let named: Vec<String> = key.iter().map(|name| format!("`{name}`")).collect();
            let message =
                format!("{}: its {} is that of {}, too", rows.place(row), named.join(" and "), rows.place(first));
            return Err(StageError::settings(message)
                .remedy("a record would match both rows: correct the table, or name the columns that tell its rows apart as `key`"));
        }
    }
    Ok(())
}
