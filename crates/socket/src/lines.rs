//! Bytes to lines. Pure: no socket, no clock.

use foretell_flow::RecordsBuilder;

/// A line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The bytes, or the beginning of them.
    pub(super) bytes: &'a [u8],
    /// When it came, in milliseconds since the epoch.
    pub(super) time: i64,
    /// Why it is not a record like others.
    pub(super) flaw: Option<Flaw>,
}

/// What is wrong with a line; `size` counts its bytes as far as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Longer than a line may be: only the beginning is kept.
    TooLong { size: u64 },
    /// The connection broke, and nobody knows whether more would have come.
    Broken { size: u64 },
}

impl Line<'_> {
    /// The line as a record.
    pub(super) fn push(&self, records: &mut RecordsBuilder, offset: i64) {
        records.push(0, offset, Some(self.time), None, Some(self.bytes), Vec::new());
        let (size, reason) = match self.flaw {
            None => return,
            Some(Flaw::TooLong { size }) => {
                (size, format!("a line of {size} bytes, which is more than `max_line` ({})", self.bytes.len()))
            }
            Some(Flaw::Broken { size }) => (size, "the connection broke within this line".to_string()),
        };
        records.cut_last(size, "source socket", reason);
    }
}

/// Lines that came together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// When, in milliseconds since the epoch.
    time: i64,
    data: Vec<u8>,
    /// Of each line, where it ends in `data`, and its flaw.
    ends: Vec<(usize, Option<Flaw>)>,
}

impl Lines {
    /// Empty at first.
    pub(super) fn at(time: i64) -> Self {
        Lines { time, ..Lines::default() }
    }

    pub(super) fn push(&mut self, bytes: &[u8], flaw: Option<Flaw>) {
        self.data.extend_from_slice(bytes);
        self.ends.push((self.data.len(), flaw));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// About the memory they take.
    pub(super) fn memory(&self) -> usize {
        let ends = self.ends.len().saturating_mul(size_of::<(usize, Option<Flaw>)>());
        self.data.len().saturating_add(ends)
    }

    /// The lines from this one on.
    pub(super) fn iter_from(&self, from: usize) -> impl Iterator<Item = Line<'_>> {
        let mut begin = from.checked_sub(1).and_then(|last| self.ends.get(last)).map_or(0, |(end, _)| *end);
        self.ends.iter().skip(from).map(move |(end, flaw)| {
            let bytes = self.data.get(begin..*end).unwrap_or_default();
            begin = *end;
            Line { bytes, time: self.time, flaw: *flaw }
        })
    }
}

/// Cuts what comes from one connection into lines: `\n` or `\r\n` ends them. Memory is bounded by the longest line
/// allowed.
#[derive(Debug)]
pub(super) struct Splitter {
    longest: usize,
    /// The line at hand, as far as it is kept: a byte more than the longest line, which may be its `\r`.
    pending: Vec<u8>,
    /// Its bytes so far.
    size: u64,
    last: u8,
}

impl Splitter {
    pub(super) fn new(longest: usize) -> Self {
        Splitter { longest, pending: Vec::new(), size: 0, last: 0 }
    }

    /// Adds what came.
    pub(super) fn feed(&mut self, bytes: &[u8], lines: &mut Lines) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            let whole = line.strip_suffix(b"\r").unwrap_or(line);
            if self.size == 0 && whole.len() <= self.longest {
                lines.push(whole, None);
            } else {
                self.add(line);
                self.finish(lines);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.add(rest);
    }

    /// The connection ended: in order, so what came last is a line even without an end; or it broke.
    pub(super) fn end(&mut self, broken: bool, lines: &mut Lines) {
        if self.size == 0 {
            return;
        }
        if broken {
            self.pending.truncate(self.longest);
            lines.push(&self.pending, Some(Flaw::Broken { size: self.size }));
            self.begin();
        } else {
            self.finish(lines);
        }
    }

    fn add(&mut self, part: &[u8]) {
        let Some(last) = part.last() else { return };
        self.last = *last;
        self.size = self.size.saturating_add(part.len() as u64);
        let room = self.longest.saturating_add(1).saturating_sub(self.pending.len());
        self.pending.extend(part.iter().take(room));
    }

    fn finish(&mut self, lines: &mut Lines) {
        let size = self.size.saturating_sub(u64::from(self.last == b'\r'));
        let whole = size <= self.longest as u64;
        self.pending.truncate(if whole { size as usize } else { self.longest });
        lines.push(&self.pending, (!whole).then_some(Flaw::TooLong { size }));
        self.begin();
    }

    fn begin(&mut self) {
        (self.size, self.last) = (0, 0);
        self.pending.clear();
        self.pending.shrink_to(64 * 1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `text`, cut into pieces of `piece` bytes, with lines of at most five bytes.
    fn split(text: &[u8], piece: usize, broken: bool) -> Vec<(String, Option<Flaw>)> {
        let mut lines = Lines::default();
        let mut splitter = Splitter::new(5);
        for piece in text.chunks(piece) {
            splitter.feed(piece, &mut lines);
            assert!(splitter.pending.len() <= 6, "memory is bounded");
        }
        splitter.end(broken, &mut lines);
        lines.iter_from(0).map(|line| (String::from_utf8_lossy(line.bytes).into_owned(), line.flaw)).collect()
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let text = b"one\r\n\n\r\ntwo\nexact\nexact\r\na\rb\ntoolong\ntoolong\r\nvery very long\nlast";
        let long = |text: &str, size| (text.to_string(), Some(Flaw::TooLong { size }));
        let whole = |text: &str| (text.to_string(), None);
        let expected = vec![
            whole("one"),
            whole(""),
            whole(""),
            whole("two"),
            whole("exact"),
            whole("exact"),
            whole("a\rb"),
            long("toolo", 7),
            long("toolo", 7),
            long("very ", 14),
            whole("last"),
        ];
        for piece in 1..=text.len() {
            assert_eq!(split(text, piece, false), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_a_broken_connection_leaves_is_not_a_line() {
        let broken = |text: &str, size| (text.to_string(), Some(Flaw::Broken { size }));
        assert_eq!(split(b"1,2\n1,2", 3, true), [("1,2".to_string(), None), broken("1,2", 3)]);
        assert_eq!(split(b"1234567", 3, true), [broken("12345", 7)]);
        assert_eq!(split(b"1,2\n", 3, true).len(), 1, "nothing was left");
    }

    #[test]
    fn lines_can_be_taken_from_anywhere() {
        let mut lines = Lines::default();
        for text in ["a", "", "bc", "d"] {
            lines.push(text.as_bytes(), None);
        }
        let from = |at| lines.iter_from(at).map(|line| line.bytes.to_vec()).collect::<Vec<_>>();
        assert_eq!(from(1), [b"".to_vec(), b"bc".to_vec(), b"d".to_vec()]);
        assert_eq!(from(3), [b"d".to_vec()]);
        assert!(from(4).is_empty());
    }

    /// Lines as the words of the settings say it: cut at `\n`, without the `\r` before it.
    fn plainly(text: &[u8], longest: usize) -> Vec<(Vec<u8>, Option<Flaw>)> {
        let mut parts: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop();
        }
        let line = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let flaw = (line.len() > longest).then_some(Flaw::TooLong { size: line.len() as u64 });
            (line[..line.len().min(longest)].to_vec(), flaw)
        };
        parts.into_iter().map(line).collect()
    }

    proptest::proptest! {
        #[test]
        fn however_bytes_come_they_are_the_lines_that_they_plainly_are(
            text in proptest::collection::vec(proptest::sample::select(b"ab\r\n".as_slice()), 0..60),
            cuts in proptest::collection::vec(0..60_usize, 0..8),
            longest in 1..8_usize,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let (mut lines, mut splitter) = (Lines::default(), Splitter::new(longest));
            for pair in cuts.windows(2) {
                splitter.feed(&text[pair[0]..pair[1]], &mut lines);
                proptest::prop_assert!(splitter.pending.len() <= longest + 1, "memory is bounded");
            }
            splitter.end(false, &mut lines);
            let read: Vec<_> = lines.iter_from(0).map(|line| (line.bytes.to_vec(), line.flaw)).collect();
            proptest::prop_assert_eq!(read, plainly(&text, longest));
        }
    }
}
