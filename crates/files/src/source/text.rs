//! A part of a text, cut at its line ends where it lies: no byte is copied but those of a line that two blocks share.
//!
//! A record belongs to the part in which it begins. So a part that is not the file's first passes over what is left of the
//! line before it, and reads on behind its own end until its last record is whole.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory, and in a file")]

use arrow::buffer::Buffer;
use foretell_flow::StageError;

use super::begin::is_json_text;
use super::input::Input;
use super::lines::{Lines, Numbers, records};
use super::magic::{self, HEAD, MARK};
use crate::encoding::Encoding;
use foretell_decode::fields::{Dialect, trim_line_end};
use foretell_decode::{Element, Elements};

/// Bytes read at once.
pub(super) const BLOCK: usize = 1 << 20;
/// Bytes read at once behind the part's end, where only the rest of a line is missing.
const STEP: usize = 64 << 10;
/// What is looked at to tell whether a JSON text is one object a line.
pub(super) const BEGIN: usize = 64 << 10;
/// A longer line is not a line: the file is not text, or a quote is not closed.
const LONGEST: usize = 64 << 20;

/// How a text becomes records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Where quoted fields may hold line ends: the dialect.
    pub(super) quoted: Option<Dialect>,
    /// Whether a line without anything on it is a record.
    pub(super) blank: bool,
    /// Whether the first line of the file is not a record.
    pub(super) header: bool,
    /// Whether it is JSON, which may be on more lines than one, or one list: what it begins with tells.
    pub(super) json: bool,
    /// The encoding of its lines, where it is not UTF-8.
    pub(super) encoding: Option<Encoding>,
}

/// A part of a text being read.
pub(super) struct Text {
    input: Input,
    shape: Shape,
    /// Begun in the middle of a file: the rest of a line is to be passed over.
    seeking: bool,
    /// At the file's beginning.
    first: bool,
    /// Where the carried bytes are in the file.
    position: u64,
    /// Where the part ends.
    end: u64,
    carry: Vec<u8>,
    /// The line that comes next.
    row: i64,
    /// Records before this line were handed out before.
    from: i64,
    header: Option<Vec<u8>>,
    /// Of a JSON text that is not one object a line: records are values, whose numbers count them.
    elements: Option<Elements>,
    done: bool,
}

impl Text {
    /// Bytes `[from, to)` of a text, whose input begins one byte before `from` (or with it, at the file's beginning);
    /// without the records on lines before `row`.
    pub(super) fn new(input: Input, shape: Shape, (from, to): (u64, u64), row: i64) -> Text {
        Text {
            input,
            shape,
            seeking: from > 0,
            first: from == 0,
            position: from.saturating_sub(1),
            end: to,
            carry: Vec::new(),
            row: 0,
            from: row,
            header: None,
            elements: None,
            done: false,
        }
    }

    /// The first line, where it is not a record and was read.
    pub(super) fn header(&self) -> Option<&[u8]> {
        self.header.as_deref().map(trim_line_end)
    }

    /// Whether this is the whole file, though a part of it was asked for: a JSON text that is not one object a line.
    pub(super) fn is_whole(&self) -> bool {
        self.elements.is_some()
    }

    /// How many lines began in what was read.
    pub(super) fn lines(&self) -> i64 {
        self.row
    }

    /// Whether all was read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The next records; `None` at the end.
    ///
    /// # Errors
    /// The file is away, changed or damaged; a line that is too long to be one, by its number.
    pub(super) fn next(&mut self) -> Result<Option<Lines>, StageError> {
        while !self.done {
            let lines = self.block()?;
            if let Some(lines) = lines.and_then(|lines| self.fresh(lines)) {
                return Ok(Some(lines));
            }
        }
        Ok(None)
    }

    /// The records of the next block, if there are any.
    fn block(&mut self) -> Result<Option<Lines>, StageError> {
        let carry = std::mem::take(&mut self.carry);
        let held = self.position + carry.len() as u64;
        let want = usize::try_from(self.end.saturating_sub(held)).unwrap_or(BLOCK).clamp(STEP, BLOCK);
        let mut data = Vec::with_capacity(carry.len() + want);
        data.extend_from_slice(&carry);
        let (data, ended) = self.input.more(want, data)?;
        if self.first {
            let begin = data.get(..BEGIN).unwrap_or(&data);
            if self.shape.json && is_json_text(begin, ended && begin.len() == data.len()) {
                (self.elements, self.end) = (Some(Elements::default()), u64::MAX);
            }
            self.check_begin(&data, ended)?;
        }
        let Some(start) = self.start(&data) else {
            self.position += data.len() as u64;
            self.done = ended || self.position >= self.end;
            return Ok(None);
        };
        if self.position + start as u64 >= self.end {
            self.done = true;
            return Ok(None);
        }
        if let Some(elements) = self.elements {
            return self.cut_elements(&data, start, ended, elements);
        }
        let mut cut = Cut { offsets: vec![start as i32], rows: None, blank: false, row: self.row };
        let last = match self.shape.quoted {
            None => self.cut_lines(&data, start, ended, &mut cut),
            Some(dialect) => self.cut_records(&data, start, ended, dialect, &mut cut),
        };
        self.row = cut.row;
        self.carry_on(&data, last)?;
        Ok(cut.finish(data, self.shape.blank))
    }

    /// Keeps what is not a whole record yet.
    fn carry_on(&mut self, data: &[u8], last: usize) -> Result<(), StageError> {
        if self.done {
            return Ok(());
        }
        self.carry = data.get(last..).unwrap_or_default().to_vec();
        self.position += last as u64;
        if self.carry.len() <= LONGEST {
            return Ok(());
        }
        let what = if self.elements.is_some() { "value" } else { "line" };
        Err(StageError::state(format!("{what} {} of this part is longer than {LONGEST} bytes", self.row + 1))
            .remedy("is it a text? and are its quotes closed, where `multiline` is set?"))
    }

    /// Each value a record, on a line of its own.
    fn cut_elements(
        &mut self,
        data: &[u8],
        start: usize,
        ended: bool,
        mut elements: Elements,
    ) -> Result<Option<Lines>, StageError> {
        let (mut kept, mut offsets) = (Vec::with_capacity(data.len()), vec![0]);
        let (mut at, first) = (start, self.row);
        let last = loop {
            match elements.next(data, at, ended) {
                Element::Value(value) => {
                    at = value.end;
                    kept.extend_from_slice(data.get(value).unwrap_or_default());
                    kept.push(b'\n');
                    offsets.push(kept.len() as i32);
                }
                Element::Unfinished(from) => break from,
            }
        };
        if ended && elements.is_open() {
            return Err(StageError::state("its JSON list has no end: the file is cut off")
                .remedy("write it again, whole; or say `format: jsonl` where it is one object a line"));
        }
        (self.elements, self.done) = (Some(elements), ended);
        self.row += offsets.len() as i64 - 1;
        self.carry_on(data, last)?;
        let lines = Lines { data: Buffer::from_vec(kept), offsets, rows: Numbers::From(first) };
        Ok((lines.len() > 0).then_some(lines))
    }

    /// Fails where the file's first bytes say that it is not a text, or not one of lines.
    fn check_begin(&self, data: &[u8], ended: bool) -> Result<(), StageError> {
        let lines = self.shape.blank || self.elements.is_some() || !(ended || data.len() >= STEP);
        let checked = magic::no_text(data.get(..HEAD).unwrap_or(data));
        let checked = checked.and_then(|()| if lines { Ok(()) } else { magic::line_ends(data) });
        checked.map_err(|(what, remedy)| StageError::state(what).remedy(remedy))
    }

    /// Where the first record begins; `None` where it is not in these bytes.
    fn start(&mut self, data: &[u8]) -> Option<usize> {
        if self.seeking {
            let line_end = memchr::memchr(b'\n', data)?;
            self.seeking = false;
            return Some(line_end + 1);
        }
        let marked = self.first && data.starts_with(MARK);
        self.first = false;
        Some(if marked { MARK.len() } else { 0 })
    }

    /// Each line a record. Returns where the unfinished one begins.
    fn cut_lines(&mut self, data: &[u8], start: usize, ended: bool, cut: &mut Cut) -> usize {
        let behind = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        // A guess that is right for most: it saves growing.
        cut.offsets.reserve(data.len() / 16);
        let mut last = start;
        for line_end in memchr::memchr_iter(b'\n', data.get(start..).unwrap_or_default()) {
            let next = start + line_end + 1;
            cut.blank |= next - last <= 2 && trim_line_end(data.get(last..next).unwrap_or_default()).is_empty();
            cut.offsets.push(next as i32);
            last = next;
            if next >= behind {
                self.done = true;
                break;
            }
        }
        if !self.done && ended {
            if last < data.len() {
                cut.offsets.push(data.len() as i32);
            }
            self.done = true;
        }
        cut.row += cut.offsets.len() as i64 - 1;
        last
    }

    /// Records whose quoted fields may hold line ends.
    fn cut_records(&mut self, data: &[u8], start: usize, ended: bool, dialect: Dialect, cut: &mut Cut) -> usize {
        let mut rows = Vec::new();
        let mut last = start;
        while last < data.len() {
            let end = dialect.record_end(data, last);
            let Some(next) = end.or(ended.then_some(data.len())) else { return last };
            let record = data.get(last..next).unwrap_or_default();
            cut.blank |= trim_line_end(record).is_empty();
            rows.push(cut.row);
            cut.row += memchr::memchr_iter(b'\n', record).count().max(1) as i64;
            cut.offsets.push(next as i32);
            last = next;
        }
        cut.rows = Some(rows);
        self.done = ended;
        last
    }

    /// Without the header, and without what was handed out before.
    fn fresh(&mut self, mut lines: Lines) -> Option<Lines> {
        let mut drop = 0;
        if self.shape.header && self.header.is_none() {
            let line = records(&lines).next().unwrap_or_default();
            self.header =
                Some(self.shape.encoding.map_or_else(|| line.to_vec(), |encoding| encoding.line(line).into()));
            drop = 1;
        }
        let old = match &lines.rows {
            Numbers::From(row) => usize::try_from(self.from - row).unwrap_or_default(),
            Numbers::Each(rows) => rows.partition_point(|row| *row < self.from),
        };
        let drop = old.max(drop).min(lines.len());
        if drop > 0 {
            lines.offsets.drain(..drop);
            match &mut lines.rows {
                Numbers::From(row) => *row += drop as i64,
                Numbers::Each(rows) => std::mem::drop(rows.drain(..drop)),
            }
        }
        if lines.len() == 0 {
            return None;
        }
        Some(match self.shape.encoding {
            Some(encoding) => lines.transcoded(encoding),
            None => lines,
        })
    }
}

/// The records of a block on their way.
struct Cut {
    offsets: Vec<i32>,
    /// Where records are not one a line.
    rows: Option<Vec<i64>>,
    /// Whether some record has nothing in it.
    blank: bool,
    /// The line behind the last record.
    row: i64,
}

impl Cut {
    fn finish(self, data: Vec<u8>, keep_blank: bool) -> Option<Lines> {
        let count = self.offsets.len() - 1;
        if count == 0 {
            return None;
        }
        let first = self.row - count as i64;
        if self.blank && !keep_blank {
            let numbers = self.rows.unwrap_or_else(|| (first..self.row).collect());
            return without_blanks(&data, &self.offsets, &numbers);
        }
        let rows = self.rows.map_or(Numbers::From(first), Numbers::Each);
        Some(Lines { data: Buffer::from_vec(data), offsets: self.offsets, rows })
    }
}

/// The records that have something in them, moved together.
fn without_blanks(data: &[u8], offsets: &[i32], numbers: &[i64]) -> Option<Lines> {
    let (mut kept, mut ends, mut rows) = (Vec::with_capacity(data.len()), vec![0], Vec::with_capacity(numbers.len()));
    for (bounds, row) in offsets.windows(2).zip(numbers) {
        let [begin, end] = bounds else { continue };
        let record = data.get(*begin as usize..*end as usize).unwrap_or_default();
        if !trim_line_end(record).is_empty() {
            kept.extend_from_slice(record);
            ends.push(kept.len() as i32);
            rows.push(*row);
        }
    }
    (!rows.is_empty()).then(|| Lines { data: Buffer::from_vec(kept), offsets: ends, rows: Numbers::Each(rows) })
}
