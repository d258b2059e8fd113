//! A record's fields straight into their columns, in one walk. Most fields of most records are a few digits, which are
//! read eight bytes at a time.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use super::column::{Column, Columns};
use super::field::Field;
use super::fields::Dialect;
use super::missing::Missing;
use super::values::Values;

/// A record that is bad; the walk does not tell why.
#[derive(Debug)]
pub(super) struct Unfit;

/// How records are walked.
pub(super) struct Scan {
    pub(super) dialect: Dialect,
    pub(super) missing: Missing,
    /// Whether digits can be nothing but a number.
    pub(super) digits: bool,
}

impl Scan {
    pub(super) fn new(dialect: Dialect, missing: Missing) -> Self {
        let special = |byte: u8| byte.is_ascii_digit();
        let digits = !special(dialect.delimiter) && !dialect.quote.is_some_and(special) && !missing.digits();
        Scan { dialect, missing, digits }
    }

    /// Adds the fields of the record `data[start..end]`, which has no line end, to their columns. `unescaped` is scratch
    /// space.
    ///
    /// # Errors
    /// The record is bad; some columns may have its value by then.
    pub(super) fn record(
        &self,
        data: &[u8],
        start: usize,
        end: usize,
        unescaped: &mut Vec<u8>,
        columns: &Columns,
        values: &mut [Values],
    ) -> Result<(), Unfit> {
        let record = data.get(..end).ok_or(Unfit)?;
        let mut next = Some(start);
        for (number, (column, values)) in columns.iter().zip(values).enumerate() {
            let at = next.ok_or(Unfit)?;
            if self.digits
                && values.numeric()
                && let Some((value, stop)) = digits(data, at, end)
                && record.get(stop).is_none_or(|byte| *byte == self.dialect.delimiter)
                && values.push_number(value)
            {
                next = (stop < end).then_some(stop + 1);
                continue;
            }
            next = self.field(record, at, number, unescaped, column, values)?;
        }
        if next.is_none() { Ok(()) } else { Err(Unfit) }
    }

    /// Adds any field, and tells where the next one begins. Apart, so that the walk over digits stays small.
    #[inline(never)]
    fn field(
        &self,
        record: &[u8],
        at: usize,
        number: usize,
        unescaped: &mut Vec<u8>,
        column: &Column,
        values: &mut Values,
    ) -> Result<Option<usize>, Unfit> {
        let (span, next) = self.dialect.field(record, at, 0, number + 1, unescaped).map_err(|_| Unfit)?;
        let field = Field { bytes: span.bytes(record, unescaped), missing: &self.missing };
        values.push(column, &field).map_err(|_| Unfit)?;
        Ok(next)
    }
}

/// Each byte of a word.
pub(super) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// A number of this many digits is below 2^53.
const MOST_DIGITS: usize = 15;

/// The number in digits at `at`, and where it stops: at another byte or at `end`. `None` where there is no digit, or
/// too many.
#[inline]
pub(super) fn digits(data: &[u8], at: usize, end: usize) -> Option<(u64, usize)> {
    let word = word(data, at) ^ each(b'0');
    // The high bit of the first byte above 9; behind it a carry may set others.
    let others = (word.wrapping_add(each(0x7f - 9)) | word) & each(0x80);
    let len = (others.trailing_zeros() as usize / 8).min(end - at);
    if len == 0 {
        return None;
    }
    let mut value = number(word << (64 - 8 * len));
    let mut stop = at + len;
    if len == 8 {
        (value, stop) = more(data.get(..end)?, at, stop, value)?;
    }
    Some((value, stop))
}

/// The rest of a number of more than eight digits.
#[inline(never)]
fn more(data: &[u8], at: usize, mut stop: usize, mut value: u64) -> Option<(u64, usize)> {
    while let Some(digit) = data.get(stop).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        if stop - at == MOST_DIGITS {
            return None;
        }
        value = value * 10 + u64::from(digit);
        stop += 1;
    }
    Some((value, stop))
}

/// The eight bytes at `at`, the first one lowest; zeros behind the end.
#[inline]
pub(super) fn word(data: &[u8], at: usize) -> u64 {
    let rest = data.get(at..).unwrap_or_default();
    u64::from_le_bytes(rest.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        bytes
    }))
}

/// The number of eight decimal digits, the first one lowest: ones to pairs, to fours, to all.
#[inline]
fn number(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_FFFF_0000_FFFF;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use foretell_flow::Decoded;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::fields::trim_line_end;
    use super::super::rows::Rows;
    use super::*;

    /// Parts of records, of which some make trouble wherever they stand.
    const PARTS: &[&str] = &[
        "1",
        "7",
        "64",
        "007",
        "-5",
        "+5",
        " 7",
        "7 ",
        "",
        "",
        "NA",
        "99",
        "-999",
        "127",
        "128",
        "256",
        "-129",
        "65536",
        "1234567",
        "12345678",
        "123456789",
        "123456789012345",
        "1234567890123456",
        "9007199254740993",
        "4294967296",
        "1234567890123456789",
        "9223372036854775808",
        "18446744073709551615",
        "99999999999999999999",
        "1.5",
        "-2e300",
        "nan",
        "true",
        "False",
        "2019-09-11",
        "2019-09-11T10:20:30Z",
        "é",
        "日本",
        "\u{a0}",
        "\"",
        "\"\"",
        "\"7\"",
        "\"a,b\"",
        "\"x\"\"y\"",
        "\"7\"8",
        "a\"b",
        "'7'",
        "\r",
        "\n",
        "\"a\nb\"",
        ";",
        "x",
        ",",
        "1,2",
        "0x10",
    ];
    const TYPES: &[&str] = &[
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "utf8",
        "bool",
        "date",
        "timestamp",
        "decimal(12,2)",
    ];

    fn decode(records: &[String], scan: &Scan, columns: &Columns, scanned: bool) -> (Decoded, usize) {
        let data = records.concat();
        let data = data.as_bytes();
        let mut rows = Rows::new("decode csv", columns, 0);
        let (mut start, mut took) = (0, 0);
        for (row, record) in records.iter().enumerate() {
            let end = start + trim_line_end(record.as_bytes()).len();
            let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
            let mut walk = |columns: &Columns, values: &mut [Values]| {
                scan.record(data, start, end, &mut unescaped, columns, values)
            };
            if scanned && rows.try_push(|columns, values| walk(columns, values)).is_ok() {
                took += 1;
            } else {
                unescaped.clear();
                match scan.dialect.split(data, start, end, columns.len(), &mut spans, &mut unescaped) {
                    Ok(found) if found == columns.len() => {
                        let field =
                            |at: usize| Field { bytes: spans[at].bytes(data, &unescaped), missing: &scan.missing };
                        rows.push(row, (0..found).map(field), |at, _| at.to_string());
                    }
                    shape => rows.refuse(row, format!("{shape:?}")),
                }
            }
            start += record.len();
        }
        (rows.finish(&columns.schema()), took)
    }

    const DIALECTS: &[(u8, Option<u8>)] =
        &[(b',', Some(b'"')), (b';', None), (b' ', Some(b'\'')), (b'5', None), (b',', Some(b'7'))];
    const MISSING: &[&[&str]] = &[&["", "NA"], &["99", "-999"]];

    prop_compose! {
        /// Columns and records that mostly have as many fields.
        fn table()(columns in vec((select(TYPES), any::<bool>()), 1..=4))(
            records in vec(
                (vec(select(PARTS), columns.len()), prop_oneof![19 => Just(0), 1 => Just(1)], select(vec!["", "\n", "\r\n"])),
                0..40,
            ),
            columns in Just(columns),
        ) -> (Vec<(&'static str, bool)>, Vec<(Vec<&'static str>, usize, &'static str)>) {
            (columns, records)
        }
    }

    proptest! {
        #[test]
        fn the_walk_gives_what_splitting_and_reading_field_by_field_gives(
            (delimiter, quote) in select(DIALECTS),
            missing in select(MISSING),
            (columns, records) in table(),
        ) {
            let scan = Scan::new(Dialect { delimiter, quote }, Missing::new(missing));
            let column = |(at, (name, optional)): (usize, &(&str, bool))| {
                serde_json::json!({ format!("c{at}"): format!("{name}{}", if *optional { "?" } else { "" }) })
            };
            let columns: Vec<_> = columns.iter().enumerate().map(column).collect();
            let columns: Columns = serde_json::from_value(columns.into()).unwrap();
            let text = |(fields, lacking, end): &(Vec<&str>, usize, &str)| {
                fields[*lacking..].join(&char::from(delimiter).to_string()) + end
            };
            let records: Vec<String> = records.iter().map(text).collect();
            let (walked, took) = decode(&records, &scan, &columns, true);
            let (split, _) = decode(&records, &scan, &columns, false);
            // Debug text, since NaN is not equal to itself.
            prop_assert_eq!(format!("{walked:?}"), format!("{split:?}"));
            prop_assert_eq!(took, walked.columns.num_rows(), "no good record goes the long way");
        }
    }
}
