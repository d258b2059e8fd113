//! A fast path for records that hold only short numbers, as tables of encoded ids do: it finds the fields of a block of
//! records first, then reads one column after the other.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "places within bytes that are in memory, and bytes side by side in a word"
)]

use super::column::Columns;
use super::rows::Rows;
use super::scan::{Scan, each, number, word};
use super::types::Type;

/// This many records at most, so that their places stay in the first cache.
const RECORDS: usize = 256;
/// Records of more bytes are not plain: a bit for each byte, and one for the end.
const BYTES: usize = 63;
/// Bits of a place that tell the field's length; the others tell where it begins.
const LEN_BITS: u32 = 4;

/// A block of records, and the room for it.
pub(super) struct Plain {
    delimiter: u8,
    /// How many digits each column holds whatever they are; at most eight.
    digits: Vec<u32>,
    places: Vec<u32>,
    /// Where the block's first record is in the data.
    base: usize,
}

impl Plain {
    /// `None` where a column does not hold numbers, or digits may mean something else: then no record is plain.
    pub(super) fn new(columns: &Columns, scan: &Scan) -> Option<Self> {
        if !scan.digits {
            return None;
        }
        let delimiter = scan.dialect.delimiter;
        let digits = columns.iter().map(|column| digits(column.data_type)).collect::<Option<_>>()?;
        Some(Plain { delimiter, digits, places: Vec::new(), base: 0 })
    }

    /// Takes the record `data[start..end]` into the block if it is plain.
    pub(super) fn take(&mut self, data: &[u8], start: usize, end: usize) -> bool {
        let len = end - start;
        let Some(mut stops) = stops(data, start, len, self.delimiter) else { return false };
        if stops.count_ones() as usize != self.digits.len() {
            return false;
        }
        if self.places.is_empty() {
            self.base = start;
        }
        let before = self.places.len();
        let base = (start - self.base) as u32;
        let (mut at, mut plain) = (0, true);
        self.places.extend(self.digits.iter().map(|most| {
            let stop = stops.trailing_zeros();
            stops &= stops.wrapping_sub(1);
            let len = stop.wrapping_sub(at);
            plain &= len.wrapping_sub(1) < *most;
            let place = (base + at) << LEN_BITS | len;
            at = stop + 1;
            place
        }));
        if !plain {
            self.places.truncate(before);
        }
        plain
    }

    /// Whether the block takes no more.
    pub(super) fn full(&self) -> bool {
        self.places.len() >= RECORDS * self.digits.len()
    }

    /// Adds the block's records to the rows, and is empty then.
    pub(super) fn flush(&mut self, data: &[u8], rows: &mut Rows) {
        if self.places.is_empty() {
            return;
        }
        let data = data.get(self.base..).unwrap_or_default();
        rows.extend(self.places.len() / self.digits.len(), |column, values| {
            let records = self.places.chunks_exact(self.digits.len());
            values.extend_numbers(records.map(|fields| {
                let place = fields.get(column).copied().unwrap_or_default();
                let (at, len) = (place >> LEN_BITS, place & ((1 << LEN_BITS) - 1));
                number((word(data, at as usize) ^ each(b'0')) << (u64::BITS - 8 * len))
            }));
        });
        self.places.clear();
    }
}

/// How many digits a type holds, whatever they are.
fn digits(data_type: Type) -> Option<u32> {
    Some(match data_type {
        Type::Int8 | Type::Uint8 => 2,
        Type::Int16 | Type::Uint16 => 4,
        Type::Float32 => 7,
        Type::Int32 | Type::Uint32 | Type::Int64 | Type::Uint64 | Type::Float64 => 8,
        Type::Utf8 | Type::Bool | Type::Date | Type::Timestamp | Type::Decimal(..) => return None,
    })
}

/// A bit where each field of the record of `len` bytes at `start` stops, its end included; `None` where it is too long,
/// or a byte is neither a digit nor the delimiter.
#[inline]
fn stops(data: &[u8], start: usize, len: usize, delimiter: u8) -> Option<u64> {
    if len > BYTES {
        return None;
    }
    let (mut stops, mut strange) = (0, 0);
    for at in (0..len).step_by(8) {
        let word = word(data, start + at) ^ each(b'0');
        // The high bit of each byte above 9, and of each that is the delimiter: no byte's sum carries into the next.
        let above = (((word & each(0x7f)) + each(0x7f - 9)) | word) & each(0x80);
        let other = word ^ each(delimiter ^ b'0');
        let delimiters = !(((other & each(0x7f)) + each(0x7f)) | other) & each(0x80);
        let bits = |high: u64| ((high >> 7).wrapping_mul(GATHER) >> 56) << at;
        stops |= bits(above);
        strange |= bits(above & !delimiters);
    }
    let end = 1 << len;
    (strange & (end - 1) == 0).then_some(stops & (end - 1) | end)
}

/// Brings the lowest bit of each byte, the first one lowest, to the highest byte.
const GATHER: u64 = 0x0102_0408_1020_4080;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::super::csv::KIND;
    use super::super::tests::decode;

    const TYPES: &[&str] =
        &["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"];
    /// What keeps a record out of a block.
    const OTHERS: &[&str] = &["-5", "1.5", "", "7,7", "7\n7", "12345678901234567890", "123456789"];

    prop_compose! {
        /// Columns of numbers, and records of which most are plain.
        fn table()(types in vec(select(TYPES), 1..9))(
            records in vec(
                (vec(prop_oneof![60 => "[0-9]{1,2}", 3 => "[0-9]{1,9}", 1 => select(OTHERS).prop_map(str::to_string)],
                    types.len()), select(vec!["", "\n", "\r\n"])),
                0..700,
            ),
            types in Just(types),
        ) -> (Vec<&'static str>, Vec<String>) {
            (types, records.into_iter().map(|(fields, end)| fields.join(",") + end).collect())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn blocks_of_plain_records_give_what_record_by_record_gives((types, records) in table()) {
            let columns: Vec<_> =
                types.iter().enumerate().map(|(at, name)| json!({ format!("c{at}"): name })).collect();
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            let blocks = decode(&KIND, json!({ "columns": columns }), &records);
            // A number that means a missing value keeps the decoder from blocks.
            let one_by_one = json!({ "columns": columns, "missing": ["", "31415926535"] });
            let one_by_one = decode(&KIND, one_by_one, &records);
            prop_assert_eq!(blocks.columns, one_by_one.columns);
            prop_assert_eq!(blocks.bad, one_by_one.bad);
        }
    }

    #[test]
    fn blocks_fill_and_are_followed_by_others() {
        let records: Vec<String> = (0..700).map(|row| format!("{},{}", row % 100, row % 10)).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let decoded = decode(&KIND, json!({ "columns": [{ "a": "int8" }, { "b": "float64" }] }), &records);
        assert_eq!(decoded.columns.num_rows(), 700);
        let a = decoded.columns.column(0);
        let a = a.as_any().downcast_ref::<arrow::array::Int8Array>().unwrap();
        assert!(a.values().iter().enumerate().all(|(row, value)| usize::try_from(*value) == Ok(row % 100)));
    }
}
