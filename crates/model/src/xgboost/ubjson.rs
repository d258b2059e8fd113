//! UBJSON (draft 12) as XGBoost writes it: big-endian, typed arrays, keys without a marker.

use super::value::{Builder, Value};
use crate::Error;

/// Parses a whole document.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { bytes, at: 0, builder: Builder::new("XGBoost UBJSON", bytes.len()), counts: Vec::new() };
    reader.run()?;
    reader.builder.finish(reader.at)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    builder: Builder,
    /// For each open bracket: how many elements are still to come, where a count was given.
    counts: Vec<Option<usize>>,
}

impl Reader<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(self.builder.error(self.at, message))
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Error> {
        let end = self.at.saturating_add(count);
        let Some(bytes) = self.bytes.get(self.at..end) else {
            let left = self.bytes.len().saturating_sub(self.at);
            return self.fail(format!("{count} bytes are needed, {left} are left"));
        };
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn marker(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn int(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return self.fail(format!("a whole number cannot start with the byte {marker:#04x}")),
        })
    }

    fn length(&mut self) -> Result<usize, Error> {
        let marker = self.marker()?;
        let length = self.int(marker)?;
        match usize::try_from(length) {
            Ok(length) => Ok(length),
            Err(_) => self.fail(format!("the length {length} is negative")),
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = self.length()?;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).or_else(|_| self.fail("a string is not UTF-8"))
    }

    fn run(&mut self) -> Result<(), Error> {
        while !self.builder.is_done() {
            self.close_counted()?;
            if self.builder.is_done() {
                break;
            }
            let next = self.bytes.get(self.at).copied();
            let counted = matches!(self.counts.last(), Some(Some(_)));
            match (self.builder.in_array(), next) {
                (_, Some(b'N')) if !self.builder.wants_key() => {
                    self.at = self.at.saturating_add(1);
                    continue;
                }
                (Some(array), Some(byte)) if !counted && byte == if array { b']' } else { b'}' } => {
                    let at = self.at;
                    self.at = self.at.saturating_add(1);
                    self.counts.pop();
                    self.builder.end(array, at)?;
                    continue;
                }
                _ => {}
            }
            if let Some(Some(left)) = self.counts.last_mut() {
                *left = left.saturating_sub(1);
            }
            if self.builder.wants_key() {
                let at = self.at;
                let key = self.text()?;
                self.builder.key(key, at)?;
            }
            self.value()?;
        }
        if self.at < self.bytes.len() { self.fail("something follows the end of the document") } else { Ok(()) }
    }

    /// Closes every bracket whose count has run out.
    fn close_counted(&mut self) -> Result<(), Error> {
        while let Some(Some(0)) = self.counts.last() {
            self.counts.pop();
            let array = self.builder.in_array().unwrap_or(true);
            self.builder.end(array, self.at)?;
        }
        Ok(())
    }

    fn value(&mut self) -> Result<(), Error> {
        let at = self.at;
        let value = match self.marker()? {
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'd' => Value::Float(f32::from_be_bytes(self.array()?)),
            b'D' => Value::Float(f64::from_be_bytes(self.array()?) as f32),
            b'C' => Value::Text(char::from(self.marker()?).to_string()),
            b'S' => Value::Text(self.text()?),
            marker @ (b'i' | b'U' | b'I' | b'l' | b'L') => Value::Int(self.int(marker)?),
            b'[' => return self.open(true, at),
            b'{' => return self.open(false, at),
            marker => {
                self.at = at;
                return self.fail(format!("no value starts with the byte {marker:#04x}"));
            }
        };
        self.builder.push(value, at)
    }

    /// What follows an opening bracket: an element type and a count, a count, or nothing.
    fn open(&mut self, array: bool, at: usize) -> Result<(), Error> {
        let mut count = None;
        match self.bytes.get(self.at).copied() {
            Some(b'$') if array => {
                self.at = self.at.saturating_add(1);
                let kind = self.marker()?;
                if self.marker()? != b'#' {
                    return self.fail("an element type without a count");
                }
                let count = self.length()?;
                return self.packed(kind, count, at);
            }
            Some(b'$') => return self.fail("objects of one type are not read"),
            Some(b'#') => {
                self.at = self.at.saturating_add(1);
                count = Some(self.length()?);
            }
            _ => {}
        }
        self.counts.push(count);
        if array { self.builder.begin_array(at) } else { self.builder.begin_object(at) }
    }

    /// The elements of a typed array: numbers without markers.
    fn packed(&mut self, kind: u8, count: usize, at: usize) -> Result<(), Error> {
        let (size, wide) = match kind {
            b'i' | b'U' => (1, 8),
            b'I' => (2, 8),
            b'l' => (4, 8),
            b'L' => (8, 8),
            b'd' => (4, 4),
            b'D' => (8, 4),
            _ => return self.fail(format!("arrays of the type {kind:#04x} are not read")),
        };
        self.builder.charge(count.saturating_mul(wide), at)?;
        let bytes = self.take(count.saturating_mul(size))?;
        let fixed = bytes.chunks_exact(size);
        fn at_most<const N: usize>(bytes: &[u8]) -> [u8; N] {
            let mut out = [0; N];
            out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            out
        }
        let value = match kind {
            b'i' => Value::Ints(fixed.map(|b| i8::from_be_bytes(at_most(b)).into()).collect()),
            b'U' => Value::Ints(fixed.map(|b| u8::from_be_bytes(at_most(b)).into()).collect()),
            b'I' => Value::Ints(fixed.map(|b| i16::from_be_bytes(at_most(b)).into()).collect()),
            b'l' => Value::Ints(fixed.map(|b| i32::from_be_bytes(at_most(b)).into()).collect()),
            b'L' => Value::Ints(fixed.map(|b| i64::from_be_bytes(at_most(b))).collect()),
            b'd' => Value::Floats(fixed.map(|b| f32::from_be_bytes(at_most(b))).collect()),
            _ => Value::Floats(fixed.map(|b| f64::from_be_bytes(at_most(b)) as f32).collect()),
        };
        self.builder.push_charged(value, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(bytes: &[u8]) -> String {
        match parse(bytes) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn typed_counted_and_plain_containers() {
        assert_eq!(show(b"[$U#U\x03\x01\x02\xff"), "Ints([1, 2, 255])");
        assert_eq!(show(b"[$d#i\x01\x3f\x80\x00\x00"), "Floats([1.0])");
        assert_eq!(show(b"[#i\x02i\x01i\x02"), "Ints([1, 2])");
        assert_eq!(
            show(b"{i\x01aSi\x02xyi\x01b[TZ]}"),
            "Object([(\"a\", Text(\"xy\")), (\"b\", List([Bool(true), Null]))])"
        );
        assert_eq!(show(b"{#i\x01i\x01a[#i\x00"), "Object([(\"a\", Ints([]))])");
    }

    #[test]
    fn lying_lengths_are_refused_with_their_byte() {
        let cases: [(&[u8], &str); 8] = [
            (b"", "byte 0: 1 bytes are needed, 0 are left"),
            (b"[$d#L\x00\x00\x00\x01\x00\x00\x00\x00", "byte 0: the document needs more memory than its size allows"),
            (b"[$d#i\x02\x00\x00\x00\x00", "byte 6: 8 bytes are needed, 4 are left"),
            (b"[$Z#i\x02", "byte 6: arrays of the type 0x5a are not read"),
            (b"[#i\xff", "byte 4: the length -1 is negative"),
            (b"Si\x09abc", "byte 3: 9 bytes are needed, 3 are left"),
            (b"[i\x01}", "byte 3: no value starts with the byte 0x7d"),
            (b"i\x01i\x02", "byte 2: something follows the end of the document"),
        ];
        for (bytes, error) in cases {
            assert_eq!(show(bytes), format!("XGBoost UBJSON: {error}"));
        }
        assert_eq!(show(&[b'['; 100]), "XGBoost UBJSON: byte 64: more than 64 levels of nesting");
    }
}
