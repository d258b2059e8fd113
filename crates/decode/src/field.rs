//! One field of a CSV record as a value.

use super::build::{Cell, Float, Wrong};
use super::column::Column;
use super::decimal;
use super::time::TimeFormat;

/// Fields of a CSV file that mean a missing value where nobody says otherwise: what `pandas.read_csv` takes for one. A
/// model was trained on what that made of its data, and must meet the same.
pub const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// The texts that mean a missing value, quick to rule out by their first byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    texts: Vec<Box<[u8]>>,
    empty: bool,
    begins: [bool; 256],
}

impl Missing {
    /// As the pipeline file lists them. YAML reads an unquoted `null` as no text at all; it can only mean the word.
    pub(super) fn listed(texts: &[Option<String>]) -> Self {
        Missing::new(&texts.iter().map(|text| text.as_deref().unwrap_or("null")).collect::<Vec<_>>())
    }

    /// Of these texts.
    pub fn new<T: AsRef<[u8]>>(texts: &[T]) -> Self {
        let owned = texts.iter().map(|text| text.as_ref().into()).collect();
        let mut missing = Missing { texts: owned, empty: false, begins: [false; 256] };
        for text in texts {
            match text.as_ref().first() {
                Some(byte) => missing.begins[usize::from(*byte)] = true,
                None => missing.empty = true,
            }
        }
        missing
    }

    /// Whether a field means a missing value: it is one of the texts, to the byte.
    pub fn has(&self, field: &[u8]) -> bool {
        match field.first() {
            Some(byte) => self.begins[usize::from(*byte)] && self.texts.iter().any(|text| **text == *field),
            None => self.empty,
        }
    }

    /// Whether a number in plain digits may mean a missing value.
    pub(super) fn digits(&self) -> bool {
        self.texts.iter().any(|text| !text.is_empty() && text.iter().all(u8::is_ascii_digit))
    }
}

/// One field of a record.
pub(super) struct Field<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) missing: &'a Missing,
}

impl Field<'_> {
    fn trimmed(&self) -> Result<&str, Wrong> {
        std::str::from_utf8(self.bytes.trim_ascii()).map_err(|_| Wrong::Encoding)
    }
}

impl Cell for Field<'_> {
    fn missing(&self, column: &Column) -> bool {
        column.missing.as_ref().unwrap_or(self.missing).has(self.bytes)
    }

    fn signed(&self) -> Result<i64, Wrong> {
        parse_signed(self.bytes.trim_ascii())
    }

    fn unsigned(&self) -> Result<u64, Wrong> {
        parse_unsigned(self.bytes.trim_ascii())
    }

    fn float(&self) -> Result<Float, Wrong> {
        Float::text(self.trimmed()?)
    }

    fn decimal(&self, digits: u8, behind: u8) -> Result<i128, Wrong> {
        decimal::parse(self.trimmed()?, digits, behind)
    }

    fn text(&self) -> Result<&str, Wrong> {
        std::str::from_utf8(self.bytes).map_err(|_| Wrong::Encoding)
    }

    fn boolean(&self) -> Result<bool, Wrong> {
        match self.bytes.trim_ascii() {
            b"1" => Ok(true),
            b"0" => Ok(false),
            text if text.eq_ignore_ascii_case(b"true") => Ok(true),
            text if text.eq_ignore_ascii_case(b"false") => Ok(false),
            _ => Err(Wrong::Kind(None)),
        }
    }

    fn date(&self, format: &TimeFormat) -> Result<i32, Wrong> {
        format.date(self.trimmed()?)
    }

    fn timestamp(&self, format: &TimeFormat) -> Result<i64, Wrong> {
        format.timestamp(self.trimmed()?)
    }
}

/// An integer in digits, with or without a sign.
pub(super) fn parse_signed(text: &[u8]) -> Result<i64, Wrong> {
    match text.split_first() {
        Some((b'-', rest)) => {
            let magnitude = digits(rest)?;
            if magnitude == i64::MIN.unsigned_abs() {
                return Ok(i64::MIN);
            }
            i64::try_from(magnitude).map(|value| -value).map_err(|_| Wrong::Range)
        }
        Some((b'+', rest)) => digits(rest)?.try_into().map_err(|_| Wrong::Range),
        _ => digits(text)?.try_into().map_err(|_| Wrong::Range),
    }
}

/// An integer in digits, with or without a sign, that is not below zero.
pub(super) fn parse_unsigned(text: &[u8]) -> Result<u64, Wrong> {
    if text.first() == Some(&b'-') {
        // `-5` is a number, and `-0` is zero.
        return parse_signed(text)?.try_into().map_err(|_| Wrong::Range);
    }
    digits(text.strip_prefix(b"+").unwrap_or(text))
}

/// This many digits never overflow.
const SAFE_DIGITS: usize = 19;

fn digits(text: &[u8]) -> Result<u64, Wrong> {
    if text.is_empty() {
        return Err(Wrong::Kind(None));
    }
    let mut value: u64 = 0;
    if text.len() <= SAFE_DIGITS {
        for &byte in text {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Err(Wrong::Kind(None));
            }
            value = value * 10 + u64::from(digit);
        }
        return Ok(value);
    }
    let mut overflow = false;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Wrong::Kind(None));
        }
        match value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit))) {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    if overflow { Err(Wrong::Range) } else { Ok(value) }
}
