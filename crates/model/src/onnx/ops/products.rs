//! Products of matrices, and distances. Sums are made in float64 and rounded once.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "positions are of shapes that were compared"
)]

use super::super::proto::Node;
use super::super::tensor::{Context, Data, Fault, Places, Tensor, broadcast};
use super::elementwise::numbers;
use super::{Compiled, Operator, input, one};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[("Gemm", |node, _| gemm(node)), ("MatMul", |_, _| matmul())];

pub(super) const MICROSOFT: &[Operator] = &[("CDist", |node, _| distances(node))];

/// Multiplications that cost as much as a value that is made.
const PRODUCTS_A_VALUE: usize = 16;

/// `a` (rows by inner) times `b` (inner by columns).
pub(super) fn product(a: &[f64], b: &[f64], rows: usize, inner: usize, columns: usize) -> Vec<f64> {
    let mut out = vec![0.0; rows * columns];
    for row in 0..rows {
        let sums = &mut out[row * columns..(row + 1) * columns];
        for (k, x) in a[row * inner..(row + 1) * inner].iter().enumerate() {
            sums.iter_mut().zip(&b[k * columns..(k + 1) * columns]).for_each(|(sum, y)| *sum += x * y);
        }
    }
    out
}

pub(super) fn charge(context: &Context, rows: usize, inner: usize, columns: usize) -> Result<(), Fault> {
    let all = rows.checked_mul(inner.max(1)).and_then(|all| all.checked_mul(columns.max(1))).ok_or(Fault::Size)?;
    context.charge(all / PRODUCTS_A_VALUE)
}

/// Numbers in the type of what they were made of.
pub(super) fn like(x: &Tensor, all: Vec<f64>) -> Result<Data, Fault> {
    Ok(match &x.data {
        Data::F32(_) => Data::F32(all.into_iter().map(|one| one as f32).collect()),
        Data::F64(_) => Data::F64(all),
        Data::I64(_) => Data::I64(all.into_iter().map(|one| one as i64).collect()),
        _ => return Err(Fault::Type),
    })
}

fn transposed(all: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| all[row * columns + column])).collect()
}

fn gemm(node: &Node<'_>) -> Result<Compiled, Error> {
    let (alpha, beta) = (f64::from(node.float("alpha", 1.0)), f64::from(node.float("beta", 1.0)));
    let (a_turned, b_turned) = (node.int("transA", 0) != 0, node.int("transB", 0) != 0);
    Compiled::plain(move |inputs, context| {
        let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
        let (&[a_rows, a_columns], &[b_rows, b_columns]) = (a.shape.as_slice(), b.shape.as_slice()) else {
            return Err(Fault::Shape);
        };
        let (rows, inner) = if a_turned { (a_columns, a_rows) } else { (a_rows, a_columns) };
        let (other, columns) = if b_turned { (b_columns, b_rows) } else { (b_rows, b_columns) };
        if inner != other || a.data.kind() != b.data.kind() {
            return Err(Fault::Shape);
        }
        charge(context, rows, inner, columns)?;
        context.room(&[rows, columns])?;
        let (mut x, mut y) = (numbers(a)?, numbers(b)?);
        if a_turned {
            x = transposed(&x, a_rows, a_columns);
        }
        if b_turned {
            y = transposed(&y, b_rows, b_columns);
        }
        let mut all = product(&x, &y, rows, inner, columns);
        let shape = vec![rows, columns];
        all.iter_mut().for_each(|one| *one *= alpha);
        if let Some(c) = inputs.get(2).copied().flatten() {
            if broadcast(&c.shape, &shape)? != shape {
                return Err(Fault::Shape);
            }
            let c_values = numbers(c)?;
            all.iter_mut().zip(Places::new(&c.shape, &shape)).for_each(|(one, at)| *one += beta * c_values[at]);
        }
        one(shape, like(a, all)?)
    })
}

fn matmul() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
        if a.data.kind() != b.data.kind() || a.shape.is_empty() || b.shape.is_empty() {
            return Err(Fault::Type);
        }
        // A list is a row on the left and a column on the right.
        let left = if a.shape.len() == 1 { vec![1, a.shape[0]] } else { a.shape.clone() };
        let right = if b.shape.len() == 1 { vec![b.shape[0], 1] } else { b.shape.clone() };
        let (a_outer, a_last) = left.split_at(left.len() - 2);
        let (b_outer, b_last) = right.split_at(right.len() - 2);
        let (&[rows, inner], &[other, columns]) = (a_last, b_last) else { return Err(Fault::Shape) };
        if inner != other {
            return Err(Fault::Shape);
        }
        let outer = broadcast(a_outer, b_outer)?;
        let mut shape = [outer.as_slice(), &[rows, columns]].concat();
        context.room(&shape)?;
        let times: usize = outer.iter().product();
        charge(context, rows.checked_mul(times.max(1)).ok_or(Fault::Size)?, inner, columns)?;
        let (x, y) = (numbers(a)?, numbers(b)?);
        let mut all = Vec::new();
        for (at, from) in Places::new(a_outer, &outer).zip(Places::new(b_outer, &outer)) {
            let x = &x[at * rows * inner..(at + 1) * rows * inner];
            let y = &y[from * inner * columns..(from + 1) * inner * columns];
            all.extend(product(x, y, rows, inner, columns));
        }
        if b.shape.len() == 1 {
            shape.pop();
        }
        if a.shape.len() == 1 {
            let at = shape.len() - if b.shape.len() == 1 { 1 } else { 2 };
            shape.remove(at);
        }
        one(shape, like(a, all)?)
    })
}

/// How far each row of the first is from each of the second.
fn distances(node: &Node<'_>) -> Result<Compiled, Error> {
    let squared = match node.text("metric")?.unwrap_or("sqeuclidean") {
        "sqeuclidean" => true,
        "euclidean" => false,
        other => {
            return Err(Error::unsupported(node.place.clone(), format!("metric='{other}'"), "euclidean, sqeuclidean"));
        }
    };
    Compiled::plain(move |inputs, context| {
        let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
        let (&[rows, inner], &[others, same]) = (a.shape.as_slice(), b.shape.as_slice()) else {
            return Err(Fault::Shape);
        };
        if inner != same || a.data.kind() != b.data.kind() {
            return Err(Fault::Shape);
        }
        context.room(&[rows, others])?;
        charge(context, rows, inner, others)?;
        let (x, y) = (numbers(a)?, numbers(b)?);
        let mut all = Vec::with_capacity(rows * others);
        for row in 0..rows {
            for other in 0..others {
                let pairs = x[row * inner..(row + 1) * inner].iter().zip(&y[other * inner..(other + 1) * inner]);
                let sum: f64 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
                all.push(if squared { sum } else { sum.sqrt() });
            }
        }
        one(vec![rows, others], like(a, all)?)
    })
}
