//! Patterns of RE2 and of Java, whose classes of words, digits and spaces know ASCII alone.

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern: honest ones need some ten thousand.
const COMPILED: usize = 1 << 20;

/// Of whom a pattern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Re2,
    Java,
}

/// `None` where it would not match the same.
pub(crate) fn pattern(text: &str, dialect: Dialect) -> Option<Regex> {
    // What else they write with a backslash means something else here, or nothing.
    let mut letters = text.chars();
    let mut is_ascii = false;
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            match letters.next()? {
                'w' | 'W' | 'd' | 'D' | 'b' | 'B' => is_ascii = true,
                's' | 'S' if dialect == Dialect::Java => is_ascii = true,
                't' | 'n' | 'r' | 'f' => {}
                mark if mark.is_ascii_punctuation() => {}
                _ => return None,
            }
        }
    }
    // Of Java's own: possessive repeats, sets in sets, and what looks around.
    if ["++", "*+", "?+", "&&", "(?"].iter().any(|part| text.contains(part)) {
        return None;
    }
    let text = if is_ascii { format!("(?-u){text}") } else { text.to_string() };
    RegexBuilder::new(&text).size_limit(COMPILED).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_know_ascii_alone_and_what_differs_is_refused() {
        let java = |text: &str| pattern(text, Dialect::Java);
        let cut = |text: &str| java(text).unwrap().split("aé b\u{a0}c").map(str::to_string).collect::<Vec<_>>();
        assert_eq!(cut(r"\s+"), ["aé", "b\u{a0}c"]);
        assert_eq!(cut("[ é]"), ["a", "", "b\u{a0}c"]);
        assert!(pattern(r"\w+", Dialect::Re2).unwrap().is_match("a"));
        assert!(!pattern(r"^\w+$", Dialect::Re2).unwrap().is_match("é"));
        for text in [r"\s", r"\pL", r"a++", r"(?<=a)b", r"\Qa\E", "(", r"[^\w]é"] {
            assert!(pattern(text, Dialect::Re2).is_none(), "{text}");
        }
    }
}
