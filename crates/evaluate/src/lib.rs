//! Is a model any good on what really happened? Predictions and outcomes in, figures and one HTML page out.
//!
//! A [`Comparer`] compares a chunk of rows, on any thread; an [`Evaluation`] adds the chunks up in their order and
//! finishes as [`Findings`]: the figures with what they mean, JSON, and a page with plots. The [`metrics`] equal
//! scikit-learn's. Some rows are kept with their features, to see where a model is wrong and what it looks at
//! ([`Importance`]).
//!
//! The crate knows no files, no model formats and no command line: answers and outcomes come as Arrow columns.
//!
//! ```
//! use std::sync::Arc;
//! use arrow::array::{ArrayRef, Float64Array};
//! use foretell_evaluate::{Evaluation, Predictions, Rows, Subject, Task};
//!
//! let column = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
//! let (kilometres, minutes) = (column(&[1.0, 2.0, 4.0]), column(&[3.0, 5.0, 9.0]));
//! let predictions = Predictions { predicted: column(&[3.0, 6.0, 8.0]), scores: vec![] };
//!
//! let mut evaluation = Evaluation::new(Task::Regression, 1);
//! evaluation.add(evaluation.comparer().compare(&Rows::new(0, &[kilometres], &minutes, &predictions))?)?;
//! let findings = evaluation.finish(Subject { target: "minutes".into(), ..Subject::default() })?;
//! assert_eq!(findings.json()["figures"]["mae"], 2.0 / 3.0);
//! # Ok::<(), foretell_evaluate::Error>(())
//! ```

mod answers;
mod compare;
pub mod drift;
mod error;
mod evaluation;
mod findings;
mod format;
mod groups;
mod importance;
mod left_out;
pub mod metrics;
mod plots;
mod report;
mod sample;
mod task;

pub use compare::{Compared, Comparer, Predictions, Refused, Rows};
pub use error::Error;
pub use evaluation::Evaluation;
pub use findings::{Figure, Findings, Outcome, Subject};
pub use format::count;
pub use groups::{Feature, Group};
pub use importance::{Importance, Measure};
pub use left_out::LeftOut;
pub use sample::SampleRows;
pub use task::{Classes, Scores, Task};
