//! Operators on texts: cases, tokens, and how often terms are among them.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "positions are of shapes that were counted"
)]

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use super::super::proto::Node;
use super::super::tensor::{Data, Fault, Tensor};
use super::labels::{Key, keys};
use super::{Compiled, Operator, input, one};
use crate::Error;
use crate::text::ascii::{self, Dialect};

pub(super) const OPERATORS: &[Operator] =
    &[("StringNormalizer", |node, _| normalize(node)), ("TfIdfVectorizer", |node, _| tf_idf(node))];
pub(super) const MICROSOFT: &[Operator] = &[("Tokenizer", |node, _| tokenize(node))];

fn unsupported(node: &Node<'_>, what: &str, supported: &str) -> Error {
    Error::unsupported(node.place.clone(), format!("{} with {what}", node.op), supported)
}

fn texts(x: &Tensor) -> Result<&[Arc<str>], Fault> {
    match &x.data {
        Data::Text(all) => Ok(all),
        _ => Err(Fault::Type),
    }
}

/// Letter by letter, as the C library has it.
fn lower(text: &str) -> Arc<str> {
    text.chars().filter_map(|letter| letter.to_lowercase().next()).collect::<String>().into()
}

fn upper(text: &str) -> Arc<str> {
    let of_one = |letter: char| {
        let mut all = letter.to_uppercase();
        if all.len() == 1 { all.next().unwrap_or(letter) } else { letter }
    };
    text.chars().map(of_one).collect::<String>().into()
}

fn normalize(node: &Node<'_>) -> Result<Compiled, Error> {
    if !node.texts("stopwords")?.is_empty() {
        return Err(unsupported(node, "stop words", "a change of case alone"));
    }
    let change = match node.text("case_change_action")?.unwrap_or("NONE") {
        "LOWER" => Some(lower as fn(&str) -> Arc<str>),
        "UPPER" => Some(upper as fn(&str) -> Arc<str>),
        "NONE" => None,
        other => return Err(unsupported(node, other, "LOWER, UPPER and NONE")),
    };
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let of_one = |text: &Arc<str>| change.map_or_else(|| text.clone(), |change| change(text));
        one(x.shape.clone(), Data::Text(texts(x)?.iter().map(of_one).collect()))
    })
}

/// What cuts a text into tokens.
enum Cut {
    /// Each match is a token.
    Matches(Regex),
    /// What stands between matches of each in turn is.
    Between(Vec<Regex>),
    /// Each character is.
    Characters,
}

impl Cut {
    fn of<'t>(&self, text: &'t str) -> Vec<&'t str> {
        match self {
            Cut::Matches(pattern) => {
                pattern.find_iter(text).map(|found| found.as_str()).filter(|token| !token.is_empty()).collect()
            }
            Cut::Between(all) => all.iter().fold(vec![text], |parts, pattern| {
                parts.into_iter().flat_map(|part| pattern.split(part)).filter(|part| !part.is_empty()).collect()
            }),
            Cut::Characters => text.char_indices().map(|(at, letter)| &text[at..at + letter.len_utf8()]).collect(),
        }
    }
}

fn pattern(node: &Node<'_>, text: &str) -> Result<Regex, Error> {
    ascii::pattern(text, Dialect::Re2)
        .ok_or_else(|| unsupported(node, "this pattern", "patterns that match the same in RE2 and here"))
}

fn tokenize(node: &Node<'_>) -> Result<Compiled, Error> {
    if node.int("mark", 0) != 0 || !node.texts("stopwords")?.is_empty() {
        return Err(unsupported(node, "marks or stop words", "tokens alone"));
    }
    let separators = node.texts("separators")?;
    let cut = match (node.text("tokenexp")?, separators.as_slice()) {
        (Some(tokens), []) => Cut::Matches(pattern(node, tokens)?),
        (None, [""]) => Cut::Characters,
        (None, [_, ..]) => Cut::Between(separators.iter().map(|one| pattern(node, one)).collect::<Result<_, _>>()?),
        _ => return Err(node.error("it has not one of `tokenexp` and `separators`")),
    };
    let least = usize::try_from(node.int("mincharnum", 1)).map_err(|_| node.error("`mincharnum` is below 0"))?;
    let padding: Arc<str> = node.text("pad_value")?.unwrap_or("#").into();
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        let mut rows: Vec<Vec<Arc<str>>> = Vec::new();
        for text in texts(x)? {
            context.charge(text.len())?;
            let long = cut.of(text).into_iter().filter(|token| least < 2 || token.chars().count() >= least);
            rows.push(long.map(Arc::from).collect());
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let shape = [x.shape.as_slice(), &[width]].concat();
        let mut all = Vec::with_capacity(context.room(&shape)?);
        for mut row in rows {
            row.resize(width, padding.clone());
            all.append(&mut row);
        }
        one(shape, Data::Text(all))
    })
}

/// What a term's count becomes.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Count,
    /// Its weight, where there is any.
    Weight,
    Product,
}

fn tf_idf(node: &Node<'_>) -> Result<Compiled, Error> {
    let pool = match node.has("pool_strings") {
        true => Data::Text(node.texts("pool_strings")?.into_iter().map(Into::into).collect()),
        false => Data::I64(node.ints("pool_int64s").to_vec()),
    };
    let kind = pool.kind();
    let size = |name: &str| usize::try_from(node.int(name, 0)).map_err(|_| node.error(format!("`{name}` is below 0")));
    let (shortest, longest, skips) = (size("min_gram_length")?, size("max_gram_length")?, size("max_skip_count")?);
    let places: Option<Vec<usize>> = node.ints("ngram_indexes").iter().map(|at| usize::try_from(*at).ok()).collect();
    let places = places.ok_or_else(|| node.error("a term's column is below 0"))?;
    let mode = match node.text("mode")?.unwrap_or_default() {
        "TF" => Mode::Count,
        "IDF" => Mode::Weight,
        "TFIDF" => Mode::Product,
        other => return Err(unsupported(node, other, "TF, IDF and TFIDF")),
    };
    let weights = node.floats("weights").to_vec();
    if !matches!(mode, Mode::Count) && !places.iter().copied().eq(0..places.len()) {
        return Err(unsupported(node, "weights in another order than its terms", "TF, or weights in order"));
    }
    if !weights.is_empty() && weights.len() != places.len() {
        return Err(node.error(format!("{} weights for {} terms", weights.len(), places.len())));
    }
    // Words get numbers, and terms are rows of those.
    let mut words: HashMap<Key, u32> = HashMap::new();
    let numbered: Vec<u32> =
        keys(&pool).into_iter().zip(0..).map(|(key, next)| *words.entry(key).or_insert(next)).collect();
    let mut terms: HashMap<Vec<u32>, usize> = HashMap::new();
    let starts: Option<Vec<usize>> = node.ints("ngram_counts").iter().map(|at| usize::try_from(*at).ok()).collect();
    let starts = starts.filter(|starts| starts.is_sorted() && starts.first() == Some(&0));
    let starts = starts.ok_or_else(|| node.error("`ngram_counts` are not counts"))?;
    if shortest == 0 || shortest > longest || longest > starts.len() || longest > LONGEST || skips > LONGEST {
        return Err(node.error(format!("terms of {shortest} to {longest} words among those of {}", starts.len())));
    }
    let mut known = 0usize;
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(numbered.len());
        let of_length = numbered.get(*start..end).ok_or_else(|| node.error("`ngram_counts` are beyond its terms"))?;
        if of_length.len() % (at + 1) != 0 {
            return Err(node.error(format!("{} words are no terms of {}", of_length.len(), at + 1)));
        }
        for term in of_length.chunks_exact(at + 1) {
            terms.entry(term.to_vec()).or_insert(known);
            known += 1;
        }
    }
    if known != places.len() {
        return Err(node.error(format!("{} columns for {known} terms", places.len())));
    }
    let width = places.iter().max().map_or(0, |last| last.saturating_add(1));
    let bytes = pool.len().saturating_mul(64);
    let kernel = move |inputs: &[Option<&Tensor>], context: &super::super::tensor::Context| {
        let x = input(inputs, 0)?;
        if x.data.kind() != kind {
            return Err(Fault::Type);
        }
        let (rows, columns) = x.rows_and_columns()?;
        let shape = if x.shape.len() == 1 { vec![width] } else { vec![rows, width] };
        let mut out = vec![0.0f32; context.room(&shape)?];
        context.charge(x.data.len().saturating_mul(longest - shortest + 1).saturating_mul(skips + 1))?;
        let of_words: Vec<Option<u32>> = keys(&x.data).iter().map(|key| words.get(key).copied()).collect();
        let mut term = Vec::with_capacity(longest);
        for row in 0..rows {
            let given = &of_words[row * columns..(row + 1) * columns];
            let counts = &mut out[row * width..(row + 1) * width];
            for length in shortest..=longest {
                // A single word skips nothing.
                for step in 1..=(if length == 1 { 1 } else { skips + 1 }) {
                    for from in 0..columns.saturating_sub((length - 1) * step) {
                        term.clear();
                        term.extend((0..length).map_while(|at| given[from + at * step]));
                        if term.len() == length
                            && let Some(found) = terms.get(&term)
                        {
                            counts[places[*found]] += 1.0;
                        }
                    }
                }
            }
            for (at, count) in counts.iter_mut().enumerate() {
                let weight = weights.get(at).copied().unwrap_or(1.0);
                *count = match mode {
                    Mode::Count => *count,
                    Mode::Weight if *count > 0.0 => weight,
                    Mode::Weight => 0.0,
                    Mode::Product => *count * weight,
                };
            }
        }
        one(shape, Data::F32(out))
    };
    Ok(Compiled { bytes, ..Compiled::plain(kernel)? })
}

/// Words of a term, and words between them: more are an attack.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_change_letter_by_letter() {
        assert_eq!((&*lower("ÄİΣ"), &*upper("straße é")), ("äiσ", "STRAßE É"));
    }

    #[test]
    fn texts_are_cut_by_what_is_in_them_or_between() {
        let of = |text: &str| Regex::new(text).unwrap();
        assert_eq!(Cut::Matches(of("[a-z]+")).of("ab, cd3é"), ["ab", "cd"]);
        assert_eq!(Cut::Between(vec![of(","), of(" ")]).of("a b,,c"), ["a", "b", "c"]);
        assert_eq!(Cut::Characters.of("aé"), ["a", "é"]);
    }
}
