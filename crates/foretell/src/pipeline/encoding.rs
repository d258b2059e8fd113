//! How an encoding is read: from pairs in the pipeline file, a file of pairs, or a fitted encoder.

use anyhow::{Context, Result, anyhow, bail};
use foretell_decode::fields::{Dialect, trim_line_end};
use foretell_model::{Encoding, Limits, LoadOptions, Unknown};
use serde::{Deserialize, Serialize};

use crate::pipeline_file::{EncodingEntry, Labels};

/// How an encoding is read, as far as it decides what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EncodingSpec {
    source: Source,
    unknown: Option<UnknownSpec>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Source {
    /// Pairs that stand in the pipeline file.
    Here(Vec<(String, f64)>),
    /// A file of label and code.
    Csv,
    /// A fitted encoder.
    Encoder { column: Option<String>, at: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum UnknownSpec {
    Null,
    Code(f64),
}

impl EncodingSpec {
    /// What the pipeline file says.
    pub(crate) fn of(entry: &EncodingEntry) -> EncodingSpec {
        let source = match &entry.labels {
            Labels::Here(pairs) => Source::Here(pairs.clone()),
            Labels::File(path) if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) => Source::Csv,
            Labels::File(_) => Source::Encoder { column: entry.settings.column.clone(), at: entry.settings.at.clone() },
        };
        let unknown = entry.settings.unknown.0.and_then(|unknown| match unknown {
            Unknown::Null => Some(UnknownSpec::Null),
            Unknown::Code(code) => Some(UnknownSpec::Code(code)),
            Unknown::Refuse => None,
        });
        EncodingSpec { source, unknown }
    }

    /// Whether its labels are in a file.
    pub(crate) fn has_file(&self) -> bool {
        !matches!(self.source, Source::Here(_))
    }

    /// The encoding; `bytes` are its file's.
    pub(crate) fn load(&self, bytes: &[u8], limits: Limits) -> Result<Encoding> {
        let unknown = self.unknown.map(|unknown| match unknown {
            UnknownSpec::Null => Unknown::Null,
            UnknownSpec::Code(code) => Unknown::Code(code),
        });
        let pairs = match &self.source {
            Source::Here(pairs) => pairs.clone(),
            Source::Csv => pairs(bytes)?,
            Source::Encoder { column, at } => {
                let options = LoadOptions { at: at.iter().cloned().collect(), limits, ..LoadOptions::default() };
                return Ok(Encoding::load(bytes, &options, column.as_deref(), unknown)?);
            }
        };
        Ok(Encoding::lookup(&pairs, unknown.unwrap_or(Unknown::Refuse))?)
    }
}

/// A CSV file of two columns, after its header.
fn pairs(bytes: &[u8]) -> Result<Vec<(String, f64)>> {
    let dialect = Dialect { delimiter: b',', quote: Some(b'"') };
    let (mut pairs, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let end = dialect.record_end(bytes, at).unwrap_or(bytes.len());
        let record = trim_line_end(bytes.get(at..end).unwrap_or_default());
        if !record.is_empty() {
            let pair = pair(&dialect, record).with_context(|| format!("line {line}"));
            if line > 1 {
                pairs.push(pair?);
            }
        }
        line += bytes.get(at..end).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        at = end;
    }
    Ok(pairs)
}

fn pair(dialect: &Dialect, record: &[u8]) -> Result<(String, f64)> {
    let (mut spans, mut unescaped) = (Vec::new(), Vec::new());
    let found = dialect.split(record, 0, record.len(), 2, &mut spans, &mut unescaped).map_err(|e| anyhow!("{e}"))?;
    let [label, code] = spans.as_slice() else { bail!("two fields are needed, label and code; {found} found") };
    if found != 2 {
        bail!("two fields are needed, label and code; {found} found");
    }
    let text = |span: &foretell_decode::fields::Span| {
        std::str::from_utf8(span.bytes(record, &unescaped)).map(str::to_string).context("not UTF-8")
    };
    let code = text(code)?;
    let code = code.trim().parse().map_err(|_| anyhow!("field 2: the code is not a number"))?;
    Ok((text(label)?, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_errors_name_the_line() {
        let text = "label,code\n\"Head, neck\",3\r\n\nMRI, 1 \n\"a\n\"\"b\"\"\",-2.5";
        let expected = [("Head, neck", 3.0), ("MRI", 1.0), ("a\n\"b\"", -2.5)];
        assert_eq!(pairs(text.as_bytes()).unwrap(), expected.map(|(label, code)| (label.to_string(), code)));
        let error = |text: &str| format!("{:#}", pairs(text.as_bytes()).unwrap_err());
        assert_eq!(error("l,c\na,1\nb,x\n"), "line 3: field 2: the code is not a number");
        assert_eq!(error("l,c\n\"a\nb\",1\nb\n"), "line 4: two fields are needed, label and code; 1 found");
        assert_eq!(error("l,c\na,1,2\n"), "line 2: two fields are needed, label and code; 3 found");
    }
}
