//! Predictions as CSV, JSON Lines or Parquet.

use std::fmt::Debug;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::commands::data::file::Destination;
use crate::commands::data::input::Format;
use crate::commands::data::parse::Kept;

/// The rows of a chunk, ready to be written.
pub(super) enum Encoded {
    Text(Vec<u8>),
    Batch(RecordBatch),
}

/// The columns of the output and how they are written.
pub(super) struct Writing {
    pub(super) format: Format,
    pub(super) schema: SchemaRef,
}

impl Writing {
    /// For these columns, in order. All may hold NULL.
    pub(super) fn new(format: Format, columns: Vec<(String, DataType)>) -> Result<Writing> {
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        for (name, data_type) in columns {
            if fields.iter().any(|field| *field.name() == name) {
                bail!("two output columns are called `{name}`; rename the one that `--keep` names");
            }
            fields.push(Field::new(name, data_type, true));
        }
        Ok(Writing { format, schema: Arc::new(Schema::new(fields)) })
    }

    /// What comes before the first row.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.format == Format::Csv {
            for (index, field) in self.schema.fields().iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                csv_text(field.name(), &mut out);
            }
            out.push(b'\n');
        }
        out
    }

    /// One row a row, the kept columns first.
    pub(super) fn encode(&self, keep: &[Kept], outputs: &[ArrayRef], rows: usize) -> Result<Encoded> {
        if self.format == Format::Parquet {
            let kept = keep.iter().map(|kept| match kept {
                Kept::Text(texts) => Arc::new(texts.clone()) as ArrayRef,
                Kept::Json(values) => Arc::new(values.iter().map(json_text).collect::<StringArray>()),
                Kept::Array(array) => array.clone(),
            });
            let columns = kept.chain(outputs.iter().cloned()).collect();
            return Ok(Encoded::Batch(RecordBatch::try_new(self.schema.clone(), columns)?));
        }
        let options = FormatOptions::new().with_null("");
        let cells: Vec<Cells<'_>> = keep
            .iter()
            .map(|kept| match kept {
                Kept::Text(texts) => Ok(Cells::Fields(texts)),
                Kept::Json(values) => Ok(Cells::Json(values)),
                Kept::Array(array) => Cells::of(array, &options),
            })
            .chain(outputs.iter().map(|array| Cells::of(array, &options)))
            .collect::<Result<_>>()?;
        let keys: Vec<String> =
            self.schema.fields().iter().map(|f| format!("{}:", Value::from(f.name().as_str()))).collect();
        let mut out = Vec::with_capacity(rows * cells.len() * 12);
        for row in 0..rows {
            if self.format == Format::Jsonl {
                out.push(b'{');
            }
            for (index, cell) in cells.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                if self.format == Format::Jsonl {
                    out.extend_from_slice(keys.get(index).map_or(&[], |key| key.as_bytes()));
                    cell.json(row, &mut out)?;
                } else {
                    cell.csv(row, &mut out)?;
                }
            }
            out.extend_from_slice(if self.format == Format::Jsonl { b"}\n" } else { b"\n" });
        }
        Ok(Encoded::Text(out))
    }
}

/// A column's values, known by their type before the rows are gone through.
enum Cells<'a> {
    F32(&'a Float32Array),
    F64(&'a Float64Array),
    Int(&'a Int64Array),
    Bool(&'a BooleanArray),
    Text(&'a StringArray),
    /// Fields of a CSV: numbers in JSON where they are written as JSON's.
    Fields(&'a StringArray),
    Json(&'a [Value]),
    /// Any other type of a Parquet file; whether it is a number.
    Other(&'a dyn Array, ArrayFormatter<'a>, bool),
}

impl<'a> Cells<'a> {
    fn of(array: &'a ArrayRef, options: &'a FormatOptions<'a>) -> Result<Cells<'a>> {
        Ok(match array.data_type() {
            DataType::Float32 => Cells::F32(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Cells::F64(array.as_primitive::<Float64Type>()),
            DataType::Int64 => Cells::Int(array.as_primitive::<Int64Type>()),
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Utf8 => Cells::Text(array.as_string()),
            other => {
                let number = other.is_integer() || matches!(other, DataType::Decimal128(..));
                Cells::Other(array.as_ref(), ArrayFormatter::try_new(array.as_ref(), options)?, number)
            }
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::F32(array) => array.is_null(row),
            Cells::F64(array) => array.is_null(row),
            Cells::Int(array) => array.is_null(row),
            Cells::Bool(array) => array.is_null(row),
            Cells::Text(array) | Cells::Fields(array) => array.is_null(row),
            Cells::Json(values) => values.get(row).is_none_or(Value::is_null),
            Cells::Other(array, ..) => array.is_null(row),
        }
    }

    fn csv(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            return Ok(());
        }
        match self {
            Cells::F32(array) => float(array.value(row), out)?,
            Cells::F64(array) => float(array.value(row), out)?,
            Cells::Int(array) => out.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()),
            // As Python writes them: the classes' names in `proba_True` are Python's, too.
            Cells::Bool(array) => out.extend_from_slice(if array.value(row) { b"True" } else { b"False" }),
            Cells::Text(array) | Cells::Fields(array) => csv_text(array.value(row), out),
            Cells::Json(values) => csv_text(&values.get(row).and_then(json_text).unwrap_or_default(), out),
            Cells::Other(_, formatter, _) => csv_text(&formatter.value(row).try_to_string()?, out),
        }
        Ok(())
    }

    fn json(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match self {
            Cells::F32(array) if array.value(row).is_finite() => float(array.value(row), out)?,
            Cells::F64(array) if array.value(row).is_finite() => float(array.value(row), out)?,
            // JSON has neither NaN nor infinity.
            Cells::F32(_) | Cells::F64(_) => out.extend_from_slice(b"null"),
            Cells::Int(array) => out.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()),
            Cells::Bool(array) => write!(out, "{}", array.value(row))?,
            Cells::Text(array) => serde_json::to_writer(out, array.value(row))?,
            Cells::Fields(array) => match array.value(row) {
                "" => out.extend_from_slice(b"null"),
                text if is_json_number(text) => out.extend_from_slice(text.as_bytes()),
                text => serde_json::to_writer(out, text)?,
            },
            Cells::Json(values) => serde_json::to_writer(out, &values.get(row))?,
            Cells::Other(_, formatter, true) => write!(out, "{}", formatter.value(row))?,
            Cells::Other(_, formatter, false) => serde_json::to_writer(out, &formatter.value(row).try_to_string()?)?,
        }
        Ok(())
    }
}

/// The shortest text that reads back to the same bits of the value's own type; of two that are as near, the even one, as numpy
/// has it.
fn float<T: ryu::Float + Copy + Debug + Into<f64>>(value: T, out: &mut Vec<u8>) -> io::Result<()> {
    // Within these it is written without an exponent.
    const USUAL: Range<f64> = 1e-4..1e12;
    let number: f64 = value.into();
    if USUAL.contains(&number.abs()) {
        out.write_all(ryu::Buffer::new().format_finite(value).as_bytes())
    } else if number == 0.0 {
        out.write_all(if number.is_sign_negative() { b"-0.0" } else { b"0.0" })
    } else if number.is_nan() {
        out.write_all(b"NaN")
    } else if number.is_infinite() {
        out.write_all(if number > 0.0 { b"inf" } else { b"-inf" })
    } else {
        write!(out, "{value:?}")
    }
}

fn csv_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// A JSON value as text: a string as it is, all else as JSON.
fn json_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether a text is a number by JSON's grammar, so that it may stand without quotes: `007` is none.
fn is_json_number(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    starts_well && text.len() <= 40 && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

// ---------------------------------------------------------------- where it goes

/// Where predictions go.
pub(super) struct Output {
    writer: Writer,
    destination: Destination,
}

enum Writer {
    Text(Box<dyn Write + Send>),
    Parquet(Box<ArrowWriter<Box<dyn Write + Send>>>),
}

impl Output {
    /// Opens the output: standard output for `None` and `-`.
    pub(super) fn open(path: Option<&Path>, writing: &Writing) -> Result<Output> {
        let (destination, raw) = Destination::open(path)?;
        let writer = match writing.format {
            Format::Parquet => Writer::Parquet(Box::new(ArrowWriter::try_new(raw, writing.schema.clone(), None)?)),
            _ => Writer::Text(raw),
        };
        let mut output = Output { writer, destination };
        output.write(&Encoded::Text(writing.header()))?;
        Ok(output)
    }

    /// Writes the rows of one chunk.
    pub(super) fn write(&mut self, encoded: &Encoded) -> Result<()> {
        match (&mut self.writer, encoded) {
            (Writer::Text(writer), Encoded::Text(text)) => writer.write_all(text)?,
            (Writer::Parquet(writer), Encoded::Batch(batch)) => writer.write(batch)?,
            _ => {}
        }
        Ok(())
    }

    /// Brings everything out, and the file under its name.
    pub(super) fn finish(self) -> Result<()> {
        match self.writer {
            Writer::Text(mut writer) => writer.flush()?,
            Writer::Parquet(writer) => writer.into_inner()?.flush()?,
        }
        self.destination.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: Format, keep: Vec<Kept>, outputs: Vec<ArrayRef>) -> String {
        let mut columns: Vec<(String, DataType)> =
            (0..keep.len()).map(|index| (format!("k,{index}"), DataType::Utf8)).collect();
        columns.extend(outputs.iter().enumerate().map(|(n, array)| (format!("p{n}"), array.data_type().clone())));
        let writing = Writing::new(format, columns).unwrap();
        let rows = outputs[0].len();
        let Encoded::Text(rows) = writing.encode(&keep, &outputs, rows).unwrap() else { panic!("text") };
        String::from_utf8([writing.header(), rows].concat()).unwrap()
    }

    #[test]
    fn floats_are_the_shortest_text_of_their_own_type() {
        let floats: Vec<ArrayRef> = vec![
            Arc::new(Float32Array::from(vec![0.1, 2_446.106, 45.0, f32::NAN, 1e-45])),
            Arc::new(Float64Array::from(vec![0.1, 1e300, -0.0, f64::INFINITY, f64::from(0.1_f32)])),
        ];
        let expected = "p0,p1\n0.1,0.1\n2446.106,1e300\n45.0,-0.0\nNaN,inf\n1e-45,0.10000000149011612\n";
        assert_eq!(text(Format::Csv, vec![], floats.clone()), expected);
        let expected = "{\"p0\":0.1,\"p1\":0.1}\n{\"p0\":2446.106,\"p1\":1e300}\n{\"p0\":45.0,\"p1\":-0.0}\n\
            {\"p0\":null,\"p1\":null}\n{\"p0\":1e-45,\"p1\":0.10000000149011612}\n";
        assert_eq!(text(Format::Jsonl, vec![], floats), expected);
    }

    #[test]
    fn floats_read_back_and_are_as_short_as_can_be() {
        fn check<T: ryu::Float + Copy + Debug + Into<f64>>(number: T) {
            let mut out = Vec::new();
            float(number, &mut out).unwrap();
            let (text, shortest) = (String::from_utf8(out).unwrap(), format!("{number:?}"));
            assert_eq!(text.len(), shortest.len(), "{text} {shortest}");
            assert_eq!(text.find(['.', 'e']), shortest.find(['.', 'e']), "{text} {shortest}");
        }
        let spread = (0..20_000_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let tens = (-20..40).flat_map(|power| [1.0, 0.999_999_9, 1.234_567].map(|number| number * 10_f64.powi(power)));
        let numbers = spread.map(f64::from_bits).chain(tens).chain([0.0, f64::INFINITY, f64::NAN]);
        for number in numbers.flat_map(|number| [number, -number]) {
            check(number);
            check(number as f32);
            let (mut double, mut single) = (Vec::new(), Vec::new());
            float(number, &mut double).unwrap();
            float(number as f32, &mut single).unwrap();
            let (double, single) = (String::from_utf8(double).unwrap(), String::from_utf8(single).unwrap());
            assert!(number.is_nan() || double.parse::<f64>().unwrap().to_bits() == number.to_bits());
            assert!(number.is_nan() || single.parse::<f32>().unwrap().to_bits() == (number as f32).to_bits());
        }
        // As near to 2085.2813.
        let halfway: Vec<ArrayRef> =
            vec![Arc::new(Float32Array::from([2_085.281_25_f64, 2_084.031_25].map(|number| number as f32).to_vec()))];
        assert_eq!(text(Format::Csv, vec![], halfway), "p0\n2085.2812\n2084.0312\n");
    }

    #[test]
    fn kept_columns_stay_what_they_are() {
        let keep = || vec![Kept::Text(StringArray::from(vec!["007", "1,5", "", "12", "say \"x\""]))];
        let labels: Vec<ArrayRef> = vec![Arc::new(BooleanArray::from(vec![true, false, true, false, true]))];
        let expected = "\"k,0\",p0\n007,True\n\"1,5\",False\n,True\n12,False\n\"say \"\"x\"\"\",True\n";
        assert_eq!(text(Format::Csv, keep(), labels.clone()), expected);
        let expected = "{\"k,0\":\"007\",\"p0\":true}\n{\"k,0\":\"1,5\",\"p0\":false}\n{\"k,0\":null,\"p0\":true}\n\
            {\"k,0\":12,\"p0\":false}\n{\"k,0\":\"say \\\"x\\\"\",\"p0\":true}\n";
        assert_eq!(text(Format::Jsonl, keep(), labels), expected);
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let columns = vec![("prediction".to_string(), DataType::Utf8), ("prediction".to_string(), DataType::Float32)];
        let error = Writing::new(Format::Csv, columns).err().unwrap().to_string();
        assert!(error.contains("two output columns are called `prediction`"), "{error}");
    }
}
