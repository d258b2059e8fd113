//! What each kind of node stands for.

use super::Tree;
use crate::json::{At, TokenKind, unescape};
use crate::machine::build::CalledAs;
use crate::machine::{Machine, NONE, Result};
use crate::meter::ALLOCATION;
use crate::wide::wide;
use crate::{Blob, Builtin, ErrorKind, Id, Role, Value};

/// A value that JSON has too.
pub(super) const JSON: &str = "JsonNode";
/// A name.
pub(super) const FUNCTION: &str = "FunctionNode";

/// Every kind of node, for messages.
const KINDS: &[&str] = &[
    "DictNode",
    "DefaultDictNode",
    "_DictWithDeprecatedKeysNode",
    "ListNode",
    "SetNode",
    "TupleNode",
    JSON,
    "TypeNode",
    FUNCTION,
    "SliceNode",
    "BytesNode",
    "BytearrayNode",
    "ObjectNode",
    "ConstructorFromReduceNode",
    "ReduceNode",
    "TreeNode",
    "LossNode",
    "NdArrayNode",
    "MaskedArrayNode",
    "DTypeNode",
    "SparseMatrixNode",
    "RandomStateNode",
    "RandomGeneratorNode",
    "MethodNode",
    "PartialNode",
    "OperatorFuncNode",
];

/// The kind as skops names it; `?` where it does not.
pub(super) fn name(loader: &str) -> &'static str {
    KINDS.iter().find(|kind| **kind == loader).copied().unwrap_or("?")
}

impl Machine<'_> {
    pub(super) fn make_node(&mut self, tree: &Tree<'_>, at: At, loader: &str) -> Result<Id> {
        if loader == JSON {
            return self.json_value(&tree.text(at, "content")?);
        }
        let (module, class) = tree.name(at, loader)?;
        let class = self.global(&module, &class)?;
        match loader {
            "DictNode" => self.dict_node(tree, at, class),
            "DefaultDictNode" | "_DictWithDeprecatedKeysNode" => tree.child(tree.part(at, "content")?, "main"),
            "ListNode" | "SetNode" | "TupleNode" => self.items_node(tree, at, class),
            "TypeNode" | FUNCTION => self.make(Value::Global(class)),
            "SliceNode" => self.slice_node(tree, tree.part(at, "content")?),
            "BytesNode" => self.file_blob(tree, at).and_then(|blob| self.make(Value::Bytes(blob))),
            "BytearrayNode" => self.file_blob(tree, at).and_then(|blob| self.make(Value::ByteArray(blob))),
            "ObjectNode" => {
                let state = tree.json.get(at, "content").filter(|content| tree.json.kind(*content) != TokenKind::Null);
                let state = state.map(|state| tree.node(Some(state), "content")).transpose()?;
                // From Python 3.11 on an object without a state has the state `None`.
                self.object_node(class, Box::default(), state.filter(|state| *state != NONE))
            }
            "ConstructorFromReduceNode" => {
                let args = self.tuple_items(tree.child(at, "content")?)?;
                let callee = self.make(Value::Global(class))?;
                self.call(callee, args, None, CalledAs::Function)
            }
            "ReduceNode" | "TreeNode" | "LossNode" => {
                let args = self.tuple_items(tree.child(tree.part(at, "__reduce__")?, "args")?)?;
                let state = tree.child(at, "content")?;
                let empty = matches!(self.value(state), Value::Dict(pairs) if pairs.is_empty());
                self.object_node(class, args, if empty { None } else { Some(state) })
            }
            "NdArrayNode" => self.array_node(tree, at),
            "DTypeNode" => self.dtype_node(tree.child(at, "content")?),
            "SparseMatrixNode" => self.sparse_node(tree, at, class),
            "MaskedArrayNode" => {
                let content = tree.part(at, "content")?;
                let args = [tree.child(content, "data")?, tree.child(content, "mask")?];
                self.meter.memory(size_of_val(&args))?;
                self.object(class, Box::new(args), None)
            }
            // No prediction reads them.
            "RandomStateNode" | "RandomGeneratorNode" => self.object(class, Box::default(), None),
            "PartialNode" => {
                let content = tree.part(at, "content")?;
                let parts = ["func", "args", "kwds", "namespace"].map(|part| tree.child(content, part));
                let [func, args, keywords, namespace] = parts;
                let state = [func?, args?, keywords?, namespace?];
                let [func, ..] = state;
                self.meter.memory(size_of_val(&state).saturating_mul(2))?;
                let state = self.make(Value::Tuple(Box::new(state)))?;
                self.object_node(class, Box::new([func]), Some(state))
            }
            "MethodNode" | "OperatorFuncNode" => Err(ErrorKind::Forbidden("methods and functions of `operator`")),
            other => Err(ErrorKind::Node(other.chars().take(40).collect())),
        }
    }

    /// An instance of a listed class.
    pub(super) fn object_node(&mut self, class: u32, args: Box<[Id]>, state: Option<Id>) -> Result<Id> {
        if !matches!(self.names.role(class), Some(Role::Class { .. } | Role::Opaque)) && !self.is_partial(class) {
            return Err(ErrorKind::NotCallable(self.names.show(class)));
        }
        let made = self.object(class, args, None)?;
        if let Some(state) = state {
            self.build_object(made, class, false, state)?;
        }
        Ok(made)
    }

    fn dict_node(&mut self, tree: &Tree<'_>, at: At, class: u32) -> Result<Id> {
        let content = tree.part(at, "content")?;
        let types = tree.child(at, "key_types")?;
        let count = tree.json.members(content).count();
        if self.sequence(types).map(<[Id]>::len) != Some(count) || tree.json.kind(content) != TokenKind::Object {
            return Err(ErrorKind::Part("key_types"));
        }
        self.meter.memory(count.saturating_mul(size_of::<(Id, Id)>()).saturating_add(ALLOCATION))?;
        let mut pairs = Vec::with_capacity(count);
        for (index, (key, value)) in tree.json.members(content).enumerate() {
            let kind = self.sequence(types).and_then(|types| types.get(index)).copied();
            let key = self.key(tree, key, kind.ok_or(ErrorKind::Part("key_types"))?)?;
            pairs.push((key, tree.node(Some(value), "content")?));
        }
        match self.names.role(class) {
            Some(Role::Builtin(Builtin::Dict | Builtin::OrderedDict | Builtin::DefaultDict)) => {
                self.make(Value::Dict(pairs))
            }
            Some(Role::Class { items: true, .. } | Role::Opaque) => {
                let made = self.object(class, Box::default(), None)?;
                if let Value::Object(object) = self.value_mut(made)? {
                    object.pairs = pairs;
                }
                Ok(made)
            }
            _ => Err(ErrorKind::NotCallable(self.names.show(class))),
        }
    }

    /// A key, which JSON writes as a text whatever it was.
    fn key(&mut self, tree: &Tree<'_>, at: At, kind: Id) -> Result<Id> {
        let Value::Global(kind) = self.value(kind) else { return Err(ErrorKind::Part("key_types")) };
        let kind = self.names.get(*kind).map(|global| global.name.clone()).unwrap_or_default();
        let text = tree.json.string(at).ok_or(ErrorKind::NotUtf8)?;
        match kind.as_str() {
            "str" | "str_" => {
                let blob = match tree.json.plain(at) {
                    Some(place) => Blob { start: place.start, len: place.end.saturating_sub(place.start) },
                    None => self.decode(text.as_bytes())?,
                };
                self.make(Value::Str(blob))
            }
            "bool" | "bool_" => match text.as_ref() {
                "true" | "True" => self.make(Value::Bool(true)),
                "false" | "False" => self.make(Value::Bool(false)),
                _ => Err(ErrorKind::Literal("a bool")),
            },
            "float" | "float16" | "float32" | "float64" => {
                let value = text.parse().map_err(|_| ErrorKind::Literal("a float"))?;
                self.make(Value::Float(value))
            }
            name if name.starts_with("int") || name.starts_with("uint") => {
                let value = text.parse().map_err(|_| ErrorKind::Literal("an integer"))?;
                self.make(Value::Int(value))
            }
            _ => Err(ErrorKind::Part("key_types")),
        }
    }

    fn items_node(&mut self, tree: &Tree<'_>, at: At, class: u32) -> Result<Id> {
        let items = self.nodes_of(tree, tree.part(at, "content")?)?;
        match self.names.role(class) {
            Some(Role::Builtin(Builtin::List)) => self.make(Value::List(items)),
            Some(Role::Builtin(Builtin::Tuple)) => self.make(Value::Tuple(items.into_boxed_slice())),
            Some(Role::Builtin(Builtin::Set)) => {
                self.hashable(&items)?;
                self.make(Value::Set(items))
            }
            // Named tuples are called with their items.
            Some(Role::Class { .. } | Role::Opaque) => self.object(class, items.into_boxed_slice(), None),
            _ => Err(ErrorKind::NotCallable(self.names.show(class))),
        }
    }

    /// The values of the nodes in an array of JSON.
    pub(super) fn nodes_of(&mut self, tree: &Tree<'_>, content: At) -> Result<Vec<Id>> {
        if tree.json.kind(content) != TokenKind::Array {
            return Err(ErrorKind::Part("content"));
        }
        let count = tree.json.inside(content).count();
        self.meter.memory(count.saturating_mul(size_of::<Id>()).saturating_add(ALLOCATION))?;
        tree.json.inside(content).map(|item| tree.node(Some(item), "content")).collect()
    }

    fn slice_node(&mut self, tree: &Tree<'_>, content: At) -> Result<Id> {
        let mut ends = [NONE; 3];
        for (end, key) in ends.iter_mut().zip(["start", "stop", "step"]) {
            let at = tree.part(content, key)?;
            // The ends of a slice are not nodes but what they are: numbers, or the names of columns.
            *end = self.json_value(tree.json.text(at))?;
        }
        self.make(Value::Slice(ends))
    }

    /// `null`, a bool, a number or a text, as a text of JSON inside of JSON.
    fn json_value(&mut self, text: &str) -> Result<Id> {
        match text {
            "null" => return Ok(NONE),
            "true" => return self.make(Value::Bool(true)),
            "false" => return self.make(Value::Bool(false)),
            _ => {}
        }
        if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            let value = unescape(inner).ok_or(ErrorKind::Literal("JSON"))?;
            self.meter.string(wide(value.len()))?;
            let blob = self.decode(value.as_bytes())?;
            return self.make(Value::Str(blob));
        }
        let signed = text.strip_prefix('-').unwrap_or(text);
        if !signed.is_empty() && signed.bytes().all(|byte| byte.is_ascii_digit()) {
            self.decimal(text.as_bytes())?;
            return self.pop();
        }
        let number =
            signed == "NaN" || signed == "Infinity" || signed.starts_with(|first: char| first.is_ascii_digit());
        let value = text.parse().ok().filter(|_| number).ok_or(ErrorKind::Literal("JSON"))?;
        self.make(Value::Float(value))
    }
}
