//! `REDUCE`, `NEWOBJ`, `INST`, `OBJ` and `BUILD`: what may be called, and what becomes of it. Nothing is run.

use super::{Machine, Result};
use crate::meter::ALLOCATION;
use crate::opaque::makes_types;
use crate::{Builtin, ErrorKind, Id, Object, Role, State, Value};

/// How a class or function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CalledAs {
    /// As a function: `REDUCE`.
    Function,
    /// As a class: `NEWOBJ`, `INST`, `OBJ`, `_reconstructor`.
    Class,
}

/// A joblib wrapper whose array is a nested pickle.
#[derive(Debug)]
pub(super) struct Wrapped {
    pub(super) shape: Vec<usize>,
}

impl Machine<'_> {
    pub(super) fn reduce(&mut self) -> Result<()> {
        let args = self.pop()?;
        let callee = self.pop()?;
        let args = self.tuple_items(args)?;
        let made = self.call(callee, args, None, CalledAs::Function)?;
        self.push(made)
    }

    pub(super) fn new_object(&mut self, keywords: bool) -> Result<()> {
        let kwargs = if keywords { Some(self.pop()?) } else { None };
        let args = self.pop()?;
        let class = self.pop()?;
        let args = self.tuple_items(args)?;
        let kwargs = match kwargs {
            None => None,
            Some(id) => match self.value(id) {
                Value::Dict(pairs) if pairs.is_empty() => None,
                Value::Dict(_) => Some(id),
                _ => return Err(self.expected("a dict", id)),
            },
        };
        let made = self.call(class, args, kwargs, CalledAs::Class)?;
        self.push(made)
    }

    pub(super) fn inst(&mut self) -> Result<()> {
        let (module, name) = self.name_lines()?;
        let class = self.global(&module, &name)?;
        let args = self.pop_mark()?.into_boxed_slice();
        let class = self.make(Value::Global(class))?;
        let made = self.call(class, args, None, CalledAs::Class)?;
        self.push(made)
    }

    pub(super) fn obj(&mut self) -> Result<()> {
        let all = self.pop_mark()?;
        let (class, args) = all.split_first().ok_or(ErrorKind::EmptyStack)?;
        let made = self.call(*class, args.into(), None, CalledAs::Class)?;
        self.push(made)
    }

    /// A copy of a tuple's items.
    pub(super) fn tuple_items(&mut self, tuple: Id) -> Result<Box<[Id]>> {
        let bytes = match self.value(tuple) {
            Value::Tuple(items) => size_of_val(&**items),
            _ => return Err(self.expected("a tuple", tuple)),
        };
        self.meter.memory(bytes)?;
        Ok(self.sequence(tuple).unwrap_or(&[]).into())
    }

    /// The items of a list, tuple or set.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::List(items) | Value::Set(items) => Some(items),
            Value::Tuple(items) | Value::FrozenSet(items) => Some(items),
            _ => None,
        }
    }

    /// What calling `callee` gives: for a listed class an object that remembers the call, for a built-in its value.
    pub(super) fn call(&mut self, callee: Id, args: Box<[Id]>, kwargs: Option<Id>, how: CalledAs) -> Result<Id> {
        let class = match self.value(callee) {
            Value::Global(class) => *class,
            Value::Object(object) => match self.wrapped(object) {
                Some(class) => class,
                None if self.scanning() || self.makes_types(object.class) => object.class,
                None => return Err(self.expected("a class or function", callee)),
            },
            _ => return Err(self.expected("a class or function", callee)),
        };
        match self.names.role(class) {
            None if self.scanning() => self.object(class, args, kwargs),
            None | Some(Role::Inert) => Err(ErrorKind::NotCallable(self.names.show(class))),
            Some(Role::Class { .. } | Role::Opaque) => self.object(class, args, kwargs),
            Some(Role::Function { .. }) if how == CalledAs::Function && kwargs.is_none() => {
                self.object(class, args, None)
            }
            Some(Role::Builtin(Builtin::ArrayWrapper | Builtin::ArrayFile | Builtin::Object))
                if args.is_empty() && kwargs.is_none() =>
            {
                self.object(class, args, None)
            }
            Some(Role::Builtin(Builtin::Partial | Builtin::DillImport))
                if how == CalledAs::Function && kwargs.is_none() =>
            {
                self.object(class, args, None)
            }
            Some(Role::Builtin(builtin)) if how == CalledAs::Function && kwargs.is_none() => {
                match self.builtin(builtin, &args) {
                    Ok(Some(made)) => Ok(made),
                    // In a scan, a constructor that is called oddly must not hide the names that follow.
                    Ok(None) | Err(_) if self.scanning() => self.object(class, args, None),
                    Ok(None) => {
                        let found = self.describe_all(&args);
                        Err(ErrorKind::Arguments { callee: self.names.show(class), found })
                    }
                    Err(kind) => Err(kind),
                }
            }
            Some(_) => Err(ErrorKind::NotCallable(self.names.show(class))),
        }
    }

    /// What a `functools.partial` wraps, where that is listed by who reads; the arguments that it brings along stay in it.
    fn wrapped(&self, object: &Object) -> Option<u32> {
        let function = object.args.first().filter(|_| self.is_partial(object.class))?;
        let Value::Global(function) = self.value(*function) else { return None };
        let role = self.names.role(*function);
        matches!(role, Some(Role::Class { .. } | Role::Function { .. } | Role::Opaque)).then_some(*function)
    }

    /// Whether a call of this gave a type, which may be called in turn.
    fn makes_types(&self, class: u32) -> bool {
        self.is_opaque(class) && self.names.get(class).is_some_and(|class| makes_types(&class.module, &class.name))
    }

    fn is_opaque(&self, class: u32) -> bool {
        self.names.role(class) == Some(Role::Opaque)
    }

    pub(super) fn is_partial(&self, class: u32) -> bool {
        self.names.role(class) == Some(Role::Builtin(Builtin::Partial))
    }

    /// `(a list, a text)`: what a call was made with.
    fn describe_all(&self, args: &[Id]) -> String {
        let shown: Vec<String> = args.iter().take(8).map(|id| self.describe(*id)).collect();
        format!("({}{})", shown.join(", "), if args.len() > 8 { ", …" } else { "" })
    }

    pub(super) fn object(&mut self, class: u32, args: Box<[Id]>, kwargs: Option<Id>) -> Result<Id> {
        self.meter.memory(size_of::<Object>().saturating_add(ALLOCATION))?;
        let object = Object { class, args, kwargs, state: None, items: Vec::new(), pairs: Vec::new() };
        self.make(Value::Object(Box::new(object)))
    }

    /// A built-in constructor's value; `None` where the arguments are not what it takes.
    fn builtin(&mut self, builtin: Builtin, args: &[Id]) -> Result<Option<Id>> {
        match builtin {
            Builtin::Reconstruct => self.reconstruct(args),
            Builtin::Dtype => self.dtype(args),
            Builtin::Scalar => self.scalar(args),
            Builtin::FromBuffer => self.buffer(args),
            Builtin::Reconstructor => self.reconstructor(args),
            Builtin::DillArray => self.dill_array(args),
            Builtin::DillAttribute => self.dill_attribute(args),
            Builtin::DillMethod => self.dill_method(args),
            Builtin::DillType => self.dill_type(args),
            Builtin::NewObj => {
                let Some((class, args)) = args.split_first() else { return Ok(None) };
                self.call(*class, args.into(), None, CalledAs::Class).map(Some)
            }
            _ => self.python(builtin, args),
        }
    }

    /// `_reconstructor(class, object, None)`: how protocols 0 and 1 make an instance; of a class made from `dict` it
    /// is `_reconstructor(class, dict, {…})`, and of a named tuple `_reconstructor(class, tuple, (…))`.
    fn reconstructor(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let [class, base, state] = args else { return Ok(None) };
        let Value::Global(base) = self.value(*base) else { return Ok(None) };
        match (self.names.role(*base), self.value(*state)) {
            (Some(Role::Builtin(Builtin::Object)), Value::None) => {
                self.call(*class, Box::default(), None, CalledAs::Class).map(Some)
            }
            (Some(Role::Builtin(Builtin::Dict)), Value::Dict(_)) => {
                let made = self.call(*class, Box::default(), None, CalledAs::Class)?;
                self.copy_pairs(*state, made)?;
                Ok(Some(made))
            }
            (Some(Role::Builtin(Builtin::Tuple)), Value::Tuple(items)) => {
                let items = items.clone();
                self.call(*class, items, None, CalledAs::Class).map(Some)
            }
            (Some(_), _) if matches!(self.value(*class), Value::Global(class) if self.is_opaque(*class)) => {
                self.call(*class, Box::new([*state]), None, CalledAs::Class).map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        match self.value(target) {
            Value::Object(object) => {
                let (class, had) = (object.class, object.state.is_some());
                self.build_object(target, class, had, state)
            }
            Value::Array(_) => {
                let built = self.array_state(target, state);
                self.unless_scanning(built)
            }
            Value::Dtype(_) => {
                let built = self.dtype_state(target, state);
                self.unless_scanning(built)
            }
            Value::Global(global) if self.is_opaque(*global) => Ok(()),
            _ => self.unless_scanning(Err(self.expected("an object", target))),
        }
    }

    /// In a scan, a state that does not fit must not hide the names that follow.
    pub(super) fn unless_scanning(&self, built: Result<()>) -> Result<()> {
        if self.scanning() { Ok(()) } else { built }
    }

    pub(super) fn build_object(&mut self, target: Id, class: u32, had: bool, state: Id) -> Result<()> {
        let shapes = match self.names.role(class) {
            Some(Role::Builtin(Builtin::ArrayWrapper)) => return self.wrapped_array(state),
            Some(Role::Builtin(Builtin::ArrayFile)) if !self.scanning() => return Err(self.array_file(state)),
            Some(Role::Class { state, .. } | Role::Function { state }) => Some(state),
            Some(Role::Builtin(Builtin::Partial)) => Some(State::TUPLE),
            Some(Role::Opaque) | None => None,
            Some(_) => Some(State::NONE),
        };
        if !self.scanning() && shapes.is_some_and(|shapes| !self.state_fits(shapes, state)) {
            return Err(ErrorKind::State { class: self.names.show(class), found: self.describe(state) });
        }
        if had && shapes.is_some() && !self.scanning() {
            return Err(ErrorKind::StateTwice(self.names.show(class)));
        }
        if let Value::Object(object) = self.value_mut(target)? {
            object.state = Some(state);
        }
        Ok(())
    }

    fn state_fits(&self, shapes: State, state: Id) -> bool {
        let half = |id: &Id| matches!(self.value(*id), Value::None | Value::Dict(_));
        match self.value(state) {
            Value::Dict(_) => shapes.has(State::DICT),
            Value::None => shapes.has(State::EMPTY),
            Value::Str(_) | Value::OldStr(_) => shapes.has(State::TEXT),
            Value::Tuple(items) => {
                shapes.has(State::TUPLE) || (shapes.has(State::SLOTS) && items.len() == 2 && items.iter().all(half))
            }
            _ => false,
        }
    }
}
