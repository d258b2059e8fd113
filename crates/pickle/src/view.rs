//! Walking a document: every answer is checked, every error names the place.

use std::rc::Rc;

use crate::{ArrayView, Document, Error, ErrorKind, Global, Id, Value};

/// A value together with the way to it from the root. Cheap to clone.
///
/// Walking always ends: a way that is longer than the nesting limit, that comes back to a value on itself, or that
/// makes more visits than the file has room for, is an error.
#[derive(Debug, Clone)]
pub struct View<'a> {
    doc: &'a Document,
    id: Id,
    trail: Option<Rc<Trail>>,
}

#[derive(Debug)]
struct Trail {
    above: Option<Rc<Trail>>,
    step: Step,
    id: Id,
    depth: usize,
}

#[derive(Debug)]
enum Step {
    Attr(String),
    Item(usize),
    Key(String),
    Arg(usize),
}

impl<'a> View<'a> {
    pub(crate) fn root(doc: &'a Document) -> View<'a> {
        View { doc, id: doc.root, trail: None }
    }

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

    /// The way from the root: `steps[1].encoder.categories_`; empty at the root.
    #[must_use]
    pub fn path(&self) -> String {
        todo!()
    }

    /// What the value is, with an article, for messages: ``a list``, ``an object of `sklearn.svm.SVC` ``.
    #[must_use]
    pub fn describe(&self) -> String {
        todo!()
    }

    /// An error at this place.
    #[must_use]
    pub fn error(&self, kind: ErrorKind) -> Error {
        let _ = kind;
        todo!()
    }

    /// The error that this value should have been something else: `expected` with its article (`a list`).
    #[must_use]
    pub fn expected(&self, expected: &'static str) -> Error {
        self.error(ErrorKind::Type { expected, found: self.describe() })
    }

    // -- plain values

    /// Whether it is Python's `None`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self.value(), Value::None)
    }

    /// Nothing for Python's `None`.
    #[must_use]
    pub fn some(self) -> Option<View<'a>> {
        if self.is_none() { None } else { Some(self) }
    }

    /// A bool (or a numpy bool).
    ///
    /// # Errors
    /// It is something else.
    pub fn as_bool(&self) -> Result<bool, Error> {
        todo!()
    }

    /// An integer (or a bool, or a numpy integer scalar).
    ///
    /// # Errors
    /// It is something else, or does not fit.
    pub fn as_i64(&self) -> Result<i64, Error> {
        todo!()
    }

    /// A count: an integer that is not negative.
    ///
    /// # Errors
    /// It is something else, or does not fit.
    pub fn as_usize(&self) -> Result<usize, Error> {
        todo!()
    }

    /// A number: float, integer, bool, or a numpy scalar of these.
    ///
    /// # Errors
    /// It is something else.
    pub fn as_f64(&self) -> Result<f64, Error> {
        todo!()
    }

    /// Text (or a numpy text scalar).
    ///
    /// # Errors
    /// It is something else.
    pub fn as_str(&self) -> Result<&'a str, Error> {
        todo!()
    }

    /// Bytes: `bytes`, `bytearray`, `str` of Python 2.
    ///
    /// # Errors
    /// It is something else.
    pub fn as_bytes(&self) -> Result<&'a [u8], Error> {
        todo!()
    }

    /// An array or numpy scalar.
    ///
    /// # Errors
    /// It is something else.
    pub fn array(&self) -> Result<ArrayView<'a>, Error> {
        todo!()
    }

    // -- objects

    /// The listed name that a global is, or the class or function that made an object.
    #[must_use]
    pub fn class(&self) -> Option<&'a Global> {
        todo!()
    }

    /// Whether it is this global, or an object that this class made.
    #[must_use]
    pub fn is(&self, module: &str, name: &str) -> bool {
        self.class().is_some_and(|class| class.module == module && class.name == name)
    }

    /// An attribute of an object: from its state (dict, or dict and slots).
    ///
    /// # Errors
    /// It is no object, or the attribute is missing.
    pub fn attr(&self, name: &str) -> Result<View<'a>, Error> {
        let _ = name;
        todo!()
    }

    /// An attribute that some versions do not write; nothing where it is missing or no state was written.
    ///
    /// # Errors
    /// It is no object.
    pub fn get_attr(&self, name: &str) -> Result<Option<View<'a>>, Error> {
        let _ = name;
        todo!()
    }

    /// All attributes of an object in the order of the file.
    ///
    /// # Errors
    /// It is no object.
    pub fn attrs(&self) -> Result<Vec<(&'a str, View<'a>)>, Error> {
        todo!()
    }

    /// The positional arguments that an object was made with.
    ///
    /// # Errors
    /// It is no object.
    pub fn args(&self) -> Result<Vec<View<'a>>, Error> {
        todo!()
    }

    /// One positional argument.
    ///
    /// # Errors
    /// It is no object, or has fewer arguments.
    pub fn arg(&self, index: usize) -> Result<View<'a>, Error> {
        let _ = index;
        todo!()
    }

    /// The state that `BUILD` brought, whole: for classes whose state is a tuple.
    ///
    /// # Errors
    /// It is no object, or has no state.
    pub fn state(&self) -> Result<View<'a>, Error> {
        todo!()
    }

    // -- containers

    /// How many items a list, tuple, set, dict or array (first dimension) has.
    ///
    /// # Errors
    /// It is something else.
    pub fn len(&self) -> Result<usize, Error> {
        todo!()
    }

    /// The items of a list, tuple, set, frozenset, one-dimensional object array, or list-like object.
    ///
    /// # Errors
    /// It is something else.
    pub fn items(&self) -> Result<Vec<View<'a>>, Error> {
        todo!()
    }

    /// One item of a list or tuple.
    ///
    /// # Errors
    /// It is something else, or shorter.
    pub fn item(&self, index: usize) -> Result<View<'a>, Error> {
        let _ = index;
        todo!()
    }

    /// The pairs of a dict (or dict-like object) in the order of the file, each key once.
    ///
    /// # Errors
    /// It is something else.
    pub fn pairs(&self) -> Result<Vec<(View<'a>, View<'a>)>, Error> {
        todo!()
    }

    /// The value of a text key in a dict; nothing where it is missing.
    ///
    /// # Errors
    /// It is no dict.
    pub fn get(&self, key: &str) -> Result<Option<View<'a>>, Error> {
        let _ = key;
        todo!()
    }
}
