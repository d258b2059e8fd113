//! Headers of records as columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretell_flow::{Decode, Decoded, Records, Refused, StageError};

use super::column::RESERVED;

/// Adds a column of texts for each of these headers (column → header).
///
/// # Errors
/// A column that is there already.
pub(super) fn with_headers(
    inner: Box<dyn Decode>,
    headers: &BTreeMap<String, String>,
) -> Result<Box<dyn Decode>, StageError> {
    let own = inner.schema();
    let mut fields: Vec<Arc<Field>> = own.fields().iter().cloned().collect();
    for column in headers.keys() {
        if RESERVED.contains(&column.as_str()) || own.index_of(column).is_ok() {
            return Err(StageError::settings(format!("`headers`: there is a column `{column}` already"))
                .remedy("give the header's column another name"));
        }
        fields.push(Arc::new(Field::new(column, DataType::Utf8, true)));
    }
    let names = headers.values().cloned().collect();
    Ok(Box::new(WithHeaders { inner, names, schema: Arc::new(Schema::new(fields)) }))
}

struct WithHeaders {
    inner: Box<dyn Decode>,
    names: Vec<String>,
    schema: SchemaRef,
}

impl Decode for WithHeaders {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn skips_tombstones(&self) -> bool {
        self.inner.skips_tombstones()
    }

    fn prepare(&mut self, records: &Records) -> Result<(), StageError> {
        self.inner.prepare(records)
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let Decoded { columns, mut bad } = self.inner.decode(records);
        let kept: Vec<usize> =
            (0..records.len()).filter(|row| bad.binary_search_by_key(row, |refused| refused.row).is_err()).collect();
        let mut unread: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = columns.columns().to_vec();
        for name in &self.names {
            let mut texts = StringBuilder::new();
            for row in &kept {
                // Of several headers of one name the last counts, as for Kafka's own clients.
                let header = records.headers_of(*row).iter().rev().find(|header| header.key == *name);
                let value = header.and_then(|header| header.value.as_deref());
                let text = value.map(std::str::from_utf8).transpose();
                if text.is_err() {
                    unread.entry(*row).or_insert_with(|| format!("header `{name}`: not UTF-8"));
                }
                texts.append_option(text.ok().flatten());
            }
            arrays.push(Arc::new(texts.finish()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(kept.len()));
        let all = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        let mut columns = all.expect("the columns fit their schema");
        if !unread.is_empty() {
            let keep: BooleanArray = kept.iter().map(|row| Some(!unread.contains_key(row))).collect();
            columns = filter_record_batch(&columns, &keep).expect("mask and columns have one length");
            let refused = |(row, reason)| Refused { row, stage: "decode headers".to_string(), reason };
            bad.extend(unread.into_iter().map(refused));
            bad.sort_by_key(|refused| refused.row);
        }
        Decoded { columns, bad }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use foretell_flow::{Header, RecordsBuilder};
    use serde_json::json;

    use super::super::{DECODERS, open_decoder};
    use super::*;

    fn open(settings: serde_json::Value) -> Result<Box<dyn Decode>, StageError> {
        let kind = DECODERS.iter().find(|kind| kind.name == "json").unwrap();
        open_decoder(&*(kind.parse)(settings).unwrap(), None)
    }

    #[test]
    fn headers_are_columns_of_text() {
        let headers = json!({ "type": "ce_type", "id": "ce_id" });
        let mut decoder =
            open(json!({ "columns": [{ "n": "int8" }], "headers": headers, "tombstones": "delete" })).unwrap();
        let header = |key: &str, value: Option<&[u8]>| Header { key: key.into(), value: value.map(<[u8]>::to_vec) };
        let mut records = RecordsBuilder::new("t".into());
        let both = vec![header("ce_type", Some(b"old")), header("ce_type", Some(b"order")), header("ce_id", None)];
        records.push(0, 0, None, None, Some(b"{\"n\": 1}"), both);
        records.push(0, 1, None, None, Some(b"{"), vec![header("ce_type", Some(b"order"))]);
        records.push(0, 2, None, None, Some(b"{\"n\": 2}"), vec![header("ce_id", Some(b"\xff"))]);
        records.push(0, 3, None, None, None, vec![header("ce_id", Some(b"7"))]);
        let decoded = decoder.decode(&records.finish());
        let names: Vec<_> = decoded.columns.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["n", "_deleted", "id", "type"]);
        let column = |at: usize| -> Vec<Option<String>> {
            decoded.columns.column(at).as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
        };
        assert_eq!(column(2), [None, Some("7".to_string())]);
        assert_eq!(column(3), [Some("order".to_string()), None]);
        let bad: Vec<_> = decoded.bad.iter().map(|refused| (refused.row, refused.reason.as_str())).collect();
        assert_eq!(bad[1], (2, "header `ce_id`: not UTF-8"));
        assert_eq!(bad.len(), 2);
        let twice = json!({ "columns": [{ "n": "int8" }], "headers": { "n": "x" } });
        assert!(open(twice).err().unwrap().message.contains("a column `n` already"));
    }
}
