//! What JSON and UBJSON have in common: values, and the builder that nests them without recursion.

use crate::Error;

/// A value of a document. Arrays of numbers are kept packed: they are nearly all there is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// XGBoost reads and writes every fraction as float32.
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Levels of nesting: XGBoost's own documents have some 12.
const DEPTH: usize = 64;
/// Memory that a document may take whatever its size.
const MEMORY: usize = 16 << 20;
/// Memory for each byte of the document: a list of small numbers in UBJSON takes 2 bytes and 8 in memory, twice that
/// while it grows; a list of booleans takes 1 byte and a whole [`Value`].
const MEMORY_FACTOR: usize = 16;

/// An array or object that is not closed yet.
#[derive(Debug)]
enum Open {
    Array(Value),
    Object(Vec<(String, Value)>, Option<String>),
}

/// Builds a value from a stream of events.
#[derive(Debug)]
pub(super) struct Builder {
    format: &'static str,
    open: Vec<Open>,
    memory: usize,
    root: Option<Value>,
}

impl Builder {
    pub(super) fn new(format: &'static str, size: usize) -> Self {
        let memory = size.saturating_mul(MEMORY_FACTOR).saturating_add(MEMORY);
        Builder { format, open: Vec::new(), memory, root: None }
    }

    pub(super) fn error(&self, offset: usize, message: impl Into<String>) -> Error {
        Error::Format { format: self.format, offset, message: message.into() }
    }

    /// Takes memory from the budget before it is used.
    pub(super) fn charge(&mut self, bytes: usize, offset: usize) -> Result<(), Error> {
        match self.memory.checked_sub(bytes) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(self.error(offset, "the document needs more memory than its size allows")),
        }
    }

    pub(super) fn begin_array(&mut self, offset: usize) -> Result<(), Error> {
        self.begin(Open::Array(Value::Ints(Vec::new())), offset)
    }

    pub(super) fn begin_object(&mut self, offset: usize) -> Result<(), Error> {
        self.begin(Open::Object(Vec::new(), None), offset)
    }

    fn begin(&mut self, open: Open, offset: usize) -> Result<(), Error> {
        if self.open.len() >= DEPTH {
            return Err(self.error(offset, format!("more than {DEPTH} levels of nesting")));
        }
        self.charge(size_of::<Value>(), offset)?;
        self.open.push(open);
        Ok(())
    }

    /// The key of the next value.
    pub(super) fn key(&mut self, key: String, offset: usize) -> Result<(), Error> {
        self.charge(key.len().saturating_add(size_of::<String>()), offset)?;
        match self.open.last_mut() {
            Some(Open::Object(_, pending @ None)) => {
                *pending = Some(key);
                Ok(())
            }
            _ => Err(self.error(offset, "a key where none may stand")),
        }
    }

    /// Closes the array or object that was opened last.
    pub(super) fn end(&mut self, array: bool, offset: usize) -> Result<(), Error> {
        let value = match self.open.pop() {
            Some(Open::Array(value)) if array => value,
            Some(Open::Object(entries, None)) if !array => Value::Object(entries),
            _ => return Err(self.error(offset, "a closing bracket that fits no opening one")),
        };
        self.put(value, offset)
    }

    /// A value: an element, the value of the pending key, or the root.
    pub(super) fn push(&mut self, value: Value, offset: usize) -> Result<(), Error> {
        let bytes = match &value {
            Value::Int(_) | Value::Float(_) if matches!(self.open.last(), Some(Open::Array(_))) => size_of::<i64>(),
            Value::Text(text) => text.len().saturating_add(size_of::<Value>()),
            _ => size_of::<Value>(),
        };
        self.charge(bytes, offset)?;
        self.put(value, offset)
    }

    /// A packed array whose elements have been charged already.
    pub(super) fn push_charged(&mut self, value: Value, offset: usize) -> Result<(), Error> {
        self.charge(size_of::<Value>(), offset)?;
        self.put(value, offset)
    }

    fn put(&mut self, value: Value, offset: usize) -> Result<(), Error> {
        match self.open.last_mut() {
            None if self.root.is_none() => self.root = Some(value),
            None => return Err(self.error(offset, "something follows the end of the document")),
            Some(Open::Object(entries, pending)) => match pending.take() {
                Some(key) => entries.push((key, value)),
                None => return Err(self.error(offset, "a value without a key")),
            },
            Some(Open::Array(array)) => match (&mut *array, value) {
                (Value::Ints(all), Value::Int(int)) => all.push(int),
                (Value::Floats(all), Value::Float(float)) => all.push(float),
                (Value::Floats(all), Value::Int(int)) => all.push(int as f32),
                (Value::List(all), value) => all.push(value),
                (Value::Ints(all), Value::Float(float)) => {
                    let mut floats: Vec<f32> = all.iter().map(|int| *int as f32).collect();
                    floats.push(float);
                    *array = Value::Floats(floats);
                }
                (Value::Ints(all), value) if all.is_empty() => *array = Value::List(vec![value]),
                (packed, value) => {
                    let count = packed.len().saturating_add(1);
                    let mut list = std::mem::replace(packed, Value::Null).into_list();
                    list.push(value);
                    *array = Value::List(list);
                    self.charge(count.saturating_mul(size_of::<Value>()), offset)?;
                }
            },
        }
        Ok(())
    }

    /// The next event belongs to an object and no key is pending.
    pub(super) fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Object(_, None)))
    }

    /// Whether the last bracket that is open is an array's; `None` where none is open.
    pub(super) fn in_array(&self) -> Option<bool> {
        self.open.last().map(|open| matches!(open, Open::Array(_)))
    }

    pub(super) fn is_done(&self) -> bool {
        self.root.is_some()
    }

    pub(super) fn finish(self, offset: usize) -> Result<Value, Error> {
        let error = self.error(offset, "the document ends too early");
        self.root.ok_or(error)
    }
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Value::Ints(all) => all.len(),
            Value::Floats(all) => all.len(),
            Value::List(all) => all.len(),
            _ => 0,
        }
    }

    fn into_list(self) -> Vec<Value> {
        match self {
            Value::List(all) => all,
            Value::Ints(all) => all.into_iter().map(Value::Int).collect(),
            Value::Floats(all) => all.into_iter().map(Value::Float).collect(),
            _ => Vec::new(),
        }
    }

    /// The value of a key; of a key that stands twice the last one, as XGBoost reads it.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(entries) => entries.iter().rev().find(|entry| entry.0 == key).map(|entry| &entry.1),
            _ => None,
        }
    }

    /// Takes the value of a key out.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        match self {
            Value::Object(entries) => {
                let entry = entries.iter_mut().rev().find(|entry| entry.0 == key)?;
                Some(std::mem::replace(&mut entry.1, Value::Null))
            }
            _ => None,
        }
    }
}
