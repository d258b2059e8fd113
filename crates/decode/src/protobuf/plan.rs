//! How the messages of one type are walked: which field feeds which column, and what must hold of all others.

use std::collections::{HashMap, VecDeque};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::super::column::Columns;
use super::super::tree::Tree;
use super::super::types::Type;

/// Made once for each type of message.
pub(super) struct Plan {
    /// The first is that of the message itself.
    pub(super) nodes: Vec<Node>,
    /// The names of enums' numbers, ascending.
    pub(super) enums: Vec<Vec<(i32, String)>>,
    /// How many columns there are.
    pub(super) columns: usize,
}

/// The fields of a message, at one place or wherever nothing of it is wanted.
#[derive(Default)]
pub(super) struct Node {
    /// By number, ascending.
    pub(super) fields: Vec<Field>,
    /// What columns hold where a field is not sent.
    pub(super) blanks: Vec<(usize, Blank)>,
    /// Whether fields that it does not have may be those of extensions.
    pub(super) extended: bool,
}

/// The value of a field that is not sent.
pub(super) enum Blank {
    Number,
    Fraction,
    Bool,
    Text(String),
}

pub(super) struct Field {
    pub(super) number: u32,
    pub(super) shape: Shape,
    /// Whether it may come many times.
    pub(super) list: bool,
    /// The column that it feeds.
    pub(super) column: Option<usize>,
    /// Which of the plan's oneofs it belongs to, where one of those feeds a column.
    pub(super) oneof: Option<u32>,
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Bool,
    Int32,
    Sint32,
    Uint32,
    Int64,
    Sint64,
    Uint64,
    Fixed32,
    Sfixed32,
    Fixed64,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    /// By its names.
    Enum(usize),
    /// Of this node.
    Message(usize),
    /// A `google.protobuf.Timestamp`.
    Time,
    /// A message around one value: which of those above.
    Wrapped(Scalar),
    /// Something that JSON has rules of its own for.
    Other,
}

/// What is wrapped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    Bool,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float,
    Double,
    Text,
    Bytes,
}

impl Scalar {
    pub(super) fn shape(self) -> Shape {
        match self {
            Scalar::Bool => Shape::Bool,
            Scalar::Int32 => Shape::Int32,
            Scalar::Uint32 => Shape::Uint32,
            Scalar::Int64 => Shape::Int64,
            Scalar::Uint64 => Shape::Uint64,
            Scalar::Float => Shape::Float,
            Scalar::Double => Shape::Double,
            Scalar::Text => Shape::Text,
            Scalar::Bytes => Shape::Bytes,
        }
    }

    fn of(wrapper: &str) -> Option<Scalar> {
        Some(match wrapper.strip_prefix(WELL_KNOWN)? {
            "BoolValue" => Scalar::Bool,
            "Int32Value" => Scalar::Int32,
            "UInt32Value" => Scalar::Uint32,
            "Int64Value" => Scalar::Int64,
            "UInt64Value" => Scalar::Uint64,
            "FloatValue" => Scalar::Float,
            "DoubleValue" => Scalar::Double,
            "StringValue" => Scalar::Text,
            "BytesValue" => Scalar::Bytes,
            _ => return None,
        })
    }
}

const WELL_KNOWN: &str = "google.protobuf.";

/// Types of messages that refer to each other, no more than these.
const MOST_NODES: usize = 1024;

/// Oneofs are told apart by the bits of a word.
pub(super) const MOST_ONEOFS: u32 = 64;

/// A field that is wanted as what only the way by JSON makes of it.
struct ByJson;

impl Plan {
    /// For messages of this type; `None` where some column is wanted as something that JSON alone has a form for.
    pub(super) fn new(message: &MessageDescriptor, columns: &Columns, tree: &Tree) -> Option<Plan> {
        let mut making = Making {
            plan: Plan { nodes: Vec::new(), enums: Vec::new(), columns: columns.len() },
            columns,
            open: VecDeque::new(),
            unwanted: HashMap::new(),
            oneofs: 0,
        };
        making.node(message.clone(), Some(tree));
        while let Some((index, message, tree)) = making.open.pop_front() {
            let node = making.fill(&message, tree).ok()?;
            *making.plan.nodes.get_mut(index)? = node;
            if making.plan.nodes.len() > MOST_NODES || making.oneofs > MOST_ONEOFS {
                return None;
            }
        }
        Some(making.plan)
    }
}

/// A plan that is being made.
struct Making<'t> {
    plan: Plan,
    columns: &'t Columns,
    /// Nodes that are still empty.
    open: VecDeque<(usize, MessageDescriptor, Option<&'t Tree>)>,
    /// By name, the nodes of messages of which nothing is wanted.
    unwanted: HashMap<String, usize>,
    oneofs: u32,
}

impl<'t> Making<'t> {
    fn node(&mut self, message: MessageDescriptor, tree: Option<&'t Tree>) -> usize {
        let index = self.plan.nodes.len();
        if tree.is_none() {
            if let Some(known) = self.unwanted.get(message.full_name()) {
                return *known;
            }
            self.unwanted.insert(message.full_name().to_string(), index);
        }
        self.plan.nodes.push(Node::default());
        self.open.push_back((index, message, tree));
        index
    }

    fn fill(&mut self, message: &MessageDescriptor, tree: Option<&'t Tree>) -> Result<Node, ByJson> {
        let mut node = Node { extended: message.extensions().next().is_some(), ..Node::default() };
        let mut oneofs: HashMap<String, u32> = HashMap::new();
        for field in message.fields() {
            let member = tree.and_then(|tree| tree.find(field.name()));
            let column = member.and_then(|member| member.column);
            let inner = member.map(|member| &member.inner).filter(|inner| !inner.members.is_empty());
            let shape = self.shape(&field, column, inner)?;
            if let Some(column) = column
                && !field.supports_presence()
            {
                node.blanks.push((column, blank(&field)?));
            }
            let oneof = field.containing_oneof().filter(|oneof| tree.is_some() && !oneof.is_synthetic());
            let oneof = oneof.map(|oneof| {
                *oneofs.entry(oneof.name().to_string()).or_insert_with(|| {
                    self.oneofs = self.oneofs.saturating_add(1);
                    self.oneofs.saturating_sub(1)
                })
            });
            let list = field.is_list() || field.is_map();
            node.fields.push(Field { number: field.number(), shape, list, column, oneof });
        }
        node.fields.sort_by_key(|field| field.number);
        Ok(node)
    }

    fn shape(
        &mut self,
        field: &FieldDescriptor,
        column: Option<usize>,
        inner: Option<&'t Tree>,
    ) -> Result<Shape, ByJson> {
        let wanted = column.is_some() || inner.is_some();
        if field.is_group() || ((field.is_list() || field.is_map()) && wanted) {
            return if wanted { Err(ByJson) } else { Ok(Shape::Other) };
        }
        let shape = match field.kind() {
            Kind::Bool => Shape::Bool,
            Kind::Int32 => Shape::Int32,
            Kind::Sint32 => Shape::Sint32,
            Kind::Uint32 => Shape::Uint32,
            Kind::Int64 => Shape::Int64,
            Kind::Sint64 => Shape::Sint64,
            Kind::Uint64 => Shape::Uint64,
            Kind::Fixed32 => Shape::Fixed32,
            Kind::Sfixed32 => Shape::Sfixed32,
            Kind::Fixed64 => Shape::Fixed64,
            Kind::Sfixed64 => Shape::Sfixed64,
            Kind::Float => Shape::Float,
            Kind::Double => Shape::Double,
            Kind::String => Shape::Text,
            Kind::Bytes => Shape::Bytes,
            Kind::Enum(numbers) => self.names(&numbers, column.is_some())?,
            Kind::Message(message) => return self.message(message, column, inner),
        };
        let number = !matches!(shape, Shape::Text | Shape::Bytes | Shape::Enum(_) | Shape::Bool);
        self.check(shape, number, column)?;
        Ok(shape)
    }

    /// Some types are read from a number's digits.
    fn check(&self, shape: Shape, number: bool, column: Option<usize>) -> Result<(), ByJson> {
        let Some(column) = column.and_then(|column| self.columns.get(column)) else { return Ok(()) };
        let fraction = matches!(shape, Shape::Float | Shape::Double);
        match column.data_type {
            Type::Decimal(..) if number => Err(ByJson),
            Type::Timestamp if fraction => Err(ByJson),
            _ => Ok(()),
        }
    }

    fn message(
        &mut self,
        message: MessageDescriptor,
        column: Option<usize>,
        inner: Option<&'t Tree>,
    ) -> Result<Shape, ByJson> {
        let name = message.full_name();
        if name.starts_with(WELL_KNOWN) {
            let wanted = column.is_some() || inner.is_some();
            let wanted_as = column.and_then(|column| self.columns.get(column));
            let scalar = Scalar::of(name);
            return match scalar {
                _ if inner.is_some() => Err(ByJson),
                None if name == "google.protobuf.Timestamp" => match wanted_as {
                    Some(column) if column.data_type != Type::Timestamp || !column.format.is_iso() => Err(ByJson),
                    _ => Ok(Shape::Time),
                },
                None if wanted => Err(ByJson),
                None => Ok(Shape::Other),
                Some(scalar) => {
                    let number = !matches!(scalar, Scalar::Text | Scalar::Bytes | Scalar::Bool);
                    self.check(scalar.shape(), number, column)?;
                    Ok(Shape::Wrapped(scalar))
                }
            };
        }
        match column {
            // What has parts is its JSON.
            Some(_) => Err(ByJson),
            None => Ok(Shape::Message(self.node(message, inner))),
        }
    }

    fn names(&mut self, numbers: &EnumDescriptor, wanted: bool) -> Result<Shape, ByJson> {
        if !wanted {
            return Ok(Shape::Int32);
        }
        if numbers.full_name() == "google.protobuf.NullValue" {
            return Err(ByJson);
        }
        let name = |number: i32| Some((number, numbers.get_value(number)?.name().to_string()));
        let mut names: Vec<(i32, String)> = numbers.values().filter_map(|value| name(value.number())).collect();
        names.sort_unstable();
        names.dedup();
        self.plan.enums.push(names);
        Ok(Shape::Enum(self.plan.enums.len().saturating_sub(1)))
    }
}

fn blank(field: &FieldDescriptor) -> Result<Blank, ByJson> {
    Ok(match field.default_value() {
        Value::Bool(false) => Blank::Bool,
        Value::I32(0) | Value::U32(0) | Value::I64(0) | Value::U64(0) => Blank::Number,
        Value::F32(0.0) | Value::F64(0.0) => Blank::Fraction,
        Value::String(text) if text.is_empty() => Blank::Text(text),
        Value::Bytes(bytes) if bytes.is_empty() => Blank::Text(String::new()),
        Value::EnumNumber(number) => {
            let Kind::Enum(numbers) = field.kind() else { return Err(ByJson) };
            Blank::Text(numbers.get_value(number).ok_or(ByJson)?.name().to_string())
        }
        _ => return Err(ByJson),
    })
}
