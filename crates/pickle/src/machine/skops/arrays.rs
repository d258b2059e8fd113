//! Arrays, whose bytes are files of their own, and sparse matrices, whose arrays are.

use std::ops::Range;

use super::Tree;
use crate::array::count;
use crate::json::At;
use crate::machine::{Machine, Result};
use crate::meter::ALLOCATION;
use crate::wide::wide;
use crate::{Blob, Data, Dtype, ErrorKind, Id, Kind, Value, npy};

/// The arrays that scipy keeps of its matrices, by the name in the file and in the object.
const SPARSE: [(&str, &str); 7] = [
    ("data", "data"),
    ("indices", "indices"),
    ("indptr", "indptr"),
    ("offsets", "offsets"),
    ("row", "row"),
    ("col", "col"),
    ("shape", "_shape"),
];

impl Machine<'_> {
    /// The bytes of a node's file.
    pub(super) fn file_blob(&mut self, tree: &Tree<'_>, at: At) -> Result<Blob> {
        let name = tree.text(at, "file")?;
        let place = tree.unpacked.file(&name).ok_or(ErrorKind::NoFile(name))?;
        Ok(Blob { start: wide(place.start), len: wide(place.len()) })
    }

    /// An array: a file of numpy, or a list of objects.
    pub(super) fn array_node(&mut self, tree: &Tree<'_>, at: At) -> Result<Id> {
        match tree.text(at, "type")?.as_str() {
            "numpy" => {
                let name = tree.text(at, "file")?;
                let place = tree.unpacked.file(&name).ok_or(ErrorKind::NoFile(name))?;
                self.numpy_file(place)
            }
            "json" => {
                let shape = self.shape(tree.child(at, "shape")?)?;
                let mut items = self.nodes_of(tree, tree.part(at, "content")?)?;
                // Every further dimension is a list inside of the list.
                for _ in shape.iter().skip(1) {
                    items = self.flattened(&items)?;
                }
                let need = count(&shape).ok_or(ErrorKind::Shape)?;
                if items.len() != need {
                    return Err(ErrorKind::ArraySize { need: wide(need), have: wide(items.len()), unit: "values" });
                }
                let data = Data::Objects(items.into_boxed_slice());
                self.array(Dtype::number(Kind::Object, 8), shape, false, data)
            }
            _ => Err(ErrorKind::Part("type")),
        }
    }

    fn flattened(&mut self, lists: &[Id]) -> Result<Vec<Id>> {
        let mut all = Vec::new();
        for list in lists {
            let Some(items) = self.sequence(*list) else { return Err(self.expected("a list", *list)) };
            let bytes = size_of_val(items);
            self.meter.memory(bytes.saturating_mul(2).saturating_add(ALLOCATION))?;
            all.extend_from_slice(self.sequence(*list).unwrap_or(&[]));
        }
        Ok(all)
    }

    /// The array of a file of numpy.
    fn numpy_file(&mut self, place: Range<usize>) -> Result<Id> {
        let start = place.start;
        let header = npy::header(self.data.get(place.clone()).unwrap_or(&[]))?;
        let start = start.saturating_add(header.data);
        let data = Data::Bytes(Blob { start: wide(start), len: wide(place.end.saturating_sub(start)) });
        self.meter.memory(size_of_val(header.shape.as_slice()).saturating_add(ALLOCATION))?;
        self.array(header.dtype, header.shape, header.fortran, data)
    }

    /// The dtype of the empty array that stands for it.
    pub(super) fn dtype_node(&mut self, array: Id) -> Result<Id> {
        let Value::Array(array) = self.value(array) else { return Err(self.expected("an array", array)) };
        let memory = array.dtype.memory().saturating_add(size_of::<Dtype>()).saturating_add(ALLOCATION);
        let dtype = Value::Dtype(Box::new(array.dtype.clone()));
        self.meter.memory(memory)?;
        self.make(dtype)
    }

    /// A sparse matrix with the state that its pickle has: each of its arrays, and its shape as a tuple.
    pub(super) fn sparse_node(&mut self, tree: &Tree<'_>, at: At, class: u32) -> Result<Id> {
        let archive = tree.text(at, "file")?;
        let mut pairs = Vec::new();
        for (file, attribute) in SPARSE {
            let Some(place) = tree.unpacked.file(&format!("{archive}/{file}.npy")) else { continue };
            let mut value = self.numpy_file(place)?;
            if file == "shape" {
                value = self.dimensions(value)?;
            }
            let name = self.decode(attribute.as_bytes())?;
            let name = self.make(Value::Str(name))?;
            self.meter.push(&mut pairs, (name, value))?;
        }
        if pairs.len() < 3 {
            return Err(ErrorKind::NoFile(format!("{archive}/data.npy")));
        }
        let state = self.make(Value::Dict(pairs))?;
        self.object_node(class, Box::default(), Some(state))
    }

    /// An array of two whole numbers as a tuple.
    fn dimensions(&mut self, array: Id) -> Result<Id> {
        let sizes = match self.value(array) {
            Value::Array(array) if array.dtype.kind == Kind::Int && array.dtype.size == 8 => match &array.data {
                Data::Bytes(blob) if blob.len <= 16 => self.blob(*blob).as_chunks::<8>().0.to_vec(),
                _ => return Err(ErrorKind::Shape),
            },
            _ => return Err(ErrorKind::Shape),
        };
        let mut items = Vec::with_capacity(sizes.len());
        for size in sizes {
            items.push(self.make(Value::Int(i64::from_le_bytes(size)))?);
        }
        self.make(Value::Tuple(items.into_boxed_slice()))
    }
}
