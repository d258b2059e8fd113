//! The wire format of Protocol Buffers: fields of a message, which are read where they lie. Nothing is copied, so that a
//! message takes as much memory as is asked of it.

use super::FORMAT;
use crate::Error;

/// A message, or what else is told by its length, in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    file: &'a [u8],
    at: usize,
    end: usize,
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(Message<'a>),
    Fixed32([u8; 4]),
}

impl<'a> Message<'a> {
    pub(super) fn file(file: &'a [u8]) -> Self {
        Message { file, at: 0, end: file.len() }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.file.get(self.at..self.end).unwrap_or_default()
    }

    pub(super) fn text(&self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()).map_err(|_| self.error("a text is not UTF-8"))
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::Format { format: FORMAT, offset: self.at, message: message.into() }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    fn take(&mut self, count: usize) -> Result<Message<'a>, Error> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.end);
        let Some(end) = end else {
            let left = self.end.saturating_sub(self.at);
            return Err(self.error(format!("{count} bytes are needed, {left} are left")));
        };
        let taken = Message { file: self.file, at: self.at, end };
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let taken = self.take(N)?;
        taken.bytes().try_into().map_err(|_| self.error("a number is cut off"))
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0u64;
        for place in 0..10u32 {
            let [byte] = self.array::<1>()?;
            let shift = place.saturating_mul(7);
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.error("a number of more than ten bytes"))
    }

    /// The next field: its number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Value::Fixed32(self.array()?),
            other => return Err(self.error(format!("there is no wire type {other}"))),
        };
        Ok(Some((key >> 3, value)))
    }

    /// Every number of a packed list.
    pub(super) fn varints(mut self, mut each: impl FnMut(u64)) -> Result<(), Error> {
        while !self.is_empty() {
            each(self.varint()?);
        }
        Ok(())
    }
}

impl<'a> Value<'a> {
    pub(super) fn message(self, of: &Message<'a>) -> Result<Message<'a>, Error> {
        match self {
            Value::Bytes(message) => Ok(message),
            _ => Err(of.error("a field is of another type than its format says")),
        }
    }

    pub(super) fn text(self, of: &Message<'a>) -> Result<&'a str, Error> {
        self.message(of)?.text()
    }

    pub(super) fn int(self, of: &Message<'a>) -> Result<i64, Error> {
        match self {
            Value::Varint(number) => Ok(number.cast_signed()),
            _ => Err(of.error("a field is of another type than its format says")),
        }
    }

    /// Adds one whole number, or those of a packed list.
    pub(super) fn ints(self, of: &Message<'a>, all: &mut Vec<i64>) -> Result<(), Error> {
        match self {
            Value::Varint(number) => all.push(number.cast_signed()),
            Value::Bytes(packed) => packed.varints(|number| all.push(number.cast_signed()))?,
            _ => return Err(of.error("a field is of another type than its format says")),
        }
        Ok(())
    }

    /// Adds one float32, or those of a packed list.
    pub(super) fn floats(self, of: &Message<'a>, all: &mut Vec<f32>) -> Result<(), Error> {
        match self {
            Value::Fixed32(bytes) => all.push(f32::from_le_bytes(bytes)),
            Value::Bytes(packed) => all.extend(packed.fixed::<4>()?.iter().map(|bytes| f32::from_le_bytes(*bytes))),
            _ => return Err(of.error("a field is of another type than its format says")),
        }
        Ok(())
    }

    /// Adds one float64, or those of a packed list.
    pub(super) fn doubles(self, of: &Message<'a>, all: &mut Vec<f64>) -> Result<(), Error> {
        match self {
            Value::Fixed64(bytes) => all.push(f64::from_le_bytes(bytes)),
            Value::Bytes(packed) => all.extend(packed.fixed::<8>()?.iter().map(|bytes| f64::from_le_bytes(*bytes))),
            _ => return Err(of.error("a field is of another type than its format says")),
        }
        Ok(())
    }
}

impl<'a> Message<'a> {
    /// The bytes as numbers of one width.
    pub(super) fn fixed<const N: usize>(&self) -> Result<&'a [[u8; N]], Error> {
        let (numbers, rest) = self.bytes().as_chunks::<N>();
        if rest.is_empty() { Ok(numbers) } else { Err(self.error("a list of numbers ends within one")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_lengths_are_checked() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f];
        let mut message = Message::file(&bytes);
        assert!(matches!(message.next(), Ok(Some((1, Value::Varint(150))))));
        let Ok(Some((2, text))) = message.next() else { panic!("a text") };
        assert_eq!(text.text(&message).unwrap(), "hi");
        assert!(matches!(message.next(), Ok(Some((3, Value::Fixed32([0, 0, 0x80, 0x3f]))))));
        assert!(matches!(message.next(), Ok(None)));
        for bad in [&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..], &[0x08], &[0x0b], &[0xff; 11]]
        {
            assert!(Message::file(bad).next().is_err(), "{bad:?}");
        }
    }
}
