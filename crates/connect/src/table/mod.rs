//! Reference tables as they were read: the rows of a file or of a database's table, whole, to be joined to records.

mod key;

use arrow::array::RecordBatch;

pub use key::check_key;

/// A table as it was read.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Its rows.
    pub batch: RecordBatch,
    /// Where each row is, for texts: `depts.csv:7`, `row 7`.
    pub places: Places,
}

/// Where the rows of a table are.
#[derive(Debug, Clone)]
pub enum Places {
    /// The file's name and the line of each row.
    Lines(String, Vec<usize>),
    /// A name; rows count from 1.
    Rows(String),
}

impl Rows {
    /// Where a row is.
    pub fn place(&self, row: usize) -> String {
        match &self.places {
            Places::Lines(name, lines) => format!("{name}:{}", lines.get(row).copied().unwrap_or_default()),
            Places::Rows(name) => format!("{name}: row {}", row + 1),
        }
    }
}
