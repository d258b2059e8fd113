//! One CSV record into its fields, without copying what need not be copied.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use std::fmt;

/// What separates and quotes fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that hold delimiters, line ends or quotes (doubled); `None` where quotes mean nothing.
    pub quote: Option<u8>,
}

/// Where a field's bytes are.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    start: usize,
    len: u32,
    unescaped: bool,
}

impl Span {
    /// The field's bytes: in the data that was split, or among the unescaped ones.
    pub fn bytes<'a>(&self, data: &'a [u8], unescaped: &'a [u8]) -> &'a [u8] {
        let from = if self.unescaped { unescaped } else { data };
        from.get(self.start..self.start + self.len as usize).unwrap_or_default()
    }
}

/// What is wrong with a record as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A quoted field has no end. Counted from 1.
    OpenQuote(usize),
    /// Something stands between a closing quote and the next delimiter. Counted from 1.
    AfterQuote(usize),
    /// A line ends within the record, outside of quotes.
    Lines,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::OpenQuote(field) => write!(f, "field {field}: the quote is not closed"),
            Malformed::AfterQuote(field) => write!(f, "field {field}: text after the closing quote"),
            Malformed::Lines => f.write_str("more than one line in one record"),
        }
    }
}

impl Dialect {
    /// Splits the record at `data[start..end]` (without its line end), adding at most `limit` fields to `spans`, and
    /// returns how many there are. Fields with doubled quotes are copied to `unescaped`.
    ///
    /// # Errors
    /// The record's shape is wrong; what was added to `spans` then means nothing.
    pub fn split(
        &self,
        data: &[u8],
        start: usize,
        end: usize,
        limit: usize,
        spans: &mut Vec<Span>,
        unescaped: &mut Vec<u8>,
    ) -> Result<usize, Malformed> {
        let record = data.get(start..end).unwrap_or_default();
        let mut count = 0;
        let mut at = 0;
        loop {
            count += 1;
            let (span, next) = self.field(record, at, start, count, unescaped)?;
            if count <= limit {
                spans.push(span);
            }
            match next {
                Some(next) => at = next,
                None => return Ok(count),
            }
        }
    }

    /// The field at `at` of a record that begins at `base` in the data, and where in the record the next one begins.
    /// `field` counts it, from 1.
    pub(super) fn field(
        &self,
        record: &[u8],
        at: usize,
        base: usize,
        field: usize,
        unescaped: &mut Vec<u8>,
    ) -> Result<(Span, Option<usize>), Malformed> {
        match record.get(at) {
            Some(&byte) if Some(byte) == self.quote => self.quoted(record, at, base, field, unescaped),
            _ => self.plain(record, at, base),
        }
    }

    /// The unquoted field at `at`, and where the next begins.
    fn plain(&self, record: &[u8], at: usize, base: usize) -> Result<(Span, Option<usize>), Malformed> {
        let rest = record.get(at..).unwrap_or_default();
        for (index, &byte) in rest.iter().enumerate() {
            if byte == self.delimiter {
                return Ok((span(base + at, index), Some(at + index + 1)));
            }
            if byte == b'\n' || byte == b'\r' {
                return Err(Malformed::Lines);
            }
        }
        Ok((span(base + at, rest.len()), None))
    }

    /// The quoted field whose opening quote is at `at`, and where the next begins.
    fn quoted(
        &self,
        record: &[u8],
        at: usize,
        base: usize,
        field: usize,
        unescaped: &mut Vec<u8>,
    ) -> Result<(Span, Option<usize>), Malformed> {
        let quote = self.quote;
        let rest = record.get(at + 1..).unwrap_or_default();
        let copy = unescaped.len();
        let mut copied = 0;
        let mut from = 0;
        loop {
            let rest_from = rest.get(from..).unwrap_or_default();
            let Some(close) = rest_from.iter().position(|byte| Some(*byte) == quote).map(|index| from + index) else {
                return Err(Malformed::OpenQuote(field));
            };
            match rest.get(close + 1) {
                Some(byte) if Some(*byte) == quote => {
                    // A doubled quote: everything up to the first of the two belongs to the field.
                    unescaped.extend_from_slice(rest.get(copied..=close).unwrap_or_default());
                    copied = close + 2;
                    from = close + 2;
                }
                Some(byte) if *byte != self.delimiter => return Err(Malformed::AfterQuote(field)),
                after => {
                    let next = after.map(|_| at + close + 3);
                    if copied == 0 {
                        return Ok((span(base + at + 1, close), next));
                    }
                    unescaped.extend_from_slice(rest.get(copied..close).unwrap_or_default());
                    let len = unescaped.len() - copy;
                    return Ok((Span { unescaped: true, ..span(copy, len) }, next));
                }
            }
        }
    }

    /// Where the record that begins at `start` ends: the index behind its line end, or `None` where more data is
    /// needed. Line ends within quotes belong to the record.
    pub fn record_end(&self, data: &[u8], start: usize) -> Option<usize> {
        let rest = data.get(start..)?;
        let mut quoted = false;
        let mut field_start = true;
        for (index, &byte) in rest.iter().enumerate() {
            if quoted {
                // A doubled quote closes and opens again: the state behind it is the same.
                quoted = Some(byte) != self.quote;
            } else if byte == b'\n' {
                return Some(start + index + 1);
            } else {
                let reopens = index > 0 && rest.get(index - 1).is_some_and(|last| Some(*last) == self.quote);
                quoted = Some(byte) == self.quote && (field_start || reopens);
                field_start = byte == self.delimiter;
            }
        }
        None
    }
}

fn span(start: usize, len: usize) -> Span {
    Span { start, len: u32::try_from(len).unwrap_or(u32::MAX), unescaped: false }
}

/// A record without its line end.
pub fn trim_line_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAS: Dialect = Dialect { delimiter: b',', quote: Some(b'"') };

    fn split(record: &str) -> Result<Vec<String>, Malformed> {
        let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
        let data = format!("before{record}");
        let count = COMMAS.split(data.as_bytes(), 6, data.len(), usize::MAX, &mut spans, &mut unescaped)?;
        assert_eq!(count, spans.len());
        let text = |span: &Span| String::from_utf8(span.bytes(data.as_bytes(), &unescaped).to_vec()).unwrap();
        Ok(spans.iter().map(text).collect())
    }

    #[test]
    fn fields() {
        let cases: &[(&str, &[&str])] = &[
            ("1,2", &["1", "2"]),
            ("", &[""]),
            (",", &["", ""]),
            ("a,,b,", &["a", "", "b", ""]),
            (r#""a,b",c"#, &["a,b", "c"]),
            (r#"x,"say ""hi"" now","""","#, &["x", r#"say "hi" now"#, "\"", ""]),
            ("\"two\nlines\",2", &["two\nlines", "2"]),
            (r#"5" disk,"""#, &["5\" disk", ""]),
        ];
        for (record, expected) in cases {
            assert_eq!(split(record).unwrap(), *expected, "{record}");
        }
    }

    #[test]
    fn broken_records() {
        assert_eq!(split(r#"a,"b"#), Err(Malformed::OpenQuote(2)));
        assert_eq!(split(r#""a"b,c"#), Err(Malformed::AfterQuote(1)));
        assert_eq!(split("a\nb"), Err(Malformed::Lines));
        assert_eq!(split(r#""""#), Ok(vec![String::new()]));
    }

    #[test]
    fn records_end_at_line_ends_outside_of_quotes() {
        let ends = |data: &str| COMMAS.record_end(data.as_bytes(), 0);
        assert_eq!(ends("a,b\nc"), Some(4));
        assert_eq!(ends("a,\"b\n\"\nc"), Some(7));
        assert_eq!(ends("\"a\"\"\n\"\nc"), Some(7));
        assert_eq!(ends("5\" disk\nc"), Some(8));
        assert_eq!(ends("\"a\n"), None);
        assert_eq!(ends("a"), None);
    }
}
