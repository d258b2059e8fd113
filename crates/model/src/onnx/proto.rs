//! ONNX's messages: a model, its graph, and what the graph is made of.

use super::tensor::{Data, Kind, Tensor, count};
use super::wire::{Message, Value};
use crate::Error;

/// Operators, constants and inputs of one graph: graphs that people score have some hundreds.
const PARTS: usize = 1 << 16;

/// A model file.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) producer: String,
    pub(super) version: String,
    /// Each domain of operators with its version; the empty one is ONNX's own.
    pub(super) opsets: Vec<(&'a str, i64)>,
    pub(super) graph: Graph<'a>,
}

#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) constants: Vec<(&'a str, Tensor)>,
    pub(super) inputs: Vec<Variable<'a>>,
    pub(super) outputs: Vec<Variable<'a>>,
}

/// An input or output.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    /// `None` where it is no tensor, or one of a type that is not read.
    pub(super) kind: Option<Kind>,
    /// Its dimensions, where they are told; `None` for one that varies.
    pub(super) dims: Option<Vec<Option<usize>>>,
}

/// An operator where it stands.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) op: &'a str,
    pub(super) domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: Vec<Attribute<'a>>,
    /// What errors call it.
    pub(super) place: String,
}

#[derive(Debug, Default)]
struct Attribute<'a> {
    name: &'a str,
    float: Option<f32>,
    int: Option<i64>,
    text: Option<Message<'a>>,
    tensor: Option<Message<'a>>,
    graph: Option<Message<'a>>,
    floats: Vec<f32>,
    ints: Vec<i64>,
    texts: Vec<Message<'a>>,
}

fn more<T>(all: &[T], at: &Message<'_>, what: &'static str) -> Result<(), Error> {
    if all.len() >= PARTS {
        return Err(at.error(format!("more than {PARTS} {what}")));
    }
    Ok(())
}

impl<'a> Model<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut message = Message::file(bytes);
        let mut model =
            Model { producer: String::new(), version: String::new(), opsets: Vec::new(), graph: Graph::default() };
        let mut graph = None;
        while let Some((field, value)) = message.next()? {
            match field {
                2 => model.producer = value.text(&message)?.to_string(),
                3 => model.version = value.text(&message)?.to_string(),
                7 => graph = Some(value.message(&message)?),
                8 => {
                    more(&model.opsets, &message, "sets of operators")?;
                    model.opsets.push(opset(value.message(&message)?)?);
                }
                25 => return Err(Error::unsupported("", "a function of its own (`functions`)", super::SUPPORTED)),
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| message.error("there is no graph"))?;
        model.graph = Graph::read(graph)?;
        Ok(model)
    }

    /// The version of a domain's operators.
    pub(super) fn opset(&self, domain: &str) -> i64 {
        let same = |known: &str| known == domain || (domain.is_empty() && known == "ai.onnx");
        self.opsets.iter().find(|(known, _)| same(known)).map_or(1, |(_, version)| *version)
    }
}

fn opset<'a>(mut message: Message<'a>) -> Result<(&'a str, i64), Error> {
    let mut found = ("", 0);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => found.0 = value.text(&message)?,
            2 => found.1 = value.int(&message)?,
            _ => {}
        }
    }
    Ok(found)
}

impl<'a> Graph<'a> {
    pub(super) fn read(mut message: Message<'a>) -> Result<Self, Error> {
        let mut graph = Graph::default();
        while let Some((field, value)) = message.next()? {
            match field {
                1 => {
                    more(&graph.nodes, &message, "operators")?;
                    let node = Node::read(value.message(&message)?, graph.nodes.len())?;
                    graph.nodes.push(node);
                }
                5 => {
                    more(&graph.constants, &message, "constants")?;
                    graph.constants.push(tensor(value.message(&message)?)?);
                }
                11 => {
                    more(&graph.inputs, &message, "inputs")?;
                    graph.inputs.push(Variable::read(value.message(&message)?)?);
                }
                12 => {
                    more(&graph.outputs, &message, "outputs")?;
                    graph.outputs.push(Variable::read(value.message(&message)?)?);
                }
                15 => return Err(Error::unsupported("", "sparse_initializer", "dense constants")),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> Variable<'a> {
    fn read(mut message: Message<'a>) -> Result<Self, Error> {
        let mut variable = Variable { name: "", kind: None, dims: None };
        while let Some((field, value)) = message.next()? {
            match field {
                1 => variable.name = value.text(&message)?,
                2 => variable.read_type(value.message(&message)?)?,
                _ => {}
            }
        }
        Ok(variable)
    }

    fn read_type(&mut self, mut message: Message<'a>) -> Result<(), Error> {
        while let Some((field, value)) = message.next()? {
            if field != 1 {
                continue;
            }
            let mut tensor = value.message(&message)?;
            while let Some((field, value)) = tensor.next()? {
                match field {
                    1 => self.kind = Kind::of(value.int(&tensor)?),
                    2 => self.dims = Some(dims(value.message(&tensor)?)?),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn dims(mut message: Message<'_>) -> Result<Vec<Option<usize>>, Error> {
    let mut dims = Vec::new();
    while let Some((field, value)) = message.next()? {
        if field != 1 {
            continue;
        }
        more(&dims, &message, "dimensions")?;
        let mut dim = value.message(&message)?;
        let mut size = None;
        while let Some((field, value)) = dim.next()? {
            if field == 1 {
                size = usize::try_from(value.int(&dim)?).ok().filter(|size| *size > 0);
            }
        }
        dims.push(size);
    }
    Ok(dims)
}

impl<'a> Node<'a> {
    fn read(mut message: Message<'a>, number: usize) -> Result<Self, Error> {
        let (mut op, mut domain, mut name) = ("", "", "");
        let (mut inputs, mut outputs, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        while let Some((field, value)) = message.next()? {
            match field {
                1 => {
                    more(&inputs, &message, "inputs of an operator")?;
                    inputs.push(value.text(&message)?);
                }
                2 => {
                    more(&outputs, &message, "outputs of an operator")?;
                    outputs.push(value.text(&message)?);
                }
                3 => name = value.text(&message)?,
                4 => op = value.text(&message)?,
                5 => {
                    more(&attributes, &message, "attributes of an operator")?;
                    attributes.push(Attribute::read(value.message(&message)?)?);
                }
                7 => domain = value.text(&message)?,
                _ => {}
            }
        }
        let named = if name.is_empty() { format!("node {number}") } else { format!("node `{name}`") };
        let domain = if domain == "ai.onnx" { "" } else { domain };
        Ok(Node { op, domain, inputs, outputs, attributes, place: format!("{named} ({op})") })
    }

    fn get(&self, name: &str) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::state(self.place.clone(), message)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.get(name).and_then(|attribute| attribute.int).unwrap_or(default)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.get(name).and_then(|attribute| attribute.float).unwrap_or(default)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.get(name).and_then(|attribute| attribute.text).map(|text| text.text()).transpose()
    }

    pub(super) fn floats(&self, name: &str) -> &[f32] {
        self.get(name).map_or(&[], |attribute| &attribute.floats)
    }

    pub(super) fn ints(&self, name: &str) -> &[i64] {
        self.get(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>, Error> {
        self.get(name).map_or(Ok(Vec::new()), |found| found.texts.iter().map(Message::text).collect())
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor>, Error> {
        self.get(name).and_then(|found| found.tensor).map(|found| tensor(found).map(|(_, tensor)| tensor)).transpose()
    }

    pub(super) fn graph(&self, name: &str) -> Result<Option<Graph<'a>>, Error> {
        self.get(name).and_then(|attribute| attribute.graph).map(Graph::read).transpose()
    }
}

impl<'a> Attribute<'a> {
    fn read(mut message: Message<'a>) -> Result<Self, Error> {
        let mut found = Attribute::default();
        while let Some((field, value)) = message.next()? {
            match field {
                1 => found.name = value.text(&message)?,
                2 => {
                    let mut one = Vec::new();
                    value.floats(&message, &mut one)?;
                    found.float = one.last().copied();
                }
                3 => found.int = Some(value.int(&message)?),
                4 => found.text = Some(value.message(&message)?),
                5 => found.tensor = Some(value.message(&message)?),
                6 => found.graph = Some(value.message(&message)?),
                7 => value.floats(&message, &mut found.floats)?,
                8 => value.ints(&message, &mut found.ints)?,
                9 => found.texts.push(value.message(&message)?),
                21 => return Err(message.error("an attribute of a function")),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// A constant with its name.
fn tensor<'a>(mut message: Message<'a>) -> Result<(&'a str, Tensor), Error> {
    let start = message;
    let (mut name, mut code, mut raw) = ("", 0, None);
    let (mut dims, mut ints, mut floats, mut doubles, mut texts) = (vec![], vec![], vec![], vec![], vec![]);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => value.ints(&message, &mut dims)?,
            2 => code = value.int(&message)?,
            3 => return Err(message.error("a constant in several segments")),
            4 => value.floats(&message, &mut floats)?,
            5 | 7 | 11 => value.ints(&message, &mut ints)?,
            6 => texts.push(value.message(&message)?),
            8 => name = value.text(&message)?,
            9 => raw = Some(value.message(&message)?),
            10 => value.doubles(&message, &mut doubles)?,
            13 => return Err(message.error("a constant in another file: save the model with all its data in one file")),
            14 if !matches!(value, Value::Varint(0)) => {
                return Err(message.error("a constant in another file: save the model with all its data in one file"));
            }
            _ => {}
        }
    }
    let kind = Kind::of(code).ok_or_else(|| start.error(format!("constants of the type {code} are not read")))?;
    let data = match (kind, raw) {
        (Kind::F32, None) => Data::F32(floats),
        (Kind::F64, None) => Data::F64(doubles),
        (Kind::I64, None) => Data::I64(ints),
        (Kind::Bool, None) => Data::Bool(ints.into_iter().map(|one| one != 0).collect()),
        (Kind::Text, _) => {
            Data::Text(texts.iter().map(|text| Ok(text.text()?.into())).collect::<Result<Vec<_>, Error>>()?)
        }
        (_, Some(raw)) => from_raw(code, &raw)?,
    };
    let shape: Option<Vec<usize>> = dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
    let shape = shape.filter(|shape| count(shape) == Some(data.len()));
    let Some(shape) = shape else {
        return Err(start.error(format!("a constant of {} values is not of the shape that it tells", data.len())));
    };
    Ok((name, Tensor { shape, data }))
}

fn from_raw(code: i64, raw: &Message<'_>) -> Result<Data, Error> {
    fn ints<const N: usize>(raw: &Message<'_>, read: fn([u8; N]) -> i64) -> Result<Data, Error> {
        Ok(Data::I64(raw.fixed::<N>()?.iter().map(|bytes| read(*bytes)).collect()))
    }
    match code {
        1 => Ok(Data::F32(raw.fixed()?.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())),
        11 => Ok(Data::F64(raw.fixed()?.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())),
        9 => Ok(Data::Bool(raw.bytes().iter().map(|byte| *byte != 0).collect())),
        2 => ints(raw, |[byte]| byte.into()),
        3 => ints(raw, |[byte]| byte.cast_signed().into()),
        4 => ints(raw, |bytes| u16::from_le_bytes(bytes).into()),
        5 => ints(raw, |bytes| i16::from_le_bytes(bytes).into()),
        6 => ints(raw, |bytes| i32::from_le_bytes(bytes).into()),
        12 => ints(raw, |bytes| u32::from_le_bytes(bytes).into()),
        _ => ints(raw, i64::from_le_bytes),
    }
}
