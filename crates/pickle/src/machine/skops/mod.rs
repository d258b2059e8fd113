//! The nodes of a skops file become values. Nodes are built backwards through `schema.json`, so that what a node
//! contains is there when it is built: no recursion, and nothing can contain itself.

mod arrays;
mod nodes;

use std::collections::HashMap;

use super::{Built, Machine, Result, Scanned, UNSET};
use crate::json::{At, Json, TokenKind};
use crate::skops::Unpacked;
use crate::wide::wide;
use crate::{Allow, Error, ErrorKind, Id, Limits};

/// The tree of nodes, and the values of those that are built.
struct Tree<'d> {
    json: Json<'d>,
    unpacked: &'d Unpacked,
    /// By token; [`UNSET`] where no node starts or none is built yet.
    built: Vec<Id>,
}

/// Memory of one node whose id was seen.
const SEEN: usize = 64;
/// The newest protocol of skops.
const NEWEST: i64 = 2;

impl<'d> Machine<'d> {
    /// Builds the values of a skops file.
    pub(crate) fn read_skops(unpacked: &'d Unpacked, allow: &'d Allow, limits: &'d Limits) -> Result<Built, Error> {
        let mut machine = Machine::new(&unpacked.data, allow, limits);
        let (mut tree, protocol) = machine.tree(unpacked)?;
        let mut seen: HashMap<i64, At> = HashMap::new();
        for at in tree.json.backwards() {
            let Some(loader) = tree.loader(at) else { continue };
            machine.at = tree.json.byte(at);
            let made = machine.meter.opcode().and_then(|()| machine.node(&tree, at, &loader, &mut seen));
            let made = made.map_err(|kind| kind.at(machine.at, nodes::name(&loader)))?;
            if let Some(slot) = tree.built.get_mut(tree.json.index(at)) {
                *slot = made;
            }
        }
        let wrong = |kind: ErrorKind| kind.at(0, "schema.json");
        let root = tree.node(Some(Json::root()), "__loader__").map_err(wrong)?;
        machine.check_nesting(root).map_err(wrong)?;
        Ok(Built {
            root,
            protocol,
            trailing: 0,
            nodes: machine.nodes,
            decoded: machine.decoded,
            globals: machine.names.globals,
        })
    }

    /// The names of all nodes, in the order of the file.
    pub(crate) fn scan_skops(unpacked: &'d Unpacked, allow: &'d Allow, limits: &'d Limits) -> Result<Scanned, Error> {
        let mut machine = Machine::new(&unpacked.data, allow, limits);
        machine.found = Some(Vec::new());
        let (tree, protocol) = machine.tree(unpacked)?;
        let mut stopped = None;
        let mut opcodes = 0u64;
        for at in tree.json.all(Json::root()) {
            let Some(loader) = tree.loader(at).filter(|loader| loader != nodes::JSON) else { continue };
            opcodes = opcodes.saturating_add(1);
            machine.at = tree.json.byte(at);
            let named = tree.name(at, &loader).and_then(|(module, name)| machine.global(&module, &name));
            if let Err(kind) = named {
                stopped.get_or_insert(kind.at(machine.at, nodes::name(&loader)));
            }
        }
        Ok(Scanned { found: machine.found.unwrap_or_default(), protocol, opcodes, trailing: 0, stopped })
    }

    /// Parses `schema.json`; with the protocol that it declares.
    fn tree(&mut self, unpacked: &'d Unpacked) -> Result<(Tree<'d>, u8), Error> {
        let json = Json::parse(unpacked.schema(), &mut self.meter).map_err(|(at, kind)| kind.at(at, "schema.json"))?;
        let wrong = |kind: ErrorKind| kind.at(0, "schema.json");
        self.meter.memory(json.len().saturating_mul(size_of::<Id>())).map_err(wrong)?;
        let built = vec![UNSET; json.len()];
        let protocol = json.get(Json::root(), "protocol").and_then(|protocol| json.int(protocol));
        let protocol = protocol.ok_or(ErrorKind::Part("protocol")).map_err(wrong)?;
        let known = u8::try_from(protocol).ok().filter(|_| protocol <= NEWEST);
        let protocol = known.ok_or(ErrorKind::SkopsProtocol(protocol)).map_err(wrong)?;
        Ok((Tree { json, unpacked, built }, protocol))
    }

    /// The value of a node: the one of an equal node with the same id, or a new one.
    fn node(&mut self, tree: &Tree<'_>, at: At, loader: &str, seen: &mut HashMap<i64, At>) -> Result<Id> {
        let Some(id) = tree.json.get(at, "__id__") else { return self.make_node(tree, at, loader) };
        let id = tree.json.int(id).ok_or(ErrorKind::Part("__id__"))?;
        if let Some(other) = seen.get(&id).copied() {
            self.meter.work(wide(tree.json.text(at).len()))?;
            let same = self.same(tree, at, other)?;
            return if same { tree.node(Some(other), "__id__") } else { Err(ErrorKind::IdTwice(id)) };
        }
        self.meter.memory(SEEN)?;
        seen.insert(id, at);
        self.make_node(tree, at, loader)
    }

    /// Whether two nodes say the same. What an object makes anew each time that it is asked (its state) has another id
    /// each time, and bytes have another file each time: there the bytes count.
    fn same(&mut self, tree: &Tree<'_>, left: At, right: At) -> Result<bool> {
        let json = &tree.json;
        if json.all(left).count() != json.all(right).count() {
            return Ok(false);
        }
        let mut key = "";
        for (left, right) in json.all(left).zip(json.all(right)) {
            let (kind, text) = (json.kind(left), json.text(left));
            let open = matches!(kind, TokenKind::Array | TokenKind::Object);
            let equal = kind == json.kind(right) && (open || text == json.text(right));
            let by_key = match key {
                "\"__id__\"" => kind == TokenKind::Number,
                "\"file\"" if !equal => self.same_file(tree, left, right)?,
                _ => false,
            };
            if !equal && !by_key {
                return Ok(false);
            }
            key = text;
        }
        Ok(true)
    }

    /// Whether two files that are named here have the same bytes.
    fn same_file(&mut self, tree: &Tree<'_>, left: At, right: At) -> Result<bool> {
        let place = |at: At| tree.json.string(at).and_then(|name| tree.unpacked.file(&name));
        let Some((left, right)) = place(left).zip(place(right)) else { return Ok(false) };
        self.meter.work(wide(left.len()))?;
        Ok(self.data.get(left) == self.data.get(right))
    }
}

impl Tree<'_> {
    /// The kind of the node that starts here; `None` where none does.
    fn loader(&self, at: At) -> Option<String> {
        if self.json.kind(at) != TokenKind::Object {
            return None;
        }
        let loader = self.json.get(at, "__loader__")?;
        self.json.string(loader).map(|loader| loader.into_owned())
    }

    /// A part of a node that is a text.
    fn text(&self, at: At, key: &'static str) -> Result<String> {
        let text = self.json.get(at, key).and_then(|text| self.json.string(text));
        text.map(|text| text.into_owned()).ok_or(ErrorKind::Part(key))
    }

    /// Module and name of a node's class.
    fn name(&self, at: At, loader: &str) -> Result<(String, String)> {
        let content = self.json.get(at, "content");
        match content.filter(|_| loader == nodes::FUNCTION) {
            // Functions of protocol 0.
            Some(content) => Ok((self.text(content, "module_path")?, self.text(content, "function")?)),
            None => Ok((self.text(at, "__module__")?, self.text(at, "__class__")?)),
        }
    }

    /// A part of a node, or of its content.
    fn part(&self, at: At, key: &'static str) -> Result<At> {
        self.json.get(at, key).ok_or(ErrorKind::Part(key))
    }

    /// The value of the node that starts here.
    fn node(&self, at: Option<At>, key: &'static str) -> Result<Id> {
        let id = at.and_then(|at| self.built.get(self.json.index(at)).copied());
        id.filter(|id| *id != UNSET).ok_or(ErrorKind::Part(key))
    }

    /// The value of the node that is a part of another.
    fn child(&self, at: At, key: &'static str) -> Result<Id> {
        self.node(self.json.get(at, key), key)
    }
}
