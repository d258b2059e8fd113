//! Operators that put values along axes together.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "axes are of shapes that were counted")]

use super::super::proto::Node;
use super::super::tensor::{Data, Fault, Kind, Places, RANK, Tensor};
use super::elementwise::numbers;
use super::layout::list;
use super::products::like;
use super::{Compiled, Operator, input, one};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[
    ("ArgMax", |node, _| largest(node, true)),
    ("ArgMin", |node, _| largest(node, false)),
    ("CumSum", |node, _| running(node)),
    ("LogSoftmax", |node, version| softmax(node, version, true)),
    ("LpNormalization", |node, _| normalize(node)),
    ("ReduceL1", |node, _| reduce(node, Sums::L1)),
    ("ReduceL2", |node, _| reduce(node, Sums::L2)),
    ("ReduceLogSum", |node, _| reduce(node, Sums::Log)),
    ("ReduceLogSumExp", |node, _| reduce(node, Sums::LogExp)),
    ("ReduceMax", |node, _| reduce(node, Sums::Max)),
    ("ReduceMean", |node, _| reduce(node, Sums::Mean)),
    ("ReduceMin", |node, _| reduce(node, Sums::Min)),
    ("ReduceProd", |node, _| reduce(node, Sums::Product)),
    ("ReduceSum", |node, _| reduce(node, Sums::Plain)),
    ("ReduceSumSquare", |node, _| reduce(node, Sums::Squares)),
    ("Softmax", |node, version| softmax(node, version, false)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sums {
    Plain,
    Mean,
    Max,
    Min,
    Product,
    L1,
    L2,
    Squares,
    Log,
    LogExp,
}

impl Sums {
    fn start(self) -> f64 {
        match self {
            Sums::Max => f64::NEG_INFINITY,
            Sums::Min => f64::INFINITY,
            Sums::Product => 1.0,
            _ => 0.0,
        }
    }

    fn add(self, sum: f64, x: f64) -> f64 {
        match self {
            Sums::Max if x.is_nan() || x > sum => x,
            Sums::Min if x.is_nan() || x < sum => x,
            Sums::Max | Sums::Min => sum,
            Sums::Product => sum * x,
            Sums::L1 => sum + x.abs(),
            Sums::L2 | Sums::Squares => sum + x * x,
            Sums::Plain | Sums::Mean | Sums::Log | Sums::LogExp => sum + x,
        }
    }

    fn finish(self, sum: f64, count: usize) -> f64 {
        match self {
            Sums::Mean => sum / count as f64,
            Sums::L2 => sum.sqrt(),
            Sums::Log => sum.ln(),
            _ => sum,
        }
    }
}

fn reduce(node: &Node<'_>, sums: Sums) -> Result<Compiled, Error> {
    let (own, keep) = (node.ints("axes").to_vec(), node.int("keepdims", 1) != 0);
    let none_is_none = node.int("noop_with_empty_axes", 0) != 0;
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let rank = x.shape.len();
        let axes = match list(&own, inputs, 1)? {
            None | Some([]) if none_is_none => return Ok(vec![x.clone()]),
            None | Some([]) => (0..rank).collect(),
            Some(axes) => axes.iter().map(|axis| x.axis(*axis)).collect::<Result<Vec<_>, _>>()?,
        };
        let mut steps = [0; RANK];
        let mut count = 1;
        for axis in (0..rank).rev().filter(|axis| !axes.contains(axis)) {
            steps[axis] = count;
            count *= x.shape[axis];
        }
        let of_each: usize = axes.iter().map(|axis| x.shape[*axis]).product();
        let size = |(axis, size): (usize, &usize)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(*size),
        };
        let shape: Vec<usize> = x.shape.iter().enumerate().filter_map(size).collect();
        if let (Data::I64(all), Sums::Plain | Sums::Product) = (&x.data, sums) {
            let mut out = vec![if sums == Sums::Plain { 0i64 } else { 1 }; count];
            for (value, at) in all.iter().zip(Places::stepping(&x.shape, steps)) {
                out[at] = if sums == Sums::Plain { out[at].wrapping_add(*value) } else { out[at].wrapping_mul(*value) };
            }
            return one(shape, Data::I64(out));
        }
        let values = numbers(x)?;
        let places = || Places::stepping(&x.shape, steps);
        let mut out = vec![sums.start(); count];
        if sums == Sums::LogExp {
            let mut largest = vec![f64::NEG_INFINITY; count];
            values.iter().zip(places()).for_each(|(x, at)| largest[at] = Sums::Max.add(largest[at], *x));
            let shift = |at: usize| if largest[at].is_finite() { largest[at] } else { 0.0 };
            values.iter().zip(places()).for_each(|(x, at)| out[at] += (x - shift(at)).exp());
            out.iter_mut().enumerate().for_each(|(at, sum)| *sum = sum.ln() + shift(at));
        } else {
            values.iter().zip(places()).for_each(|(x, at)| out[at] = sums.add(out[at], *x));
            out.iter_mut().for_each(|sum| *sum = sums.finish(*sum, of_each));
        }
        one(shape, like(x, out)?)
    })
}

fn largest(node: &Node<'_>, is_largest: bool) -> Result<Compiled, Error> {
    let (axis, keep, last) = (node.int("axis", 0), node.int("keepdims", 1) != 0, node.int("select_last_index", 0) != 0);
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let axis = x.axis(axis)?;
        let (before, along, after) = x.around(axis);
        if along == 0 {
            return Err(Fault::Shape);
        }
        let values = numbers(x)?;
        let mut out = Vec::with_capacity(before * after);
        for row in 0..before {
            for column in 0..after {
                let at = |n: usize| values[(row * along + n) * after + column];
                let mut best = 0;
                for n in 1..along {
                    let (new, old) = if is_largest { (at(n), at(best)) } else { (at(best), at(n)) };
                    if new > old || (last && new == old) {
                        best = n;
                    }
                }
                out.push(best as i64);
            }
        }
        let mut shape = x.shape.clone();
        if keep {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        Ok(vec![Tensor::i64(shape, out)])
    })
}

fn running(node: &Node<'_>) -> Result<Compiled, Error> {
    let (exclusive, reverse) = (node.int("exclusive", 0) != 0, node.int("reverse", 0) != 0);
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let axis = x.axis(input(inputs, 1)?.ints()?.first().copied().ok_or(Fault::Shape)?)?;
        let (before, along, after) = x.around(axis);
        let values = numbers(x)?;
        let narrow = x.data.kind() == Kind::F32;
        let mut out = vec![0.0; values.len()];
        for row in 0..before {
            for column in 0..after {
                let mut sum = 0.0;
                for step in 0..along {
                    let n = if reverse { along - 1 - step } else { step };
                    let at = (row * along + n) * after + column;
                    let with = sum + values[at];
                    let with = if narrow { f64::from(with as f32) } else { with };
                    out[at] = if exclusive { sum } else { with };
                    sum = with;
                }
            }
        }
        one(x.shape.clone(), like(x, out)?)
    })
}

fn softmax(node: &Node<'_>, version: i64, log: bool) -> Result<Compiled, Error> {
    // Before version 13 all axes from this one on are one.
    let flat = version < 13;
    let axis = node.int("axis", if flat { 1 } else { -1 });
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let at = x.axis(axis)?;
        let (before, along, after) = match flat {
            true => (x.shape[..at].iter().product(), x.shape[at..].iter().product(), 1),
            false => x.around(at),
        };
        let mut values = numbers(x)?;
        let round = |value: f64| if x.data.kind() == Kind::F32 { f64::from(value as f32) } else { value };
        for row in 0..before {
            for column in 0..after {
                let place = |n: usize| (row * along + n) * after + column;
                let largest = (0..along).map(|n| values[place(n)]).fold(f64::NEG_INFINITY, f64::max);
                let mut sum = 0.0;
                for n in 0..along {
                    let shifted = round(values[place(n)] - largest);
                    let raised = round(shifted.exp());
                    sum += raised;
                    values[place(n)] = if log { shifted } else { raised };
                }
                for n in 0..along {
                    let value = &mut values[place(n)];
                    *value = if log { *value - sum.ln() } else { *value / round(sum) };
                }
            }
        }
        one(x.shape.clone(), like(x, values)?)
    })
}

/// Divides by the length along an axis.
fn normalize(node: &Node<'_>) -> Result<Compiled, Error> {
    let (axis, p) = (node.int("axis", -1), node.int("p", 2));
    if p != 1 && p != 2 {
        return Err(Error::unsupported(node.place.clone(), format!("p={p}"), "1, 2"));
    }
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let (before, along, after) = x.around(x.axis(axis)?);
        let mut values = numbers(x)?;
        for row in 0..before {
            for column in 0..after {
                let place = |n: usize| (row * along + n) * after + column;
                let sums = if p == 1 { Sums::L1 } else { Sums::L2 };
                let sum = (0..along).fold(0.0, |sum, n| sums.add(sum, values[place(n)]));
                let length = sums.finish(sum, along);
                if length != 0.0 {
                    (0..along).for_each(|n| values[place(n)] /= length);
                }
            }
        }
        one(x.shape.clone(), like(x, values)?)
    })
}
