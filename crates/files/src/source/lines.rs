//! Records of a text, as they lie in a block of its bytes.

use arrow::buffer::Buffer;
use foretell_decode::fields::trim_line_end;

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
