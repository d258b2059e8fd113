//! A value of a JSON object on its way into a column.

use std::borrow::Cow;

use super::cell::{Cell, Float};
use super::column::Column;
use super::decimal;
use super::field::{parse_signed, parse_unsigned};
use super::time::{TimeFormat, days};
use super::wrong::Wrong;

/// One member's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Slot<'de> {
    Absent,
    Null,
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// A number as it is written.
    Digits(&'de str),
    Bool(bool),
    /// A time in microseconds since 1970.
    Micros(i64),
    Text(Cow<'de, str>),
    Object,
    Array,
    /// An object or an array as it is written.
    Nested(&'de str),
}

impl<'de> Slot<'de> {
    /// A value as it is written in a text that was parsed before.
    pub(super) fn written(text: &'de str) -> Result<Slot<'de>, Wrong> {
        Ok(match text.as_bytes().first() {
            None | Some(b'n') => Slot::Null,
            Some(b't') => Slot::Bool(true),
            Some(b'f') => Slot::Bool(false),
            Some(b'{' | b'[') => Slot::Nested(text),
            Some(b'"') if text.contains('\\') => {
                let half = |_| Wrong::Kind(Some("a text with half of a surrogate pair"));
                Slot::Text(Cow::Owned(serde_json::from_str(text).map_err(half)?))
            }
            Some(b'"') => {
                let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                Slot::Text(Cow::Borrowed(inner.unwrap_or_default()))
            }
            Some(_) => Slot::Digits(text),
        })
    }
}

impl Slot<'_> {
    /// Whether what is written says more than the parser: of a number that may be a whole one, but is too large for it,
    /// and of nested values.
    pub(super) fn lacks_text(&self) -> bool {
        match self {
            Slot::Float(number) => number.abs() >= u64::MAX as f64,
            Slot::Object | Slot::Array => true,
            _ => false,
        }
    }

    /// A text that is one in JSON, too.
    fn string(&self) -> Result<&str, Wrong> {
        match self {
            Slot::Text(text) => Ok(text),
            other => Err(other.instead()),
        }
    }

    /// A number that is not a whole one is a float here.
    fn unless_range(&self, wrong: Wrong) -> Wrong {
        if wrong == Wrong::Range { wrong } else { self.instead() }
    }

    fn instead(&self) -> Wrong {
        Wrong::Kind(Some(match self {
            Slot::Absent | Slot::Null => "nothing",
            Slot::Signed(_) | Slot::Unsigned(_) => "an integer",
            Slot::Digits(text) if !text.contains(['.', 'e', 'E']) => "an integer",
            Slot::Float(_) | Slot::Digits(_) => "a float",
            Slot::Bool(_) => "a bool",
            Slot::Micros(_) => "a time",
            Slot::Text(_) => "a text",
            Slot::Nested(text) if text.starts_with('{') => "an object",
            Slot::Nested(_) => "an array",
            Slot::Object => "an object",
            Slot::Array => "an array",
        }))
    }
}

impl Cell for &Slot<'_> {
    fn missing(&self, _: &Column) -> bool {
        matches!(self, Slot::Absent | Slot::Null)
    }

    fn signed(&self) -> Result<i64, Wrong> {
        match self {
            Slot::Signed(value) => Ok(*value),
            Slot::Unsigned(value) => (*value).try_into().map_err(|_| Wrong::Range),
            Slot::Digits(text) => parse_signed(text.as_bytes()).map_err(|wrong| self.unless_range(wrong)),
            other => Err(other.instead()),
        }
    }

    fn unsigned(&self) -> Result<u64, Wrong> {
        match self {
            Slot::Signed(value) => (*value).try_into().map_err(|_| Wrong::Range),
            Slot::Unsigned(value) => Ok(*value),
            Slot::Digits(text) => parse_unsigned(text.as_bytes()).map_err(|wrong| self.unless_range(wrong)),
            other => Err(other.instead()),
        }
    }

    fn float(&self) -> Result<Float, Wrong> {
        match self {
            Slot::Signed(value) => Float::whole((*value).into()),
            Slot::Unsigned(value) => Float::whole((*value).into()),
            Slot::Float(value) => Ok(Float::fraction(*value)),
            Slot::Digits(text) => Float::text(text),
            other => Err(other.instead()),
        }
    }

    fn decimal(&self, digits: u8, behind: u8) -> Result<i128, Wrong> {
        match self {
            Slot::Digits(text) => decimal::parse(text, digits, behind),
            Slot::Text(text) => decimal::parse(text.trim(), digits, behind),
            other => Err(other.instead()),
        }
    }

    fn text(&self) -> Result<&str, Wrong> {
        match self {
            Slot::Nested(text) => Ok(text),
            other => other.string(),
        }
    }

    fn boolean(&self) -> Result<bool, Wrong> {
        match self {
            Slot::Bool(value) => Ok(*value),
            other => Err(other.instead()),
        }
    }

    fn date(&self, format: &TimeFormat) -> Result<i32, Wrong> {
        match self {
            Slot::Signed(_) | Slot::Unsigned(_) | Slot::Digits(_) if format.is_iso() => days(self.signed()?),
            _ => format.date(self.string()?.trim()),
        }
    }

    fn timestamp(&self, format: &TimeFormat) -> Result<i64, Wrong> {
        match self {
            Slot::Micros(micros) => Ok(*micros),
            Slot::Digits(text) if format.is_epoch() => format.timestamp(text),
            Slot::Signed(_) | Slot::Unsigned(_) | Slot::Digits(_) => format.epoch(self.signed()?),
            _ => format.timestamp(self.string()?.trim()),
        }
    }

    fn json(&self) -> Result<&str, Wrong> {
        match self {
            Slot::Nested(text) => Ok(text),
            other => Err(other.instead()),
        }
    }
}
