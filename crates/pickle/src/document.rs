//! A file that was read.

use std::sync::atomic::AtomicU64;

use crate::value::piece;
use crate::{Blob, Container, Global, Id, Value};

/// A file that was read: all its values, and the bytes that they point into. `Send` and `Sync`; dropping it is flat.
#[derive(Debug)]
pub struct Document {
    pub(crate) data: Vec<u8>,
    /// What had to be decoded (escapes, latin-1); its blobs start at `data.len()`.
    pub(crate) decoded: Vec<u8>,
    pub(crate) nodes: Vec<Value>,
    pub(crate) globals: Vec<Global>,
    pub(crate) root: Id,
    pub(crate) container: Container,
    pub(crate) protocol: u8,
    pub(crate) trailing: u64,
    pub(crate) nesting: usize,
    pub(crate) attributes: usize,
    /// Visits of views since the walk began at the root: bounds it, however often a value is referred to.
    pub(crate) visits: AtomicU64,
    /// Bytes that array readers gave since then.
    pub(crate) given: AtomicU64,
}

impl Document {
    /// The value at `id`; ids of another document give some value or `None`.
    #[must_use]
    pub fn value(&self, id: Id) -> &Value {
        self.nodes.get(usize::try_from(id.0).unwrap_or(usize::MAX)).unwrap_or(&Value::None)
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none (never, for a file that was read).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn bytes(&self, blob: Blob) -> &[u8] {
        piece(&self.data, &self.decoded, blob)
    }

    /// The global with this index.
    #[must_use]
    pub fn global(&self, index: u32) -> Option<&Global> {
        self.globals.get(usize::try_from(index).ok()?)
    }

    /// All globals that the file names, in the order of their first use.
    #[must_use]
    pub fn globals(&self) -> &[Global] {
        &self.globals
    }

    /// What the file was packed with.
    #[must_use]
    pub fn container(&self) -> Container {
        self.container
    }

    /// The pickle protocol that the stream declares; 0 for protocols 0 and 1, which declare none.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Bytes of the file after decompression.
    #[must_use]
    pub fn unpacked_len(&self) -> usize {
        self.data.len()
    }

    /// What follows the pickle, unpacked as it is: Python would ignore it, or read it as the next pickle of the file.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        let trailing = usize::try_from(self.trailing).unwrap_or(usize::MAX);
        self.data.len().checked_sub(trailing).and_then(|at| self.data.get(at..)).unwrap_or(&[])
    }

    /// Bytes after the pickle's end, which Python would ignore too.
    #[must_use]
    pub fn trailing(&self) -> u64 {
        self.trailing
    }
}
