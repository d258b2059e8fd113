//! A baseline: how the values of each column were distributed, as a file keeps it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::bins::{Bins, Counts};

/// More columns and more bins than any baseline has.
const MOST: usize = 1_000_000;

/// How values were distributed.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// Of how many rows.
    pub rows: u64,
    /// The columns, each under a name of its own.
    pub columns: Vec<Column>,
}

/// One column of a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How its values are cut.
    pub bins: Bins,
    /// How many fell into each bin.
    pub counts: Counts,
}

/// What is wrong with a baseline's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// It is JSON of another kind, or none.
    #[error("it is not a baseline as `foretell baseline` writes it")]
    NotOne,
    /// A column of it is not whole.
    #[error("column `{0}` of the baseline: {1}")]
    Column(String, &'static str),
}

impl Baseline {
    /// As JSON.
    pub fn json(&self) -> Value {
        let column = |column: &Column| {
            let (key, bins) = match &column.bins {
                Bins::Numbers(edges) => ("edges", json!(edges)),
                Bins::Levels(levels) => ("levels", json!(levels)),
            };
            json!({ "name": column.name, key: bins, "counts": column.counts.bins, "missing": column.counts.missing })
        };
        let columns: Vec<Value> = self.columns.iter().map(column).collect();
        json!({ "baseline": 1, "rows": self.rows, "columns": columns })
    }

    /// From JSON.
    ///
    /// # Errors
    /// It is not a baseline.
    pub fn read(text: &[u8]) -> Result<Baseline, BaselineError> {
        let value: Value = serde_json::from_slice(text).map_err(|_| BaselineError::NotOne)?;
        let columns = value.get("columns").and_then(Value::as_array);
        let (Some(1), Some(rows), Some(columns)) =
            (value.get("baseline").and_then(Value::as_u64), value.get("rows").and_then(Value::as_u64), columns)
        else {
            return Err(BaselineError::NotOne);
        };
        let columns: Vec<Column> = columns.iter().map(column).collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !names.insert(column.name.as_str())) {
            return Err(BaselineError::Column(twice.name.clone(), "it is there twice"));
        }
        Ok(Baseline { rows, columns })
    }
}

fn column(value: &Value) -> Result<Column, BaselineError> {
    let entries: &Map<String, Value> = value.as_object().ok_or(BaselineError::NotOne)?;
    let name = entries.get("name").and_then(Value::as_str).ok_or(BaselineError::NotOne)?.to_string();
    let wrong = |what: &'static str| BaselineError::Column(name.clone(), what);
    let list = |key: &str| entries.get(key).and_then(Value::as_array);
    let bins = match (list("edges"), list("levels")) {
        (Some(edges), None) => {
            let edges: Option<Vec<f64>> = edges.iter().map(Value::as_f64).collect();
            let edges = edges.filter(|edges| edges.is_sorted_by(|a, b| a < b));
            Bins::Numbers(edges.ok_or_else(|| wrong("its edges do not ascend"))?)
        }
        (None, Some(levels)) => {
            let levels: Option<Vec<String>> = levels.iter().map(|level| Some(level.as_str()?.to_string())).collect();
            Bins::Levels(levels.ok_or_else(|| wrong("a level is not a text"))?)
        }
        _ => return Err(wrong("either `edges` or `levels` is needed")),
    };
    let counts: Option<Vec<u64>> = list("counts").and_then(|counts| counts.iter().map(Value::as_u64).collect());
    let counts = counts.filter(|counts| counts.len() == bins.len() && counts.len() < MOST);
    let counts = Counts {
        bins: counts.ok_or_else(|| wrong("its counts are not one for each bin"))?,
        missing: entries.get("missing").and_then(Value::as_u64).ok_or_else(|| wrong("`missing` is missing"))?,
    };
    let sum = counts.bins.iter().try_fold(counts.missing, |sum, count| sum.checked_add(*count));
    match sum {
        Some(1..) => Ok(Column { name, bins, counts }),
        _ => Err(wrong("it has no rows")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_anything_else_is_refused() {
        let baseline = Baseline {
            rows: 7,
            columns: vec![
                Column {
                    name: "x".into(),
                    bins: Bins::Numbers(vec![0.1, 2.5]),
                    counts: Counts { bins: vec![1, 2, 3], missing: 1 },
                },
                Column {
                    name: "t".into(),
                    bins: Bins::Levels(vec!["a".into()]),
                    counts: Counts { bins: vec![4, 3], missing: 0 },
                },
            ],
        };
        let text = baseline.json().to_string();
        assert_eq!(Baseline::read(text.as_bytes()).unwrap(), baseline);
        assert_eq!(Baseline::read(b"x,y\n1,2\n").unwrap_err(), BaselineError::NotOne);
        for (from, to, told) in [
            ("[0.1,2.5]", "[2.5,0.1]", "its edges do not ascend"),
            ("[1,2,3]", "[1,2]", "its counts are not one for each bin"),
            ("\"name\":\"t\"", "\"name\":\"x\"", "it is there twice"),
            ("[4,3]", "[0,0]", "it has no rows"),
        ] {
            assert!(text.contains(from), "{text}");
            let error = Baseline::read(text.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
