//! One field of a CSV record as a value.

use super::cell::{Cell, Float, json_text};
use super::column::Column;
use super::decimal;
use super::missing::Missing;
use super::time::TimeFormat;
use super::wrong::Wrong;

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

    fn json(&self) -> Result<&str, Wrong> {
        json_text(self.trimmed()?)
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
            i64::try_from(magnitude).map(i64::wrapping_neg).map_err(|_| Wrong::Range)
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
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
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
