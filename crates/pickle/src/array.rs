//! numpy arrays: a closed list of dtypes, checked sizes, and readers that give C order.

use std::borrow::Cow;

use crate::{Blob, Error, Id, View};

/// What one element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `?`
    Bool,
    /// `i1`, `i2`, `i4`, `i8`
    Int,
    /// `u1`, `u2`, `u4`, `u8`
    Uint,
    /// `f2`, `f4`, `f8`
    Float,
    /// `S`: bytes, padded with zeros.
    Bytes,
    /// `U`: UCS-4 text, padded with zeros.
    Text,
    /// `O`: any values.
    Object,
    /// Named fields at offsets.
    Record,
}

/// A numpy dtype of the closed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dtype {
    /// What one element is.
    pub kind: Kind,
    /// Bytes of one element.
    pub size: usize,
    /// Whether numbers and text are big-endian.
    pub big_endian: bool,
    /// The fields of a record, none overlapping; their dtypes are neither records nor objects.
    pub fields: Vec<Field>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where it starts in the record.
    pub offset: usize,
    /// What it is.
    pub dtype: Dtype,
}

/// A numpy array as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// The dtype.
    pub dtype: Dtype,
    /// The dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// Whether the first index runs fastest.
    pub fortran: bool,
    /// The elements.
    pub data: Data,
}

/// The elements of an array, in the array's own order.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `dtype.size` × the product of the shape, exactly.
    Bytes(Blob),
    /// One value an element.
    Objects(Box<[Id]>),
}

/// An array, or one field of an array of records, ready to read. All readers give C order (the last index fastest)
/// and charge what they give, so that a file cannot make a small array be read without end.
#[derive(Debug, Clone)]
pub struct ArrayView<'a> {
    pub(crate) view: View<'a>,
    pub(crate) array: &'a Array,
    pub(crate) dtype: &'a Dtype,
    pub(crate) offset: usize,
}

impl<'a> ArrayView<'a> {
    /// The dtype of the array or field.
    #[must_use]
    pub fn dtype(&self) -> &'a Dtype {
        self.dtype
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &'a [usize] {
        &self.array.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array, which must have `N` dimensions.
    ///
    /// # Errors
    /// The array has another number of dimensions.
    pub fn dims<const N: usize>(&self) -> Result<[usize; N], Error> {
        todo!()
    }

    /// One field of an array of records, as an array of the same shape.
    ///
    /// # Errors
    /// The array has no such field.
    pub fn field(&self, name: &str) -> Result<ArrayView<'a>, Error> {
        let _ = name;
        todo!()
    }

    /// The same, or nothing where there is no such field.
    #[must_use]
    pub fn get_field(&self, name: &str) -> Option<ArrayView<'a>> {
        let _ = name;
        todo!()
    }

    /// Numbers or bools of any width as float64; object arrays of Python numbers too (`None` is refused).
    ///
    /// # Errors
    /// The elements are not numbers.
    pub fn f64s(&self) -> Result<Vec<f64>, Error> {
        todo!()
    }

    /// float32 (or float16) as it is; other dtypes are refused, because the caller would lose bits unseen.
    ///
    /// # Errors
    /// The elements are not float32 or float16.
    pub fn f32s(&self) -> Result<Vec<f32>, Error> {
        todo!()
    }

    /// Integers of any width, and bools; object arrays of Python integers too.
    ///
    /// # Errors
    /// The elements are not integers, or one does not fit.
    pub fn i64s(&self) -> Result<Vec<i64>, Error> {
        todo!()
    }

    /// Integers that must not be negative.
    ///
    /// # Errors
    /// The elements are not integers, or one is negative.
    pub fn u64s(&self) -> Result<Vec<u64>, Error> {
        todo!()
    }

    /// Bools; integers and bytes of 0 and 1 too.
    ///
    /// # Errors
    /// The elements are not bools.
    pub fn bools(&self) -> Result<Vec<bool>, Error> {
        todo!()
    }

    /// Texts of `U`, of `S` that is UTF-8, or of objects that are all texts.
    ///
    /// # Errors
    /// The elements are not texts.
    pub fn strings(&self) -> Result<Vec<Cow<'a, str>>, Error> {
        todo!()
    }

    /// The values of an object array, in C order.
    ///
    /// # Errors
    /// It is not an array of objects.
    pub fn objects(&self) -> Result<Vec<View<'a>>, Error> {
        todo!()
    }
}
