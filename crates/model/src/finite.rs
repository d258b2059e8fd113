//! scikit-learn's check of its input: no infinity, and no NaN where it is not allowed.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "rows and columns of a table that is there"
)]

use crate::loaded::Source;
use crate::matrix::{Matrix, read};
use crate::step::{Run, Transform};

/// Steps that compute in float16 where they are given it; here they refuse it.
const OF_HALVES: &[&str] = &[
    "IterativeImputer",
    "KNNImputer",
    "Normalizer",
    "PolynomialFeatures",
    "PowerTransformer",
    "QuantileTransformer",
    "SimpleImputer",
];
const HALF: &str = "float16, which a function made of bools or whole numbers of 8 bits: cast the columns to INT";

/// What a step demands of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finite {
    /// The step's class, for refusals.
    pub(crate) step: String,
    pub(crate) labels: Vec<String>,
    pub(crate) allows_nan: bool,
    /// Whether numbers become float32 first, so that a large one becomes infinite.
    pub(crate) narrows: bool,
    /// Whether the numbers of a sparse table are looked at.
    pub(crate) sparse: bool,
}

impl Transform for Finite {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.check(&x, run);
        x
    }
}

impl Finite {
    pub(crate) fn new(step: &str, sources: &[Source], allows_nan: bool, narrows: bool) -> Self {
        let labels = sources.iter().map(|source| source.label.clone()).collect();
        Finite { step: step.to_string(), labels, allows_nan, narrows, sparse: true }
    }

    fn verdict(&self, value: f64) -> Option<&'static str> {
        if value.is_nan() {
            (!self.allows_nan).then_some("missing value")
        } else if value.is_infinite() {
            Some("infinity")
        } else if self.narrows && (value as f32).is_infinite() {
            Some("too large for float32")
        } else {
            None
        }
    }

    /// Refuses the rows that the library would raise on.
    pub(crate) fn check(&self, x: &Matrix, run: &mut Run) {
        if x.is_half() && OF_HALVES.contains(&self.step.as_str()) {
            run.refuse_all(x.rows(), &self.step, None, HALF);
        }
        match x {
            Matrix::Frame(frame) => {
                let mut values = vec![0.0; frame.rows];
                for (column, label) in frame.columns.iter().zip(&self.labels) {
                    let harmless = column.data_type().is_integer() && column.null_count() == 0;
                    if harmless {
                        continue;
                    }
                    if !read(column, 0..frame.rows, &mut values) {
                        run.refuse_all(frame.rows, &self.step, Some(label), "not a number");
                        continue;
                    }
                    self.column(&values, label, run);
                }
            }
            Matrix::Dense(dense) => {
                for (col, label) in self.labels.iter().enumerate().take(dense.cols) {
                    self.column(dense.column(col), label, run);
                }
            }
            Matrix::Csr(_) if !self.sparse => {}
            Matrix::Csr(csr) => {
                for row in 0..csr.rows() {
                    for (col, value) in csr.row(row) {
                        // A sparse table may hold no NaN where trees are asked; other steps say so themselves.
                        if let Some(reason) = self.verdict(value) {
                            run.refuse(row, &self.step, self.labels.get(col as usize).map(String::as_str), reason);
                        }
                    }
                }
            }
        }
    }

    fn column(&self, values: &[f64], label: &str, run: &mut Run) {
        // Most columns are clean: one pass without branches finds that out.
        let limit = if self.narrows { f64::from(f32::MAX) } else { f64::MAX };
        if values.iter().fold(true, |clean, value| clean & (value.abs() <= limit)) {
            return;
        }
        for (row, value) in values.iter().enumerate() {
            if let Some(reason) = self.verdict(*value) {
                run.refuse(row, &self.step, Some(label), reason);
            }
        }
    }
}
