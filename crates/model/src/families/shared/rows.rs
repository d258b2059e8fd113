//! Steps that answer row by row, each from the numbers of its row alone.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "rows and columns of a table that is there"
)]

use std::fmt::Debug;

use arrow_schema::DataType;

use crate::finite::Finite;
use crate::loaded::{Source, Targets};
use crate::matrix::{Dense, Matrix, round};
use crate::step::{Answer, Predict, Run, Transform};
use crate::{Method, Output};

/// What is computed of one row.
pub(in crate::families) trait OfRow: Send + Sync + Debug {
    /// Adds the numbers that are wanted, or the place of a class; or says why the row is refused. `narrow` tells that the
    /// row came as float32.
    fn of_row(&self, row: &[f64], want: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str>;

    /// How many numbers it adds.
    fn width(&self, want: Method) -> usize;

    /// Whether what is wanted is a class.
    fn is_class(&self, _want: Method) -> bool {
        false
    }

    /// Whether its table is float32, of rows that are or are not.
    fn makes_narrow(&self, _rows: bool) -> bool {
        false
    }
}

/// A table row by row: of a sparse one no more than a row is unfolded at once.
#[derive(Debug)]
pub(in crate::families) struct Points {
    table: Matrix,
    row: Vec<f64>,
}

impl Points {
    pub(in crate::families) fn new(x: Matrix, features: usize) -> Self {
        let (rows, row) = (x.rows(), vec![0.0; features]);
        let table = match x {
            Matrix::Csr(_) => x,
            other => Matrix::Dense(other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, features))),
        };
        Points { table, row }
    }

    /// The numbers of one row.
    pub(in crate::families) fn at(&mut self, at: usize) -> &[f64] {
        match &self.table {
            Matrix::Dense(dense) => {
                self.row.iter_mut().enumerate().for_each(|(col, value)| *value = dense.data[col * dense.rows + at]);
            }
            Matrix::Csr(csr) => {
                self.row.fill(0.0);
                csr.row(at).for_each(|(col, value)| self.row[col as usize] += value);
            }
            Matrix::Frame(_) => {}
        }
        &self.row
    }
}

/// A step of such rows.
#[derive(Debug)]
pub(in crate::families) struct Rows<T> {
    pub(in crate::families) inner: T,
    pub(in crate::families) finite: Finite,
    pub(in crate::families) takes_sparse: bool,
}

impl<T: OfRow> Rows<T> {
    /// The columns of what is wanted, and whether the rows were float32.
    fn columns(&self, x: Matrix, want: Method, run: &mut Run) -> (Vec<Vec<f64>>, bool) {
        self.finite.check(&x, run);
        let (rows, cols) = (x.rows(), x.cols());
        if matches!(x, Matrix::Csr(_)) && !self.takes_sparse {
            run.refuse_all(rows, &self.finite.step, None, "a sparse table");
        }
        let narrow = x.is_narrow();
        let mut points = Points::new(x, cols);
        let width = self.inner.width(want);
        let mut columns = vec![Vec::with_capacity(rows); width];
        let mut out = Vec::with_capacity(width);
        for at in 0..rows {
            out.clear();
            if let Err(reason) = self.inner.of_row(points.at(at), want, narrow, &mut out) {
                run.refuse(at, &self.finite.step, None, reason);
            }
            out.resize(width, 0.0);
            columns.iter_mut().zip(&out).for_each(|(column, value)| column.push(*value));
        }
        (columns, narrow)
    }
}

impl<T: OfRow> Predict for Rows<T> {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let (columns, _) = self.columns(x, want, run);
        if !self.inner.is_class(want) {
            return Answer::F64(columns);
        }
        let codes = |column: Vec<f64>| column.into_iter().map(|code| code as u32).collect();
        Answer::Class(columns.into_iter().map(codes).collect())
    }

    fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.transform(x, run)
    }
}

impl<T: OfRow> Transform for Rows<T> {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        let rows = x.rows();
        let (columns, narrow) = self.columns(x, Method::Transform, run);
        let (cols, narrow) = (columns.len(), self.inner.makes_narrow(narrow));
        let data = columns.concat().into_iter().map(|value| round(value, narrow)).collect();
        Matrix::Dense(Dense { data, rows, cols, narrow })
    }
}

/// The columns of a table, numbered behind a word.
pub(in crate::families) fn numbered(prefix: &str, count: usize, sources: &[Source]) -> Vec<Source> {
    (0..count).map(|index| Source::made_of(format!("{prefix}{index}"), sources)).collect()
}

/// A single column of numbers.
pub(in crate::families) fn number(name: &str) -> Vec<Output> {
    vec![Output { name: name.to_string(), data_type: DataType::Float64, class: None }]
}

/// What detectors of outliers tell: 1, of outliers -1; a decision; a score.
pub(in crate::families) fn outliers() -> Targets {
    let labels = crate::labels::Labels::Int(vec![-1, 1]);
    let mut targets = Targets::classes(vec![labels], DataType::Float64);
    targets.proba.clear();
    Targets { decision: number("decision"), samples: number("score"), ..targets }
}

/// The place of the first of the largest numbers, before which NaN counts, as numpy has it.
pub(in crate::families) fn largest(all: &[f64]) -> f64 {
    let beats = |value: f64, best: f64| value > best || (value.is_nan() && !best.is_nan());
    let best = all.iter().enumerate().fold(0, |best, (at, value)| if beats(*value, all[best]) { at } else { best });
    best as f64
}
