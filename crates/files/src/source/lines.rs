//! Records of a text, as they lie in a block of its bytes.

#![allow(clippy::arithmetic_side_effects, reason = "counts of records that are in memory")]

use arrow::buffer::Buffer;
use foretell_decode::fields::trim_line_end;

use crate::encoding::Encoding;

/// Records of one block.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) data: Buffer,
    /// Where each record begins; behind them, where the last ends. A record ends with its line end.
    pub(super) offsets: Vec<i32>,
    pub(super) rows: Numbers,
}

/// The numbers of records' lines, within the part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// This one and those that follow.
    From(i64),
    /// One each.
    Each(Vec<i64>),
}

impl Lines {
    /// The same records in UTF-8.
    pub(super) fn transcoded(self, encoding: Encoding) -> Lines {
        if self.data.is_ascii() {
            return self;
        }
        let mut data = Vec::with_capacity(self.data.len().saturating_add(self.data.len() / 4));
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        for bounds in self.offsets.windows(2) {
            let [begin, end] = bounds else { continue };
            let record = self.data.get(*begin as usize..*end as usize).unwrap_or_default();
            data.extend_from_slice(&encoding.line(record));
            // A block and one line have some 65 MB at most, and no letter grows to more than three bytes.
            offsets.push(data.len() as i32);
        }
        Lines { data: Buffer::from_vec(data), offsets, rows: self.rows }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }
}

/// Records without their line ends.
pub(super) fn records(lines: &Lines) -> impl Iterator<Item = &[u8]> {
    lines.offsets.windows(2).map(|bounds| match bounds {
        [begin, end] => trim_line_end(lines.data.get(*begin as usize..*end as usize).unwrap_or_default()),
        _ => &[],
    })
}
