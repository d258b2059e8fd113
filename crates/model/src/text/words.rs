//! Python's classes of characters, where Rust's differ.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// What `\w` is in Python: letters, numbers and the underscore; no marks, so that Hindi and Thai words fall apart.
pub(crate) const WORD: &str = r"\p{L}\p{N}_";
/// What `\s` is in Python.
pub(crate) const SPACE: &str = r"\s\x1c-\x1f";

/// The characters of a class in the syntax of the `regex` crate; `None` where the class is not known.
pub(crate) fn class(pattern: &str) -> ClassUnicode {
    match regex_syntax::parse(pattern).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        _ => ClassUnicode::empty(),
    }
}

/// Whether a character is one of Python's `\w`.
pub(crate) fn is_word(c: char) -> bool {
    static RANGES: OnceLock<Vec<(char, char)>> = OnceLock::new();
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let ranges = RANGES.get_or_init(|| {
        let class = class(&format!("[{WORD}]"));
        class.iter().map(|range| (range.start(), range.end())).collect()
    });
    let after = ranges.partition_point(|(start, _)| *start <= c);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, end)| c <= *end)
}

/// Whether a character is one of Python's `\s`.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
