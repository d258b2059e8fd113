//! Readers that give numpy arrays in C order.

use std::borrow::Cow;

use crate::array::{Walk, count};
use crate::dtype::Kind;
use crate::{Array, Data, Dtype, Error, ErrorKind, View};

/// An array, or one field of an array of records, ready to read. All readers give C order (the last index fastest)
/// and charge what they give, so that a file cannot make a small array be read without end.
#[derive(Debug, Clone)]
pub struct ArrayView<'a> {
    view: View<'a>,
    array: &'a Array,
    dtype: &'a Dtype,
    offset: usize,
}

/// Collects numbers of one Rust type, whichever end comes first.
macro_rules! numbers {
    ($self:ident, $type:ty, $convert:expr) => {
        if $self.dtype.big_endian {
            $self.collect(|bytes| $convert(<$type>::from_be_bytes(bytes)))
        } else {
            $self.collect(|bytes| $convert(<$type>::from_le_bytes(bytes)))
        }
    };
}

impl<'a> ArrayView<'a> {
    pub(crate) fn new(view: View<'a>, array: &'a Array) -> Self {
        ArrayView { view, array, dtype: &array.dtype, offset: 0 }
    }

    /// The value that this array is, for its place.
    #[must_use]
    pub fn view(&self) -> &View<'a> {
        &self.view
    }

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
        count(&self.array.shape).unwrap_or(0)
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The dimensions of an array that must have `N` of them.
    ///
    /// # Errors
    /// The array has another number of dimensions.
    pub fn dims<const N: usize>(&self) -> Result<[usize; N], Error> {
        let dims = <[usize; N]>::try_from(self.array.shape.as_slice());
        dims.map_err(|_| self.view.expected(&format!("an array of {N} dimensions")))
    }

    /// One field of an array of records, as an array of the same shape.
    ///
    /// # Errors
    /// The array has no such field.
    pub fn field(&self, name: &str) -> Result<ArrayView<'a>, Error> {
        self.get_field(name).ok_or_else(|| self.view.error(ErrorKind::Missing(name.to_owned())))
    }

    /// The same, or `None` where there is no such field.
    #[must_use]
    pub fn get_field(&self, name: &str) -> Option<ArrayView<'a>> {
        let field = self.dtype.fields.iter().find(|field| field.name == name)?;
        let offset = self.offset.saturating_add(field.offset);
        Some(ArrayView { view: self.view.clone(), array: self.array, dtype: &field.dtype, offset })
    }

    fn wrong(&self, expected: &str) -> Error {
        if std::ptr::eq(self.dtype, &self.array.dtype) {
            return self.view.expected(expected);
        }
        let found = format!("a field of {}", self.dtype.code());
        self.view.error(ErrorKind::Type { expected: expected.to_owned(), found })
    }

    /// The bytes of each element in C order.
    fn each(&self, mut take: impl FnMut(&'a [u8])) {
        let Data::Bytes(blob) = self.array.data else { return };
        let data = self.view.document().bytes(blob);
        let stride = self.array.dtype.size;
        let field = self.offset..self.offset.saturating_add(self.dtype.size);
        if self.is_empty() || stride == 0 {
            return;
        }
        if self.array.fortran && self.array.shape.len() > 1 {
            for at in Walk::fortran(&self.array.shape) {
                let from = at.saturating_mul(stride);
                let element = data.get(from..).unwrap_or(&[]);
                take(element.get(field.clone()).unwrap_or(&[]));
            }
        } else {
            for element in data.chunks_exact(stride) {
                take(element.get(field.clone()).unwrap_or(&[]));
            }
        }
    }

    /// Elements of `N` bytes, each converted.
    fn collect<const N: usize, T>(&self, convert: impl Fn([u8; N]) -> T) -> Result<Vec<T>, Error> {
        self.view.charge_bytes(self.len().saturating_mul(size_of::<T>()))?;
        let mut out = Vec::with_capacity(self.len());
        self.each(|bytes| out.extend(bytes.first_chunk().copied().map(&convert)));
        if out.len() == self.len() { Ok(out) } else { Err(self.wrong("an array with data")) }
    }

    /// Numbers or bools of any width as float64. Integers beyond 2⁵³ are rounded.
    ///
    /// # Errors
    /// The elements are not numbers.
    pub fn f64s(&self) -> Result<Vec<f64>, Error> {
        match (self.dtype.kind, self.dtype.size) {
            (Kind::Float, 8) => numbers!(self, f64, |n: f64| n),
            (Kind::Float, 4) => numbers!(self, f32, f64::from),
            (Kind::Float, 2) => numbers!(self, u16, |half| f64::from(half_to_f32(half))),
            (Kind::Int, 8) => numbers!(self, i64, |n: i64| n as f64),
            (Kind::Int, 4) => numbers!(self, i32, f64::from),
            (Kind::Int, 2) => numbers!(self, i16, f64::from),
            (Kind::Int, 1) => numbers!(self, i8, f64::from),
            (Kind::Uint, 8) => numbers!(self, u64, |n: u64| n as f64),
            (Kind::Uint, 4) => numbers!(self, u32, f64::from),
            (Kind::Uint, 2) => numbers!(self, u16, f64::from),
            (Kind::Uint, 1) => numbers!(self, u8, f64::from),
            (Kind::Bool, 1) => numbers!(self, u8, |n: u8| f64::from(u8::from(n != 0))),
            _ => Err(self.wrong("an array of numbers")),
        }
    }

    /// float32 (or float16) as it is; other dtypes are refused, because the caller would lose bits unseen.
    ///
    /// # Errors
    /// The elements are not float32 or float16.
    pub fn f32s(&self) -> Result<Vec<f32>, Error> {
        match (self.dtype.kind, self.dtype.size) {
            (Kind::Float, 4) => numbers!(self, f32, |n: f32| n),
            (Kind::Float, 2) => numbers!(self, u16, half_to_f32),
            _ => Err(self.wrong("an array of float32")),
        }
    }

    /// Integers of any width, and bools.
    ///
    /// # Errors
    /// The elements are not integers, or one does not fit.
    pub fn i64s(&self) -> Result<Vec<i64>, Error> {
        match (self.dtype.kind, self.dtype.size) {
            (Kind::Int, 8) => numbers!(self, i64, |n: i64| n),
            (Kind::Int, 4) => numbers!(self, i32, i64::from),
            (Kind::Int, 2) => numbers!(self, i16, i64::from),
            (Kind::Int, 1) => numbers!(self, i8, i64::from),
            (Kind::Uint, 8) => {
                let fits: Option<Vec<i64>> = numbers!(self, u64, |n: u64| i64::try_from(n).ok())?.into_iter().collect();
                fits.ok_or_else(|| self.view.error(ErrorKind::Range("an integer of the array")))
            }
            (Kind::Uint, 4) => numbers!(self, u32, i64::from),
            (Kind::Uint, 2) => numbers!(self, u16, i64::from),
            (Kind::Uint, 1) => numbers!(self, u8, i64::from),
            (Kind::Bool, 1) => numbers!(self, u8, |n: u8| i64::from(n != 0)),
            _ => Err(self.wrong("an array of integers")),
        }
    }

    /// Integers that must not be negative.
    ///
    /// # Errors
    /// The elements are not integers, or one is negative.
    pub fn u64s(&self) -> Result<Vec<u64>, Error> {
        if (self.dtype.kind, self.dtype.size) == (Kind::Uint, 8) {
            return numbers!(self, u64, |n: u64| n);
        }
        let fits: Option<Vec<u64>> = self.i64s()?.into_iter().map(|n| u64::try_from(n).ok()).collect();
        fits.ok_or_else(|| self.view.error(ErrorKind::Range("an integer of the array")))
    }

    /// Bools; single bytes of 0 and 1 too, as records hold flags.
    ///
    /// # Errors
    /// The elements are not bools.
    pub fn bools(&self) -> Result<Vec<bool>, Error> {
        let flags = match (self.dtype.kind, self.dtype.size) {
            (Kind::Bool | Kind::Uint | Kind::Int, 1) => self.collect(|[byte]| (byte <= 1).then_some(byte == 1))?,
            _ => return Err(self.wrong("an array of bools")),
        };
        let flags: Option<Vec<bool>> = flags.into_iter().collect();
        flags.ok_or_else(|| self.view.error(ErrorKind::Range("a bool of the array")))
    }

    /// Texts of `U`, of `S` that is UTF-8, or of objects that are all texts.
    ///
    /// # Errors
    /// The elements are not texts.
    pub fn strings(&self) -> Result<Vec<Cow<'a, str>>, Error> {
        let wrong = || self.wrong("an array of texts");
        let mut out: Vec<Option<Cow<'a, str>>> = Vec::new();
        match self.dtype.kind {
            Kind::Object => return self.objects()?.iter().map(View::as_text).collect(),
            Kind::Bytes => {
                let each = size_of::<Cow<'a, str>>();
                self.view.charge_bytes(self.len().saturating_mul(each))?;
                self.each(|bytes| {
                    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
                    let text = bytes.get(..end).and_then(|text| std::str::from_utf8(text).ok());
                    out.push(text.map(Cow::Borrowed));
                });
            }
            Kind::Text => {
                let each = self.dtype.size.saturating_add(size_of::<Cow<'a, str>>());
                self.view.charge_bytes(self.len().saturating_mul(each))?;
                let big = self.dtype.big_endian;
                self.each(|bytes| out.push(ucs4(bytes, big).map(Cow::Owned)));
            }
            _ => return Err(wrong()),
        }
        out.into_iter().collect::<Option<Vec<_>>>().ok_or_else(wrong)
    }

    /// The values of an object array, in C order.
    ///
    /// # Errors
    /// It is not an array of objects.
    pub fn objects(&self) -> Result<Vec<View<'a>>, Error> {
        let Data::Objects(ids) = &self.array.data else {
            return Err(self.wrong("an array of objects"));
        };
        self.view.item_views(ids)
    }
}

/// UCS-4 padded with zeros; `None` where a character does not exist.
fn ucs4(bytes: &[u8], big: bool) -> Option<String> {
    let (chars, _) = bytes.as_chunks::<4>();
    let code = |four: &[u8; 4]| if big { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) };
    let len = chars.iter().rposition(|four| code(four) != 0).map_or(0, |last| last.saturating_add(1));
    chars.iter().take(len).map(|four| char::from_u32(code(four))).collect()
}

/// IEEE half precision, exactly.
fn half_to_f32(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(half & 0x3ff) / 1024.0;
    match half >> 10 & 0x1f {
        0 => sign * fraction * 2f32.powi(-14),
        0x1f if half & 0x3ff == 0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        exponent => sign * (1.0 + fraction) * 2f32.powi(i32::from(exponent).saturating_sub(15)),
    }
}
