//! The values of a file: one arena, shared by id, without recursion.

use std::fmt;

use crate::{Array, Blob, Dtype, Id, array};

/// A listed name that a file refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// As the file writes it.
    pub module: String,
    /// As the file writes it.
    pub name: String,
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// One inert value. Values refer to each other by [`Id`]; several may refer to the same one, and a hostile file may
/// close circles: walk them with [`View`](crate::View), which ends on both.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// A larger one: little-endian two's complement.
    Long(Blob),
    /// A float.
    Float(f64),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// Text, valid UTF-8.
    Str(Blob),
    /// `bytes`.
    Bytes(Blob),
    /// `str` of Python 2, which may be text or bytes: [`View::as_str`](crate::View::as_str) and [`View::as_bytes`](crate::View::as_bytes) both read it.
    OldStr(Blob),
    /// `bytearray`.
    ByteArray(Blob),
    /// `slice(start, stop, step)`.
    Slice([Id; 3]),
    /// A tuple.
    Tuple(Box<[Id]>),
    /// A list.
    List(Vec<Id>),
    /// A dict, `OrderedDict` or `defaultdict` in the order of the file; of a key written twice the last one holds.
    Dict(Vec<(Id, Id)>),
    /// A set.
    Set(Vec<Id>),
    /// A frozenset.
    FrozenSet(Box<[Id]>),
    /// A listed name: an index for [`Document::global`](crate::Document::global).
    Global(u32),
    /// A numpy dtype.
    Dtype(Box<Dtype>),
    /// A numpy array; a numpy scalar is one without dimensions.
    Array(Box<Array>),
    /// What a listed class or function made.
    Object(Box<Object>),
}

/// What a listed class or function made: it was never run, only written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The class or function: an index for [`Document::global`](crate::Document::global).
    pub class: u32,
    /// Positional arguments of the call: a tuple.
    pub args: Box<[Id]>,
    /// Keyword arguments: a dict (`NEWOBJ_EX`).
    pub kwargs: Option<Id>,
    /// What `BUILD` brought.
    pub state: Option<Id>,
    /// What `APPEND` and `APPENDS` brought.
    pub items: Vec<Id>,
    /// What `SETITEM` and `SETITEMS` brought.
    pub pairs: Vec<(Id, Id)>,
}

/// The bytes of a blob: in the file, or behind it in what was decoded.
pub(crate) fn piece<'b>(data: &'b [u8], decoded: &'b [u8], blob: Blob) -> &'b [u8] {
    let from = usize::try_from(blob.start).unwrap_or(usize::MAX);
    let len = usize::try_from(blob.len).unwrap_or(usize::MAX);
    let (buffer, from) = match from.checked_sub(data.len()) {
        Some(from) => (decoded, from),
        None => (data, from),
    };
    from.checked_add(len).and_then(|to| buffer.get(from..to)).unwrap_or(&[])
}

/// What a value is, with its article.
pub(crate) fn describe<'g>(value: &Value, global: impl Fn(u32) -> Option<&'g Global>) -> String {
    let named = |index| global(index).map(ToString::to_string).unwrap_or_default();
    match value {
        Value::None => "None".to_owned(),
        Value::Bool(_) => "a bool".to_owned(),
        Value::Int(_) | Value::Long(_) => "an integer".to_owned(),
        Value::Float(_) => "a float".to_owned(),
        Value::Complex(..) => "a complex number".to_owned(),
        Value::Str(_) | Value::OldStr(_) => "a text".to_owned(),
        Value::Bytes(_) => "bytes".to_owned(),
        Value::ByteArray(_) => "a bytearray".to_owned(),
        Value::Slice(_) => "a slice".to_owned(),
        Value::Tuple(items) => format!("a tuple of {}", items.len()),
        Value::List(_) => "a list".to_owned(),
        Value::Dict(_) => "a dict".to_owned(),
        Value::Set(_) => "a set".to_owned(),
        Value::FrozenSet(_) => "a frozenset".to_owned(),
        Value::Global(index) => format!("the name `{}`", named(*index)),
        Value::Dtype(_) => "a dtype".to_owned(),
        Value::Array(array) => array::describe(array),
        Value::Object(object) => format!("an object of `{}`", named(object.class)),
    }
}

/// Calls `take` with each value that `value` refers to.
pub(crate) fn children(value: &Value, mut take: impl FnMut(Id)) {
    match value {
        Value::Slice(items) => items.iter().copied().for_each(take),
        Value::Tuple(items) | Value::FrozenSet(items) => items.iter().copied().for_each(take),
        Value::List(items) | Value::Set(items) => items.iter().copied().for_each(take),
        Value::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
            take(*key);
            take(*value);
        }),
        Value::Array(array) => {
            if let array::Data::Objects(items) = &array.data {
                items.iter().copied().for_each(take);
            }
        }
        Value::Object(object) => {
            object.args.iter().chain(&object.items).copied().for_each(&mut take);
            object.kwargs.iter().chain(&object.state).copied().for_each(&mut take);
            object.pairs.iter().for_each(|(key, value)| {
                take(*key);
                take(*value);
            });
        }
        Value::None
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Long(_)
        | Value::Float(_)
        | Value::Complex(..)
        | Value::Str(_)
        | Value::Bytes(_)
        | Value::OldStr(_)
        | Value::ByteArray(_)
        | Value::Global(_)
        | Value::Dtype(_) => {}
    }
}
