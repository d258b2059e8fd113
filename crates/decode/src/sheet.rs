//! A text of CSV into columns, for callers that read a whole file. A field means what it means in a record.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use std::fmt;

use arrow::array::ArrayRef;

use super::column::Column;
use super::field::Field;
use super::fields::{Dialect, Malformed, Span, trim_line_end};
use super::missing::Missing;
use super::scan::{digits, each, word};
use super::time::TimeFormat;
use super::types::Type;
use super::values::Values;

/// The columns of a text so far. A missing value is NULL.
pub struct Sheet {
    dialect: Dialect,
    /// How many fields a record has.
    width: usize,
    /// By the field that they are read from, ascending.
    columns: Vec<Reading>,
    rows: usize,
    /// Whether digits, a point and a sign can be nothing but a number.
    plain: bool,
    /// Scratch space.
    spans: Vec<Span>,
    unescaped: Vec<u8>,
}

/// A column of a sheet.
struct Reading {
    field: usize,
    /// Which one it is for the caller.
    place: usize,
    column: Column,
    values: Values,
    missing: Missing,
    /// Whether a number may mean a missing value.
    numbers: bool,
}

/// A record that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongRecord {
    /// Which of the text's records, from 0; blank lines are none.
    pub row: usize,
    /// What is wrong with it.
    pub why: WhyWrong,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq)]
pub enum WhyWrong {
    /// Its shape.
    Shape(Malformed),
    /// It has so many fields.
    Fields(usize),
    /// The field of this column, and why it does not fit, without the field.
    Column(usize, String),
}

impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sheet").field("width", &self.width).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Sheet {
    /// Of records of `width` fields. Each column is read from the field of this index, as this type; some fields are missing
    /// values of it. `rows` is about how many there will be.
    pub fn new(
        dialect: Dialect,
        width: usize,
        columns: impl Iterator<Item = (usize, Type, Missing)>,
        rows: usize,
    ) -> Sheet {
        let reading = |(place, (field, data_type, missing)): (usize, (usize, Type, Missing))| {
            let values = Values::new(&data_type, rows);
            let (name, format, path) = (String::new(), TimeFormat::iso(), Vec::new());
            let column = Column { name, data_type, optional: true, format, path, missing: None };
            let numbers = missing.numbers();
            Reading { field, place, column, values, missing, numbers }
        };
        let mut columns: Vec<Reading> = columns.enumerate().map(reading).collect();
        columns.sort_by_key(|column| column.field);
        let special = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'\n' | b'\r');
        let plain = !special(dialect.delimiter) && !dialect.quote.is_some_and(special);
        Sheet { dialect, width, columns, rows: 0, plain, spans: Vec::new(), unescaped: Vec::new() }
    }

    /// Adds the records of a text, which ends where one ends.
    ///
    /// # Errors
    /// The first record that is wrong; those before it were added.
    pub fn read(&mut self, text: &[u8]) -> Result<(), WrongRecord> {
        let quoted = self.dialect.quote.is_some_and(|quote| text.contains(&quote));
        let mut at = 0;
        while let Some(first) = text.get(at) {
            if *first == b'\n' {
                at += 1;
                continue;
            }
            // A line of nothing but its end is no record.
            if self.plain && *first != b'\r' {
                match self.walk(text, at) {
                    Some(next) => {
                        self.rows += 1;
                        at = next;
                        continue;
                    }
                    None => self.columns.iter_mut().for_each(|column| column.values.truncate(self.rows)),
                }
            }
            let end = if quoted { self.dialect.record_end(text, at) } else { line_end(text, at) };
            let end = end.unwrap_or(text.len());
            let record = at + trim_line_end(text.get(at..end).unwrap_or_default()).len();
            if at < record {
                self.split(text, at, record).map_err(|why| WrongRecord { row: self.rows, why })?;
                self.rows += 1;
            }
            at = end;
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// As Arrow's arrays, in the order in which the columns were named.
    pub fn finish(mut self) -> Vec<ArrayRef> {
        self.columns.sort_by_key(|column| column.place);
        self.columns.into_iter().map(|column| column.values.finish()).collect()
    }

    /// Adds the record at `at` and says where the next one begins, in one walk; `None` where it has quotes, or something in it
    /// is wrong: the columns may have some of its fields then.
    fn walk(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        let mut columns = self.columns.iter_mut().peekable();
        for field in 1..=self.width {
            let (number, mut stop) = number(text, at).map_or((None, at), |(number, stop)| (Some(number), stop));
            let mut number = number;
            if text.get(stop).is_some_and(|byte| *byte != self.dialect.delimiter && !matches!(byte, b'\n' | b'\r')) {
                (number, stop) = (None, field_end(text, stop, &self.dialect)?);
            }
            while let Some(column) = columns.next_if(|column| column.field + 1 == field) {
                match number {
                    Some(number) if !column.numbers && column.values.push_double(number) => {}
                    _ => column.push(text.get(at..stop)?).ok()?,
                }
            }
            let last = field == self.width;
            match (text.get(stop), text.get(stop + 1)) {
                (Some(byte), _) if *byte == self.dialect.delimiter && !last => at = stop + 1,
                (Some(b'\n'), _) if last => return Some(stop + 1),
                (Some(b'\r'), Some(b'\n')) if last => return Some(stop + 2),
                (None, _) | (Some(b'\r'), None) if last => return Some(text.len()),
                _ => return None,
            }
        }
        None
    }

    /// Adds the record `text[start..end]` field by field.
    fn split(&mut self, text: &[u8], start: usize, end: usize) -> Result<(), WhyWrong> {
        let Sheet { dialect, width, columns, spans, unescaped, .. } = self;
        spans.clear();
        unescaped.clear();
        let found = dialect.split(text, start, end, *width, spans, unescaped).map_err(WhyWrong::Shape)?;
        if found != *width {
            return Err(WhyWrong::Fields(found));
        }
        for column in columns {
            let field = spans.get(column.field).map_or(&[][..], |span| span.bytes(text, unescaped));
            column.push(field).map_err(|why| WhyWrong::Column(column.place, why))?;
        }
        Ok(())
    }
}

impl Reading {
    /// Adds a field. A number that no float holds with all its digits is the nearest one, as it is to a model in Python;
    /// what is stored as a column of its own must be exact, and is read by a decoder.
    fn push(&mut self, field: &[u8]) -> Result<(), String> {
        if self.column.data_type == Type::Float64
            && let Some(nearest) = std::str::from_utf8(field).ok().and_then(|text| text.trim_ascii().parse().ok())
            && !self.missing.has(field)
            && self.values.push_double(nearest)
        {
            return Ok(());
        }
        let cell = Field { bytes: field, missing: &self.missing };
        self.values.push(&self.column, &cell).map_err(|wrong| wrong.describe(&self.column.data_type))
    }
}

/// Behind the line that is at `start`.
fn line_end(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    rest.iter().position(|byte| *byte == b'\n').map(|at| start + at + 1)
}

/// Powers of ten that a float holds.
const TENS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The number at `at`, of no more digits than a float holds, and where it stops. The quotient of two numbers that floats hold
/// is the float nearest to it.
#[inline]
fn number(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let from = at + usize::from(negative);
    let (whole, stop) = digits(text, from, text.len())?;
    let signed = |number: f64| if negative { -number } else { number };
    if text.get(stop) != Some(&b'.') {
        return Some((signed(whole as f64), stop));
    }
    let (fraction, end) = digits(text, stop + 1, text.len())?;
    let places = end - stop - 1;
    let tens = *TENS.get(places).filter(|_| stop - from + places < TENS.len())?;
    Some((signed((whole as f64 * tens + fraction as f64) / tens), end))
}

/// Where the field without quotes stops; `None` where there is one.
#[inline]
fn field_end(text: &[u8], mut at: usize, dialect: &Dialect) -> Option<usize> {
    let (delimiter, quote) = (each(dialect.delimiter), each(dialect.quote.unwrap_or(b'\n')));
    while at < text.len() {
        let word = word(text, at);
        // The high bit of the first byte that is zero; behind it a carry may set others.
        let zero = |word: u64| word.wrapping_sub(each(1)) & !word;
        let ends = zero(word ^ delimiter) | zero(word ^ quote) | zero(word ^ each(b'\n')) | zero(word ^ each(b'\r'));
        let found = ends & each(0x80);
        if found != 0 {
            at = (at + found.trailing_zeros() as usize / 8).min(text.len());
            return if text.get(at).is_some() && text.get(at) == dialect.quote.as_ref() { None } else { Some(at) };
        }
        at += 8;
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::missing::MISSING;
    use super::*;

    const COMMAS: Dialect = Dialect { delimiter: b',', quote: Some(b'"') };

    #[test]
    fn a_column_is_read_as_a_decoder_reads_it() {
        let column = || [(0, Type::Float64, Missing::new(&MISSING))].into_iter();
        let mut sheet = Sheet::new(COMMAS, 1, column(), 4);
        sheet.read(b" 1e400 \nNone\r\n\n6.5\n-1.#IND\n-0\n-12.25\n0.1\n\"7\"\n123456789012345678").unwrap();
        let array = sheet.finish().remove(0);
        let values: Vec<_> = array.as_primitive::<Float64Type>().iter().collect();
        let numbers = [f64::INFINITY, 6.5, -0.0, -12.25, 0.1, 7.0, 123_456_789_012_345_680.0];
        let [first, rest @ ..] = numbers.map(Some);
        let [second, rest @ ..] = rest;
        assert_eq!(values, [&[first, None, second, None][..], &rest].concat());
        assert!(values.get(4).copied().flatten().is_some_and(f64::is_sign_negative));
        for (text, row, why) in [
            ("1\nsix\n", 1, WhyWrong::Column(0, "not a float64".to_string())),
            ("1\n\n2\n1,2\n", 2, WhyWrong::Fields(2)),
            ("\"x", 0, WhyWrong::Shape(Malformed::OpenQuote(1))),
        ] {
            assert_eq!(Sheet::new(COMMAS, 1, column(), 4).read(text.as_bytes()), Err(WrongRecord { row, why }));
        }
    }

    /// Parts of records, of which some make trouble wherever they stand.
    const PARTS: &[&str] = &[
        "1",
        "64",
        "007",
        "-5",
        "+5",
        " 7",
        "7 ",
        "",
        "NA",
        "-999",
        "12345678",
        "123456789012345",
        "1234567890123456",
        "1.5",
        "-0",
        "-",
        ".5",
        "5.",
        "1.5.2",
        "-1.25",
        "0.1",
        "123456789.123456",
        "1234567890.123456",
        "1e5",
        "nan",
        "true",
        "é",
        "\"",
        "\"\"",
        "\"7\"",
        "\"a,b\"",
        "\"x\"\"y\"",
        "a\"b",
        "\r",
        "\n",
        "\"a\nb\"",
        ",",
        ";",
        "x",
        "a long text, nearly",
    ];

    proptest! {
        #[test]
        fn the_walk_gives_what_splitting_gives(
            delimiter in select(vec![b',', b';', b'.', b'5']),
            missing in select(vec![&["", "NA"][..], &["-999", "1.5"], &[]]),
            columns in vec((0_usize..3, select(vec![Type::Float64, Type::Utf8, Type::Bool])), 1..5),
            records in vec((vec(select(PARTS), 3), select(vec!["\n", "\r\n", "\n\n", "\r"])), 0..30),
        ) {
            let dialect = Dialect { delimiter, quote: Some(b'"') };
            let text = |(fields, end): &(Vec<&str>, &str)| fields.join(&char::from(delimiter).to_string()) + end;
            // No record is so long that a text of one would not tell it.
            for records in records.chunks(3) {
                let text: String = records.iter().map(text).collect();
                let read = |walked: bool| {
                    let column = |(field, kind): &(usize, Type)| (*field, kind.clone(), Missing::new(missing));
                    let mut sheet = Sheet::new(dialect, 3, columns.iter().map(column), 0);
                    sheet.plain &= walked;
                    let read = sheet.read(text.as_bytes());
                    (read, sheet.rows(), format!("{:?}", sheet.finish()))
                };
                prop_assert_eq!(read(true), read(false), "{:?}", text);
            }
        }
    }
}
