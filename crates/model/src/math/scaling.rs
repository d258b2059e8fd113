//! Columns that are centred and scaled, and products with them without a table in between.

#![allow(unsafe_code, reason = "the same code, compiled for other processors")]

use std::ops::{Div, Neg, Sub};

use crate::matrix::{Matrix, Real, read};

/// Rows whose values stay in a near cache, and that are read in one go.
const BLOCK: usize = 2048;

/// float32 or float64.
trait Number: Real + Sub<Output = Self> + Div<Output = Self> + Neg<Output = Self> + PartialOrd + Into<f64> {}

impl Number for f32 {}
impl Number for f64 {}

/// A function whose loops are compiled for wider registers too, where the processor has them. Nothing is rounded otherwise.
macro_rules! for_each_processor {
    ($(#[$doc:meta])* fn $name:ident<$t:ident: Number>($($arg:ident: $type:ty),*) -> $out:ty $body:block) => {
        $(#[$doc])*
        fn $name<$t: Number>($($arg: $type),*) -> $out {
            #[inline(always)]
            fn plain<$t: Number>($($arg: $type),*) -> $out $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
                fn avx512<$t: Number>($($arg: $type),*) -> $out {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2<$t: Number>($($arg: $type),*) -> $out {
                    plain($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the features are there.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature is there.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}

for_each_processor! {
    /// Centres and scales; false where a number is further from zero than `most`.
    fn scaled<T: Number>(values: &mut [T], mean: T, scale: T, most: T) -> bool {
        // Without a way out in the middle, which would keep it from vector code.
        let mut far = 0;
        for value in values {
            *value = (*value - mean) / scale;
            far |= u32::from(*value > most) | u32::from(*value < -most);
        }
        far == 0
    }
}

for_each_processor! {
    /// Adds a column's products with its weight.
    fn add<T: Number>(sums: &mut [f64], values: &[T], weight: f64) -> () {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += (*value).into() * weight;
        }
    }
}

/// What a `StandardScaler` does to each column.
#[derive(Debug)]
pub(crate) struct Scaling {
    pub(crate) mean: Option<Vec<f64>>,
    pub(crate) scale: Option<Vec<f64>>,
    /// Whether both are float32 where the numbers are.
    pub(crate) casts: bool,
}

impl Scaling {
    /// `scaled(x) · coefᵀ`, a column for each row of `coef`, and whether the scaled columns are float32: the bits that
    /// [`super::scores::products`] gives of the scaled table. `None` where a step would refuse a row, or where this is
    /// no shorter way.
    pub(crate) fn products(&self, x: &Matrix, coef: &[f64]) -> Option<(Vec<Vec<f64>>, bool)> {
        match x.is_narrow() {
            _ if x.is_half() => None,
            // One operation in float64 that is rounded is that operation in float32.
            true if self.casts => Some((self.products_in::<f32>(x, coef)?, true)),
            true => None,
            false => Some((self.products_in::<f64>(x, coef)?, false)),
        }
    }

    fn products_in<T: Number>(&self, x: &Matrix, coef: &[f64]) -> Option<Vec<Vec<f64>>> {
        let (rows, cols) = (x.rows(), x.cols());
        let mut products = vec![vec![0.0; rows]; coef.len().checked_div(cols)?];
        let mut block = [T::NAN; BLOCK];
        // A product that is infinite in float32 leaves no mark in a sum of float64: numbers near it take the long way.
        let largest = coef.iter().fold(0.0_f64, |largest, weight| largest.max(weight.abs()));
        let most =
            if size_of::<T>() == size_of::<f32>() { 0.999 * f64::from(f32::MAX) / largest } else { f64::INFINITY };
        let most = T::narrow(most);
        for from in (0..rows).step_by(BLOCK) {
            let range = from..rows.min(from + BLOCK);
            let values = &mut block[..range.len()];
            for col in 0..cols {
                match x {
                    Matrix::Frame(frame) if !read(&frame.columns[col], range.clone(), values) => return None,
                    Matrix::Frame(_) => {}
                    Matrix::Dense(dense) => {
                        let column = &dense.column(col)[range.clone()];
                        values.iter_mut().zip(column).for_each(|(to, from)| *to = T::narrow(*from));
                    }
                    Matrix::Csr(_) => return None,
                }
                // Zero taken away and a division by one change no number.
                let mean = T::narrow(self.mean.as_ref().map_or(0.0, |mean| mean[col]));
                let scale = T::narrow(self.scale.as_ref().map_or(1.0, |scale| scale[col]));
                if !scaled(values, mean, scale, most) {
                    return None;
                }
                for (product, coef) in products.iter_mut().zip(coef.chunks_exact(cols)) {
                    add(&mut product[range.clone()], values, coef[col]);
                }
            }
            // What is infinite or missing, or became so, leaves its mark in the sum.
            if !products.iter().flat_map(|product| &product[range.clone()]).all(|product| product.is_finite()) {
                return None;
            }
        }
        Some(products)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float32Array, Float64Array, Int32Array};

    use super::*;
    use crate::math::scores;
    use crate::matrix::{ArrayRule, Frame, round};

    /// The two steps one after the other.
    fn apart(scaling: &Scaling, x: &Matrix, coef: &[f64]) -> Vec<Vec<f64>> {
        let mut dense = x.clone().into_dense().unwrap();
        let narrow = dense.narrow;
        for col in 0..dense.cols {
            for value in dense.column_mut(col) {
                if let Some(mean) = &scaling.mean {
                    *value = round(*value - round(mean[col], narrow), narrow);
                }
                if let Some(scale) = &scaling.scale {
                    *value = round(*value / round(scale[col], narrow), narrow);
                }
            }
        }
        scores::products(&dense, coef)
    }

    #[test]
    fn products_have_the_bits_of_the_steps_apart() {
        let value = |at: usize| (at * 7919 % 1009) as f64 / 3.7 - 130.0;
        let rows = 2 * BLOCK + 77;
        let narrow = |col: usize| {
            Arc::new(Float32Array::from_iter_values((0..rows).map(|row| value(row + 31 * col) as f32))) as ArrayRef
        };
        let wide = Arc::new(Float64Array::from_iter_values((0..rows).map(value))) as ArrayRef;
        let whole = Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row as i32 % 50))) as ArrayRef;
        let coef = [0.1, -2.0 / 3.0, 0.0, 1e-3];
        for columns in [vec![narrow(0), narrow(1)], vec![narrow(0), wide], vec![whole, narrow(2)]] {
            let frame = Matrix::Frame(Frame { columns, rows, rule: ArrayRule::Common });
            let dense = Matrix::Dense(frame.clone().into_dense().unwrap());
            for (mean, scale) in [(true, true), (true, false), (false, true), (false, false)] {
                let scaling = Scaling {
                    mean: mean.then(|| vec![0.1, -7.3]),
                    scale: scale.then(|| vec![1.0 / 3.0, 19.7]),
                    casts: true,
                };
                let expected = apart(&scaling, &frame, &coef);
                for x in [&frame, &dense] {
                    assert_eq!(scaling.products(x, &coef), Some((expected.clone(), x.is_narrow())));
                }
            }
        }
    }

    #[test]
    fn what_a_step_would_refuse_takes_the_long_way() {
        let scaling = Scaling { mean: Some(vec![1.0]), scale: Some(vec![2.0]), casts: true };
        let products = |values: Vec<Option<f64>>, coef: f64| {
            let rows = values.len();
            let columns = vec![Arc::new(Float64Array::from(values)) as ArrayRef];
            scaling.products(&Matrix::Frame(Frame { columns, rows, rule: ArrayRule::Common }), &[coef])
        };
        assert_eq!(products(vec![Some(3.0)], 0.0), Some((vec![vec![0.0]], false)));
        for value in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
            assert_eq!(products(vec![Some(3.0), value], 0.0), None, "{value:?}");
        }
    }
}
