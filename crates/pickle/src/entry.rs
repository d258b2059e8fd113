//! A listed name, and what it may do.

use crate::Builtin;

/// The shapes that the state of an object (the operand of `BUILD`) may have. Combine with [`State::or`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(u8);

impl State {
    /// No state: `BUILD` is refused.
    pub const NONE: State = State(0);
    /// A dict: the attributes.
    pub const DICT: State = State(1);
    /// A tuple whose meaning the class knows.
    pub const TUPLE: State = State(2);
    /// Python's `(attributes or None, slots)` pair of dicts.
    pub const SLOTS: State = State(4);
    /// `None`, as Cython's classes without attributes write it.
    pub const EMPTY: State = State(8);
    /// A text whose meaning the class knows.
    pub const TEXT: State = State(16);

    /// Either of both.
    #[must_use]
    pub const fn or(self, other: State) -> State {
        State(self.0 | other.0)
    }

    /// Whether all shapes of `other` are among these.
    #[must_use]
    pub const fn has(self, other: State) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a listed name may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May be named, never called: a type or function given as a parameter.
    Inert,
    /// A class: instances are made by `NEWOBJ`, `REDUCE`, `OBJ`, `INST` or `_reconstructor` and stay inert.
    Class {
        /// What `BUILD` may bring.
        state: State,
        /// Whether the instance takes list items or dict items (`APPENDS`, `SETITEMS`), as `Bunch` does.
        items: bool,
    },
    /// A function that stands for a constructor (`__pyx_unpickle_…`, `newObj`): only `REDUCE` may call it.
    Function {
        /// What `BUILD` may bring to its result.
        state: State,
    },
    /// A name that this crate understands itself; callers never list these.
    Builtin(Builtin),
    /// A name that is not listed and kept all the same: it may be called in any way, and what it makes means nothing.
    Opaque,
}

/// One listed name. Written as a constant beside the loader that reads it:
/// `Entry::class("sklearn.tree._tree", "Tree")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The module, exactly as files write it.
    pub module: &'static str,
    /// The name in the module; never dotted.
    pub name: &'static str,
    /// What it may do.
    pub role: Role,
}

impl Entry {
    /// A class whose state is a dict (or dict and slots): nearly every estimator.
    #[must_use]
    pub const fn class(module: &'static str, name: &'static str) -> Entry {
        Entry { module, name, role: Role::Class { state: State::DICT.or(State::SLOTS), items: false } }
    }

    /// A function whose result is an object: `class()` of it is the function, `args()` what it was called with.
    #[must_use]
    pub const fn function(module: &'static str, name: &'static str) -> Entry {
        Entry { module, name, role: Role::Function { state: State::DICT.or(State::TUPLE).or(State::EMPTY) } }
    }

    /// A name that a parameter may refer to and nobody may call.
    #[must_use]
    pub const fn inert(module: &'static str, name: &'static str) -> Entry {
        Entry { module, name, role: Role::Inert }
    }

    /// The same entry with other shapes of state.
    #[must_use]
    pub const fn with_state(mut self, shapes: State) -> Entry {
        match &mut self.role {
            Role::Class { state, .. } | Role::Function { state } => *state = shapes,
            Role::Inert | Role::Builtin(_) | Role::Opaque => {}
        }
        self
    }

    /// The same class, its instances also taking list or dict items (subclasses of `list` and `dict`).
    #[must_use]
    pub const fn with_items(mut self) -> Entry {
        if let Role::Class { items, .. } = &mut self.role {
            *items = true;
        }
        self
    }
}
