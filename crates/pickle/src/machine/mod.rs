//! The pickle machine: a stack, marks, a memo, and one arm for each opcode. It runs nothing of the file.

mod build;
mod containers;
mod dill;
mod names;
mod numpy;
mod python;
mod scalars;
mod skops;

use std::collections::VecDeque;

use crate::literal;
use crate::meter::Meter;
use crate::opcode as op;
use crate::stream::Stream;
use crate::wide::wide;
use crate::{Allow, Blob, Error, ErrorKind, Global, Id, Limits, Value};

use build::Wrapped;
pub use names::NamedGlobal;
use names::Names;

type Result<T, E = ErrorKind> = std::result::Result<T, E>;

/// Values that every document has once, at the ids where [`Machine::new`] puts them.
const NONE: Id = Id(0);
const TRUE: Id = Id(1);
const FALSE: Id = Id(2);
const EMPTY_TUPLE: Id = Id(3);
const BYTES: u32 = 4;

/// A memo entry that was never written.
const UNSET: Id = Id(u32::MAX);

/// What one stream has for itself; a nested stream has its own.
#[derive(Debug, Default)]
struct Context {
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Id>,
    memo_entries: usize,
    opcodes: u64,
}

pub(crate) struct Machine<'d> {
    stream: Stream<'d>,
    data: &'d [u8],
    meter: Meter<'d>,
    allow: &'d Allow,
    nodes: Vec<Value>,
    decoded: Vec<u8>,
    names: Names,
    context: Context,
    /// The stream around a nested one.
    outer: Option<(Context, Wrapped)>,
    protocol: u8,
    /// Byte of the opcode that is running.
    at: u64,
    /// In a scan: the globals found so far. A scan lets every name pass and calls nothing either.
    found: Option<Vec<NamedGlobal>>,
}

/// What a machine leaves behind.
pub(crate) struct Built {
    pub(crate) nodes: Vec<Value>,
    pub(crate) decoded: Vec<u8>,
    pub(crate) globals: Vec<Global>,
    pub(crate) root: Id,
    pub(crate) protocol: u8,
    pub(crate) trailing: u64,
}

/// What a finished scan saw.
pub(crate) struct Scanned {
    pub(crate) found: Vec<NamedGlobal>,
    pub(crate) protocol: u8,
    pub(crate) opcodes: u64,
    pub(crate) trailing: u64,
    pub(crate) stopped: Option<Error>,
}

impl<'d> Machine<'d> {
    fn new(data: &'d [u8], allow: &'d Allow, limits: &'d Limits) -> Self {
        let mut nodes = vec![Value::None, Value::Bool(true), Value::Bool(false), Value::Tuple(Box::default())];
        nodes.extend((0..=255).map(Value::Int));
        Machine {
            stream: Stream::new(data),
            data,
            meter: Meter::new(limits, data.len()),
            allow,
            nodes,
            decoded: Vec::new(),
            names: Names::default(),
            context: Context::default(),
            outer: None,
            protocol: 0,
            at: 0,
            found: None,
        }
    }

    /// Runs the stream to its end.
    pub(crate) fn read(data: &'d [u8], allow: &'d Allow, limits: &'d Limits) -> Result<Built, Error> {
        let mut machine = Machine::new(data, allow, limits);
        let root = machine.run()?;
        machine.check_nesting(root).map_err(|kind| kind.at(machine.at, "STOP"))?;
        Ok(Built {
            root,
            protocol: machine.protocol,
            trailing: machine.stream.left(),
            nodes: machine.nodes,
            decoded: machine.decoded,
            globals: machine.names.globals,
        })
    }

    /// Runs the stream as far as it goes and says which globals it names.
    pub(crate) fn scan(data: &'d [u8], allow: &'d Allow, limits: &'d Limits) -> Scanned {
        let mut machine = Machine::new(data, allow, limits);
        machine.found = Some(Vec::new());
        let stopped = machine.run().err();
        Scanned {
            found: machine.found.unwrap_or_default(),
            protocol: machine.protocol,
            opcodes: machine.meter.opcodes,
            trailing: if stopped.is_none() { machine.stream.left() } else { 0 },
            stopped,
        }
    }

    fn scanning(&self) -> bool {
        self.found.is_some()
    }

    fn run(&mut self) -> Result<Id, Error> {
        loop {
            self.at = self.stream.at();
            if self.stream.left() == 0 {
                return Err(ErrorKind::NoStop.at(self.at, "end"));
            }
            let opcode = self.stream.byte().map_err(|kind| kind.at(self.at, "end"))?;
            let name = op::name(opcode).ok_or_else(|| ErrorKind::NoOpcode(opcode).at(self.at, "?"))?;
            let stop = self.meter.opcode().and_then(|()| self.step(opcode)).map_err(|kind| kind.at(self.at, name))?;
            if let Some(root) = stop {
                return Ok(root);
            }
        }
    }

    /// Runs one opcode; the root where it was the last.
    fn step(&mut self, opcode: u8) -> Result<Option<Id>> {
        self.context.opcodes = self.context.opcodes.saturating_add(1);
        match opcode {
            op::PROTO => self.protocol()?,
            op::FRAME => {
                let len = self.stream.u64()?;
                // Python's own unpickler in C takes no heed of where a frame ends.
                if !self.scanning() {
                    self.stream.open_frame(len)?;
                }
            }
            op::STOP => return self.stop(),
            op::MARK => self.mark()?,
            op::POP => self.pop_any()?,
            op::POP_MARK => drop(self.pop_mark()?),
            op::DUP => {
                let top = self.top()?;
                self.push(top)?;
            }

            op::NONE => self.push(NONE)?,
            op::NEWTRUE => self.push(TRUE)?,
            op::NEWFALSE => self.push(FALSE)?,
            op::INT => {
                let line = self.stream.line()?;
                match line {
                    b"01" => self.push(TRUE)?,
                    b"00" => self.push(FALSE)?,
                    digits => self.decimal(digits)?,
                }
            }
            op::LONG => {
                let line = self.stream.line()?;
                self.decimal(line.strip_suffix(b"L").unwrap_or(line))?;
            }
            op::BININT => {
                let value = self.stream.i32()?;
                self.int(value.into())?;
            }
            op::BININT1 => {
                let value = self.stream.byte()?;
                self.int(value.into())?;
            }
            op::BININT2 => {
                let value = self.stream.u16()?;
                self.int(value.into())?;
            }
            op::LONG1 => {
                let len = self.stream.byte()?;
                self.long(len.into())?;
            }
            op::LONG4 => {
                let len = self.stream.length()?;
                self.long(len)?;
            }
            op::FLOAT => {
                let value = literal::float_text(self.stream.line()?)?;
                self.add(Value::Float(value))?;
            }
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.stream.array()?);
                self.add(Value::Float(value))?;
            }

            op::STRING => {
                let line = self.stream.line()?;
                self.meter.string(wide(line.len()))?;
                let blob = self.decode(&literal::quoted(line)?)?;
                self.add(Value::OldStr(blob))?;
            }
            op::UNICODE => {
                let line = self.stream.line()?;
                self.meter.string(wide(line.len()))?;
                let blob = self.decode(literal::raw_unicode(line)?.as_bytes())?;
                self.add(Value::Str(blob))?;
            }
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE | op::SHORT_BINBYTES => {
                let len = self.stream.byte()?;
                self.bytes(opcode, len.into())?;
            }
            op::BINSTRING => {
                let len = self.stream.length()?;
                self.bytes(opcode, len)?;
            }
            op::BINUNICODE | op::BINBYTES => {
                let len = self.stream.u32()?;
                self.bytes(opcode, len.into())?;
            }
            op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => {
                let len = self.stream.u64()?;
                self.bytes(opcode, len)?;
            }

            op::EMPTY_TUPLE => self.push(EMPTY_TUPLE)?,
            op::TUPLE1 => self.tuple(1)?,
            op::TUPLE2 => self.tuple(2)?,
            op::TUPLE3 => self.tuple(3)?,
            op::TUPLE => {
                let count = self.above_mark()?;
                self.tuple(count)?;
                self.close_mark()?;
            }
            op::EMPTY_LIST => self.add(Value::List(Vec::new())).map(drop)?,
            op::EMPTY_DICT => self.add(Value::Dict(Vec::new())).map(drop)?,
            op::EMPTY_SET => self.add(Value::Set(Vec::new())).map(drop)?,
            op::LIST => self.list()?,
            op::DICT => self.dict()?,
            op::FROZENSET => self.frozen_set()?,
            op::APPEND => self.append()?,
            op::APPENDS => self.appends()?,
            op::ADDITEMS => self.add_items()?,
            op::SETITEM => self.set_item()?,
            op::SETITEMS => self.set_items()?,

            op::PUT => {
                let index = self.index()?;
                self.put(index)?;
            }
            op::BINPUT => {
                let index = self.stream.byte()?;
                self.put(index.into())?;
            }
            op::LONG_BINPUT => {
                let index = self.stream.u32()?;
                self.put(index.into())?;
            }
            op::MEMOIZE => {
                let index = wide(self.context.memo_entries);
                self.put(index)?;
            }
            op::GET => {
                let index = self.index()?;
                self.get(index)?;
            }
            op::BINGET => {
                let index = self.stream.byte()?;
                self.get(index.into())?;
            }
            op::LONG_BINGET => {
                let index = self.stream.u32()?;
                self.get(index.into())?;
            }

            op::GLOBAL => {
                let (module, name) = self.name_lines()?;
                let global = self.global(&module, &name)?;
                self.add(Value::Global(global))?;
            }
            op::STACK_GLOBAL => self.stack_global()?,
            op::REDUCE => self.reduce()?,
            op::NEWOBJ => self.new_object(false)?,
            op::NEWOBJ_EX => self.new_object(true)?,
            op::INST => self.inst()?,
            op::OBJ => self.obj()?,
            op::BUILD => self.build()?,

            op::PERSID | op::BINPERSID => return Err(ErrorKind::Forbidden("persistent ids")),
            op::EXT1 | op::EXT2 | op::EXT4 => return Err(ErrorKind::Forbidden("extension codes")),
            op::NEXT_BUFFER | op::READONLY_BUFFER => return Err(ErrorKind::Forbidden("buffers outside of the file")),
            other => return Err(ErrorKind::NoOpcode(other)),
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<()> {
        let protocol = self.stream.byte()?;
        if protocol > 5 {
            return Err(ErrorKind::Protocol(protocol));
        }
        if self.context.opcodes > 1 && !self.scanning() {
            return Err(ErrorKind::LateProtocol);
        }
        if self.outer.is_none() {
            self.protocol = protocol;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<Option<Id>> {
        self.stream.outside_frame("the stream stops")?;
        let root = self.pop()?;
        let left = self.context.stack.len().saturating_add(self.context.marks.len());
        if left > 0 {
            return Err(ErrorKind::LeftOver(wide(left)));
        }
        match self.outer.take() {
            None => Ok(Some(root)),
            Some((context, wrapped)) => {
                self.context = context;
                self.nested_done(root, &wrapped)?;
                Ok(None)
            }
        }
    }

    // -- the stack

    fn push(&mut self, id: Id) -> Result<()> {
        let limit = self.meter.limits.stack;
        if self.context.stack.len() >= limit {
            return Err(ErrorKind::Limit { what: "values on the stack", limit: wide(limit) });
        }
        self.meter.push(&mut self.context.stack, id)
    }

    /// Where the topmost mark stands, or the bottom.
    fn fence(&self) -> usize {
        self.context.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        let above = self.context.stack.get(self.fence()..).unwrap_or(&[]);
        above.last().copied().ok_or(ErrorKind::EmptyStack)
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.context.stack.pop();
        Ok(top)
    }

    /// `POP` takes a mark where nothing stands on it, as Python's does.
    fn pop_any(&mut self) -> Result<()> {
        match self.pop() {
            Ok(_) => Ok(()),
            Err(empty) => self.context.marks.pop().map(drop).ok_or(empty),
        }
    }

    fn mark(&mut self) -> Result<()> {
        let limit = self.meter.limits.marks;
        if self.context.marks.len() >= limit {
            return Err(ErrorKind::Limit { what: "open marks", limit: wide(limit) });
        }
        let here = self.context.stack.len();
        self.meter.push(&mut self.context.marks, here)
    }

    /// How many values stand on the topmost mark.
    fn above_mark(&self) -> Result<usize> {
        let mark = self.context.marks.last().ok_or(ErrorKind::NoMark)?;
        Ok(self.context.stack.len().saturating_sub(*mark))
    }

    /// Removes the mark under the topmost value.
    fn close_mark(&mut self) -> Result<()> {
        self.context.marks.pop().map(drop).ok_or(ErrorKind::NoMark)
    }

    /// The values on the topmost mark, which is removed. They were charged with the stack and live as briefly.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.context.marks.pop().ok_or(ErrorKind::NoMark)?;
        let mark = mark.min(self.context.stack.len());
        Ok(self.context.stack.drain(mark..).collect())
    }

    // -- values

    /// Makes a value without putting it on the stack.
    fn make(&mut self, value: Value) -> Result<Id> {
        let index = u32::try_from(self.nodes.len()).ok().filter(|index| *index < UNSET.0);
        let index = index.ok_or(ErrorKind::Limit { what: "values", limit: u64::from(u32::MAX) })?;
        self.meter.push(&mut self.nodes, value)?;
        Ok(Id(index))
    }

    /// Makes a value and puts it on the stack.
    fn add(&mut self, value: Value) -> Result<Id> {
        let id = self.make(value)?;
        self.push(id)?;
        Ok(id)
    }

    fn value(&self, id: Id) -> &Value {
        usize::try_from(id.0).ok().and_then(|index| self.nodes.get(index)).unwrap_or(&Value::None)
    }

    fn value_mut(&mut self, id: Id) -> Result<&mut Value> {
        usize::try_from(id.0).ok().and_then(|index| self.nodes.get_mut(index)).ok_or(ErrorKind::EmptyStack)
    }

    /// Puts decoded bytes where blobs can point at them.
    fn decode(&mut self, bytes: &[u8]) -> Result<Blob> {
        let start = wide(self.data.len().saturating_add(self.decoded.len()));
        self.meter.extend(&mut self.decoded, bytes)?;
        Ok(Blob { start, len: wide(bytes.len()) })
    }

    fn blob(&self, blob: Blob) -> &[u8] {
        crate::value::piece(self.data, &self.decoded, blob)
    }

    /// The text of a `str` (or of a Python 2 `str` that is UTF-8) that may mean something to this machine: a longer one
    /// than any name means nothing, and is not looked at.
    fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Str(blob) | Value::OldStr(blob) if blob.len <= wide(names::NAME) => {
                std::str::from_utf8(self.blob(*blob)).ok()
            }
            _ => None,
        }
    }

    fn describe(&self, id: Id) -> String {
        crate::value::describe(self.value(id), |class| self.names.get(class))
    }

    fn expected(&self, expected: &str, id: Id) -> ErrorKind {
        ErrorKind::Type { expected: expected.to_owned(), found: self.describe(id) }
    }

    /// Bounds how deep values lie below the root, each by the shortest way.
    fn check_nesting(&mut self, root: Id) -> Result<()> {
        let limit = self.meter.limits.nesting;
        self.meter.memory(self.nodes.len().saturating_mul(size_of::<u32>().saturating_add(1)))?;
        let mut seen = vec![false; self.nodes.len()];
        let mut level = VecDeque::from([root]);
        for _ in 0..=limit {
            let mut below = VecDeque::new();
            for id in level.drain(..) {
                crate::value::children(self.value(id), |child| {
                    let seen = usize::try_from(child.0).ok().and_then(|index| seen.get_mut(index));
                    if let Some(seen) = seen.filter(|seen| !**seen) {
                        *seen = true;
                        below.push_back(child);
                    }
                });
            }
            if below.is_empty() {
                return Ok(());
            }
            level = below;
        }
        Err(ErrorKind::Limit { what: "levels of values inside values", limit: wide(limit) })
    }
}
