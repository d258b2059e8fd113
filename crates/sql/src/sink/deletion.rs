//! Rows that delete what is there under their key.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use foretell_flow::StageError;
use foretell_suggest::nearest;

/// More are not deleted by one statement: SQLite counts the depth of a condition.
pub(super) const ROWS: usize = 256;

/// The columns that are stored, and where the one stands that says what is deleted.
pub(super) fn split(schema: &SchemaRef, delete: Option<&str>) -> Result<(SchemaRef, Option<usize>), StageError> {
    let Some(name) = delete else { return Ok((schema.clone(), None)) };
    let Ok(index) = schema.index_of(name) else {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let near = nearest(name, names).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(StageError::settings(format!("`delete`: the result has no column `{name}`"))
            .remedy(format!("{near}add it to the query, and to the sink's `columns` where there are any")));
    };
    if *schema.field(index).data_type() != DataType::Boolean {
        let found = schema.field(index).data_type();
        return Err(StageError::settings(format!("`delete`: column `{name}` is {found}, not a bool"))
            .remedy("make it one in the query"));
    }
    let others: Vec<usize> = (0..schema.fields().len()).filter(|other| *other != index).collect();
    let stored = schema.project(&others).map_err(|_| StageError::defect("columns are lost"))?;
    Ok((stored.into(), Some(index)))
}

/// The rows without that column, and what it says: NULL is no deletion.
pub(super) fn cut(rows: &RecordBatch, delete: Option<usize>) -> (RecordBatch, Option<BooleanArray>) {
    let Some(index) = delete else { return (rows.clone(), None) };
    let mut rows = rows.clone();
    let column = rows.remove_column(index);
    (
        rows,
        column
            .as_boolean_opt()
            .map(|said| (0..said.len()).map(|row| Some(said.is_valid(row) && said.value(row))).collect()),
    )
}
