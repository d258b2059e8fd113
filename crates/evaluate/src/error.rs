//! What keeps an evaluation from being made.

use arrow::error::ArrowError;

/// Why there are no findings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A weight is negative or infinite; `row` counts from 0 within its chunk.
    #[error("row {row}: a weight is a number from 0 on")]
    Weight {
        /// The row within its chunk.
        row: usize,
    },
    /// A column is longer or shorter than the column of outcomes.
    #[error("{what}: {rows} rows, and {expected} are expected")]
    Length {
        /// Which column.
        what: &'static str,
        /// How many rows it has.
        rows: usize,
        /// How many rows the outcomes have.
        expected: usize,
    },
    /// The scores do not fit the task.
    #[error("{columns} columns of scores, and {expected} are expected")]
    ScoreColumns {
        /// How many there are.
        columns: usize,
        /// One a class, or one decision.
        expected: usize,
    },
    /// No confusion matrix fits.
    #[error("the model knows {classes} classes; at most {most} can be evaluated")]
    TooManyClasses {
        /// How many the model knows.
        classes: usize,
        /// The limit.
        most: usize,
    },
    /// There was no row at all.
    #[error("there is no row")]
    NoRows,
    /// Every row was left out.
    #[error("no row can be compared ({why})")]
    NothingToCompare {
        /// How many rows were left out, by reason.
        why: String,
    },
    /// All rows together count nothing.
    #[error("every row has the weight 0")]
    NoWeight,
    /// The caller's predictions for shuffled features failed.
    #[error(transparent)]
    Predict(Box<dyn std::error::Error + Send + Sync>),
    /// A column has a type that cannot be read as what it is needed for.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
