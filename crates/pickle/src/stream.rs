//! The bytes of the pickle: every read is checked against what is left of the file and of the frame.

use crate::wide::wide;
use crate::{Blob, ErrorKind};

/// A position in the decompressed file.
#[derive(Debug)]
pub(crate) struct Stream<'d> {
    data: &'d [u8],
    at: usize,
    /// Where the open frame ends.
    frame: Option<usize>,
}

impl<'d> Stream<'d> {
    pub(crate) fn new(data: &'d [u8]) -> Self {
        Stream { data, at: 0, frame: None }
    }

    pub(crate) fn at(&self) -> u64 {
        wide(self.at)
    }

    /// Bytes that are left in the file.
    pub(crate) fn left(&self) -> u64 {
        wide(self.data.len().saturating_sub(self.at))
    }

    fn end(&self) -> usize {
        self.frame.unwrap_or(self.data.len())
    }

    /// The next `len` bytes. A frame that was read to its end is closed.
    pub(crate) fn take(&mut self, len: u64) -> Result<&'d [u8], ErrorKind> {
        if self.frame == Some(self.at) {
            self.frame = None;
        }
        let end = self.end();
        let left = end.saturating_sub(self.at);
        let ends = || ErrorKind::Ends {
            need: len,
            left: wide(left),
            within: if self.frame.is_some() { "frame" } else { "file" },
        };
        let to = usize::try_from(len).ok().filter(|len| *len <= left).and_then(|len| self.at.checked_add(len));
        let piece = to.and_then(|to| self.data.get(self.at..to)).ok_or_else(ends)?;
        self.at = self.at.saturating_add(piece.len());
        Ok(piece)
    }

    /// The next `len` bytes, by their place.
    pub(crate) fn blob(&mut self, len: u64) -> Result<Blob, ErrorKind> {
        let start = self.at();
        self.take(len)?;
        Ok(Blob { start, len })
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ErrorKind> {
        let piece = self.take(wide(N))?;
        piece.first_chunk().copied().ok_or(ErrorKind::NoLineEnd)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ErrorKind> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ErrorKind> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ErrorKind> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, ErrorKind> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ErrorKind> {
        self.array().map(u64::from_le_bytes)
    }

    /// A signed length, which must not be negative.
    pub(crate) fn length(&mut self) -> Result<u64, ErrorKind> {
        let length = self.i32()?;
        u64::try_from(length).map_err(|_| ErrorKind::NegativeLength(length.into()))
    }

    /// The rest of the line, without its end.
    pub(crate) fn line(&mut self) -> Result<&'d [u8], ErrorKind> {
        if self.frame == Some(self.at) {
            self.frame = None;
        }
        let rest = self.data.get(self.at..self.end()).unwrap_or(&[]);
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or(ErrorKind::NoLineEnd)?;
        let line = self.take(wide(len))?;
        self.byte()?;
        Ok(line)
    }

    /// Opens a frame of `len` bytes.
    pub(crate) fn open_frame(&mut self, len: u64) -> Result<(), ErrorKind> {
        if let Some(left) = self.left_in_frame() {
            return Err(ErrorKind::FrameInFrame { left });
        }
        let left = self.left();
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let end = end.filter(|end| *end <= self.data.len());
        self.frame = Some(end.ok_or(ErrorKind::Ends { need: len, left, within: "file" })?);
        Ok(())
    }

    /// What is left of the open frame; `None` where none is open or it was read to its end.
    pub(crate) fn left_in_frame(&self) -> Option<u64> {
        self.frame.map(|end| wide(end.saturating_sub(self.at))).filter(|left| *left > 0)
    }

    /// Checks that no frame is open, for what may only stand between frames.
    pub(crate) fn outside_frame(&mut self, what: &'static str) -> Result<(), ErrorKind> {
        match self.left_in_frame() {
            Some(left) => Err(ErrorKind::InFrame { what, left }),
            None => {
                self.frame = None;
                Ok(())
            }
        }
    }
}
