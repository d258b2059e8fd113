//! Cells to rows of Arrow columns: the part that CSV and JSON share.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use foretell_flow::{Decoded, Refused};

use super::column::{Column, Columns};
use super::decimal;
use super::time::TimeFormat;
use super::values::Values;

/// Why a cell does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Nothing where something must be.
    Missing,
    /// Another kind of value: `not an int64`, or what stands there instead.
    Kind(Option<&'static str>),
    /// A number that the type cannot hold.
    Range,
    /// A whole number between two that the type holds.
    Whole,
    /// A decimal with more digits behind the point than the type has.
    Digits,
    /// A local time that its zone never shows.
    Skipped,
    /// Bytes that are not UTF-8.
    Encoding,
}

/// A number as a float. Where it was a whole number, it is that one exactly: only of a fraction a float is the nearest
/// one, since that is what a float is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Float {
    nearest: f64,
    whole: bool,
}

impl Float {
    /// Of something that is not a whole number, or not written as one.
    pub(super) fn fraction(nearest: f64) -> Float {
        Float { nearest, whole: false }
    }

    /// Of a whole number.
    pub(super) fn whole(number: i128) -> Result<Float, Wrong> {
        let nearest = number as f64;
        if nearest as i128 == number { Ok(Float { nearest, whole: true }) } else { Err(Wrong::Whole) }
    }

    /// Of a number as text, such as Python reads.
    pub(super) fn text(text: &str) -> Result<Float, Wrong> {
        let nearest: f64 = text.parse().map_err(|_| Wrong::Kind(None))?;
        let digit = |byte: u8| byte.is_ascii_digit();
        if nearest.is_infinite() && text.bytes().any(digit) {
            return Err(Wrong::Range);
        }
        let whole = text.strip_prefix(['+', '-']).unwrap_or(text).bytes().all(digit);
        if whole && !decimal::says(text, nearest) {
            return Err(Wrong::Whole);
        }
        Ok(Float { nearest, whole })
    }

    /// In 64 bits.
    pub(super) fn double(self) -> f64 {
        self.nearest
    }

    /// In 32 bits.
    pub(super) fn single(self) -> Result<f32, Wrong> {
        let single = self.nearest as f32;
        if single.is_infinite() && self.nearest.is_finite() {
            return Err(Wrong::Range);
        }
        if self.whole && f64::from(single) != self.nearest { Err(Wrong::Whole) } else { Ok(single) }
    }
}

/// One value of a record, before its column's type is applied.
pub(super) trait Cell {
    /// Whether it is a missing value of this column.
    fn missing(&self, column: &Column) -> bool;
    fn signed(&self) -> Result<i64, Wrong>;
    fn unsigned(&self) -> Result<u64, Wrong>;
    fn float(&self) -> Result<Float, Wrong>;
    fn decimal(&self, digits: u8, behind: u8) -> Result<i128, Wrong>;
    fn text(&self) -> Result<&str, Wrong>;
    fn boolean(&self) -> Result<bool, Wrong>;
    fn date(&self, format: &TimeFormat) -> Result<i32, Wrong>;
    fn timestamp(&self, format: &TimeFormat) -> Result<i64, Wrong>;
}

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
        let values = columns.iter().map(|column| Values::new(column.data_type, capacity)).collect();
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
            Ok(()) => self.len += 1,
            Err(_) => self.values.iter_mut().for_each(|values| values.truncate(self.len)),
        }
        filled
    }

    /// Adds the record of this index in the batch, whose shape is right, or refuses it for its first wrong cell.
    /// `label(i, column)` names that field in the reason.
    pub(super) fn push<C: Cell>(
        &mut self,
        row: usize,
        cells: impl Iterator<Item = C>,
        label: impl FnOnce(usize, &Column) -> String,
    ) {
        let pushed = self.try_push(|columns, values| {
            for (number, ((column, values), cell)) in columns.iter().zip(values).zip(cells).enumerate() {
                values.push(column, &cell).map_err(|wrong| (number, column, wrong))?;
            }
            Ok(())
        });
        if let Err((number, column, wrong)) = pushed {
            self.refuse(row, format!("field {}: {}", label(number, column), describe(column, wrong)));
        }
    }

    /// Adds this many rows, for which `fill` gives each column its values.
    pub(super) fn extend(&mut self, rows: usize, mut fill: impl FnMut(usize, &mut Values)) {
        self.values.iter_mut().enumerate().for_each(|(column, values)| fill(column, values));
        self.len += rows;
    }

    pub(super) fn finish(self, schema: &SchemaRef) -> Decoded {
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        let arrays = self.values.into_iter().map(Values::finish).collect();
        let columns = RecordBatch::try_new_with_options(schema.clone(), arrays, &options);
        Decoded { columns: columns.expect("the columns fit their schema"), bad: self.bad }
    }
}

/// What is wrong with a column's value, without the value.
pub(super) fn describe(column: &Column, wrong: Wrong) -> String {
    let name = column.data_type.to_string();
    let article = if name.starts_with('i') { "an" } else { "a" };
    match wrong {
        Wrong::Missing => format!("missing (`{name}?` would take it as NULL)"),
        Wrong::Kind(None) => format!("not {article} {name}"),
        Wrong::Kind(Some(instead)) => format!("{instead} where {article} {name} is expected"),
        Wrong::Range => format!("out of the range of {article} {name}"),
        Wrong::Whole => format!("a whole number that {article} {name} does not hold exactly"),
        Wrong::Digits => format!("more digits behind the point than {article} {name} has"),
        Wrong::Skipped => "a local time that its zone skips, when clocks go forward".to_string(),
        Wrong::Encoding => "not UTF-8".to_string(),
    }
}
