//! The way from a text to its terms: lower case, accents, tokens, stop words, n-grams.

use std::borrow::Cow;
use std::collections::HashSet;

use foretell_pickle::View;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::pattern::Pattern;
use super::stop_words::ENGLISH;
use super::words::{is_space, is_word};
use crate::Error;
use crate::attributes::{flag, some_attr, version, word};

/// What a vectorizer does with each text.
#[derive(Debug)]
pub(crate) struct Analyzer {
    lower: bool,
    accents: Accents,
    terms: Terms,
    /// The shortest and the longest n-gram.
    range: (usize, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accents {
    Keep,
    Ascii,
    Unicode,
    /// Until 0.21 a text that was decomposed already kept its marks.
    UnicodeUnlessDecomposed,
}

#[derive(Debug)]
enum Terms {
    Words {
        pattern: Option<Pattern>,
        stop: HashSet<String>,
    },
    Characters,
    /// Characters of one word at a time, with a space on either side.
    CharactersOfWords,
}

/// What scikit-learn's vectorizers take as a token where nothing else is said.
const DEFAULT: &str = r"(?u)\b\w\w+\b";
/// Longer n-grams make a text quadratic.
const LONGEST: usize = 100;

impl Analyzer {
    /// From the parameters of a vectorizer.
    pub(crate) fn read(view: &View<'_>) -> Result<Analyzer, Error> {
        for name in ["tokenizer", "preprocessor"] {
            if let Some(function) = some_attr(view, name)? {
                let what = function.class().map_or_else(|| function.describe(), |class| class.to_string());
                return Err(Error::unsupported(function.path(), format!("{name}={what}"), format!("{name}=None")));
            }
        }
        if word(view, "input", "content")? != "content" {
            return Err(Error::unsupported(view.path(), "texts in files", "input=content"));
        }
        let choice = |name: &str, default: &'static str, supported: &str| -> Result<String, Error> {
            let Some(value) = some_attr(view, name)? else { return Ok(default.to_string()) };
            let function = |_| Error::unsupported(value.path(), format!("a function as {name}"), supported);
            value.as_str().map(str::to_string).map_err(function)
        };
        let range = view.attr("ngram_range")?;
        let range = (range.item(0)?.as_usize()?, range.item(1)?.as_usize()?);
        if range.0 == 0 || range.0 > range.1 || range.1 > LONGEST {
            let what = format!("ngram_range=({}, {})", range.0, range.1);
            return Err(Error::unsupported(view.path(), what, format!("n-grams of 1 to {LONGEST}")));
        }
        let accents = match choice("strip_accents", "", "ascii, unicode")?.as_str() {
            "" => Accents::Keep,
            "ascii" => Accents::Ascii,
            "unicode" if version(view)?.is_some_and(|version| version >= (0, 22)) => Accents::Unicode,
            "unicode" => Accents::UnicodeUnlessDecomposed,
            other => return Err(Error::unsupported(view.path(), format!("strip_accents={other}"), "ascii, unicode")),
        };
        let supported = "word, char, char_wb";
        let terms = match choice("analyzer", "word", supported)?.as_str() {
            "word" => Terms::Words { pattern: pattern(view)?, stop: stop_words(view)? },
            "char" => Terms::Characters,
            "char_wb" => Terms::CharactersOfWords,
            other => return Err(Error::unsupported(view.path(), format!("analyzer={other}"), supported)),
        };
        Ok(Analyzer { lower: flag(view, "lowercase", true)?, accents, terms, range })
    }

    /// Calls `each` with every term of a text.
    pub(crate) fn terms(&self, text: &str, mut each: impl FnMut(&str)) {
        let text = if self.lower { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
        let text = self.accents.strip(text);
        match &self.terms {
            Terms::Words { pattern, stop } => {
                let mut tokens = Vec::new();
                let mut take = |token| {
                    if !stop.contains(token) {
                        tokens.push(token);
                    }
                };
                match pattern {
                    Some(pattern) => pattern.tokens(&text, take),
                    None => words(&text).for_each(&mut take),
                }
                self.word_grams(&tokens, each);
            }
            Terms::Characters => {
                let text = single_spaces(&text);
                let places = places(&text);
                for size in self.range.0..=self.range.1 {
                    windows(&text, &places, size, &mut each);
                }
            }
            Terms::CharactersOfWords => {
                let mut padded = String::new();
                for word in text.split(is_space).filter(|word| !word.is_empty()) {
                    padded.clear();
                    padded.extend([" ", word, " "]);
                    let places = places(&padded);
                    let length = places.len().saturating_sub(1);
                    for size in self.range.0..=self.range.1 {
                        // A word that is no longer counts once and is done with.
                        if size >= length {
                            each(&padded);
                            break;
                        }
                        windows(&padded, &places, size, &mut each);
                    }
                }
            }
        }
    }

    fn word_grams(&self, tokens: &[&str], mut each: impl FnMut(&str)) {
        let mut joined = String::new();
        for size in self.range.0..=self.range.1.min(tokens.len()) {
            for gram in tokens.windows(size) {
                if let [token] = gram {
                    each(token);
                    continue;
                }
                joined.clear();
                for (index, token) in gram.iter().enumerate() {
                    if index > 0 {
                        joined.push(' ');
                    }
                    joined.push_str(token);
                }
                each(&joined);
            }
        }
    }
}

impl Accents {
    fn strip(self, text: Cow<'_, str>) -> Cow<'_, str> {
        if self == Accents::Keep || text.is_ascii() {
            return text;
        }
        match self {
            Accents::Ascii => text.nfkd().filter(char::is_ascii).collect::<String>().into(),
            Accents::UnicodeUnlessDecomposed if text.nfkd().eq(text.chars()) => text,
            _ => text.nfkd().filter(|c| canonical_combining_class(*c) == 0).collect::<String>().into(),
        }
    }
}

fn pattern(view: &View<'_>) -> Result<Option<Pattern>, Error> {
    let pattern = word(view, "token_pattern", DEFAULT)?;
    if pattern == DEFAULT {
        return Ok(None);
    }
    let refused = |why: String| {
        let what = format!("token_pattern={pattern}");
        Error::unsupported(view.path(), what, format!("patterns without {why}"))
    };
    Pattern::new(pattern).map(Some).map_err(refused)
}

fn stop_words(view: &View<'_>) -> Result<HashSet<String>, Error> {
    let Some(stop) = some_attr(view, "stop_words")? else { return Ok(HashSet::new()) };
    if let Ok(list) = stop.as_str() {
        if list != "english" {
            return Err(Error::unsupported(stop.path(), format!("stop_words={list}"), "english, or a list of words"));
        }
        return Ok(ENGLISH.iter().map(|word| (*word).to_string()).collect());
    }
    stop.items()?.iter().map(|word| Ok(word.as_text()?.into_owned())).collect()
}

/// Runs of two word characters or more: the matches of the default pattern.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| word.chars().nth(1).is_some())
}

/// Runs of two white characters or more become a single space.
fn single_spaces(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if is_space(c) && rest.next_if(|next| is_space(*next)).is_some() {
            while rest.next_if(|next| is_space(*next)).is_some() {}
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Where each character starts, and where the text ends.
fn places(text: &str) -> Vec<usize> {
    text.char_indices().map(|(place, _)| place).chain([text.len()]).collect()
}

/// Every run of `size` characters.
fn windows(text: &str, places: &[usize], size: usize, each: &mut impl FnMut(&str)) {
    for (start, end) in places.iter().zip(places.iter().skip(size)) {
        each(text.get(*start..*end).unwrap_or_default());
    }
}
