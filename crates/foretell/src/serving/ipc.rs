//! `POST /predict` with Arrow: a stream of record batches in, one out.
//!
//! What is sent is not trusted: nothing is allocated by a number that it claims.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use foretell_model::{Method, Signature};

use super::rows::Rows;
use super::{Problem, Served};

/// `Content-Type`, and what is answered.
pub(super) const CONTENT_TYPE: &str = "application/vnd.apache.arrow.stream";

/// More rows belong in a file: a column of NULLs takes no bytes, whatever its length.
const MOST_ROWS: usize = 4_000_000;

/// What comes before a message's length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The answers as a stream: the columns of `predict`, those of `predict_proba` where there are any, and `refused`, why the
/// model refuses a row.
pub(super) fn answer(served: &Served, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let signature = served.model().signature();
    let rows = read(signature, body)?;
    let own = if signature.predict.is_empty() { Method::Transform } else { Method::Predict };
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    let mut refused: Vec<Option<String>> = vec![None; rows.count];
    for want in [own, Method::Proba] {
        let outputs = signature.outputs(want);
        if outputs.is_empty() {
            continue;
        }
        let scored = served.score(&rows, want);
        for refusal in &scored.refusals {
            let column = refusal.column.as_deref().map(|column| format!(": column {column}")).unwrap_or_default();
            let reason = format!("{}{column}: {}", refusal.step, refusal.reason);
            refused.iter_mut().skip(refusal.row as usize).take(1).for_each(|row| *row = Some(reason.clone()));
        }
        fields.extend(outputs.iter().map(|output| Field::new(&output.name, output.data_type.clone(), true)));
        columns.extend(scored.columns);
    }
    fields.push(Field::new("refused", DataType::Utf8, true));
    columns.push(Arc::new(StringArray::from(refused)));
    let failed = |_| Problem { status: 500, message: "the answer cannot be written".to_string() };
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns).map_err(failed)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

fn read(signature: &Signature, body: &[u8]) -> Result<Rows, Problem> {
    let wrong = || Problem::bad("the body is not a stream of Arrow record batches");
    check(body)?;
    let (schema, batches) = catch_unwind(AssertUnwindSafe(|| decode(body))).ok().flatten().ok_or_else(wrong)?;
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if count > MOST_ROWS {
        return Err(Problem::bad(format!("at most {MOST_ROWS} rows are taken at once")));
    }
    let batch = concat_batches(&schema, &batches).map_err(|_| wrong())?;
    // Names of columns are the caller's own, and no values.
    let bound = signature.bind(batch.schema_ref()).map_err(|error| Problem::bad(error.to_string()))?;
    Ok(Rows { columns: bound.iter().map(|at| batch.column(*at).clone()).collect(), count })
}

/// Before anything is read: every message lies within the body, and none is compressed, since what it comes to is only
/// claimed.
fn check(body: &[u8]) -> Result<(), Problem> {
    let wrong = || Problem::bad("the body is not a stream of Arrow record batches");
    let mut rest = body;
    loop {
        if let Some(after) = rest.strip_prefix(&CONTINUATION) {
            rest = after;
        }
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            // The end mark may be left out.
            return if rest.is_empty() { Ok(()) } else { Err(wrong()) };
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            return Ok(());
        }
        let (head, after) = after.split_at_checked(length).ok_or_else(wrong)?;
        let message = arrow_ipc::root_as_message(head).map_err(|_| wrong())?;
        let batch = message.header_as_record_batch().or_else(|| message.header_as_dictionary_batch()?.data());
        if batch.is_some_and(|batch| batch.compression().is_some()) {
            return Err(Problem::bad("compressed record batches are not taken: send them as they are"));
        }
        if batch.is_some_and(|batch| usize::try_from(batch.length()).is_ok_and(|rows| rows > MOST_ROWS)) {
            return Err(Problem::bad(format!("at most {MOST_ROWS} rows are taken at once")));
        }
        let length = usize::try_from(message.bodyLength()).map_err(|_| wrong())?;
        (_, rest) = after.split_at_checked(length).ok_or_else(wrong)?;
    }
}

fn decode(body: &[u8]) -> Option<(Arc<Schema>, Vec<RecordBatch>)> {
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(body);
    let mut batches = Vec::new();
    while let Some(batch) = decoder.decode(&mut buffer).ok()? {
        batches.push(batch);
    }
    let schema = decoder.schema()?;
    Some((schema, batches))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Float64Array, Int64Array, NullArray};
    use arrow::datatypes::Float32Type;

    use super::*;
    use crate::serving::tests::{ROW, post_as, serving};

    const NAMES: [&str; 5] = ["age", "dept", "dose", "sex", "weight"];

    fn stream(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn row() -> Vec<(&'static str, ArrayRef)> {
        let numbers = [28.0, 10.0, 0.73306656, 1.0, 49.2];
        let mut columns: Vec<(&str, ArrayRef)> = vec![("other", Arc::new(Int64Array::from(vec![7])))];
        columns
            .extend(NAMES.into_iter().zip(numbers).map(|(name, x)| (name, Arc::new(Float64Array::from(vec![x])) as _)));
        columns
    }

    #[test]
    fn batches_in_and_answers_out_are_those_of_json() {
        let serving = serving();
        let json = post_as(&serving, "/predict", "application/json", ROW.as_bytes());
        let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        let answer = post_as(&serving, "/predict/risk", CONTENT_TYPE, &stream(row()));
        assert_eq!((answer.status, answer.content_type), (200, CONTENT_TYPE));
        let (schema, batches) = decode(&answer.body).unwrap();
        assert_eq!(schema.field(0).name(), "prediction");
        assert_eq!((batches.len(), batches[0].num_rows()), (1, 2));
        let prediction = batches[0].column(0).as_primitive::<Float32Type>().value(1);
        assert_eq!(Some(f64::from(prediction) as f32), json["predictions"][0].as_f64().map(|x| x as f32));
        assert_eq!(batches[0].column_by_name("refused").unwrap().null_count(), 2);
    }

    #[test]
    fn what_is_no_stream_and_what_claims_too_much_is_refused() {
        let serving = serving();
        let refused = |body: &[u8]| {
            let answer = post_as(&serving, "/predict", CONTENT_TYPE, body);
            assert_eq!(answer.status, 400);
            String::from_utf8(answer.body).unwrap()
        };
        let good = stream(row());
        assert!(refused(b"age,dept\n1,2\n").contains("not a stream of Arrow"));
        assert!(refused(&stream(row().split_off(2))).contains("`age`"));
        let nulls: Vec<(&str, ArrayRef)> =
            NAMES.into_iter().map(|name| (name, Arc::new(NullArray::new(2_000_000_000)) as ArrayRef)).collect();
        assert!(refused(&stream(nulls)).contains("at most 4000000 rows"));
        // Cut and changed at every place: an answer or a refusal, and never more.
        for at in 0..good.len() {
            post_as(&serving, "/predict", CONTENT_TYPE, &good[..at]);
            let mut other = good.clone();
            other[at] ^= 0xff;
            post_as(&serving, "/predict", CONTENT_TYPE, &other);
        }
    }
}
