//! Tables side by side, as unions of transformers give them, and multiplied by the transformers' weights.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "positions are of tables of known sizes")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use foretell_pickle::View;

use crate::Error;
use crate::attributes::some_attr;
use crate::matrix::{ArrayRule, Csr, Dense, Frame, Matrix, half, round};
use crate::step::{Run, Transform};
use crate::types::is_text;

/// A table that others stand beside.
#[derive(Debug)]
pub(crate) struct Part {
    table: Matrix,
    /// Whether the library holds bools or integers of up to 16 bits: beside float32 these become float32.
    small: bool,
}

impl From<Matrix> for Part {
    fn from(table: Matrix) -> Self {
        let small = matches!(&table, Matrix::Frame(frame) if frame.is_small());
        Part { table, small }
    }
}

impl Part {
    /// What a step makes of a table, or the table where there is no step, multiplied by its weight.
    pub(crate) fn made(x: Matrix, step: Option<&dyn Transform>, weight: Option<f64>, run: &mut Run) -> Part {
        let mut part = match step {
            Some(step) => {
                let part = Part::from(step.transform(x, run));
                Part { small: part.small || step.gives_small(), ..part }
            }
            None => Part::from(x),
        };
        if let Some(weight) = weight {
            part = Part::from(times(part.table, weight));
        }
        part
    }

    pub(crate) fn is_sparse(&self) -> bool {
        matches!(self.table, Matrix::Csr(_))
    }
}

/// What the columns of a transformer are multiplied by.
pub(crate) fn weight(view: &View<'_>, name: &str) -> Result<Option<f64>, Error> {
    let Some(weights) = some_attr(view, "transformer_weights")? else { return Ok(None) };
    let weight = weights.get(name)?.and_then(View::some);
    Ok(weight.map(|weight| weight.as_f64()).transpose()?)
}

/// A table multiplied by a number, which numpy takes in the table's own type.
fn times(x: Matrix, weight: f64) -> Matrix {
    let (rows, cols, is_half) = (x.rows(), x.cols(), x.is_half());
    match x {
        Matrix::Csr(mut csr) => {
            let weight = round(weight, csr.narrow);
            csr.data.iter_mut().for_each(|value| *value = round(*value * weight, csr.narrow));
            Matrix::Csr(csr)
        }
        other => {
            let mut dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let narrow = dense.narrow;
            let of_type = |value| if is_half { half(value) } else { round(value, narrow) };
            let weight = of_type(weight);
            dense.data.iter_mut().for_each(|value| *value = of_type(*value * weight));
            if is_half { Matrix::of_halves(&dense) } else { Matrix::Dense(dense) }
        }
    }
}

/// Tables side by side, as a sparse one or not.
pub(crate) fn side_by_side(parts: Vec<Part>, rows: usize, as_sparse: bool) -> Matrix {
    let is_narrow = |part: &Part| match &part.table {
        Matrix::Frame(frame) if !as_sparse && frame.has_some_bools() => false,
        table => table.is_narrow(),
    };
    // Tables without columns count, too.
    let narrow = parts.iter().any(is_narrow) && parts.iter().all(|part| part.small || is_narrow(part));
    let tables = parts.into_iter().map(|part| part.table).collect();
    if as_sparse { Matrix::Csr(sparse(tables, rows, narrow)) } else { dense(tables, rows, narrow) }
}

/// Side by side in rows; zeros of dense parts are not stored, NaN is.
fn sparse(parts: Vec<Matrix>, rows: usize, narrow: bool) -> Csr {
    enum Block {
        Csr(Csr),
        Dense(Dense),
    }
    let mut cols = 0;
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        let first = cols as u32;
        cols += part.cols();
        let part = match part {
            Matrix::Csr(csr) => Block::Csr(csr),
            other => {
                let width = other.cols();
                Block::Dense(other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, width)))
            }
        };
        all.push((first, part));
    }
    let mut out = Csr { starts: Vec::with_capacity(rows + 1), indices: vec![], data: vec![], cols, narrow };
    out.starts.push(0);
    for row in 0..rows {
        for (first, part) in &all {
            match part {
                Block::Csr(csr) => {
                    for (col, value) in csr.row(row) {
                        out.indices.push(first + col);
                        out.data.push(value);
                    }
                }
                Block::Dense(dense) => {
                    for col in 0..dense.cols {
                        let value = dense.data[col * rows + row];
                        if value != 0.0 {
                            out.indices.push(first + col as u32);
                            out.data.push(value);
                        }
                    }
                }
            }
        }
        out.starts.push(out.indices.len());
    }
    out
}

/// Side by side in columns: numbers as one table, or columns where some are text.
fn dense(parts: Vec<Matrix>, rows: usize, narrow: bool) -> Matrix {
    let has_text = |part: &Matrix| match part {
        Matrix::Frame(frame) => frame.columns.iter().any(|column| is_text(column.data_type())),
        _ => false,
    };
    if parts.iter().any(has_text) {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for part in parts {
            match part {
                Matrix::Frame(frame) => columns.extend(frame.columns),
                other => {
                    let width = other.cols();
                    let dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, width));
                    for col in 0..dense.cols {
                        columns.push(Arc::new(Float64Array::from(dense.column(col).to_vec())));
                    }
                }
            }
        }
        return Matrix::Frame(Frame { columns, rows, rule: ArrayRule::default() });
    }
    let is_half = !parts.is_empty() && parts.iter().all(Matrix::is_half);
    let cols = parts.iter().map(Matrix::cols).sum();
    let mut out = Dense { data: Vec::with_capacity(rows * cols), rows, cols, narrow };
    for part in parts {
        let width = part.cols();
        let dense = part.into_dense().unwrap_or_else(|_| Dense::zeros(rows, width));
        out.data.extend_from_slice(&dense.data);
    }
    if is_half { Matrix::of_halves(&out) } else { Matrix::Dense(out) }
}
