//! Walking a document: every answer is checked, every error names the place.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::wide::wide;
use crate::{Data, Document, Error, ErrorKind, Global, Id, Object, Place, Value, value};

/// A value together with the way to it from the root. Cheap to clone.
///
/// Walking always ends: a way that is longer than the nesting limit, that comes back to a value on itself, or that
/// makes more visits than the file has room for, is an error.
#[derive(Debug, Clone)]
pub struct View<'a> {
    doc: &'a Document,
    /// The way to the value that this one was reached from; nothing at the root.
    trail: Option<Rc<Trail>>,
    id: Id,
    /// Which one of [`Steps`] led here.
    step: u32,
}

/// The way to what a value holds, which all of it shares: lists of millions are looked at.
#[derive(Debug)]
struct Trail {
    above: Option<Rc<Trail>>,
    /// The value that holds the others, and the step that led to it.
    from: Id,
    step: u32,
    steps: Steps,
    depth: usize,
}

/// What a step's number means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Steps {
    /// The id of an attribute's name.
    Attr,
    /// A place.
    Item,
    /// The id of a key.
    Key,
    /// The place of an argument.
    Arg,
    /// Nothing: there is one state.
    State,
}

/// Visits that a walk may make in any file, and for each value of it. Loaders look at a value a few times.
const VISITS: u64 = 4 << 20;
const VISITS_PER_VALUE: u64 = 16;
/// Bytes that array readers may give in any file, and for each byte of it. Loaders read an array once or twice, and
/// a flag of one byte may become a float of eight.
const GIVEN: u64 = 32 << 20;
const GIVEN_PER_BYTE: u64 = 8;
/// Bytes of views that one answer may have in any file, and for each byte of it: an item has at least one or two.
const ANSWER: u64 = 32 << 20;
const ANSWER_PER_BYTE: u64 = 7;
/// What a pair of a dict takes while the keys are told apart.
const PAIR: usize = 96;
/// This many keys may be numbers of one or two bytes; of longer ones a file has a third as many as bytes.
const SHORT_KEYS: usize = 1 << 16;

impl Document {
    /// The outermost value. A walk from here has the whole budget of visits; starting anew gives a new one.
    #[must_use]
    pub fn root(&self) -> View<'_> {
        self.visits.store(0, Ordering::Relaxed);
        self.given.store(0, Ordering::Relaxed);
        View { doc: self, id: self.root, trail: None, step: 0 }
    }
}

impl<'a> View<'a> {
    /// The document that this value is in.
    #[must_use]
    pub fn document(&self) -> &'a Document {
        self.doc
    }

    /// The value's id: two views of the same value have the same.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The value itself.
    #[must_use]
    pub fn value(&self) -> &'a Value {
        self.doc.value(self.id)
    }

    /// The steps from the root to here, with what each goes by.
    pub(crate) fn steps(&self) -> Vec<(Steps, u32)> {
        let mut steps = Vec::new();
        let mut step = self.step;
        for trail in std::iter::successors(self.trail.as_deref(), |trail| trail.above.as_deref()) {
            steps.push((trail.steps, step));
            step = trail.step;
        }
        steps.reverse();
        steps
    }

    /// Another value of the document, as if it were the root.
    pub(crate) fn beside(&self, id: Id) -> View<'a> {
        View { doc: self.doc, id, trail: None, step: 0 }
    }

    /// What the value is, with an article, for messages: `a list`, ``an object of `sklearn.svm.SVC` ``.
    #[must_use]
    pub fn describe(&self) -> String {
        value::describe(self.value(), |index| self.doc.global(index))
    }

    /// An error at this place.
    #[must_use]
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error { kind, place: Place::Path(self.path()) }
    }

    /// The error that this value should have been something else: `expected` with its article (`a list`).
    #[must_use]
    pub fn expected(&self, expected: &str) -> Error {
        self.error(ErrorKind::Type { expected: expected.to_owned(), found: self.describe() })
    }

    /// The way to what this value holds.
    fn way(&self, steps: Steps) -> Rc<Trail> {
        let depth = self.trail.as_ref().map_or(1, |trail| trail.depth.saturating_add(1));
        Rc::new(Trail { above: self.trail.clone(), from: self.id, step: self.step, steps, depth })
    }

    /// The view of one value that this one refers to.
    fn child(&self, steps: Steps, step: u32, id: Id) -> Result<View<'a>, Error> {
        self.on(&self.way(steps), step, id)
    }

    /// The view of a value that this one refers to, on the way that it shares with others.
    fn on(&self, way: &Rc<Trail>, step: u32, id: Id) -> Result<View<'a>, Error> {
        let limit = VISITS.saturating_add(VISITS_PER_VALUE.saturating_mul(wide(self.doc.len())));
        if self.doc.visits.fetch_add(1, Ordering::Relaxed) >= limit {
            return Err(self.error(ErrorKind::Limit { what: "visits of the file's values", limit }));
        }
        let depth = way.depth;
        let view = View { doc: self.doc, id, trail: Some(Rc::clone(way)), step };
        let mut way = std::iter::successors(view.trail.as_deref(), |trail| trail.above.as_deref());
        if holds_others(view.value()) && way.any(|trail| trail.from == id) {
            return Err(view.error(ErrorKind::Cycle));
        }
        if depth > self.doc.nesting {
            let limit = wide(self.doc.nesting);
            return Err(view.error(ErrorKind::Limit { what: "levels of values inside values", limit }));
        }
        Ok(view)
    }

    /// The views of values by their places.
    pub(crate) fn item_views(&self, ids: &[Id]) -> Result<Vec<View<'a>>, Error> {
        self.views(Steps::Item, ids)
    }

    fn views(&self, steps: Steps, ids: &[Id]) -> Result<Vec<View<'a>>, Error> {
        self.answer(ids.len(), size_of::<View<'_>>())?;
        let way = self.way(steps);
        (0..).zip(ids).map(|(index, id)| self.on(&way, index, *id)).collect()
    }

    /// Bounds what one answer takes.
    fn answer(&self, count: usize, each: usize) -> Result<(), Error> {
        let limit = ANSWER.saturating_add(ANSWER_PER_BYTE.saturating_mul(wide(self.doc.unpacked_len())));
        if wide(count.saturating_mul(each)) > limit {
            let limit = limit.checked_div(wide(each)).unwrap_or(0);
            return Err(self.error(ErrorKind::Limit { what: "items of one value in so small a file", limit }));
        }
        Ok(())
    }

    /// Charges bytes that an array reader is about to give.
    pub(crate) fn charge_bytes(&self, bytes: usize) -> Result<(), Error> {
        let limit = GIVEN.saturating_add(GIVEN_PER_BYTE.saturating_mul(wide(self.doc.unpacked_len())));
        let before = self.doc.given.fetch_add(wide(bytes), Ordering::Relaxed);
        if before.saturating_add(wide(bytes)) > limit {
            return Err(self.error(ErrorKind::Limit { what: "bytes read from arrays", limit }));
        }
        Ok(())
    }

    // -- plain values

    /// Whether it is Python's `None`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self.value(), Value::None)
    }

    /// `None` for the `None` of Python.
    #[must_use]
    pub fn some(self) -> Option<View<'a>> {
        if self.is_none() { None } else { Some(self) }
    }

    // -- objects

    /// The listed name that a global is, or the class or function that made an object.
    #[must_use]
    pub fn class(&self) -> Option<&'a Global> {
        match self.value() {
            Value::Global(index) => self.doc.global(*index),
            Value::Object(object) => self.doc.global(object.class),
            _ => None,
        }
    }

    /// Whether it is this global, or an object that this class made.
    #[must_use]
    pub fn is(&self, module: &str, name: &str) -> bool {
        self.class().is_some_and(|class| class.module == module && class.name == name)
    }

    /// The object that this value is.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&self) -> Result<&'a Object, Error> {
        match self.value() {
            Value::Object(object) => Ok(object),
            _ => Err(self.expected("an object")),
        }
    }

    /// The dicts that an object's attributes are in.
    fn attributes(&self) -> Result<Vec<&'a [(Id, Id)]>, Error> {
        let dict = |id: &Id| match self.doc.value(*id) {
            Value::Dict(pairs) => Some(pairs.as_slice()),
            _ => None,
        };
        let dicts: Vec<_> = match self.object()?.state {
            None => Vec::new(),
            Some(state) => match self.doc.value(state) {
                Value::Dict(pairs) => vec![pairs.as_slice()],
                Value::Tuple(halves) if halves.len() == 2 => halves.iter().filter_map(dict).collect(),
                _ => Vec::new(),
            },
        };
        let limit = self.doc.attributes;
        if dicts.iter().any(|dict| dict.len() > limit) {
            return Err(self.error(ErrorKind::Limit { what: "attributes of one object", limit: wide(limit) }));
        }
        Ok(dicts)
    }

    pub(crate) fn name(&self, id: Id) -> Option<&'a str> {
        match self.doc.value(id) {
            Value::Str(blob) | Value::OldStr(blob) => std::str::from_utf8(self.doc.bytes(*blob)).ok(),
            _ => None,
        }
    }

    /// An attribute of an object: from its state (dict, or dict and slots).
    ///
    /// # Errors
    /// It is not an object, or the attribute is missing.
    pub fn attr(&self, name: &str) -> Result<View<'a>, Error> {
        self.get_attr(name)?.ok_or_else(|| self.error(ErrorKind::Missing(name.to_owned())))
    }

    /// An attribute that some versions do not write; `None` where it is missing or no state was written.
    ///
    /// # Errors
    /// It is not an object.
    pub fn get_attr(&self, name: &str) -> Result<Option<View<'a>>, Error> {
        let dicts = self.attributes()?;
        let found = dicts.iter().flat_map(|dict| dict.iter().rev()).find(|(key, _)| self.name(*key) == Some(name));
        found.map(|(key, id)| self.child(Steps::Attr, key.0, *id)).transpose()
    }

    /// All attributes of an object in the order of the file.
    ///
    /// # Errors
    /// It is not an object, or an attribute's name is not text.
    pub fn attrs(&self) -> Result<Vec<(&'a str, View<'a>)>, Error> {
        let dicts = self.attributes()?;
        let way = self.way(Steps::Attr);
        let attr = |(key, id): &(Id, Id)| {
            let name = self.name(*key).ok_or_else(|| self.expected("an object whose attributes are named"))?;
            Ok((name, self.on(&way, key.0, *id)?))
        };
        dicts.into_iter().flatten().map(attr).collect()
    }

    /// The positional arguments that an object was made with.
    ///
    /// # Errors
    /// It is not an object.
    pub fn args(&self) -> Result<Vec<View<'a>>, Error> {
        self.views(Steps::Arg, &self.object()?.args)
    }

    /// One positional argument.
    ///
    /// # Errors
    /// It is not an object, or has fewer arguments.
    pub fn arg(&self, index: usize) -> Result<View<'a>, Error> {
        let id = self.object()?.args.get(index);
        let id = id.ok_or_else(|| self.error(ErrorKind::Missing(format!("argument {index}"))))?;
        self.child(Steps::Arg, place(index), *id)
    }

    /// The state that `BUILD` brought, whole: for classes whose state is a tuple.
    ///
    /// # Errors
    /// It is not an object, or has no state.
    pub fn state(&self) -> Result<View<'a>, Error> {
        let state = self.object()?.state.ok_or_else(|| self.error(ErrorKind::Missing("state".to_owned())))?;
        self.child(Steps::State, 0, state)
    }

    // -- containers

    fn sequence(&self) -> Option<&'a [Id]> {
        match self.value() {
            Value::List(items) | Value::Set(items) => Some(items),
            Value::Tuple(items) | Value::FrozenSet(items) => Some(items),
            Value::Slice(items) => Some(items),
            Value::Object(object) => Some(&object.items),
            _ => None,
        }
    }

    fn dict(&self) -> Option<&'a [(Id, Id)]> {
        match self.value() {
            Value::Dict(pairs) => Some(pairs),
            Value::Object(object) => Some(&object.pairs),
            _ => None,
        }
    }

    /// How many items a list, tuple, set, dict or array (first dimension) has.
    ///
    /// # Errors
    /// It is something else.
    pub fn len(&self) -> Result<usize, Error> {
        match self.value() {
            Value::Dict(_) => Some(self.pairs()?.len()),
            Value::Array(array) => array.shape.first().copied(),
            _ => self.sequence().map(<[Id]>::len),
        }
        .ok_or_else(|| self.expected("a list"))
    }

    /// Whether a list, tuple, set, dict or array has no items.
    ///
    /// # Errors
    /// It is something else.
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.len().map(|len| len == 0)
    }

    /// The items of a list, tuple, set, frozenset, one-dimensional object array, or list-like object.
    ///
    /// # Errors
    /// It is something else.
    pub fn items(&self) -> Result<Vec<View<'a>>, Error> {
        if let Value::Array(array) = self.value()
            && array.shape.len() == 1
        {
            return match &array.data {
                Data::Objects(items) => self.item_views(items),
                Data::Bytes(_) => Err(self.expected("an array of objects")),
            };
        }
        let items = self.sequence().ok_or_else(|| self.expected("a list"))?;
        self.item_views(items)
    }

    /// One item of a list or tuple.
    ///
    /// # Errors
    /// It is something else, or shorter.
    pub fn item(&self, index: usize) -> Result<View<'a>, Error> {
        let items = self.sequence().ok_or_else(|| self.expected("a list"))?;
        let id = items.get(index).ok_or_else(|| self.error(ErrorKind::Missing(format!("item {index}"))))?;
        self.child(Steps::Item, place(index), *id)
    }

    /// The pairs of a dict (or dict-like object), each key once: at the place of its first, with the value of its last.
    ///
    /// # Errors
    /// It is something else.
    pub fn pairs(&self) -> Result<Vec<(View<'a>, View<'a>)>, Error> {
        let pairs = self.dict().ok_or_else(|| self.expected("a dict"))?;
        let distinct = pairs.len().min(SHORT_KEYS.saturating_add(self.doc.unpacked_len() / 3));
        self.answer(distinct, PAIR)?;
        let mut places: HashMap<Key<'a>, u32> = HashMap::with_capacity(distinct);
        let mut once: Vec<(Id, Id)> = Vec::with_capacity(distinct);
        for (key, value) in pairs {
            let place = *places.entry(Key::of(self.doc, *key)).or_insert(place(once.len()));
            match usize::try_from(place).ok().and_then(|place| once.get_mut(place)) {
                Some(pair) => pair.1 = *value,
                None => once.push((*key, *value)),
            }
        }
        drop(places);
        let (keys, values) = (self.way(Steps::Item), self.way(Steps::Key));
        let view =
            |(index, (key, value)): (u32, (Id, Id))| Ok((self.on(&keys, index, key)?, self.on(&values, key.0, value)?));
        (0..).zip(once).map(view).collect()
    }

    /// The value of a text key in a dict; `None` where it is missing. Looks at every key: for large dicts take
    /// [`View::pairs`] once.
    ///
    /// # Errors
    /// It is not a dict.
    pub fn get(&self, key: &str) -> Result<Option<View<'a>>, Error> {
        let pairs = self.dict().ok_or_else(|| self.expected("a dict"))?;
        self.charge_bytes(size_of_val(pairs))?;
        let found = pairs.iter().rev().find(|(found, _)| self.name(*found) == Some(key));
        found.map(|(key, id)| self.child(Steps::Key, key.0, *id)).transpose()
    }
}

/// What makes two keys the same.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Int(i64),
    Float(u64),
    None,
    /// A value of another type is a key of its own.
    Value(Id),
}

impl<'a> Key<'a> {
    fn of(doc: &'a Document, id: Id) -> Key<'a> {
        match doc.value(id) {
            Value::Str(blob) | Value::OldStr(blob) => Key::Text(doc.bytes(*blob)),
            Value::Bytes(blob) => Key::Bytes(doc.bytes(*blob)),
            Value::Int(value) => Key::Int(*value),
            Value::Bool(value) => Key::Int(i64::from(*value)),
            Value::Float(value) => Key::Float(value.to_bits()),
            Value::None => Key::None,
            _ => Key::Value(id),
        }
    }
}

/// Whether a value can hold others, itself among them. Shared empty ones cannot.
fn holds_others(value: &Value) -> bool {
    match value {
        Value::Tuple(items) => !items.is_empty(),
        Value::List(_) | Value::Dict(_) | Value::Set(_) | Value::FrozenSet(_) | Value::Object(_) => true,
        Value::Array(array) => matches!(array.data, Data::Objects(_)),
        _ => false,
    }
}

/// A place in a list, which has fewer items than there are ids.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
