//! Columns of numpy's arrays: read where they are, in pieces. The one place with `unsafe`.

#![expect(unsafe_code, reason = "numpy's memory is read where it is, and handed to Arrow without a copy")]

use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_schema::DataType;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::error::raise;

/// A column of numbers in an array of numpy.
pub(crate) struct Strided {
    first: *const u8,
    /// Bytes from one row to the next.
    step: isize,
    rows: usize,
    data_type: DataType,
    owner: Arc<Owner>,
}

/// Keeps the array alive.
struct Owner(#[expect(dead_code, reason = "held, not used")] Py<PyAny>);

/// It is never looked into.
impl std::panic::RefUnwindSafe for Owner {}

// SAFETY: the memory lives as long as `owner`, and is only read. Whoever writes to the array at the same time gets the
// numbers of one moment or another, as with numpy's own functions that release the interpreter's lock.
unsafe impl Send for Strided {}
// SAFETY: as above.
unsafe impl Sync for Strided {}

impl Strided {
    /// The columns of a table, or the one of a run of numbers.
    pub(crate) fn all(array: &Bound<'_, PyUntypedArray>) -> PyResult<(Vec<Strided>, usize)> {
        let data_type = data_type(array)?;
        let (rows, columns, step, aside) = match (array.shape(), array.strides()) {
            ([rows], [step]) => (*rows, 1, *step, 0),
            ([rows, columns], [step, aside]) => (*rows, *columns, *step, *aside),
            (shape, _) => return Err(raise(format!("the data have {} dimensions, not two", shape.len()))),
        };
        // SAFETY: the array is alive, and its header says where the first element is.
        let first = unsafe { (*array.as_array_ptr()).fields.data } as *const u8;
        let owner = Arc::new(Owner(array.clone().into_any().unbind()));
        let column = |number: usize| Strided {
            first: first.wrapping_offset(aside.wrapping_mul(number as isize)),
            step,
            rows,
            data_type: data_type.clone(),
            owner: owner.clone(),
        };
        Ok(((0..columns).map(column).collect(), rows))
    }

    pub(crate) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Rows from `from`, as many as there are up to `rows`.
    pub(crate) fn rows(&self, from: usize, rows: usize) -> ArrayRef {
        let from = from.min(self.rows);
        let rows = rows.min(self.rows.saturating_sub(from));
        match self.data_type {
            DataType::Float32 => self.numbers::<Float32Type>(from, rows),
            DataType::Int8 => self.numbers::<Int8Type>(from, rows),
            DataType::Int16 => self.numbers::<Int16Type>(from, rows),
            DataType::Int32 => self.numbers::<Int32Type>(from, rows),
            DataType::Int64 => self.numbers::<Int64Type>(from, rows),
            DataType::UInt8 => self.numbers::<UInt8Type>(from, rows),
            DataType::UInt16 => self.numbers::<UInt16Type>(from, rows),
            DataType::UInt32 => self.numbers::<UInt32Type>(from, rows),
            DataType::UInt64 => self.numbers::<UInt64Type>(from, rows),
            DataType::Boolean => {
                // SAFETY: as for `numbers`; numpy's truth values are bytes.
                let one = |row: usize| unsafe { self.at::<u8>(from.wrapping_add(row)) } != 0;
                Arc::new((0..rows).map(|row| Some(one(row))).collect::<BooleanArray>())
            }
            _ => self.numbers::<Float64Type>(from, rows),
        }
    }

    fn numbers<T: ArrowPrimitiveType>(&self, from: usize, rows: usize) -> ArrayRef {
        let size = size_of::<T::Native>();
        let first = self.first.wrapping_offset(self.step.wrapping_mul(from as isize));
        let together = self.step == size as isize && first.addr().is_multiple_of(align_of::<T::Native>());
        let values: ScalarBuffer<T::Native> = match NonNull::new(first.cast_mut()).filter(|_| together && rows > 0) {
            // SAFETY: `rows` numbers lie there one after the other, aligned, and live as long as their owner.
            Some(first) => unsafe {
                Buffer::from_custom_allocation(first, rows.saturating_mul(size), self.owner.clone()).into()
            },
            // SAFETY: the column has `self.rows` numbers of this type, each `step` bytes after the one before.
            None => (0..rows).map(|row| unsafe { self.at::<T::Native>(from.wrapping_add(row)) }).collect(),
        };
        Arc::new(PrimitiveArray::<T>::new(values, None))
    }

    /// # Safety
    /// The column has a value of this type in this row.
    unsafe fn at<T: Copy>(&self, row: usize) -> T {
        let place = self.first.wrapping_offset(self.step.wrapping_mul(row as isize));
        // SAFETY: said by the caller; it need not be aligned.
        unsafe { place.cast::<T>().read_unaligned() }
    }
}

/// Arrow's type for numpy's.
fn data_type(array: &Bound<'_, PyUntypedArray>) -> PyResult<DataType> {
    let given = array.dtype();
    let wrong = || {
        let name = given.str().map(|name| name.to_string()).unwrap_or_default();
        raise(format!("an array of numpy has the type {name}, but numbers and text are taken"))
    };
    if given.is_native_byteorder() == Some(false) {
        return Err(wrong());
    }
    Ok(match (given.kind(), given.itemsize()) {
        (b'f', 4) => DataType::Float32,
        (b'f', 8) => DataType::Float64,
        (b'i', 1) => DataType::Int8,
        (b'i', 2) => DataType::Int16,
        (b'i', 4) => DataType::Int32,
        (b'i', 8) => DataType::Int64,
        (b'u', 1) => DataType::UInt8,
        (b'u', 2) => DataType::UInt16,
        (b'u', 4) => DataType::UInt32,
        (b'u', 8) => DataType::UInt64,
        (b'b', 1) => DataType::Boolean,
        _ => return Err(wrong()),
    })
}
