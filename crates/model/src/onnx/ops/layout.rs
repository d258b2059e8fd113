//! Operators that move values and change shapes.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "axes are of shapes that were counted")]

use super::super::proto::Node;
use super::super::tensor::{Data, Fault, Places, RANK, Tensor, broadcast, count, place};
use super::elementwise::{constant, converted, numbers};
use super::{Compiled, Operator, input, one};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[
    ("Concat", |node, _| concat(node)),
    ("Constant", |node, _| constant_of(node)),
    ("ConstantOfShape", |node, _| constant_of_shape(node)),
    ("Expand", |_, _| expand()),
    ("Flatten", |node, _| flatten(node)),
    ("Range", |_, _| range()),
    ("Reshape", |node, _| reshape(node)),
    ("Shape", |_, _| shape()),
    ("Size", |_, _| size()),
    ("Slice", |node, _| slice(node)),
    ("Split", |node, _| split(node)),
    ("Squeeze", |node, _| squeeze(node)),
    ("Tile", |_, _| tile()),
    ("Transpose", |node, _| transpose(node)),
    ("Unsqueeze", |node, _| unsqueeze(node)),
];

/// Whole numbers that older versions keep in an attribute and newer ones take as an input.
pub(super) fn list<'t>(
    attribute: &'t [i64],
    inputs: &[Option<&'t Tensor>],
    at: usize,
) -> Result<Option<&'t [i64]>, Fault> {
    match inputs.get(at).copied().flatten() {
        Some(tensor) => tensor.ints().map(Some),
        None if attribute.is_empty() => Ok(None),
        None => Ok(Some(attribute)),
    }
}

fn concat(node: &Node<'_>) -> Result<Compiled, Error> {
    let axis = node.int("axis", 1);
    Compiled::plain(move |inputs, context| {
        let first = input(inputs, 0)?;
        let axis = first.axis(axis)?;
        let mut shape = first.shape.clone();
        shape[axis] = 0;
        for at in 0..inputs.len() {
            let next = input(inputs, at)?;
            let fits = next.shape.len() == shape.len()
                && next.shape.iter().zip(&first.shape).enumerate().all(|(at, (a, b))| at == axis || a == b);
            if !fits {
                return Err(Fault::Shape);
            }
            shape[axis] = shape[axis].checked_add(next.shape[axis]).ok_or(Fault::Size)?;
        }
        context.room(&shape)?;
        let (before, _, _) = first.around(axis);
        let mut data = first.data.pick(std::iter::empty());
        for row in 0..before {
            for tensor in inputs.iter().copied().flatten() {
                let (_, along, after) = tensor.around(axis);
                let part = along * after;
                data.append(&tensor.data.pick(row * part..(row + 1) * part))?;
            }
        }
        one(shape, data)
    })
}

fn constant_of(node: &Node<'_>) -> Result<Compiled, Error> {
    if let Some(tensor) = node.tensor("value")? {
        return constant(tensor);
    }
    let tensor = if node.has("value_float") {
        Tensor::f32(vec![], vec![node.float("value_float", 0.0)])
    } else if node.has("value_int") {
        Tensor::i64(vec![], vec![node.int("value_int", 0)])
    } else if node.has("value_floats") {
        let all = node.floats("value_floats").to_vec();
        Tensor::f32(vec![all.len()], all)
    } else if node.has("value_ints") {
        let all = node.ints("value_ints").to_vec();
        Tensor::i64(vec![all.len()], all)
    } else if let Some(text) = node.text("value_string")? {
        Tensor { shape: vec![], data: Data::Text(vec![text.into()]) }
    } else if node.has("value_strings") {
        let all = node.texts("value_strings")?;
        Tensor { shape: vec![all.len()], data: Data::Text(all.into_iter().map(Into::into).collect()) }
    } else {
        return Err(node.error("a constant without a value that is read"));
    };
    constant(tensor)
}

fn sizes(ints: &[i64]) -> Result<Vec<usize>, Fault> {
    ints.iter().map(|size| usize::try_from(*size).map_err(|_| Fault::Shape)).collect()
}

fn constant_of_shape(node: &Node<'_>) -> Result<Compiled, Error> {
    let value = node.tensor("value")?.unwrap_or_else(|| Tensor::f32(vec![1], vec![0.0]));
    if value.data.len() != 1 {
        return Err(node.error("its value is not a single one"));
    }
    Compiled::plain(move |inputs, context| {
        let shape = sizes(input(inputs, 0)?.ints()?)?;
        let values = context.room(&shape)?;
        one(shape, value.data.pick(std::iter::repeat_n(0, values)))
    })
}

fn expand() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let x = input(inputs, 0)?;
        let shape = broadcast(&x.shape, &sizes(input(inputs, 1)?.ints()?)?)?;
        context.room(&shape)?;
        let data = x.data.pick(Places::new(&x.shape, &shape));
        one(shape.clone(), data)
    })
}

fn flatten(node: &Node<'_>) -> Result<Compiled, Error> {
    let axis = node.int("axis", 1);
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let rank = x.shape.len();
        let at = if axis == rank as i64 { rank } else { x.axis(axis)? };
        let product = |part: &[usize]| part.iter().product();
        one(vec![product(&x.shape[..at]), product(&x.shape[at..])], x.data.clone())
    })
}

fn range() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let at = |at| numbers(input(inputs, at)?)?.first().copied().ok_or(Fault::Shape);
        let (start, limit, step) = (at(0)?, at(1)?, at(2)?);
        let steps = ((limit - start) / step).ceil();
        if steps.is_nan() {
            return Err(Fault::Zero);
        }
        let values = context.room(&[steps.max(0.0) as usize])?;
        let all = (0..values).map(|n| start + step * n as f64).collect();
        one(vec![values], converted(&Data::F64(all), input(inputs, 0)?.data.kind())?)
    })
}

fn reshape(node: &Node<'_>) -> Result<Compiled, Error> {
    let (attribute, keeps_zero) = (node.ints("shape").to_vec(), node.int("allowzero", 0) != 0);
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let wanted = list(&attribute, inputs, 1)?.ok_or(Fault::Absent)?;
        if wanted.len() > RANK {
            return Err(Fault::Shape);
        }
        context.charge(x.data.len())?;
        let mut open = None;
        let mut shape = Vec::with_capacity(wanted.len());
        for (at, size) in wanted.iter().enumerate() {
            shape.push(match size {
                -1 if open.is_none() => {
                    open = Some(at);
                    1
                }
                0 if !keeps_zero => *x.shape.get(at).ok_or(Fault::Shape)?,
                size => usize::try_from(*size).map_err(|_| Fault::Shape)?,
            });
        }
        if let Some(at) = open {
            let others = count(&shape).filter(|others| *others > 0).ok_or(Fault::Shape)?;
            shape[at] = x.data.len() / others;
        }
        if count(&shape) != Some(x.data.len()) {
            return Err(Fault::Shape);
        }
        one(shape, x.data.clone())
    })
}

fn shape() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, _| {
        let x = input(inputs, 0)?;
        Ok(vec![Tensor::i64(vec![x.shape.len()], x.shape.iter().map(|size| *size as i64).collect())])
    })
}

fn size() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, _| Ok(vec![Tensor::i64(vec![], vec![input(inputs, 0)?.data.len() as i64])]))
}

fn slice(node: &Node<'_>) -> Result<Compiled, Error> {
    let own = |name| node.ints(name).to_vec();
    let (starts, ends, axes) = (own("starts"), own("ends"), own("axes"));
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let starts = list(&starts, inputs, 1)?.ok_or(Fault::Absent)?;
        let ends = list(&ends, inputs, 2)?.ok_or(Fault::Absent)?;
        let (axes, steps) = (list(&axes, inputs, 3)?, list(&[], inputs, 4)?);
        let mut shape = x.shape.clone();
        let mut strides = [0i64; RANK];
        let mut stride = 1i64;
        for at in (0..shape.len()).rev() {
            strides[at] = stride;
            stride = stride.saturating_mul(shape[at] as i64);
        }
        let mut from = vec![0i64; shape.len()];
        let mut by = vec![1i64; shape.len()];
        for (at, (start, end)) in starts.iter().zip(ends).enumerate() {
            let axis = x.axis(axes.map_or(Ok(at as i64), |axes| axes.get(at).copied().ok_or(Fault::Shape))?)?;
            let step = steps.map_or(Ok(1), |steps| steps.get(at).copied().ok_or(Fault::Shape))?;
            let size = x.shape[axis] as i64;
            let own = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
            let (start, end) = match step {
                0 => return Err(Fault::Zero),
                1.. => (own(*start).clamp(0, size), own(*end).clamp(0, size)),
                _ => (own(*start).clamp(0, (size - 1).max(0)), own(*end).clamp(-1, size - 1)),
            };
            let length = end.saturating_sub(start);
            let taken =
                if length.signum() == step.signum() { length.unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 };
            (shape[axis], from[axis], by[axis]) = (taken as usize, start, step);
        }
        let values = context.room(&shape)?;
        let mut places = Vec::with_capacity(values);
        let mut at = [0usize; RANK];
        for _ in 0..values {
            let place =
                (0..shape.len()).map(|axis| (from[axis] + at[axis] as i64 * by[axis]) * strides[axis]).sum::<i64>();
            places.push(usize::try_from(place).map_err(|_| Fault::Index)?);
            for axis in (0..shape.len()).rev() {
                at[axis] += 1;
                if at[axis] < shape[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        one(shape, x.data.pick(places.into_iter()))
    })
}

fn split(node: &Node<'_>) -> Result<Compiled, Error> {
    let (axis, own, outputs) = (node.int("axis", 0), node.ints("split").to_vec(), node.outputs.len());
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let axis = x.axis(axis)?;
        let (before, along, after) = x.around(axis);
        let parts = match list(&own, inputs, 1)? {
            Some(parts) => sizes(parts)?,
            None => {
                let part = along.div_ceil(outputs.max(1));
                (0..outputs).map(|at| part.min(along.saturating_sub(at.saturating_mul(part)))).collect()
            }
        };
        if parts.iter().try_fold(0usize, |all, part| all.checked_add(*part)) != Some(along) {
            return Err(Fault::Shape);
        }
        let mut start = 0;
        let piece = |size: &usize| {
            let from = start;
            start += size;
            let places = (0..before).flat_map(|row| (row * along + from) * after..(row * along + from + size) * after);
            let mut shape = x.shape.clone();
            shape[axis] = *size;
            Tensor { shape, data: x.data.pick(places) }
        };
        Ok(parts.iter().map(piece).collect())
    })
}

fn squeeze(node: &Node<'_>) -> Result<Compiled, Error> {
    let own = node.ints("axes").to_vec();
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let axes: Option<Vec<usize>> =
            list(&own, inputs, 1)?.map(|axes| axes.iter().map(|axis| x.axis(*axis)).collect()).transpose()?;
        let goes = |at: usize, size: usize| axes.as_ref().map_or(size == 1, |axes| axes.contains(&at));
        let gone = x.shape.iter().enumerate().filter(|(at, size)| goes(*at, **size));
        if gone.clone().any(|(_, size)| *size != 1) {
            return Err(Fault::Shape);
        }
        let kept = x.shape.iter().enumerate().filter(|(at, size)| !goes(*at, **size));
        one(kept.map(|(_, size)| *size).collect(), x.data.clone())
    })
}

fn unsqueeze(node: &Node<'_>) -> Result<Compiled, Error> {
    let own = node.ints("axes").to_vec();
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let axes = list(&own, inputs, 1)?.ok_or(Fault::Absent)?;
        let rank = x.shape.len() + axes.len();
        if rank > RANK {
            return Err(Fault::Shape);
        }
        let axes: Vec<usize> = axes.iter().map(|axis| place(*axis, rank)).collect::<Result<_, _>>()?;
        let mut old = x.shape.iter();
        let shape: Option<Vec<usize>> =
            (0..rank).map(|at| if axes.contains(&at) { Some(1) } else { old.next().copied() }).collect();
        let shape = shape.filter(|_| old.next().is_none()).ok_or(Fault::Shape)?;
        one(shape, x.data.clone())
    })
}

fn tile() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let x = input(inputs, 0)?;
        let times = sizes(input(inputs, 1)?.ints()?)?;
        if times.len() != x.shape.len() {
            return Err(Fault::Shape);
        }
        let shape: Option<Vec<usize>> =
            x.shape.iter().zip(&times).map(|(size, times)| size.checked_mul(*times)).collect();
        let shape = shape.ok_or(Fault::Size)?;
        context.room(&shape)?;
        let mut data = x.data.clone();
        let mut now = x.shape.clone();
        // Axis by axis from the last, each repeats what is there.
        for axis in (0..now.len()).rev() {
            let after: usize = now[axis..].iter().product();
            let before: usize = now[..axis].iter().product();
            let (after, before) = if after == 0 || before == 0 { (0, 0) } else { (after, before) };
            let places = (0..before)
                .flat_map(|row| (0..times[axis]).flat_map(move |_| row * after..(row + 1) * after))
                .collect::<Vec<_>>();
            data = data.pick(places.into_iter());
            now[axis] = shape[axis];
        }
        one(shape, data)
    })
}

fn transpose(node: &Node<'_>) -> Result<Compiled, Error> {
    let own = node.ints("perm").to_vec();
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let rank = x.shape.len();
        let order: Vec<usize> = match own.is_empty() {
            true => (0..rank).rev().collect(),
            false => own.iter().map(|axis| x.axis(*axis)).collect::<Result<_, _>>()?,
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            return Err(Fault::Shape);
        }
        let mut strides = [0; RANK];
        let mut stride = 1;
        for at in (0..rank).rev() {
            strides[at] = stride;
            stride *= x.shape[at].max(1);
        }
        let shape: Vec<usize> = order.iter().map(|axis| x.shape[*axis]).collect();
        let mut steps = [0; RANK];
        order.iter().enumerate().for_each(|(at, axis)| steps[at] = strides[*axis]);
        let data = x.data.pick(Places::stepping(&shape, steps));
        one(shape.clone(), data)
    })
}
