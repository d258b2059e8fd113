//! dill's own constructors, where it writes values in another way than pickle: arrays, types, names of modules.

use super::build::CalledAs;
use super::{Machine, NONE, Result};
use crate::{Builtin, Id, Role, Value};

/// Python's own types, which dill names in one word.
const TYPES: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "type",
];

impl Machine<'_> {
    /// `_create_array(_reconstruct, (ndarray, (0,), b'b'), state, {})`.
    pub(super) fn dill_array(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let (&[make, of, state] | &[make, of, state, _]) = args else { return Ok(None) };
        let more = args.get(3).copied().filter(|more| *more != NONE);
        if more.is_some_and(|more| !matches!(self.value(more), Value::Dict(pairs) if pairs.is_empty())) {
            return Ok(None);
        }
        let of = self.tuple_items(of)?;
        let made = self.call(make, of, None, CalledAs::Function)?;
        if !matches!(self.value(made), Value::Array(_)) {
            return Ok(None);
        }
        let built = self.array_state(made, state);
        self.unless_scanning(built)?;
        Ok(Some(made))
    }

    /// `_load_type('slice')`: the type itself.
    pub(super) fn dill_type(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let Some(name) = args.first().filter(|_| args.len() == 1).and_then(|name| self.text(*name)) else {
            return Ok(None);
        };
        let name = name.to_owned();
        let (module, name) = match name.as_str() {
            "PartialType" => ("functools", "partial"),
            name if TYPES.contains(&name) => ("builtins", name),
            // Those of code are called to put functions together, which nobody runs.
            name => ("dill._dill.types", name),
        };
        let global = self.global(module, name)?;
        self.make(Value::Global(global)).map(Some)
    }

    /// `_getattr(str, 'split', "<method 'split' of 'str' objects>")`: what others write as `getattr(str, 'split')`. dill
    /// evaluates the last text, so that it must be exactly that one.
    pub(super) fn dill_method(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let &[of, name, shown] = args else { return Ok(None) };
        let Value::Global(class) = self.value(of) else { return Ok(None) };
        let class = self.names.get(*class).filter(|class| class.module == "builtins").map(|class| class.name.clone());
        let (Some(class), Some(method)) = (class, self.text(name)) else { return Ok(None) };
        if self.text(shown) != Some(&format!("<method '{method}' of '{class}' objects>")) {
            return Ok(None);
        }
        let getattr = self.global("builtins", "getattr")?;
        self.meter.memory(size_of_val(args))?;
        self.object(getattr, Box::new([of, name]), None).map(Some)
    }

    /// `_get_attr(_import_module('numpy.core.numeric'), '_frombuffer')`: the name that it stands for, under the same list as
    /// any other.
    pub(super) fn dill_attribute(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let [of, name] = args else { return Ok(None) };
        let Value::Object(object) = self.value(*of) else { return Ok(None) };
        if self.names.role(object.class) != Some(Role::Builtin(Builtin::DillImport)) {
            return Ok(None);
        }
        let module = object.args.first().and_then(|module| self.text(*module)).map(str::to_owned);
        let Some((module, name)) = module.zip(self.text(*name).map(str::to_owned)) else { return Ok(None) };
        let global = self.global(&module, &name)?;
        self.make(Value::Global(global)).map(Some)
    }
}
