//! The batch and the reference table that the cases are about.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, Utc};
use foretell_query::{Answer, Context, Input, Query, Table};

/// A wrong text, a NULL row, an infinity and the largest integer are among six records of two partitions.
pub(crate) fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("AGE", Arc::new(Int64Array::from(vec![Some(34), Some(71), Some(0), None, Some(5), Some(i64::MAX)]))),
        (
            "DUR",
            Arc::new(Float64Array::from(vec![
                Some(10.5),
                Some(2446.1),
                Some(3.0),
                None,
                Some(f64::INFINITY),
                Some(90.0),
            ])),
        ),
        ("SEX", Arc::new(StringArray::from(vec![Some("F"), Some("M"), Some("F"), None, Some("M"), Some("X")]))),
        ("raw", Arc::new(StringArray::from(vec![Some("12"), Some("7"), Some("secret"), None, Some("5"), Some("0")]))),
        ("_key", Arc::new(StringArray::from(vec!["P1", "P2", "P3", "P4", "P5", "P6"]))),
        ("_partition", Arc::new(Int32Array::from(vec![0, 1, 0, 1, 0, 1]))),
        ("_offset", Arc::new(Int64Array::from(vec![100, 50, 101, 51, 102, 52]))),
        ("_timestamp", Arc::new(TimestampMicrosecondArray::from(vec![0; 6]).with_timezone("UTC"))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
        .unwrap()
}

pub(crate) fn input() -> Input {
    let decoded = ["AGE", "DUR", "SEX", "raw"].map(str::to_owned).to_vec();
    Input { table: "records".into(), schema: batch().schema(), decoded }
}

/// `sexes`: codes and their names, in another order than the records'.
pub(crate) fn sexes(names: &[(&str, &str)]) -> RecordBatch {
    let codes: ArrayRef = Arc::new(StringArray::from_iter_values(names.iter().map(|(code, _)| code)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(names.iter().map(|(_, name)| name)));
    RecordBatch::try_from_iter_with_nullable([("code", codes, true), ("name", names, true)]).unwrap()
}

pub(crate) fn tables() -> Vec<Table> {
    let batch = sexes(&[("M", "male"), ("F", "female"), ("F", "femme")]);
    vec![Table { name: "sexes".into(), schema: batch.schema(), batches: vec![batch] }]
}

pub(crate) fn time() -> DateTime<Utc> {
    "2024-02-29T12:34:56.789Z".parse().unwrap()
}

pub(crate) fn context() -> Context {
    Context { batch_time: time(), provenance: None }
}

/// Kind, columns, rows with their records, refused rows.
pub(crate) fn show(query: &Query, answer: &Answer) -> String {
    let mut text = format!("{}\n", query.scope());
    let fields = query.output_schema().fields();
    let columns: Vec<String> = fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    text.push_str(&format!("{}\n", columns.join(" | ")));
    let options = FormatOptions::default().with_null("NULL");
    for row in 0..answer.rows.num_rows() {
        let values: Vec<String> = answer
            .rows
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string())
            .collect();
        if let Some(provenance) = &answer.provenance {
            text.push_str(&format!("{}/{}: ", provenance.partition.value(row), provenance.offset.value(row)));
        }
        text.push_str(&format!("{}\n", values.join(" | ")));
    }
    for failure in &answer.refused {
        text.push_str(&format!("row {} refused ({}): {}\n", failure.row, failure.kind(), failure.failure));
    }
    text
}
