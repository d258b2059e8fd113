//! Numbers, texts and bytes of a value, and the arrays of numpy.

use std::borrow::Cow;

use crate::dtype::Kind;
use crate::{ArrayView, Error, ErrorKind, Value, View, literal};

impl<'a> View<'a> {
    /// The only element of a numpy scalar, by one of the readers of arrays.
    fn scalar<T>(&self, read: impl Fn(&ArrayView<'a>) -> Result<Vec<T>, Error>) -> Option<T> {
        let scalar = is_scalar(self.value()).then(|| self.array().ok())??;
        read(&scalar).ok()?.pop()
    }

    /// A bool (or a numpy bool).
    ///
    /// # Errors
    /// It is something else.
    pub fn as_bool(&self) -> Result<bool, Error> {
        match self.value() {
            Value::Bool(value) => Ok(*value),
            _ => self.scalar(ArrayView::bools).ok_or_else(|| self.expected("a bool")),
        }
    }

    /// An integer (or a bool, or a numpy integer scalar).
    ///
    /// # Errors
    /// It is something else, or does not fit.
    pub fn as_i64(&self) -> Result<i64, Error> {
        match self.value() {
            Value::Int(value) => Ok(*value),
            Value::Bool(value) => Ok(i64::from(*value)),
            Value::Long(_) => Err(self.error(ErrorKind::Range("the integer"))),
            _ => self.scalar(ArrayView::i64s).ok_or_else(|| self.expected("an integer")),
        }
    }

    /// An integer that is not negative.
    ///
    /// # Errors
    /// It is something else, or does not fit.
    pub fn as_u64(&self) -> Result<u64, Error> {
        let range = || self.error(ErrorKind::Range("the integer"));
        match self.value() {
            Value::Long(blob) => literal::unsigned(self.document().bytes(*blob)).ok_or_else(range),
            Value::Array(_) => self.scalar(ArrayView::u64s).ok_or_else(|| self.expected("an integer")),
            _ => u64::try_from(self.as_i64()?).map_err(|_| range()),
        }
    }

    /// A count: an integer that is not negative.
    ///
    /// # Errors
    /// It is something else, or does not fit.
    pub fn as_usize(&self) -> Result<usize, Error> {
        usize::try_from(self.as_u64()?).map_err(|_| self.error(ErrorKind::Range("the integer")))
    }

    /// A number: float, integer, bool, or a numpy scalar of these.
    ///
    /// # Errors
    /// It is something else.
    pub fn as_f64(&self) -> Result<f64, Error> {
        match self.value() {
            Value::Float(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            Value::Bool(value) => Ok(f64::from(u8::from(*value))),
            Value::Long(blob) => Ok(literal::float(self.document().bytes(*blob))),
            _ => self.scalar(ArrayView::f64s).ok_or_else(|| self.expected("a number")),
        }
    }

    /// Text. For texts that numpy may have wrapped see [`View::as_text`].
    ///
    /// # Errors
    /// It is something else.
    pub fn as_str(&self) -> Result<&'a str, Error> {
        match self.value() {
            Value::Str(blob) | Value::OldStr(blob) => std::str::from_utf8(self.document().bytes(*blob)).ok(),
            _ => None,
        }
        .ok_or_else(|| self.expected("a text"))
    }

    /// Text or a numpy text scalar.
    ///
    /// # Errors
    /// It is something else.
    pub fn as_text(&self) -> Result<Cow<'a, str>, Error> {
        let textual = |view: &ArrayView<'a>| match view.dtype().kind {
            Kind::Text | Kind::Bytes => view.strings(),
            _ => Err(self.expected("a text")),
        };
        self.as_str().map(Cow::Borrowed).or_else(|wrong| self.scalar(textual).ok_or(wrong))
    }

    /// Bytes: `bytes`, `bytearray`, `str` of Python 2.
    ///
    /// # Errors
    /// It is something else.
    pub fn as_bytes(&self) -> Result<&'a [u8], Error> {
        match self.value() {
            Value::Bytes(blob) | Value::ByteArray(blob) | Value::OldStr(blob) => Ok(self.document().bytes(*blob)),
            _ => Err(self.expected("bytes")),
        }
    }

    /// An array or numpy scalar.
    ///
    /// # Errors
    /// It is something else.
    pub fn array(&self) -> Result<ArrayView<'a>, Error> {
        match self.value() {
            Value::Array(array) => Ok(ArrayView::new(self.clone(), array)),
            _ => Err(self.expected("an array")),
        }
    }
}

/// Whether a value is an array without dimensions: a numpy scalar.
fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Array(array) if array.shape.is_empty())
}
