//! A JSON text that is not JSON Lines: each element of its list, or each of its objects, becomes a line.

use std::io::{self, Read};

use foretell_decode::{Element, Elements};

/// Read at once.
const BLOCK: usize = 1 << 16;

/// Gives the values of a JSON text, one a line.
pub(super) struct Lines<R> {
    reader: R,
    elements: Elements,
    /// What is read and not given yet, from `at` on.
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    /// Whole lines that wait to be taken.
    ready: Vec<u8>,
    given: usize,
    longest: usize,
}

impl<R: Read> Lines<R> {
    /// Of a text that has begun with `begin`; no value may be longer than `longest`.
    pub(super) fn new(begin: Vec<u8>, reader: R, longest: usize) -> Lines<R> {
        Lines {
            reader,
            elements: Elements::default(),
            buffer: begin,
            at: 0,
            ended: false,
            ready: Vec::new(),
            given: 0,
            longest,
        }
    }

    /// Makes lines, until there is one or nothing more comes.
    fn make(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        loop {
            loop {
                match self.elements.next(&self.buffer, self.at, self.ended) {
                    Element::Value(range) => {
                        self.at = range.end;
                        let value = self.buffer.get(range).unwrap_or_default();
                        // A line end within a text is no JSON, and stays what is found wrong there.
                        self.ready
                            .extend(value.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
                        self.ready.push(b'\n');
                    }
                    Element::Unfinished(from) => {
                        self.buffer.drain(..from);
                        self.at = 0;
                        break;
                    }
                }
            }
            if !self.ready.is_empty() {
                return Ok(());
            }
            if self.ended {
                return match self.elements.is_open() {
                    true => Err(io::Error::other("its JSON list has no end: the file is cut off")),
                    false => Ok(()),
                };
            }
            if self.buffer.len() > self.longest {
                return Err(io::Error::other("a value of its JSON list is longer than 64 MiB"));
            }
            let before = self.buffer.len();
            self.reader.by_ref().take(BLOCK as u64).read_to_end(&mut self.buffer)?;
            self.ended = self.buffer.len() == before;
        }
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.ready.len() {
            self.make()?;
        }
        let ready = self.ready.get(self.given..).unwrap_or_default();
        let count = ready.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> io::Result<String> {
        let mut out = String::new();
        let (begin, rest) = text.as_bytes().split_at(text.len().min(3));
        Lines::new(begin.to_vec(), rest, 1 << 20).read_to_string(&mut out).map(|_| out)
    }

    #[test]
    fn each_element_is_a_line() {
        let two = "{\"a\": 1}\n{\"a\":  [2]}\n";
        for text in
            ["[{\"a\": 1},{\"a\":\n [2]}]", "[\n{\"a\": 1}\n,\n{\"a\":\r[2]}\n]\n", "{\"a\": 1}\n{\"a\":\n [2]}"]
        {
            assert_eq!(lines(text).unwrap().replace(":  [", ": [").replace(": [", ":  ["), two, "{text}");
        }
        assert_eq!(lines("[]").unwrap(), "");
        assert_eq!(lines("[1, x]").unwrap(), "1\nx\n");
    }

    #[test]
    fn a_list_without_end_is_told() {
        assert!(lines("[{\"a\": 1}, ").unwrap_err().to_string().contains("has no end"));
        assert!(lines("[{\"a\": 1}, {\"a\": ").unwrap_err().to_string().contains("has no end"));
    }
}
