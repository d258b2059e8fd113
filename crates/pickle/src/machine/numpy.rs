//! numpy's constructors and joblib's wrapper: dtypes, arrays, scalars.

use super::build::Wrapped;
use super::{Machine, NONE, Result};
use crate::array::count;
use crate::dtype::parse;
use crate::meter::ALLOCATION;
use crate::wide::wide;
use crate::{Array, Blob, Builtin, Data, Dtype, ErrorKind, Field, Id, Kind, Role, Value};

/// numpy allows 64 dimensions.
const DIMENSIONS: usize = 64;
/// More fields than any record of a model has.
const FIELDS: usize = 256;

impl Machine<'_> {
    /// `_reconstruct(ndarray, (0,), b'b')`: an empty array, to be filled by `BUILD`.
    pub(super) fn reconstruct(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let [class, _, _] = args else { return Ok(None) };
        if !self.is_builtin(*class, Builtin::NdArray) {
            return Ok(None);
        }
        let blob = Blob { start: 0, len: 0 };
        self.array(Dtype::number(Kind::Int, 1), vec![0], false, Data::Bytes(blob)).map(Some)
    }

    fn is_builtin(&self, id: Id, builtin: Builtin) -> bool {
        matches!(self.value(id), Value::Global(global) if self.names.role(*global) == Some(Role::Builtin(builtin)))
    }

    pub(super) fn array(&mut self, dtype: Dtype, shape: Vec<usize>, fortran: bool, data: Data) -> Result<Id> {
        self.meter.memory(dtype.memory().saturating_add(size_of::<Array>()).saturating_add(ALLOCATION))?;
        self.make(Value::Array(Box::new(Array { dtype, shape, fortran, data })))
    }

    /// The state of an array: `(version, shape, dtype, is_fortran, data)`.
    pub(super) fn array_state(&mut self, target: Id, state: Id) -> Result<()> {
        let found = || ErrorKind::State { class: "numpy.ndarray".to_owned(), found: self.describe(state) };
        let Value::Tuple(items) = self.value(state) else { return Err(found()) };
        let (&[shape, dtype, fortran, data] | &[_, shape, dtype, fortran, data]) = &**items else {
            return Err(found());
        };
        let dtype = self.dtype_of(dtype)?;
        let shape = self.shape(shape)?;
        let fortran = match self.value(fortran) {
            Value::Bool(fortran) => *fortran,
            Value::Int(fortran @ (0 | 1)) => *fortran == 1,
            _ => return Err(self.expected("a bool", fortran)),
        };
        let data = self.array_data(&dtype, &shape, data)?;
        // numpy writes objects in C order, whatever it says of the array in memory.
        let fortran = fortran && dtype.kind != Kind::Object;
        self.meter.memory(dtype.memory())?;
        if let Value::Array(array) = self.value_mut(target)? {
            **array = Array { dtype, shape, fortran, data };
        }
        Ok(())
    }

    /// Array data of exactly the size that dtype and shape say.
    fn array_data(&mut self, dtype: &Dtype, shape: &[usize], data: Id) -> Result<Data> {
        let count = count(shape).ok_or(ErrorKind::Shape)?;
        if dtype.size == 0 && count > 0 {
            return Err(ErrorKind::DtypeState("size"));
        }
        if dtype.kind == Kind::Object {
            let Some(have) = self.sequence(data).map(<[Id]>::len) else {
                return Err(self.expected("a list", data));
            };
            if have != count {
                return Err(ErrorKind::ArraySize { need: wide(count), have: wide(have), unit: "values" });
            }
            self.meter.memory(count.saturating_mul(size_of::<Id>()).saturating_add(ALLOCATION))?;
            return Ok(Data::Objects(self.sequence(data).unwrap_or(&[]).into()));
        }
        let blob = self.raw_bytes(data).ok_or_else(|| self.expected("bytes", data))?;
        let need = count.checked_mul(dtype.size).ok_or(ErrorKind::Shape)?;
        if wide(need) != blob.len {
            return Err(ErrorKind::ArraySize { need: wide(need), have: blob.len, unit: "bytes" });
        }
        Ok(Data::Bytes(blob))
    }

    pub(super) fn shape(&mut self, shape: Id) -> Result<Vec<usize>> {
        let size = |id: &Id| match self.value(*id) {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let shape: Option<Vec<usize>> = match self.value(shape) {
            Value::Tuple(items) if items.len() <= DIMENSIONS => items.iter().map(size).collect(),
            Value::Int(_) => size(&shape).map(|size| vec![size]),
            _ => None,
        };
        let shape = shape.ok_or(ErrorKind::Shape)?;
        self.meter.memory(size_of_val(shape.as_slice()).saturating_add(ALLOCATION))?;
        Ok(shape)
    }

    /// `scalar(dtype, bytes)`: an array without dimensions.
    pub(super) fn scalar(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let &[dtype, data] = args else { return Ok(None) };
        let dtype = self.dtype_of(dtype)?;
        if dtype.kind == Kind::Object {
            return Ok(None);
        }
        let data = self.array_data(&dtype, &[], data)?;
        self.array(dtype, Vec::new(), false, data).map(Some)
    }

    /// `_frombuffer(bytes, dtype, shape, order)`, from numpy 2.3 on also with an order of axes.
    pub(super) fn buffer(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let (&[data, dtype, shape, order] | &[data, dtype, shape, order, _]) = args else { return Ok(None) };
        let axes = args.get(4).copied().filter(|axes| *axes != NONE);
        let fortran = match (self.text(order), axes) {
            (Some("C"), None) => false,
            (Some("F"), None) => true,
            (Some("K"), Some(_)) => false,
            _ => return Ok(None),
        };
        let dtype = self.dtype_of(dtype)?;
        let shape = self.shape(shape)?;
        if dtype.kind == Kind::Object {
            return Ok(None);
        }
        let data = self.array_data(&dtype, &shape, data)?;
        let Some(axes) = axes else {
            return self.array(dtype, shape, fortran, data).map(Some);
        };
        // The data is in C order of `shape`; the array is that with its axes in another order.
        let Some(axes) = self.axes(axes, shape.len()) else { return Ok(None) };
        let turned: Vec<usize> = axes.iter().filter_map(|axis| shape.get(*axis).copied()).collect();
        if axes.iter().rev().copied().eq(0..shape.len()) {
            return self.array(dtype, turned, true, data).map(Some);
        }
        let Data::Bytes(blob) = data else { return Ok(None) };
        self.meter.work(blob.len)?;
        self.meter.memory(usize::try_from(blob.len).unwrap_or(usize::MAX))?;
        let moved = crate::array::transpose(self.blob(blob), dtype.size, &shape, &axes);
        let data = Data::Bytes(self.decode(&moved)?);
        self.array(dtype, turned, false, data).map(Some)
    }

    /// A permutation of `0..n`.
    fn axes(&self, id: Id, n: usize) -> Option<Vec<usize>> {
        let axis = |id: &Id| match self.value(*id) {
            Value::Int(axis) => usize::try_from(*axis).ok(),
            _ => None,
        };
        let axes: Vec<usize> =
            self.sequence(id).filter(|items| items.len() == n)?.iter().map(axis).collect::<Option<_>>()?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..n).then_some(axes)
    }

    // -- dtypes

    /// A copy of a dtype value.
    fn dtype_of(&mut self, id: Id) -> Result<Dtype> {
        let Value::Dtype(dtype) = self.value(id) else {
            return Err(self.expected("a dtype", id));
        };
        let memory = dtype.memory();
        let dtype = (**dtype).clone();
        self.meter.memory(memory)?;
        Ok(dtype)
    }

    /// `dtype('f8', False, True)`.
    pub(super) fn dtype(&mut self, args: &[Id]) -> Result<Option<Id>> {
        let Some(code) = args.first().and_then(|code| self.text(*code)) else { return Ok(None) };
        let dtype = parse(code).ok_or_else(|| ErrorKind::Dtype(code.chars().take(40).collect()))?;
        self.meter.memory(size_of::<Dtype>().saturating_add(ALLOCATION))?;
        self.make(Value::Dtype(Box::new(dtype))).map(Some)
    }

    /// The state of a dtype: `(version, endian, subarray, names, fields, size, alignment, flags)`.
    pub(super) fn dtype_state(&mut self, target: Id, state: Id) -> Result<()> {
        let Value::Tuple(items) = self.value(state) else {
            return Err(self.expected("a tuple", state));
        };
        let &[_, endian, subarray, names, fields, size, ..] = &**items else {
            return Err(ErrorKind::DtypeState("state"));
        };
        let mut dtype = self.dtype_of(target)?;
        dtype.big_endian = match self.text(endian) {
            Some("<" | "|" | "=") => false,
            Some(">") => true,
            _ => return Err(ErrorKind::DtypeState("byte order")),
        };
        if subarray != NONE {
            return Err(ErrorKind::Dtype("subarray".to_owned()));
        }
        let size = match self.value(size) {
            Value::Int(-1) => None,
            Value::Int(size) => Some(i32::try_from(*size).ok().and_then(|size| usize::try_from(size).ok())),
            _ => Some(None),
        };
        if let Some(size) = size {
            let size = size.ok_or(ErrorKind::DtypeState("size"))?;
            let free = matches!(dtype.kind, Kind::Bytes | Kind::Text | Kind::Record);
            let whole = dtype.kind != Kind::Text || size.is_multiple_of(4);
            if (!free && size != dtype.size) || !whole {
                return Err(ErrorKind::DtypeState("size"));
            }
            dtype.size = size;
        }
        match (names, fields) {
            (NONE, NONE) => {}
            _ if dtype.kind == Kind::Record => dtype.fields = self.fields(names, fields, dtype.size)?,
            _ => return Err(ErrorKind::DtypeState("fields")),
        }
        if let Value::Dtype(old) = self.value_mut(target)? {
            **old = dtype;
        }
        Ok(())
    }

    /// The fields of a record: named, inside of it, none over another, each a plain number or text.
    fn fields(&mut self, names: Id, fields: Id, size: usize) -> Result<Vec<Field>> {
        let names: Vec<Id> = match self.value(names) {
            Value::Tuple(names) if names.len() <= FIELDS => names.to_vec(),
            _ => return Err(ErrorKind::DtypeState("names")),
        };
        let pairs = match self.value(fields) {
            Value::Dict(pairs) if pairs.len() == names.len() => pairs.clone(),
            _ => return Err(ErrorKind::DtypeState("fields")),
        };
        let mut out: Vec<Field> = Vec::with_capacity(names.len());
        for name in names {
            let name = self.text(name).filter(|name| name.len() <= FIELDS).ok_or(ErrorKind::DtypeState("names"))?;
            let name = name.to_owned();
            let field = pairs.iter().find(|(key, _)| self.text(*key) == Some(name.as_str())).map(|(_, field)| *field);
            let field = field.and_then(|field| self.sequence(field)).ok_or(ErrorKind::DtypeState("fields"))?;
            let (&[dtype, offset] | &[dtype, offset, _]) = field else { return Err(ErrorKind::DtypeState("fields")) };
            let offset = match self.value(offset) {
                Value::Int(offset) => usize::try_from(*offset).ok(),
                _ => None,
            };
            let offset = offset.ok_or(ErrorKind::DtypeState("offsets"))?;
            let dtype = self.dtype_of(dtype)?;
            if matches!(dtype.kind, Kind::Record | Kind::Object) {
                return Err(ErrorKind::Dtype("record inside a record".to_owned()));
            }
            let end = offset.checked_add(dtype.size).filter(|end| *end <= size);
            let apart = |other: &Field| {
                end.is_some_and(|end| end <= other.offset) || other.offset.saturating_add(other.dtype.size) <= offset
            };
            if end.is_none() || !out.iter().all(apart) || out.iter().any(|other| other.name == name) {
                return Err(ErrorKind::FieldOverlap(name));
            }
            out.push(Field { name, offset, dtype });
        }
        Ok(out)
    }

    // -- joblib

    /// `BUILD` of a joblib wrapper: its array's bytes, or a nested pickle, follow in the stream.
    pub(super) fn wrapped_array(&mut self, state: Id) -> Result<()> {
        if self.outer.is_some() {
            return Err(ErrorKind::Nested("joblib writes no wrapped array inside a nested pickle"));
        }
        let Value::Dict(pairs) = self.value(state) else {
            return Err(self.expected("a dict", state));
        };
        let find = |name: &str| {
            let pair = pairs.iter().rev().take(16).find(|(key, _)| self.text(*key) == Some(name));
            pair.map(|(_, value)| *value)
        };
        let missing = |name: &str| ErrorKind::Missing(name.to_owned());
        let dtype = find("dtype").ok_or_else(|| missing("dtype"))?;
        let shape = find("shape").ok_or_else(|| missing("shape"))?;
        let order = find("order").ok_or_else(|| missing("order"))?;
        let alignment = find("numpy_array_alignment_bytes").filter(|id| *id != NONE);
        let fortran = match self.text(order) {
            Some("C") => false,
            Some("F") => true,
            _ => return Err(self.expected("`C` or `F`", order)),
        };
        let dtype = self.dtype_of(dtype)?;
        let shape = self.shape(shape)?;
        let count = count(&shape).ok_or(ErrorKind::Shape)?;
        self.stream.outside_frame("array bytes begin")?;
        self.pop()?;
        if dtype.kind == Kind::Object {
            self.outer = Some((std::mem::take(&mut self.context), Wrapped { shape }));
            return Ok(());
        }
        if let Some(alignment) = alignment {
            let most = match self.value(alignment) {
                Value::Int(bytes) => u8::try_from(*bytes).unwrap_or(0),
                _ => 0,
            };
            let padding = self.stream.byte()?;
            if padding > most {
                return Err(ErrorKind::Padding("shorter than the alignment"));
            }
            if self.stream.take(padding.into())?.iter().any(|byte| *byte != 0xff) {
                return Err(ErrorKind::Padding("made of 0xff"));
            }
        }
        if dtype.size == 0 && count > 0 {
            return Err(ErrorKind::DtypeState("size"));
        }
        let need = count.checked_mul(dtype.size).ok_or(ErrorKind::Shape)?;
        let blob = self.stream.blob(wide(need))?;
        let made = self.array(dtype, shape, fortran, Data::Bytes(blob))?;
        self.push(made)
    }

    /// Why a wrapper of joblib before 0.10 is refused: its array is in another file, which it names.
    pub(super) fn array_file(&self, state: Id) -> ErrorKind {
        let pairs = match self.value(state) {
            Value::Dict(pairs) => pairs.as_slice(),
            _ => &[],
        };
        let name = pairs.iter().take(16).find(|(key, _)| self.text(*key) == Some("filename"));
        let name = name.and_then(|(_, name)| self.text(*name)).unwrap_or("?");
        ErrorKind::ArrayFile(name.chars().take(120).collect())
    }

    /// The end of a nested pickle: it must have given the object array that its wrapper announced.
    pub(super) fn nested_done(&mut self, root: Id, wrapped: &Wrapped) -> Result<()> {
        let fits = match self.value(root) {
            Value::Array(array) => array.dtype.kind == Kind::Object && array.shape == wrapped.shape,
            _ => false,
        };
        if !fits && !self.scanning() {
            return Err(ErrorKind::Nested("the nested pickle does not give the array of objects that was announced"));
        }
        self.push(root)
    }
}
