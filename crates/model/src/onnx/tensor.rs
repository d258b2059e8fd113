//! Values between operators: tensors of a few types, and what bounds them.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "positions are of shapes that were counted"
)]

use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// The types that values have here. Whole numbers of any width are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F64,
    I64,
    Bool,
    Text,
}

impl Kind {
    /// By ONNX's number of it.
    pub(super) fn of(code: i64) -> Option<Kind> {
        match code {
            1 => Some(Kind::F32),
            11 => Some(Kind::F64),
            2..=7 | 12 => Some(Kind::I64),
            8 => Some(Kind::Text),
            9 => Some(Kind::Bool),
            _ => None,
        }
    }
}

/// The values of a tensor, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<Arc<str>>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

/// Why an operator cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An input is of a type that the operator does not take here.
    Type,
    /// Shapes do not fit.
    Shape,
    /// A position is outside of what it points into.
    Index,
    /// More values than are allowed.
    Size,
    /// An input is not there.
    Absent,
    /// A whole number is divided by zero.
    Zero,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Type => "an input is of a type that is not taken here",
            Fault::Shape => "the shapes of its inputs do not fit",
            Fault::Index => "a position is out of range",
            Fault::Size => "it makes more values than are allowed for a file of this size",
            Fault::Absent => "an input is missing",
            Fault::Zero => "a whole number is divided by zero",
        })
    }
}

/// How many values a shape has; `None` where no machine could hold them.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    let filled = shape.iter().try_fold(1usize, |all, size| all.checked_mul((*size).max(1)))?;
    Some(if shape.contains(&0) { 0 } else { filled })
}

/// Dimensions of a tensor: more are an attack.
pub(super) const RANK: usize = 8;

/// The state of one run over some rows.
#[derive(Debug)]
pub(super) struct Context {
    /// How many values may still be made.
    left: Cell<usize>,
    /// Rows that an operator would raise on, with the reason.
    pub(super) refused: RefCell<Vec<(usize, &'static str)>>,
}

impl Context {
    pub(super) fn new(left: usize) -> Self {
        Context { left: Cell::new(left), refused: RefCell::default() }
    }

    /// Counts values that are to be made.
    pub(super) fn charge(&self, values: usize) -> Result<(), Fault> {
        let left = self.left.get().checked_sub(values).ok_or(Fault::Size)?;
        self.left.set(left);
        Ok(())
    }

    /// Counts the values of a shape that is to be made; how many they are.
    pub(super) fn room(&self, shape: &[usize]) -> Result<usize, Fault> {
        if shape.len() > RANK {
            return Err(Fault::Shape);
        }
        let values = count(shape).ok_or(Fault::Size)?;
        // What is empty along one axis may still be long along another.
        let filled = shape.iter().try_fold(1usize, |all, size| all.checked_mul((*size).max(1))).ok_or(Fault::Size)?;
        self.charge(filled)?;
        Ok(values)
    }

    pub(super) fn refuse(&self, row: usize, reason: &'static str) {
        self.refused.borrow_mut().push((row, reason));
    }
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Data::F32(all) => all.len(),
            Data::F64(all) => all.len(),
            Data::I64(all) => all.len(),
            Data::Bool(all) => all.len(),
            Data::Text(all) => all.len(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Data::F32(_) => Kind::F32,
            Data::F64(_) => Kind::F64,
            Data::I64(_) => Kind::I64,
            Data::Bool(_) => Kind::Bool,
            Data::Text(_) => Kind::Text,
        }
    }

    /// The values at some places, in the order given; places are in range.
    pub(super) fn pick(&self, places: impl Iterator<Item = usize>) -> Data {
        match self {
            Data::F32(all) => Data::F32(places.map(|at| all[at]).collect()),
            Data::F64(all) => Data::F64(places.map(|at| all[at]).collect()),
            Data::I64(all) => Data::I64(places.map(|at| all[at]).collect()),
            Data::Bool(all) => Data::Bool(places.map(|at| all[at]).collect()),
            Data::Text(all) => Data::Text(places.map(|at| all[at].clone()).collect()),
        }
    }

    /// Appends values of the same type.
    pub(super) fn append(&mut self, other: &Data) -> Result<(), Fault> {
        match (self, other) {
            (Data::F32(all), Data::F32(more)) => all.extend_from_slice(more),
            (Data::F64(all), Data::F64(more)) => all.extend_from_slice(more),
            (Data::I64(all), Data::I64(more)) => all.extend_from_slice(more),
            (Data::Bool(all), Data::Bool(more)) => all.extend_from_slice(more),
            (Data::Text(all), Data::Text(more)) => all.extend_from_slice(more),
            _ => return Err(Fault::Type),
        }
        Ok(())
    }
}

impl Tensor {
    pub(super) fn f32(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Tensor { shape, data: Data::F32(values) }
    }

    pub(super) fn i64(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Tensor { shape, data: Data::I64(values) }
    }

    /// Rows and columns of what operators of `ai.onnx.ml` take: one dimension is one row.
    pub(super) fn rows_and_columns(&self) -> Result<(usize, usize), Fault> {
        match self.shape.as_slice() {
            [columns] => Ok((1, *columns)),
            [rows, columns] => Ok((*rows, *columns)),
            _ => Err(Fault::Shape),
        }
    }

    /// The numbers as float32.
    pub(super) fn to_f32(&self) -> Result<Vec<f32>, Fault> {
        Ok(match &self.data {
            Data::F32(all) => all.clone(),
            Data::F64(all) => all.iter().map(|one| *one as f32).collect(),
            Data::I64(all) => all.iter().map(|one| *one as f32).collect(),
            Data::Bool(all) => all.iter().map(|one| f32::from(u8::from(*one))).collect(),
            Data::Text(_) => return Err(Fault::Type),
        })
    }

    /// The whole numbers in it.
    pub(super) fn ints(&self) -> Result<&[i64], Fault> {
        match &self.data {
            Data::I64(all) => Ok(all),
            _ => Err(Fault::Type),
        }
    }

    /// The place of an axis that may be counted from the end.
    pub(super) fn axis(&self, axis: i64) -> Result<usize, Fault> {
        place(axis, self.shape.len())
    }

    /// Values before, along and after an axis.
    pub(super) fn around(&self, axis: usize) -> (usize, usize, usize) {
        let product = |part: &[usize]| part.iter().product::<usize>();
        (product(&self.shape[..axis]), self.shape[axis], product(&self.shape[axis + 1..]))
    }
}

/// A position that may be counted from the end.
pub(super) fn place(at: i64, count: usize) -> Result<usize, Fault> {
    let count = i64::try_from(count).map_err(|_| Fault::Size)?;
    let at = if at < 0 { at.saturating_add(count) } else { at };
    if (0..count).contains(&at) { Ok(at as usize) } else { Err(Fault::Index) }
}

/// The shape that two shapes have together.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Fault> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let both = |at| match (size(a, at), size(b, at)) {
        (a, b) if a == b => Ok(a),
        (1, b) => Ok(b),
        (a, 1) => Ok(a),
        _ => Err(Fault::Shape),
    };
    (0..rank).map(both).collect()
}

/// The places in a tensor of one shape that the values of a larger one come from, in the order of the larger one.
#[derive(Debug)]
pub(super) struct Places<'s> {
    shape: &'s [usize],
    steps: [usize; RANK],
    at: [usize; RANK],
    place: usize,
    left: usize,
}

impl<'s> Places<'s> {
    /// `shape` is what `from` was broadcast to.
    pub(super) fn new(from: &[usize], shape: &'s [usize]) -> Self {
        let mut strides = [0; RANK];
        let mut step = 1;
        for (at, size) in (0..shape.len()).rev().zip(from.iter().rev()) {
            strides[at] = if *size == 1 { 0 } else { step };
            step *= *size;
        }
        Places::stepping(shape, strides)
    }

    /// `steps` says how far one on along each axis is.
    pub(super) fn stepping(shape: &'s [usize], steps: [usize; RANK]) -> Self {
        let left = if shape.contains(&0) { 0 } else { shape.iter().product() };
        Places { shape, steps, at: [0; RANK], place: 0, left }
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        for axis in (0..self.shape.len()).rev() {
            self.at[axis] += 1;
            self.place += self.steps[axis];
            if self.at[axis] < self.shape[axis] {
                break;
            }
            self.place -= self.at[axis] * self.steps[axis];
            self.at[axis] = 0;
        }
        Some(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
