//! The values of a file: one arena, shared by id, without recursion.

use std::fmt;
use std::sync::atomic::AtomicU64;

use crate::{Array, Container, Dtype, View, array};

/// A value's place in its [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(crate) u32);

/// Bytes in a [`Document`]: a piece of the file, or of what was decoded from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Blob {
    /// How many bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

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
/// close circles: walk them with [`View`], which ends on both.
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
    /// `str` of Python 2, which may be text or bytes: [`View::as_str`] and [`View::as_bytes`] both read it.
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
    /// A listed name: an index for [`Document::global`].
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
    /// The class or function: an index for [`Document::global`].
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

/// A file that was read: all its values, and the bytes that they point into. `Send` and `Sync`; dropping it is flat.
#[derive(Debug)]
pub struct Document {
    pub(crate) data: Vec<u8>,
    /// What had to be decoded (escapes, latin-1); its blobs start at `data.len()`.
    pub(crate) decoded: Vec<u8>,
    pub(crate) nodes: Vec<Value>,
    pub(crate) globals: Vec<Global>,
    pub(crate) root: Id,
    pub(crate) container: Container,
    pub(crate) protocol: u8,
    pub(crate) trailing: u64,
    pub(crate) nesting: usize,
    pub(crate) attributes: usize,
    /// Visits of views since the walk began at the root: bounds it, however often a value is referred to.
    pub(crate) visits: AtomicU64,
    /// Bytes that array readers gave since then.
    pub(crate) given: AtomicU64,
}

impl Document {
    /// The outermost value. A walk from here has the whole budget of visits; starting anew gives a new one.
    #[must_use]
    pub fn root(&self) -> View<'_> {
        View::root(self)
    }

    /// The value at `id`; ids of another document give some value or `None`.
    #[must_use]
    pub fn value(&self, id: Id) -> &Value {
        self.nodes.get(usize::try_from(id.0).unwrap_or(usize::MAX)).unwrap_or(&Value::None)
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none (never, for a file that was read).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn bytes(&self, blob: Blob) -> &[u8] {
        piece(&self.data, &self.decoded, blob)
    }

    /// The global with this index.
    #[must_use]
    pub fn global(&self, index: u32) -> Option<&Global> {
        self.globals.get(usize::try_from(index).ok()?)
    }

    /// All globals that the file names, in the order of their first use.
    #[must_use]
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// What the file was packed with.
    #[must_use]
    pub fn container(&self) -> Container {
        self.container
    }

    /// The pickle protocol that the stream declares; 0 for protocols 0 and 1, which declare none.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Bytes of the file after decompression.
    #[must_use]
    pub fn unpacked_len(&self) -> usize {
        self.data.len()
    }

    /// Bytes after the pickle's end, which Python would ignore too.
    #[must_use]
    pub fn trailing(&self) -> u64 {
        self.trailing
    }
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
