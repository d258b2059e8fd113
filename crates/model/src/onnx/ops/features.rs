//! Operators of `ai.onnx.ml` that prepare columns.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "positions are of shapes that were counted"
)]

use std::collections::HashMap;

use super::super::proto::Node;
use super::super::tensor::{Data, Fault, Tensor, place};
use super::elementwise::numbers;
use super::{Compiled, Operator, input, one};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[
    ("ArrayFeatureExtractor", |_, _| extract()),
    ("Binarizer", |node, _| binarize(node)),
    ("FeatureVectorizer", |node, _| vectorize(node)),
    ("Imputer", |node, _| impute(node)),
    ("Normalizer", |node, _| normalize(node)),
    ("OneHotEncoder", |node, _| one_hot(node)),
    ("Scaler", |node, _| scale(node)),
];

/// Picks along the last axis.
fn extract() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let (x, picked) = (input(inputs, 0)?, input(inputs, 1)?);
        let along = *x.shape.last().ok_or(Fault::Shape)?;
        let places: Vec<usize> = picked.ints()?.iter().map(|at| place(*at, along)).collect::<Result<_, _>>()?;
        let mut shape = x.shape.clone();
        if shape.len() == 1 {
            shape.insert(0, 1);
        }
        shape.last_mut().into_iter().for_each(|last| *last = places.len());
        context.room(&shape)?;
        let rows = x.data.len().checked_div(along).unwrap_or(0);
        let data = x.data.pick((0..rows).flat_map(|row| places.iter().map(move |at| row * along + at)));
        one(shape, data)
    })
}

fn binarize(node: &Node<'_>) -> Result<Compiled, Error> {
    let threshold = node.float("threshold", 0.0);
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let flag = |x: &f64| if *x > f64::from(threshold) { 1.0 } else { 0.0 };
        one(x.shape.clone(), super::products::like(x, numbers(x)?.iter().map(flag).collect())?)
    })
}

/// Puts columns side by side, each input cut or filled up to its own width.
fn vectorize(node: &Node<'_>) -> Result<Compiled, Error> {
    let widths = node.ints("inputdimensions").to_vec();
    Compiled::plain(move |inputs, context| {
        let mut parts = Vec::new();
        for at in 0..inputs.len() {
            let x = input(inputs, at)?;
            let (rows, columns) = match x.shape.as_slice() {
                [rows] => (*rows, 1),
                [rows, columns] => (*rows, *columns),
                _ => return Err(Fault::Shape),
            };
            let width =
                widths.get(at).map_or(Ok(columns), |width| usize::try_from(*width).map_err(|_| Fault::Shape))?;
            parts.push((rows, columns, width, x.to_f32()?));
        }
        let rows = parts.first().ok_or(Fault::Absent)?.0;
        if parts.iter().any(|part| part.0 != rows) {
            return Err(Fault::Shape);
        }
        let width = parts.iter().try_fold(0usize, |all, part| all.checked_add(part.2)).ok_or(Fault::Size)?;
        context.room(&[rows, width])?;
        let mut out = Vec::with_capacity(rows * width);
        for row in 0..rows {
            for (_, columns, width, values) in &parts {
                let own = &values[row * columns..(row + 1) * columns];
                out.extend(own.iter().copied().chain(std::iter::repeat(0.0)).take(*width));
            }
        }
        Ok(vec![Tensor::f32(vec![rows, width], out)])
    })
}

fn impute(node: &Node<'_>) -> Result<Compiled, Error> {
    let floats = node.floats("imputed_value_floats").to_vec();
    let ints = node.ints("imputed_value_int64s").to_vec();
    let replaced = node.float("replaced_value_float", 0.0);
    let replaced_int = node.int("replaced_value_int64", 0);
    if floats.is_empty() && ints.is_empty() {
        return Err(node.error("it has no values to impute"));
    }
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let columns = *x.shape.last().ok_or(Fault::Shape)?;
        fn filled<T: Copy>(
            all: &[T],
            columns: usize,
            with: &[T],
            is_missing: impl Fn(T) -> bool,
        ) -> Result<Vec<T>, Fault> {
            if with.len() != 1 && with.len() != columns {
                return Err(Fault::Shape);
            }
            let own = |at: usize| if with.len() == 1 { with[0] } else { with[at % columns] };
            Ok(all.iter().enumerate().map(|(at, x)| if is_missing(*x) { own(at) } else { *x }).collect())
        }
        let is_missing = |x: f32| x == replaced || (replaced.is_nan() && x.is_nan());
        let data = match &x.data {
            Data::F32(all) => Data::F32(filled(all, columns, &floats, is_missing)?),
            Data::F64(all) => {
                let with: Vec<f64> = floats.iter().map(|one| f64::from(*one)).collect();
                let is_missing = |x: f64| x == f64::from(replaced) || (replaced.is_nan() && x.is_nan());
                Data::F64(filled(all, columns, &with, is_missing)?)
            }
            Data::I64(all) => Data::I64(filled(all, columns, &ints, |x| x == replaced_int)?),
            _ => return Err(Fault::Type),
        };
        one(x.shape.clone(), data)
    })
}

fn normalize(node: &Node<'_>) -> Result<Compiled, Error> {
    let norm = node.text("norm")?.unwrap_or("MAX").to_string();
    if !["MAX", "L1", "L2"].contains(&norm.as_str()) {
        return Err(Error::unsupported(node.place.clone(), format!("norm='{norm}'"), "MAX, L1, L2"));
    }
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let (rows, columns) = x.rows_and_columns()?;
        context.room(&x.shape)?;
        let mut all = x.to_f32()?;
        if columns > 0 {
            all.chunks_exact_mut(columns).take(rows).for_each(|row| match norm.as_str() {
                "MAX" => {
                    let largest = row.iter().copied().fold(f32::MIN, f32::max);
                    if largest != 0.0 {
                        row.iter_mut().for_each(|x| *x /= largest);
                    }
                }
                "L1" => {
                    let sum = row.iter().fold(0.0f32, |sum, x| sum + x.abs());
                    if sum != 0.0 {
                        row.iter_mut().for_each(|x| *x /= sum);
                    }
                }
                _ => {
                    let sum = row.iter().fold(0.0f32, |sum, x| sum + x * x);
                    if sum != 0.0 {
                        row.iter_mut().for_each(|x| *x = (*x * *x / sum).sqrt() * if *x < 0.0 { -1.0 } else { 1.0 });
                    }
                }
            });
        }
        Ok(vec![Tensor::f32(x.shape.clone(), all)])
    })
}

fn one_hot(node: &Node<'_>) -> Result<Compiled, Error> {
    let ints: HashMap<i64, usize> = node.ints("cats_int64s").iter().copied().zip(0..).collect();
    let texts: HashMap<String, usize> = node.texts("cats_strings")?.into_iter().map(str::to_string).zip(0..).collect();
    let width = node.ints("cats_int64s").len().max(texts.len());
    let by_text = !texts.is_empty();
    if width == 0 || (by_text && !ints.is_empty()) {
        return Err(node.error("it needs categories of one type"));
    }
    let zeros = node.int("zeros", 1) != 0;
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let shape = [x.shape.as_slice(), &[width]].concat();
        let values = context.room(&shape)?;
        let found: Vec<Option<usize>> = match &x.data {
            Data::Text(all) if by_text => all.iter().map(|text| texts.get(&**text).copied()).collect(),
            Data::Text(_) => return Err(Fault::Type),
            _ if by_text => return Err(Fault::Type),
            Data::I64(all) => all.iter().map(|one| ints.get(one).copied()).collect(),
            _ => numbers(x)?.into_iter().map(|one| ints.get(&(one as i64)).copied()).collect(),
        };
        let of_row = found.len().checked_div(*x.shape.first().unwrap_or(&1)).unwrap_or(1).max(1);
        let mut out = vec![0.0; values];
        for (at, found) in found.into_iter().enumerate() {
            match found {
                Some(category) => out[at * width + category] = 1.0,
                None if zeros => {}
                None => context.refuse(at / of_row, "unseen category"),
            }
        }
        Ok(vec![Tensor::f32(shape, out)])
    })
}

fn scale(node: &Node<'_>) -> Result<Compiled, Error> {
    let (offset, scale) = (node.floats("offset").to_vec(), node.floats("scale").to_vec());
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let columns = *x.shape.last().ok_or(Fault::Shape)?;
        let fits = |all: &[f32]| all.len() == 1 || all.len() == columns;
        if !fits(&offset) || !fits(&scale) {
            return Err(Fault::Shape);
        }
        let own = |all: &[f32], at: usize| if all.len() == 1 { all[0] } else { all[at % columns] };
        let out = match &x.data {
            Data::F64(all) => {
                let scaled =
                    |(at, x): (usize, &f64)| ((x - f64::from(own(&offset, at))) * f64::from(own(&scale, at))) as f32;
                all.iter().enumerate().map(scaled).collect()
            }
            _ => x.to_f32()?.iter().enumerate().map(|(at, x)| (x - own(&offset, at)) * own(&scale, at)).collect(),
        };
        Ok(vec![Tensor::f32(x.shape.clone(), out)])
    })
}
