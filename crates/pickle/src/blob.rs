//! Where values and bytes stand in a document.

/// A value's place in its [`Document`](crate::Document).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(crate) u32);

/// Bytes in a [`Document`](crate::Document): a piece of the file, or of what was decoded from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Blob {
    /// How many bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}
