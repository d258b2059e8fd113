//! `TextIndex`: how often a term is in a text.

use std::sync::LazyLock;

use regex::Regex;

use super::value::Val;
use super::xml::Element;
use crate::Error;
use crate::text::ascii::{self, Dialect};

/// How a text is cut into tokens, and what is counted.
#[derive(Debug, Clone)]
pub(super) struct TextIndex {
    /// `None` is white space.
    separator: Option<Regex>,
    case_matters: bool,
    weight: Weight,
}

#[derive(Debug, Clone, Copy)]
enum Weight {
    Count,
    Binary,
    Logarithm,
}

/// Marks around a token that do not belong to it.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{P}$").ok());

impl TextIndex {
    pub(super) fn read(element: Element<'_>) -> Result<Self, Error> {
        let supported = "terms as they are, in tokens between separators";
        for (name, usual) in [("maxLevenshteinDistance", "0"), ("tokenize", "true")] {
            if element.get(name).is_some_and(|value| value != usual) {
                return Err(element.unsupported(format!("TextIndex with another {name}"), supported));
            }
        }
        if element.get("wordRE").or(element.get("x-wordRE")).is_some()
            || element.child("TextIndexNormalization").is_some()
        {
            return Err(element.unsupported("TextIndex with words of its own, or TextIndexNormalization", supported));
        }
        let weight = match element.get("localTermWeights").unwrap_or("termFrequency") {
            "termFrequency" => Weight::Count,
            "binary" => Weight::Binary,
            "logarithmic" => Weight::Logarithm,
            other => return Err(element.unsupported(other, "termFrequency, binary and logarithmic")),
        };
        let separator = match element.get("wordSeparatorCharacterRE") {
            None | Some("\\s" | "\\s+") => None,
            Some(text) => {
                let found = ascii::pattern(text, Dialect::Java).filter(|pattern| !pattern.is_match(""));
                let what = "a pattern that Java and this program match the same, and not nothing";
                Some(found.ok_or_else(|| element.unsupported("this wordSeparatorCharacterRE", what))?)
            }
        };
        Ok(TextIndex { separator, case_matters: element.flag("isCaseSensitive"), weight })
    }

    /// The tokens of a text, without the marks around them.
    fn tokens<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let is_mark = |letter: char| {
            let of_others =
                |letter: char| MARK.as_ref().is_some_and(|pattern| pattern.is_match(letter.encode_utf8(&mut [0; 4])));
            match letter {
                '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
                letter if letter.is_ascii() => letter.is_ascii_punctuation(),
                letter => of_others(letter),
            }
        };
        let own = |token: &'t str| Some(token.trim_matches(is_mark)).filter(|token| !token.is_empty());
        match &self.separator {
            None => text.split([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']).filter_map(own).collect(),
            Some(separator) => separator.split(text).filter_map(own).collect(),
        }
    }

    pub(super) fn value(&self, text: &Val, term: &Val) -> Val {
        let (Some(text), Some(term)) = (text.text(), term.text()) else { return Val::Missing };
        let (text, term) = match self.case_matters {
            true => (text, term),
            false => (text.to_lowercase().into(), term.to_lowercase().into()),
        };
        let term = self.tokens(&term);
        // Most terms are not there at all.
        let may_be = !term.is_empty() && term.iter().all(|token| text.contains(token));
        let count = match may_be {
            true => self.tokens(&text).windows(term.len()).filter(|part| *part == term.as_slice()).count() as f64,
            false => 0.0,
        };
        Val::Number(match self.weight {
            Weight::Count => count,
            Weight::Binary => count.min(1.0),
            Weight::Logarithm => (1.0 + count).log10(),
        })
    }
}
