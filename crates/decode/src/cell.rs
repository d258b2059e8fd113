//! One value of a record, whatever the format, and what it is as each type.

use super::column::Column;
use super::decimal;
use super::time::TimeFormat;
use super::wrong::Wrong;

/// A number as a float. A whole number must be held exactly; a fraction becomes the nearest float, as fractions always
/// do.
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
    /// An object or an array as the text that is JSON.
    fn json(&self) -> Result<&str, Wrong>;
}

/// A text that holds JSON.
pub(super) fn json_text(text: &str) -> Result<&str, Wrong> {
    let text = text.trim_ascii();
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(_) => Err(Wrong::Kind(Some("a text that is not JSON"))),
    }
}
