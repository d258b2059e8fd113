//! FlatBuffers: tables whose fields are found by offsets. Every offset is looked at before it is followed, and what is
//! read is charged, since several may lead to the same bytes.

use std::cell::Cell;

use crate::Error;

/// A buffer, and how much may still be read of it.
#[derive(Debug)]
pub(super) struct Buffer<'a> {
    bytes: &'a [u8],
    format: &'static str,
    left: Cell<usize>,
}

/// Bytes that may be read for each of the buffer, and in any buffer: parts are shared, but seldom.
const READS: usize = 8;
const READS_OF_ANY: usize = 1 << 20;

/// A table in a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'b, 'a> {
    buffer: &'b Buffer<'a>,
    at: usize,
    /// Where its offsets are, and how many.
    offsets: usize,
    count: usize,
}

impl<'a> Buffer<'a> {
    pub(super) fn new(bytes: &'a [u8], format: &'static str) -> Self {
        let left = bytes.len().saturating_mul(READS).saturating_add(READS_OF_ANY);
        Buffer { bytes, format, left: Cell::new(left) }
    }

    fn error(&self, offset: usize, message: &str) -> Error {
        Error::Format { format: self.format, offset, message: message.to_string() }
    }

    fn charge(&self, at: usize, bytes: usize) -> Result<(), Error> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.error(at, "the same bytes are used too often")),
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Error> {
        let found = at.checked_add(N).and_then(|end| self.bytes.get(at..end)).and_then(|part| part.try_into().ok());
        found.ok_or_else(|| self.error(at, "leads outside of the file"))
    }

    fn offset(&self, at: usize) -> Result<usize, Error> {
        let ahead = u32::from_le_bytes(self.array(at)?);
        let there = usize::try_from(ahead).ok().filter(|ahead| *ahead > 0).and_then(|ahead| at.checked_add(ahead));
        there.filter(|there| *there < self.bytes.len()).ok_or_else(|| self.error(at, "leads outside of the file"))
    }

    /// The outermost table.
    pub(super) fn root(&self) -> Result<Table<'_, 'a>, Error> {
        self.table(self.offset(0)?)
    }

    fn table(&self, at: usize) -> Result<Table<'_, 'a>, Error> {
        self.charge(at, size_of::<Table<'_, '_>>())?;
        let back = i64::from(i32::from_le_bytes(self.array(at)?));
        let here = i64::try_from(at).unwrap_or(i64::MAX);
        let offsets =
            usize::try_from(here.saturating_sub(back)).map_err(|_| self.error(at, "leads outside of the file"))?;
        let size = usize::from(u16::from_le_bytes(self.array(offsets)?));
        Ok(Table { buffer: self, at, offsets, count: (size / 2).saturating_sub(2) })
    }

    /// Where a vector's items begin, and how many there are; each takes `size` bytes.
    fn vector(&self, at: usize, size: usize) -> Result<(usize, usize), Error> {
        let count = usize::try_from(u32::from_le_bytes(self.array(at)?)).unwrap_or(usize::MAX);
        let start = at.saturating_add(4);
        let bytes = count.checked_mul(size).filter(|bytes| *bytes <= self.bytes.len().saturating_sub(start));
        let bytes = bytes.ok_or_else(|| self.error(at, "a list that is longer than the file"))?;
        self.charge(at, bytes)?;
        Ok((start, count))
    }
}

impl<'b, 'a> Table<'b, 'a> {
    /// Where a field is; `None` where it is not written.
    fn place(&self, field: usize) -> Result<Option<usize>, Error> {
        if field >= self.count {
            return Ok(None);
        }
        let slot = self.offsets.saturating_add(4).saturating_add(field.saturating_mul(2));
        let ahead = usize::from(u16::from_le_bytes(self.buffer.array(slot)?));
        Ok((ahead > 0).then(|| self.at.saturating_add(ahead)))
    }

    fn number<const N: usize, T>(&self, field: usize, default: T, read: fn([u8; N]) -> T) -> Result<T, Error> {
        self.place(field)?.map_or(Ok(default), |at| self.buffer.array(at).map(read))
    }

    pub(super) fn i32(&self, field: usize, default: i32) -> Result<i32, Error> {
        self.number(field, default, i32::from_le_bytes)
    }

    pub(super) fn f32(&self, field: usize, default: f32) -> Result<f32, Error> {
        self.number(field, default, f32::from_le_bytes)
    }

    pub(super) fn f64(&self, field: usize, default: f64) -> Result<f64, Error> {
        self.number(field, default, f64::from_le_bytes)
    }

    pub(super) fn byte(&self, field: usize, default: u8) -> Result<u8, Error> {
        self.number(field, default, |[byte]| byte)
    }

    /// A number that counts or points, and may not be negative.
    pub(super) fn index(&self, field: usize) -> Result<usize, Error> {
        let index = self.i32(field, -1)?;
        usize::try_from(index).map_err(|_| self.error(&format!("field {field} is negative")))
    }

    pub(super) fn error(&self, message: &str) -> Error {
        self.buffer.error(self.at, message)
    }

    /// A table inside.
    pub(super) fn table(&self, field: usize) -> Result<Option<Table<'b, 'a>>, Error> {
        let Some(at) = self.place(field)? else { return Ok(None) };
        self.buffer.table(self.buffer.offset(at)?).map(Some)
    }

    fn items<const N: usize, T>(&self, field: usize, read: fn([u8; N]) -> T) -> Result<Vec<T>, Error> {
        let Some(at) = self.place(field)? else { return Ok(Vec::new()) };
        let (start, count) = self.buffer.vector(self.buffer.offset(at)?, N)?;
        let bytes = self.buffer.bytes.get(start..).unwrap_or_default();
        Ok(bytes.as_chunks::<N>().0.iter().take(count).map(|item| read(*item)).collect())
    }

    pub(super) fn bytes(&self, field: usize) -> Result<&'a [u8], Error> {
        let Some(at) = self.place(field)? else { return Ok(&[]) };
        let (start, count) = self.buffer.vector(self.buffer.offset(at)?, 1)?;
        Ok(self.buffer.bytes.get(start..start.saturating_add(count)).unwrap_or_default())
    }

    pub(super) fn text(&self, field: usize) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| self.error("a text is not UTF-8"))
    }

    pub(super) fn i32s(&self, field: usize) -> Result<Vec<i32>, Error> {
        self.items(field, i32::from_le_bytes)
    }

    pub(super) fn u32s(&self, field: usize) -> Result<Vec<u32>, Error> {
        self.items(field, u32::from_le_bytes)
    }

    pub(super) fn f32s(&self, field: usize) -> Result<Vec<f32>, Error> {
        self.items(field, f32::from_le_bytes)
    }

    pub(super) fn f64s(&self, field: usize) -> Result<Vec<f64>, Error> {
        self.items(field, f64::from_le_bytes)
    }

    /// Pairs of 16 bits each.
    pub(super) fn u16_pairs(&self, field: usize) -> Result<Vec<(u16, u16)>, Error> {
        self.items(field, |[a, b, c, d]: [u8; 4]| (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
    }

    /// Pairs of 32 bits each.
    pub(super) fn u32_pairs(&self, field: usize) -> Result<Vec<(u32, u32)>, Error> {
        let pair =
            |[a, b, c, d, e, f, g, h]: [u8; 8]| (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        self.items(field, pair)
    }

    /// The places that a list of offsets leads to.
    fn places(&self, field: usize) -> Result<Vec<usize>, Error> {
        let Some(at) = self.place(field)? else { return Ok(Vec::new()) };
        let (start, count) = self.buffer.vector(self.buffer.offset(at)?, 4)?;
        (0..count).map(|item| self.buffer.offset(start.saturating_add(item.saturating_mul(4)))).collect()
    }

    /// A list of tables.
    pub(super) fn tables(&self, field: usize) -> Result<Vec<Table<'b, 'a>>, Error> {
        self.places(field)?.into_iter().map(|at| self.buffer.table(at)).collect()
    }

    /// A list of texts.
    pub(super) fn texts(&self, field: usize) -> Result<Vec<&'a str>, Error> {
        let text = |at: usize| {
            let (start, count) = self.buffer.vector(at, 1)?;
            let bytes = self.buffer.bytes.get(start..start.saturating_add(count)).unwrap_or_default();
            std::str::from_utf8(bytes).map_err(|_| self.buffer.error(at, "a text is not UTF-8"))
        };
        self.places(field)?.into_iter().map(text).collect()
    }
}
