//! The way from a text to its terms: lower case, accents, tokens, stop words, n-grams.

use std::borrow::Cow;
use std::collections::HashSet;

use foretell_pickle::View;
use regex_syntax::hir::ClassUnicode;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::pattern::Pattern;
use super::stop_words::ENGLISH;
use super::words::{self, is_space, is_word};
use crate::Error;
use crate::attributes::{flag, some_attr, version, word};

/// What a vectorizer does with each text.
#[derive(Debug)]
pub(crate) struct Analyzer {
    before: Before,
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
        tokenizer: Tokenizer,
        stop: HashSet<String>,
    },
    Characters,
    /// Characters of one word at a time, with a space on either side.
    CharactersOfWords,
}

/// What is done to a text before it is taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Lower,
    Upper,
    Strip,
}

/// How a text is taken apart.
#[derive(Debug)]
enum Tokenizer {
    /// Runs of two word characters or more.
    Words,
    Pattern(Pattern),
    /// What lies between matches, without the punctuation at its ends.
    Between(Pattern, ClassUnicode),
    /// `str.split`: at white space.
    Split,
    /// `str.splitlines`.
    Lines,
    /// `list`: character by character.
    Characters,
}

/// The method of Python's `str` that a parameter is: `str.split` is written as `getattr(str, 'split')`, or by its own name.
fn method<'a>(function: &View<'a>) -> Result<Option<&'a str>, Error> {
    if function.is("builtins", "getattr") || function.is("__builtin__", "getattr") {
        let of = function.arg(0)?;
        let is_text = ["builtins", "__builtin__"].iter().any(|module| of.is(module, "str") || of.is(module, "unicode"));
        return Ok(if is_text { Some(function.arg(1)?.as_str()?) } else { None });
    }
    let class = function.class().filter(|class| class.module == "builtins");
    Ok(class.and_then(|class| class.name.strip_prefix("str.")))
}

/// The refusal of a function that is not one of those that are known.
fn not_known(function: &View<'_>, name: &str, supported: &str) -> Error {
    let what = function.class().map_or_else(|| function.describe(), |class| class.to_string());
    let what = match method(function) {
        Ok(Some(method)) => format!("str.{method}"),
        _ => what,
    };
    let supported = format!("{supported}; functions of one's own are not run");
    Error::unsupported(function.path(), format!("{name}={what}"), supported)
}

impl Tokenizer {
    fn read(function: &View<'_>, name: &str) -> Result<Tokenizer, Error> {
        let supported = "None, str.split, str.splitlines, list, and `findall` of a compiled pattern";
        match method(function)? {
            Some("split") => return Ok(Tokenizer::Split),
            Some("splitlines") => return Ok(Tokenizer::Lines),
            _ => {}
        }
        if function.is("builtins", "list") {
            return Ok(Tokenizer::Characters);
        }
        // Of sklearn2pmml: what matches, and what lies between matches without the punctuation around it.
        if let Some(class) =
            function.class().filter(|class| class.module.starts_with("sklearn2pmml.feature_extraction"))
        {
            let state = function.state()?;
            let text = state.as_str()?;
            let refused = |why: String| {
                Error::unsupported(function.path(), format!("the pattern {text}"), format!("patterns without {why}"))
            };
            let pattern = Pattern::new(text).map_err(refused)?;
            if class.name == "Matcher" {
                return Ok(Tokenizer::Pattern(pattern));
            }
            if pattern.groups() > 0 {
                return Err(refused("groups".to_string()));
            }
            return Ok(Tokenizer::Between(pattern, words::class(r"\p{P}")));
        }
        // `re.compile(…).findall`
        if function.is("builtins", "getattr")
            && let (of, "findall") = (function.arg(0)?, function.arg(1)?.as_str()?)
            && of.is("re", "_compile")
            && of.arg(1)?.as_i64()? & !UNICODE == 0
        {
            let pattern = of.arg(0)?;
            let pattern = pattern.as_str()?;
            let refused = |why: String| {
                Error::unsupported(function.path(), format!("the pattern {pattern}"), format!("patterns without {why}"))
            };
            return Pattern::new(pattern).map(Tokenizer::Pattern).map_err(refused);
        }
        Err(not_known(function, name, supported))
    }
}

/// The flag `re.UNICODE`, which every pattern of texts has.
const UNICODE: i64 = 32;

impl Before {
    fn read(function: &View<'_>) -> Result<Before, Error> {
        match method(function)? {
            Some("lower") => Ok(Before::Lower),
            Some("upper") => Ok(Before::Upper),
            Some("strip") => Ok(Before::Strip),
            _ => Err(not_known(function, "preprocessor", "None, str.lower, str.upper, str.strip")),
        }
    }

    fn of(self, text: &str) -> Cow<'_, str> {
        match self {
            Before::Nothing => Cow::Borrowed(text),
            Before::Lower => Cow::Owned(text.to_lowercase()),
            Before::Upper => Cow::Owned(text.to_uppercase()),
            Before::Strip => Cow::Borrowed(text.trim_matches(is_space)),
        }
    }
}

/// What scikit-learn's vectorizers take as a token where nothing else is said.
const DEFAULT: &str = r"(?u)\b\w\w+\b";
/// Longer n-grams make a text quadratic.
const LONGEST: usize = 100;

impl Analyzer {
    /// From the parameters of a vectorizer.
    pub(crate) fn read(view: &View<'_>) -> Result<Analyzer, Error> {
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
        if let Some(analyzer) = some_attr(view, "analyzer")?.filter(|analyzer| analyzer.class().is_some()) {
            let tokenizer = Tokenizer::read(&analyzer, "analyzer")?;
            let terms = Terms::Words { tokenizer, stop: HashSet::new() };
            return Ok(Analyzer { before: Before::Nothing, accents: Accents::Keep, terms, range: (1, 1) });
        }
        let terms = match choice("analyzer", "word", supported)?.as_str() {
            "word" => {
                let tokenizer = match some_attr(view, "tokenizer")? {
                    Some(tokenizer) => Tokenizer::read(&tokenizer, "tokenizer")?,
                    None => pattern(view)?.map_or(Tokenizer::Words, Tokenizer::Pattern),
                };
                Terms::Words { tokenizer, stop: stop_words(view)? }
            }
            "char" => Terms::Characters,
            "char_wb" => Terms::CharactersOfWords,
            other => return Err(Error::unsupported(view.path(), format!("analyzer={other}"), supported)),
        };
        // What is done before stands for both.
        let (before, accents) = match some_attr(view, "preprocessor")? {
            Some(preprocessor) => (Before::read(&preprocessor)?, Accents::Keep),
            None if flag(view, "lowercase", true)? => (Before::Lower, accents),
            None => (Before::Nothing, accents),
        };
        Ok(Analyzer { before, accents, terms, range })
    }

    /// Calls `each` with every term of a text.
    pub(crate) fn terms(&self, text: &str, mut each: impl FnMut(&str)) {
        let text = self.before.of(text);
        let text = self.accents.strip(text);
        match &self.terms {
            Terms::Words { tokenizer, stop } => {
                let mut tokens = Vec::new();
                let mut take = |token| {
                    if !stop.contains(token) {
                        tokens.push(token);
                    }
                };
                match tokenizer {
                    Tokenizer::Pattern(pattern) => pattern.tokens(&text, take),
                    Tokenizer::Between(pattern, punctuation) => {
                        let is_punctuation =
                            |c: char| punctuation.iter().any(|range| range.start() <= c && c <= range.end());
                        let tokens = pattern.between(&text).into_iter().map(|one| one.trim_matches(is_punctuation));
                        tokens.filter(|token| !token.is_empty()).for_each(&mut take);
                    }
                    Tokenizer::Words => words(&text).for_each(&mut take),
                    Tokenizer::Split => text.split(is_space).filter(|word| !word.is_empty()).for_each(&mut take),
                    Tokenizer::Lines => lines(&text).for_each(&mut take),
                    Tokenizer::Characters => characters(&text).for_each(&mut take),
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

/// The lines of a text, at every end of a line that Python knows.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}".contains(c);
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(is_end) else { return Some(std::mem::take(&mut rest)) };
        let (line, after) = rest.split_at_checked(end)?;
        let width = if after.starts_with("\r\n") { 2 } else { after.chars().next().map_or(0, char::len_utf8) };
        rest = after.get(width..).unwrap_or_default();
        Some(line)
    })
}

fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| text.get(at..at.saturating_add(c.len_utf8())).unwrap_or_default())
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
