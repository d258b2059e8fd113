//! What goes from step to step: columns as they came, a dense table, or a sparse one, as scikit-learn would pass it.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "positions are of tables of known sizes")]

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array};
use arrow_schema::DataType;

/// A table on its way through the steps.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// Columns of their own types, as a pandas DataFrame.
    Frame(Frame),
    /// Numbers, all there.
    Dense(Dense),
    /// Numbers of which only some are stored. What is absent is 0 to scikit-learn and missing to XGBoost.
    Csr(Csr),
}

#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
    pub(crate) rule: ArrayRule,
}

/// Which type the library gives to an array that it makes of a DataFrame's columns, some of them float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ArrayRule {
    /// float64: scikit-learn before 0.22 does not look at the columns.
    Float64,
    /// float32 where all columns are float32 or smaller integers: bools become objects before scikit-learn 1.1.
    Numbers,
    /// The same, and bools count as the smallest of integers, as numpy has it.
    #[default]
    Common,
    /// Columns of float16, which float64 holds here: a function made them of bools or of whole numbers of 8 bits.
    Half,
}

impl ArrayRule {
    /// The rule of a version of scikit-learn; where a file names none, that of today.
    pub(crate) fn of(version: Option<(u32, u32)>) -> Self {
        match version {
            Some(version) if version < (0, 22) => ArrayRule::Float64,
            Some(version) if version < (1, 1) => ArrayRule::Numbers,
            _ => ArrayRule::Common,
        }
    }
}

/// Column-major float64. `narrow` says that the library would hold float32: the values are rounded to it already, and
/// arithmetic on them must round likewise.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    pub(crate) data: Vec<f64>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) narrow: bool,
}

/// Compressed sparse rows; explicit zeros stay.
#[derive(Debug, Clone)]
pub(crate) struct Csr {
    /// `rows + 1` positions in `indices` and `data`.
    pub(crate) starts: Vec<usize>,
    pub(crate) indices: Vec<u32>,
    pub(crate) data: Vec<f64>,
    pub(crate) cols: usize,
    pub(crate) narrow: bool,
}

/// What a float32 holds of a value, where the library computes in float32: one operation in float64 rounded so is that
/// operation in float32.
pub(crate) fn round(value: f64, narrow: bool) -> f64 {
    if narrow { f64::from(value as f32) } else { value }
}

/// What a float16 holds of a number.
pub(crate) fn half(x: f64) -> f64 {
    if !x.is_finite() || x == 0.0 {
        return x;
    }
    let order = x.abs().log2().floor().max(-14.0);
    let step = (order - 10.0).exp2();
    let rounded = (x / step).round_ties_even() * step;
    if rounded.abs() >= 65_520.0 { f64::INFINITY.copysign(x) } else { rounded }
}

impl Frame {
    /// Whether an array made of it is one of bools, of integers of up to 16 bits, or of float16.
    pub(crate) fn is_small(&self) -> bool {
        let all = |small: fn(&DataType) -> bool| self.columns.iter().all(|array| small(array.data_type()));
        self.rule == ArrayRule::Half
            || all(|kind| kind == &DataType::Boolean)
            || all(|kind| matches!(kind, DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16))
    }

    /// Whether it has bools and others: numpy makes objects of these.
    pub(crate) fn has_some_bools(&self) -> bool {
        let is_bool = |array: &ArrayRef| array.data_type() == &DataType::Boolean;
        self.columns.iter().any(is_bool) && !self.columns.iter().all(is_bool)
    }

    /// The type of an array made of it, where all columns are whole numbers or all are bools: the narrowest that holds
    /// what any of theirs does. `None` where numpy makes floats or objects of them.
    pub(crate) fn whole_type(&self) -> Option<DataType> {
        let bits = |array: &ArrayRef| array.data_type().primitive_width().unwrap_or(8) * 8;
        let kinds = || self.columns.iter().map(|array| array.data_type());
        if kinds().all(|kind| kind == &DataType::Boolean) {
            return Some(DataType::Boolean);
        }
        if !kinds().all(DataType::is_integer) {
            return None;
        }
        let widest = |signed: bool| {
            let of_sign = |array: &&ArrayRef| array.data_type().is_signed_integer() == signed;
            self.columns.iter().filter(of_sign).map(bits).max()
        };
        let signed = match (widest(true), widest(false)) {
            (None, Some(8)) => return Some(DataType::UInt8),
            (None, Some(16)) => return Some(DataType::UInt16),
            (None, Some(32)) => return Some(DataType::UInt32),
            (None, _) => return Some(DataType::UInt64),
            (Some(signed), unsigned) => signed.max(unsigned.unwrap_or(0) * 2),
        };
        match signed {
            8 => Some(DataType::Int8),
            16 => Some(DataType::Int16),
            32 => Some(DataType::Int32),
            64 => Some(DataType::Int64),
            _ => None,
        }
    }

    /// At most `count` rows from `first` on.
    pub(crate) fn slice(&self, first: usize, count: usize) -> Frame {
        let rows = count.min(self.rows - first);
        let columns = self.columns.iter().map(|column| column.slice(first, rows)).collect();
        Frame { columns, rows, rule: self.rule }
    }

    /// Whether an array made of it is float32.
    fn is_narrow(&self) -> bool {
        let holds = |array: &ArrayRef| match array.data_type() {
            DataType::Float32 | DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => true,
            DataType::Boolean => self.rule == ArrayRule::Common,
            _ => false,
        };
        let has = self.columns.iter().any(|array| array.data_type() == &DataType::Float32);
        self.rule != ArrayRule::Float64 && has && self.columns.iter().all(holds)
    }
}

impl Dense {
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        Dense { data: vec![0.0; rows * cols], rows, cols, narrow: false }
    }

    pub(crate) fn column(&self, col: usize) -> &[f64] {
        &self.data[col * self.rows..(col + 1) * self.rows]
    }

    pub(crate) fn column_mut(&mut self, col: usize) -> &mut [f64] {
        &mut self.data[col * self.rows..(col + 1) * self.rows]
    }
}

impl Csr {
    /// A table of no rows yet; each is added by its entries and [`Csr::end_row`].
    pub(crate) fn empty(cols: usize, rows: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Csr { starts, indices: Vec::new(), data: Vec::new(), cols, narrow: false }
    }

    pub(crate) fn push(&mut self, col: u32, value: f64) {
        self.indices.push(col);
        self.data.push(value);
    }

    pub(crate) fn end_row(&mut self) {
        self.starts.push(self.indices.len());
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The stored entries of one row.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.starts[row]..self.starts[row + 1];
        self.indices[range.clone()].iter().copied().zip(self.data[range].iter().copied())
    }

    pub(crate) fn to_dense(&self) -> Dense {
        let mut dense = Dense::zeros(self.rows(), self.cols);
        dense.narrow = self.narrow;
        for row in 0..self.rows() {
            for (col, value) in self.row(row) {
                dense.data[col as usize * dense.rows + row] += value;
            }
        }
        dense
    }
}

impl Matrix {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Matrix::Frame(frame) => frame.rows,
            Matrix::Dense(dense) => dense.rows,
            Matrix::Csr(csr) => csr.rows(),
        }
    }

    pub(crate) fn cols(&self) -> usize {
        match self {
            Matrix::Frame(frame) => frame.columns.len(),
            Matrix::Dense(dense) => dense.cols,
            Matrix::Csr(csr) => csr.cols,
        }
    }

    /// Some columns, in the order given. Indices were checked when the model was loaded.
    pub(crate) fn select(&self, picked: &[usize]) -> Matrix {
        match self {
            Matrix::Frame(frame) => {
                let columns = picked.iter().map(|&col| frame.columns[col].clone()).collect();
                Matrix::Frame(Frame { columns, rows: frame.rows, rule: frame.rule })
            }
            Matrix::Dense(dense) => {
                let mut data = Vec::with_capacity(picked.len() * dense.rows);
                picked.iter().for_each(|&col| data.extend_from_slice(dense.column(col)));
                Matrix::Dense(Dense { data, cols: picked.len(), ..*dense })
            }
            Matrix::Csr(csr) => {
                let mut places = vec![Vec::new(); csr.cols];
                picked.iter().enumerate().for_each(|(to, &from)| places[from].push(to as u32));
                let mut out = Csr {
                    starts: Vec::with_capacity(csr.starts.len()),
                    indices: Vec::new(),
                    data: Vec::new(),
                    cols: picked.len(),
                    narrow: csr.narrow,
                };
                out.starts.push(0);
                for row in 0..csr.rows() {
                    let start = out.indices.len();
                    let mut entries: Vec<(u32, f64)> = csr
                        .row(row)
                        .flat_map(|(col, value)| places[col as usize].iter().map(move |&to| (to, value)))
                        .collect();
                    entries.sort_by_key(|entry| entry.0);
                    out.indices.extend(entries.iter().map(|entry| entry.0));
                    out.data.extend(entries.iter().map(|entry| entry.1));
                    debug_assert!(start <= out.indices.len());
                    out.starts.push(out.indices.len());
                }
                Matrix::Csr(out)
            }
        }
    }

    /// Some columns of the array that the library makes of the table first: in the type that all of its columns share.
    pub(crate) fn select_of_array(&self, picked: &[usize]) -> Matrix {
        if let Matrix::Frame(frame) = self {
            let is_single = |array: &ArrayRef| array.data_type() == &DataType::Float32;
            if frame.columns.iter().any(is_single)
                && !frame.columns.iter().all(is_single)
                && let Ok(dense) = self.clone().into_dense()
            {
                return Matrix::Dense(dense).select(picked);
            }
        }
        self.select(picked)
    }

    /// Numbers that the library would hold as float16.
    pub(crate) fn of_halves(dense: &Dense) -> Matrix {
        let column = |col| Arc::new(Float64Array::from(dense.column(col).to_vec())) as ArrayRef;
        let columns = (0..dense.cols).map(column).collect();
        Matrix::Frame(Frame { columns, rows: dense.rows, rule: ArrayRule::Half })
    }

    /// Whether the library would hold float16.
    pub(crate) fn is_half(&self) -> bool {
        matches!(self, Matrix::Frame(frame) if frame.rule == ArrayRule::Half)
    }

    /// Whether the library would hold float32.
    pub(crate) fn is_narrow(&self) -> bool {
        match self {
            Matrix::Frame(frame) => frame.is_narrow(),
            Matrix::Dense(dense) => dense.narrow,
            Matrix::Csr(csr) => csr.narrow,
        }
    }

    /// The same to a step that takes numbers in the type that they have.
    pub(crate) fn typed(self) -> Matrix {
        match self {
            Matrix::Frame(frame) if frame.rule == ArrayRule::Float64 => {
                Matrix::Frame(Frame { rule: ArrayRule::Numbers, ..frame })
            }
            other => other,
        }
    }

    /// The same numbers as float32 holds them.
    pub(crate) fn narrowed(self) -> Matrix {
        match self {
            Matrix::Csr(mut csr) => {
                csr.data.iter_mut().for_each(|value| *value = round(*value, true));
                csr.narrow = true;
                Matrix::Csr(csr)
            }
            other => {
                let (rows, cols) = (other.rows(), other.cols());
                let mut dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                dense.data.iter_mut().for_each(|value| *value = round(*value, true));
                dense.narrow = true;
                Matrix::Dense(dense)
            }
        }
    }

    /// One column as float64, NULL as NaN; `None` where it is not a number.
    pub(crate) fn numbers(&self, col: usize) -> Option<Vec<f64>> {
        let mut out = vec![0.0; self.rows()];
        match self {
            Matrix::Frame(frame) => read(&frame.columns[col], 0..frame.rows, &mut out).then_some(out),
            Matrix::Dense(dense) => {
                out.copy_from_slice(dense.column(col));
                Some(out)
            }
            Matrix::Csr(csr) => {
                for (row, value) in out.iter_mut().enumerate() {
                    if let Some((_, stored)) = csr.row(row).find(|entry| entry.0 as usize == col) {
                        *value = stored;
                    }
                }
                Some(out)
            }
        }
    }

    /// All columns as one dense table of numbers, or the first column that is not a number.
    pub(crate) fn into_dense(self) -> Result<Dense, usize> {
        match self {
            Matrix::Dense(dense) => Ok(dense),
            Matrix::Csr(csr) => Ok(csr.to_dense()),
            Matrix::Frame(frame) => {
                let mut dense = Dense::zeros(frame.rows, frame.columns.len());
                dense.narrow = frame.is_narrow();
                for (col, array) in frame.columns.iter().enumerate() {
                    if !read(array, 0..frame.rows, dense.column_mut(col)) {
                        return Err(col);
                    }
                }
                Ok(dense)
            }
        }
    }
}

/// A number that trees compare: float32 (scikit-learn's trees, XGBoost) or float64 (LightGBM, histogram boosting).
pub(crate) trait Real: Copy + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    const NAN: Self;
    const NAME: &'static str;
    fn narrow(value: f64) -> Self;
    fn from_i64(value: i64) -> Self;
    fn from_u64(value: u64) -> Self;
    fn is_nan(self) -> bool;
}

macro_rules! real {
    ($t:ty, $name:literal) => {
        impl Real for $t {
            const NAN: Self = <$t>::NAN;
            const NAME: &'static str = $name;
            fn narrow(value: f64) -> Self {
                value as $t
            }
            fn from_i64(value: i64) -> Self {
                value as $t
            }
            fn from_u64(value: u64) -> Self {
                value as $t
            }
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }
    };
}
real!(f32, "f32");
real!(f64, "f64");

fn fill<P: ArrowPrimitiveType, T: Real>(
    array: &ArrayRef,
    rows: Range<usize>,
    out: &mut [T],
    convert: impl Fn(P::Native) -> T,
) {
    let array = array.as_primitive::<P>();
    let values = &array.values()[rows.clone()];
    for (to, &from) in out.iter_mut().zip(values) {
        *to = convert(from);
    }
    if array.null_count() > 0 {
        for (to, row) in out.iter_mut().zip(rows) {
            if array.is_null(row) {
                *to = T::NAN;
            }
        }
    }
}

/// The float that is nearest to a decimal, as Python's `float(Decimal)` gives it.
fn nearest(number: i128, scale: i8) -> f64 {
    /// Floats hold whole numbers up to here, and powers of ten up to this one: then one division rounds once.
    const WHOLE: u128 = 1 << f64::MANTISSA_DIGITS;
    const POWER: i8 = 22;
    if number.unsigned_abs() <= WHOLE && (0..=POWER).contains(&scale) {
        return number as f64 / 10f64.powi(i32::from(scale));
    }
    format!("{number}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN)
}

/// Reads rows of a column as numbers, NULL as NaN; false where the column's type is not a number.
pub(crate) fn read<T: Real>(array: &ArrayRef, rows: Range<usize>, out: &mut [T]) -> bool {
    let signed = |value: i64| T::from_i64(value);
    let unsigned = |value: u64| T::from_u64(value);
    let scaled = |scale: i8| move |value: i128| T::narrow(nearest(value, scale));
    match array.data_type() {
        DataType::Int8 => fill::<Int8Type, T>(array, rows, out, |v| signed(v.into())),
        DataType::Int16 => fill::<Int16Type, T>(array, rows, out, |v| signed(v.into())),
        DataType::Int32 => fill::<Int32Type, T>(array, rows, out, |v| signed(v.into())),
        DataType::Int64 => fill::<Int64Type, T>(array, rows, out, signed),
        DataType::UInt8 => fill::<UInt8Type, T>(array, rows, out, |v| unsigned(v.into())),
        DataType::UInt16 => fill::<UInt16Type, T>(array, rows, out, |v| unsigned(v.into())),
        DataType::UInt32 => fill::<UInt32Type, T>(array, rows, out, |v| unsigned(v.into())),
        DataType::UInt64 => fill::<UInt64Type, T>(array, rows, out, unsigned),
        DataType::Float32 => fill::<Float32Type, T>(array, rows, out, |v| T::narrow(v.into())),
        DataType::Float64 => fill::<Float64Type, T>(array, rows, out, T::narrow),
        DataType::Decimal32(_, scale) => {
            let scaled = scaled(*scale);
            fill::<Decimal32Type, T>(array, rows, out, |v| scaled(v.into()));
        }
        DataType::Decimal64(_, scale) => {
            let scaled = scaled(*scale);
            fill::<Decimal64Type, T>(array, rows, out, |v| scaled(v.into()));
        }
        DataType::Decimal128(_, scale) => {
            let scaled = scaled(*scale);
            fill::<Decimal128Type, T>(array, rows, out, scaled);
        }
        DataType::Boolean => {
            let array = array.as_boolean();
            for (to, row) in out.iter_mut().zip(rows) {
                *to = if array.is_null(row) { T::NAN } else { T::from_u64(array.value(row).into()) };
            }
        }
        DataType::Null => out[..rows.len()].fill(T::NAN),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_their_nearest_floats() {
        // As whole numbers of more than 53 bits, divided, some would be a neighbour.
        for (number, scale, text) in [
            (644_461_693_100_611_747_i128, 9, "644461693.100611747"),
            (12_345_678_901_234_567_890_123_456_789, 9, "12345678901234567890.123456789"),
            (1250, 2, "12.5"),
            (-1, 38, "-1e-38"),
            (7, -2, "700"),
        ] {
            assert_eq!(nearest(number, scale), text.parse::<f64>().unwrap(), "{text}");
        }
    }
}
