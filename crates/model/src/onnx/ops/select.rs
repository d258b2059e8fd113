//! Operators that pick values by their positions.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "axes are of shapes that were counted")]

use super::super::proto::Node;
use super::super::tensor::{Fault, Tensor, place};
use super::elementwise::numbers;
use super::{Compiled, Operator, input, one};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[
    ("Gather", |node, _| gather(node)),
    ("GatherElements", |node, _| gather_elements(node)),
    ("TopK", |node, _| top(node)),
];

fn gather(node: &Node<'_>) -> Result<Compiled, Error> {
    let axis = node.int("axis", 0);
    Compiled::plain(move |inputs, context| {
        let (x, picked) = (input(inputs, 0)?, input(inputs, 1)?);
        let axis = x.axis(axis)?;
        let (before, along, after) = x.around(axis);
        let picked_at: Vec<usize> = picked.ints()?.iter().map(|at| place(*at, along)).collect::<Result<_, _>>()?;
        let shape = [&x.shape[..axis], &picked.shape, &x.shape[axis + 1..]].concat();
        context.room(&shape)?;
        let places = (0..before)
            .flat_map(|row| picked_at.iter().map(move |at| (row * along + at) * after))
            .flat_map(|start| start..start + after);
        let data = x.data.pick(places);
        one(shape, data)
    })
}

fn gather_elements(node: &Node<'_>) -> Result<Compiled, Error> {
    let axis = node.int("axis", 0);
    Compiled::plain(move |inputs, context| {
        let (x, picked) = (input(inputs, 0)?, input(inputs, 1)?);
        let axis = x.axis(axis)?;
        if picked.shape.len() != x.shape.len()
            || picked.shape.iter().zip(&x.shape).enumerate().any(|(at, (a, b))| at != axis && a > b)
        {
            return Err(Fault::Shape);
        }
        context.room(&picked.shape)?;
        let mut strides = vec![1; x.shape.len()];
        for at in (1..x.shape.len()).rev() {
            strides[at - 1] = strides[at] * x.shape[at];
        }
        let mut at = vec![0usize; x.shape.len()];
        let mut places = Vec::with_capacity(picked.data.len());
        for chosen in picked.ints()? {
            let chosen = place(*chosen, x.shape[axis])?;
            let own =
                |(n, (at, stride)): (usize, (&usize, &usize))| if n == axis { chosen * stride } else { at * stride };
            places.push(at.iter().zip(&strides).enumerate().map(own).sum());
            for n in (0..at.len()).rev() {
                at[n] += 1;
                if at[n] < picked.shape[n] {
                    break;
                }
                at[n] = 0;
            }
        }
        one(picked.shape.clone(), x.data.pick(places.into_iter()))
    })
}

/// The largest or smallest along an axis, in their order; of equal ones the first comes first.
fn top(node: &Node<'_>) -> Result<Compiled, Error> {
    let (axis, own, is_largest) = (node.int("axis", -1), node.int("k", 0), node.int("largest", 1) != 0);
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let axis = x.axis(axis)?;
        let (before, along, after) = x.around(axis);
        let wanted = match inputs.get(1).copied().flatten() {
            Some(wanted) => wanted.ints()?.first().copied().ok_or(Fault::Shape)?,
            None => own,
        };
        let wanted = usize::try_from(wanted).ok().filter(|wanted| *wanted <= along).ok_or(Fault::Index)?;
        context.room(&x.shape)?;
        let values = numbers(x)?;
        let mut shape = x.shape.clone();
        shape[axis] = wanted;
        let mut places = vec![0; before * wanted * after];
        let mut order = vec![0i64; places.len()];
        for row in 0..before {
            for column in 0..after {
                let from = |n: usize| (row * along + n) * after + column;
                let mut all: Vec<usize> = (0..along).collect();
                all.sort_by(|a, b| {
                    let (a, b) = (values[from(*a)], values[from(*b)]);
                    let by_size = a.total_cmp(&b);
                    if a == b {
                        std::cmp::Ordering::Equal
                    } else if is_largest {
                        by_size.reverse()
                    } else {
                        by_size
                    }
                });
                for (to, n) in all.into_iter().take(wanted).enumerate() {
                    let to = (row * wanted + to) * after + column;
                    places[to] = from(n);
                    order[to] = n as i64;
                }
            }
        }
        Ok(vec![Tensor { shape: shape.clone(), data: x.data.pick(places.into_iter()) }, Tensor::i64(shape, order)])
    })
}
