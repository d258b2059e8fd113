//! numpy arrays as files hold them.

use crate::wide::wide;
use crate::{Blob, Dtype, Id};

/// A numpy array as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The dtype.
    pub dtype: Dtype,
    /// The dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Whether the first index runs fastest in the bytes.
    pub fortran: bool,
    /// The elements.
    pub data: Data,
}

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `dtype.size` × the product of the shape, exactly; in the array's own order.
    Bytes(Blob),
    /// One value an element; always in C order, as numpy writes them.
    Objects(Box<[Id]>),
}

/// The number of elements; `None` where their product overflows, dimensions of 0 left out.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    let all = shape.iter().filter(|size| **size > 0).try_fold(1usize, |product, size| product.checked_mul(*size))?;
    if shape.contains(&0) { Some(0) } else { Some(all) }
}

/// Where the elements stand, in C order of `shape`, when one step along an axis is its stride.
pub(crate) struct Walk<'s> {
    shape: &'s [usize],
    strides: Vec<usize>,
    index: Vec<usize>,
    at: usize,
    left: usize,
}

impl<'s> Walk<'s> {
    pub(crate) fn new(shape: &'s [usize], strides: Vec<usize>) -> Self {
        Walk { shape, strides, index: vec![0; shape.len()], at: 0, left: count(shape).unwrap_or(0) }
    }

    pub(crate) fn fortran(shape: &'s [usize]) -> Self {
        let step = |stride: &mut usize, size: &usize| {
            let this = *stride;
            *stride = stride.saturating_mul(*size);
            Some(this)
        };
        Walk::new(shape, shape.iter().scan(1, step).collect())
    }
}

impl Iterator for Walk<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let here = self.at;
        for ((index, size), stride) in self.index.iter_mut().zip(self.shape).zip(&self.strides).rev() {
            *index = index.saturating_add(1);
            self.at = self.at.saturating_add(*stride);
            if *index < *size {
                break;
            }
            *index = 0;
            self.at = self.at.saturating_sub(stride.saturating_mul(*size));
        }
        Some(here)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The bytes of an array with its axes in another order, both in C order.
pub(crate) fn transpose(bytes: &[u8], size: usize, shape: &[usize], axes: &[usize]) -> Vec<u8> {
    let turned: Vec<usize> = axes.iter().filter_map(|axis| shape.get(*axis).copied()).collect();
    let stride =
        |axis: &usize| shape.iter().skip(axis.saturating_add(1)).fold(1, |all: usize, size| all.saturating_mul(*size));
    let walk = Walk::new(&turned, axes.iter().map(stride).collect());
    let mut out = Vec::with_capacity(bytes.len());
    for at in walk {
        let from = at.saturating_mul(size);
        out.extend_from_slice(bytes.get(from..from.saturating_add(size)).unwrap_or(&[]));
    }
    out
}

/// What an array is, for messages.
pub(crate) fn describe(array: &Array) -> String {
    let dtype = array.dtype.code();
    if array.shape.is_empty() {
        return format!("a numpy scalar of {dtype}");
    }
    let mut shape: Vec<String> = array.shape.iter().take(8).map(|size| wide(*size).to_string()).collect();
    if array.shape.len() > 8 {
        shape.push("…".to_owned());
    }
    format!("an array of {dtype} with shape ({})", shape.join(", "))
}
