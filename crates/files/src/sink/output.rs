//! Lines of CSV as they are written.

use arrow::array::{Array, PrimitiveArray};
use arrow::datatypes::ArrowPrimitiveType;

/// The lines so far.
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    delimiter: u8,
    /// A line of nothing would not be a line: a lone empty field is quoted.
    pub(super) lone: bool,
    /// Whether a number may hold the delimiter.
    pub(super) careful: bool,
}

impl Output {
    pub(super) fn new(delimiter: u8, lone: bool) -> Self {
        let careful = delimiter.is_ascii_alphanumeric() || matches!(delimiter, b'-' | b'+' | b'.');
        Output { bytes: Vec::new(), delimiter, lone, careful }
    }

    pub(super) fn separate(&mut self, index: usize) {
        if index > 0 {
            self.bytes.push(self.delimiter);
        }
    }

    /// A field, quoted where it would not be one otherwise.
    pub(super) fn field(&mut self, text: &[u8]) {
        let special = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || *byte == self.delimiter;
        let quoted = text.iter().any(special) || self.lone && text.is_empty();
        if !quoted {
            self.bytes.extend_from_slice(text);
            return;
        }
        self.bytes.push(b'"');
        for byte in text {
            if *byte == b'"' {
                self.bytes.push(b'"');
            }
            self.bytes.push(*byte);
        }
        self.bytes.push(b'"');
    }

    pub(super) fn number<T: ArrowPrimitiveType>(
        &mut self,
        column: &PrimitiveArray<T>,
        row: usize,
        write: impl Fn(&mut Vec<u8>, T::Native),
    ) {
        if column.is_null(row) {
            self.field(b"");
        } else if self.careful {
            let mut text = Vec::new();
            write(&mut text, column.value(row));
            self.field(&text);
        } else {
            write(&mut self.bytes, column.value(row));
        }
    }
}
