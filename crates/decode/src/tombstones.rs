//! Records without a value: bad, passed over, or deletions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{interleave_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretell_connect::kind::Tombstones;
use foretell_flow::{Decode, Decoded, Records, StageError};

/// The column that says whether a record deletes what was there under its key.
pub(super) const DELETED: &str = "_deleted";

/// A decoder with what its settings say of records without a value.
///
/// # Errors
/// A column that has the name of the one that tells of deletions.
pub(super) fn with_tombstones(inner: Box<dyn Decode>, tombstones: Tombstones) -> Result<Box<dyn Decode>, StageError> {
    Ok(match tombstones {
        Tombstones::Bad => inner,
        Tombstones::Skip => Box::new(Skipping(inner)),
        Tombstones::Delete => {
            let own = inner.schema();
            // A decoder of change events says itself what is deleted.
            if own.index_of(DELETED).is_ok() {
                return Err(StageError::settings(format!("`{DELETED}` is the column that `tombstones: delete` adds"))
                    .remedy("give the decoded column another name"));
            }
            let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
            let mut fields: Vec<Arc<Field>> = own.fields().iter().map(nullable).collect();
            fields.push(Arc::new(Field::new(DELETED, DataType::Boolean, false)));
            Box::new(Deleting { inner, schema: Arc::new(Schema::new(fields)) })
        }
    })
}

/// Tombstones go no further.
struct Skipping(Box<dyn Decode>);

impl Decode for Skipping {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn skips_tombstones(&self) -> bool {
        true
    }

    fn prepare(&mut self, records: &Records) -> Result<(), StageError> {
        self.0.prepare(records)
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        self.0.decode(records)
    }
}

/// Tombstones are rows of NULLs that say so.
struct Deleting {
    inner: Box<dyn Decode>,
    schema: SchemaRef,
}

impl Deleting {
    /// These rows, with what the last column says of all of them.
    fn with(&self, rows: &RecordBatch, deleted: bool) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(vec![deleted; rows.num_rows()])));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).expect("the columns fit their schema")
    }
}

impl Decode for Deleting {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn prepare(&mut self, records: &Records) -> Result<(), StageError> {
        self.inner.prepare(records)
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        if records.values.null_count() == 0 {
            let decoded = self.inner.decode(records);
            return Decoded { columns: self.with(&decoded.columns, false), bad: decoded.bad };
        }
        let valid = is_not_null(&records.values).expect("a mask has one entry a record");
        let rest = records.filter(&valid);
        let Decoded { columns: kept, mut bad } = self.inner.decode(&rest);
        let places: Vec<usize> = (0..records.len()).filter(|row| valid.value(*row)).collect();
        for refused in &mut bad {
            refused.row = places.get(refused.row).copied().unwrap_or_default();
        }
        let kept = self.with(&kept, false);
        let one: Vec<ArrayRef> = (self.schema.fields().iter())
            .map(|field| match field.name() == DELETED {
                true => Arc::new(BooleanArray::from(vec![true])) as ArrayRef,
                false => new_null_array(field.data_type(), 1),
            })
            .collect();
        let tombstone = RecordBatch::try_new(self.schema.clone(), one).expect("the columns fit their schema");
        let (mut order, mut next) = (Vec::with_capacity(records.len()), 0_usize);
        for row in 0..records.len() {
            if !valid.value(row) {
                order.push((1, 0));
            } else if bad.binary_search_by_key(&row, |refused| refused.row).is_err() {
                order.push((0, next));
                next = next.saturating_add(1);
            }
        }
        let columns = interleave_record_batch(&[&kept, &tombstone], &order).expect("both have one schema");
        Decoded { columns, bad }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use serde_json::json;

    use super::super::DECODERS;
    use super::super::open_decoder;
    use super::super::tests::{records, refusals};
    use super::*;

    fn open(kind: &str, settings: serde_json::Value) -> Box<dyn Decode> {
        let kind = DECODERS.iter().find(|known| known.name == kind).unwrap();
        open_decoder(&*(kind.parse)(settings).unwrap(), None).unwrap()
    }

    #[test]
    fn deletions_are_rows_in_their_place() {
        let values: [Option<&[u8]>; 5] = [None, Some(b"{\"id\": 1}"), Some(b"{"), None, Some(b"{\"id\": 2}")];
        let mut decoder = open("json", json!({ "columns": [{ "id": "int64" }], "tombstones": "delete" }));
        let decoded = decoder.decode(&records(&values));
        assert_eq!(decoded.columns.schema(), decoder.schema());
        let ids: Vec<_> = decoded.columns.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(ids, [None, Some(1), None, Some(2)]);
        let deleted: Vec<_> = decoded.columns.column(1).as_boolean().iter().flatten().collect();
        assert_eq!(deleted, [true, false, true, false]);
        assert_eq!(refusals(&decoded).len(), 1);
        assert_eq!(decoded.bad[0].row, 2);
        let decoded = decoder.decode(&records(&[Some(b"{\"id\": 1}")]));
        assert_eq!((decoded.columns.num_rows(), decoded.columns.num_columns()), (1, 2));
    }

    #[test]
    fn they_are_bad_unless_it_is_said_what_they_are() {
        let mut decoder = open("csv", json!({ "columns": [{ "id": "int64" }] }));
        assert!(!decoder.skips_tombstones());
        assert_eq!(decoder.decode(&records(&[None])).bad.len(), 1);
        assert!(open("csv", json!({ "columns": [{ "id": "int64" }], "tombstones": "skip" })).skips_tombstones());
        let twice = json!({ "columns": [{ "_deleted": "bool" }], "tombstones": "delete" });
        let kind = DECODERS.iter().find(|known| known.name == "json").unwrap();
        assert!(open_decoder(&*(kind.parse)(twice).unwrap(), None).is_err());
    }
}
