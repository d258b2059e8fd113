//! The values of a JSON text that is not JSON Lines: the elements of one array, or values one after the other, on however
//! many lines.

use std::ops::Range;

/// Finds values in a text that comes block by block. It only looks for where they end: what is wrong within a value is
/// found when it is decoded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elements {
    /// Whether an array around the values was opened and not closed.
    in_array: bool,
}

/// What comes next in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// A value, where it is.
    Value(Range<usize>),
    /// A value that begins here and has no end yet; the text's end where there is none.
    Unfinished(usize),
}

impl Elements {
    /// The value at `at` or behind it. `ended` where no more data comes: then what is left is a value, whatever it is.
    pub fn next(&mut self, data: &[u8], at: usize, ended: bool) -> Element {
        let mut at = at;
        loop {
            let Some(byte) = data.get(at) else { return Element::Unfinished(data.len()) };
            match byte {
                b'[' if !self.in_array => self.in_array = true,
                b']' if self.in_array => self.in_array = false,
                b',' if self.in_array => {}
                byte if byte.is_ascii_whitespace() => {}
                _ => break,
            }
            at = at.saturating_add(1);
        }
        match end(data, at) {
            Some(end) => Element::Value(at..end),
            None if ended => Element::Value(at..data.len()),
            None => Element::Unfinished(at),
        }
    }

    /// Whether an array was opened and not closed: at the end of a text, something is lacking.
    pub fn is_open(&self) -> bool {
        self.in_array
    }
}

/// Where the value at `at` ends; `None` if it does not end in this data.
fn end(data: &[u8], at: usize) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (index, byte) in data.iter().enumerate().skip(at) {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    quoted = false;
                    if depth == 0 {
                        return index.checked_add(1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth > 1 => depth = depth.saturating_sub(1),
            b'}' | b']' if depth == 1 => return index.checked_add(1),
            // A number or a word ends before what cannot belong to it.
            b',' | b']' | b'}' if depth == 0 && index > at => return Some(index),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(index),
            _ => {}
        }
    }
    None
}

/// The elements of an array, each as written. The text must have been parsed before.
pub(super) fn elements_of(array: &str) -> impl Iterator<Item = &str> {
    let (mut elements, mut at) = (Elements::default(), 0);
    std::iter::from_fn(move || match elements.next(array.as_bytes(), at, true) {
        Element::Value(range) => {
            at = range.end;
            array.get(range)
        }
        Element::Unfinished(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All values of a text that comes in blocks of this size.
    fn values(text: &str, block: usize) -> Vec<String> {
        let (mut elements, mut at, mut known, mut found) = (Elements::default(), 0, 0, Vec::new());
        loop {
            let (data, ended) = (&text.as_bytes()[..known], known == text.len());
            match elements.next(data, at, ended) {
                Element::Value(range) => {
                    found.push(text[range.clone()].to_string());
                    at = range.end;
                }
                Element::Unfinished(_) if ended => return found,
                Element::Unfinished(from) => {
                    at = from;
                    known = text.len().min(known + block);
                }
            }
        }
    }

    #[test]
    fn values_are_found_however_they_are_laid_out() {
        let object = r#"{"a": "}]\"\\", "b": [1, {}]}"#;
        for text in [
            format!("[{object},{object}]"),
            format!("[\n  {object},\n  {object}\n]\n"),
            format!("{object}{object}"),
            format!("{object}\n\n{object}\n"),
            format!("[{object}]\n[{object}]"),
        ] {
            for block in [1, 7, 1000] {
                assert_eq!(values(&text, block), [object, object], "{text}");
            }
        }
        assert_eq!(values("[1, \"x\", null,[2]]", 1000), ["1", "\"x\"", "null", "[2]"]);
        assert_eq!(values("[{\"a\": 1}, {\"a\": ", 1000), ["{\"a\": 1}", "{\"a\": "], "a torn value is a bad record");
        assert_eq!(values(" \n[ ] ", 1), Vec::<String>::new());
    }

    #[test]
    fn an_array_without_an_end_is_open() {
        let mut elements = Elements::default();
        assert_eq!(elements.next(b"[1", 0, false), Element::Unfinished(1));
        assert_eq!(elements.next(b"[1]", 1, true), Element::Value(1..2));
        assert!(elements.is_open());
        assert_eq!(elements.next(b"[1]", 2, true), Element::Unfinished(3));
        assert!(!elements.is_open());
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_their_end(text in "[\\[\\]{},\"\\\\ \na1é]{0,60}", block in 1_usize..20) {
            let whole = values(&text, text.len().max(1));
            let len = whole.iter().map(String::len).sum::<usize>();
            prop_assert!(len <= text.len());
            prop_assert!(whole.iter().all(|value| !value.is_empty()));
            let _ = block;
        }
    }
}
