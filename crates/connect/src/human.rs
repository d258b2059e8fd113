//! Durations and sizes as people write them (`3s`, `500ms`, `1 MiB`), and texts as people may read them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A duration: a number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// A number of bytes: a whole number, or a number and `B`, `kB`, `MB`, `GB` (thousands), `KiB`, `MiB`, `GiB` (1024s).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanSize(pub usize);

const DURATIONS: &[(&str, f64)] =
    &[("ms", 0.001), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// A number and one of the units, as a multiple of the smallest.
fn measure(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    Some(number * factor)
}

impl HumanDuration {
    /// Reads a duration; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let seconds = measure(text, DURATIONS)?;
        Duration::try_from_secs_f64(seconds).ok().map(HumanDuration)
    }
}

impl HumanSize {
    /// Reads a size; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(bytes) = text.trim().parse::<usize>() {
            return Some(HumanSize(bytes));
        }
        let bytes = measure(text, SIZES)?;
        (bytes.is_finite() && bytes <= 2f64.powi(53)).then_some(HumanSize(bytes as usize))
    }
}

/// A text from data, a file or a name, for people to read: characters that a terminal would obey, or show out of place,
/// are written as escapes (`\u{1b}`, `\n`).
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if obeyed(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Control characters, and those that change lines or the direction of writing.
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / *size as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = HumanDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `3s`, `500ms` or `1m`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
        HumanDuration::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = HumanSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `1MiB`, `500kB` or a number of bytes")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<HumanSize, E> {
        usize::try_from(bytes)
            .map(HumanSize)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(bytes), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HumanSize, E> {
        HumanSize::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A duration: a number and `ms`, `s`, `m`, `h` or `d`, e.g. `3s`.",
            "type": "string",
            "pattern": r"^\s*[0-9.]+\s*(ms|s|m|min|h|d)\s*$"
        })
    }
}

impl JsonSchema for HumanSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A number of bytes: `1048576`, `1MiB`, `500kB`.",
            "type": ["integer", "string"],
            "pattern": r"^\s*[0-9.]+\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)?\s*$",
            "minimum": 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let parse = |text| HumanDuration::parse(text).map(|d| d.0.as_millis());
        assert_eq!(parse("3s"), Some(3000));
        assert_eq!(parse("500ms"), Some(500));
        assert_eq!(parse("1.5 m"), Some(90_000));
        assert_eq!(parse("2h"), Some(7_200_000));
        for bad in ["", "3", "s", "-1s", "3 parsecs", "1e400s", "9999999999999999999999d"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, shown) in [
            ("Zürich 東京 \\n 👩🏽‍⚕️", "Zürich 東京 \\n 👩🏽‍⚕️"),
            ("\u{1b}[31mred\u{1b}]0;title\u{7}", "\\u{1b}[31mred\\u{1b}]0;title\\u{7}"),
            ("a\nb\tc\r\u{7f}\u{9b}31m", "a\\nb\\tc\\r\\u{7f}\\u{9b}31m"),
            ("ab\u{202e}cd\u{2028}", "ab\\u{202e}cd\\u{2028}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn sizes() {
        let parse = |text| HumanSize::parse(text).map(|s| s.0);
        assert_eq!(parse("1MiB"), Some(1 << 20));
        assert_eq!(parse("64 MB"), Some(64_000_000));
        assert_eq!(parse("17"), Some(17));
        for bad in ["", "1 mb", "-1", "x", "99999999999999999999GiB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(serde_json::from_str::<HumanSize>("5").unwrap(), HumanSize(5));
        assert_eq!([17, 1536, 3 << 30].map(|size| HumanSize(size).to_string()), ["17 B", "1.5 KiB", "3.0 GiB"]);
        let error = serde_json::from_str::<HumanDuration>("3").unwrap_err().to_string();
        assert!(error.contains("expected a duration such as `3s`"), "{error}");
    }
}
