//! Tables side by side, as unions of transformers give them, and multiplied by the transformers' weights.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "positions are of tables of known sizes")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use foretell_pickle::View;

use crate::Error;
use crate::attributes::some_attr;
use crate::families::shared::promotion::Beside;
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
    pub(crate) fn made(x: Matrix, step: Option<&dyn Transform>, weight: Option<Weight>, run: &mut Run) -> Part {
        let mut part = match step {
            Some(step) => {
                let part = Part::from(step.transform(x, run));
                Part { small: part.small || step.gives_small(), ..part }
            }
            None => Part::from(x),
        };
        if let Some(weight) = weight {
            part = Part::from(times(part.table, weight, part.small));
        }
        part
    }

    pub(crate) fn is_sparse(&self) -> bool {
        matches!(self.table, Matrix::Csr(_))
    }
}

/// What the columns of a transformer are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    number: f64,
    beside: Beside,
}

/// The weight of a transformer by its name.
pub(crate) fn weight(view: &View<'_>, name: &str, transformer: &View<'_>) -> Result<Option<Weight>, Error> {
    let Some(weights) = some_attr(view, "transformer_weights")? else { return Ok(None) };
    let Some(weight) = weights.get(name)?.and_then(View::some) else { return Ok(None) };
    // pandas takes numbers of numpy for Python's own.
    let beside = if gives_table(transformer)? { Beside::Weak } else { Beside::of(&weight)? };
    Ok(Some(Weight { number: weight.as_f64()?, beside }))
}

/// Whether a transformer was told to give a DataFrame of pandas.
fn gives_table(transformer: &View<'_>) -> Result<bool, Error> {
    if transformer.as_str().is_ok() {
        return Ok(false);
    }
    if let Some(steps) = some_attr(transformer, "steps")? {
        let Some(last) = steps.items()?.pop() else { return Ok(false) };
        return gives_table(&last.item(1)?);
    }
    match some_attr(transformer, "_sklearn_output_config")? {
        Some(config) => {
            Ok(config.get("transform")?.and_then(View::some).is_some_and(|one| one.as_str() == Ok("pandas")))
        }
        None => Ok(false),
    }
}

/// A table multiplied by a number.
fn times(x: Matrix, weight: Weight, is_small: bool) -> Matrix {
    let (rows, cols, is_half) = (x.rows(), x.cols(), x.is_half());
    let beside = if matches!(x, Matrix::Frame(_)) { Beside::Weak } else { weight.beside };
    let weight = weight.number;
    match x {
        Matrix::Csr(mut csr) => {
            csr.narrow &= beside != Beside::Double;
            let weight = round(weight, csr.narrow);
            csr.data.iter_mut().for_each(|value| *value = round(*value * weight, csr.narrow));
            Matrix::Csr(csr)
        }
        other => {
            let mut dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let is_half = is_half && beside == Beside::Weak;
            dense.narrow = match beside {
                Beside::Weak => dense.narrow,
                Beside::Single => dense.narrow || is_small,
                Beside::Double => false,
            };
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
