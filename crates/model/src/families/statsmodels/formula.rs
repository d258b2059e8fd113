//! What a formula makes of columns, read from the names of the columns that it made: `C(ward)[T.north]:np.log(age)`.
//! Nothing of it is run as Python: an expression is one of numbers, columns, arithmetic and a list of functions.

use std::collections::BTreeMap;

use foretell_pickle::{Kind, View};

use crate::categories::Categories;
use crate::loaded::Source;
use crate::loader::Loader;
use crate::pandas::{self, Values};
use crate::{Error, InputKind};

use super::typed::Function;

pub(super) use run::Term;

/// What an expression's parts are.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// And whether it is written with a point.
    Number(f64, bool),
    /// A column, or before `(` a function.
    Name(String),
    Mark(char),
    Power,
}

/// The columns that a formula needs and what it makes of them, a term for each name.
pub(super) fn terms(
    loader: &mut Loader<'_>,
    data: &View<'_>,
    given: Option<&[Source]>,
    names: &[String],
) -> Result<(Vec<Source>, Vec<Term>), Error> {
    let frame = pandas::frame(&data.attr("frame")?)?;
    let mut inputs: Vec<String> = Vec::new();
    let mut levels: BTreeMap<usize, (Categories, Vec<String>)> = BTreeMap::new();
    let mut numbers: Vec<usize> = Vec::new();
    let mut terms = Vec::new();
    for name in names {
        let mut factors = Vec::new();
        for part in parts(name, ':') {
            let part = part.trim();
            if part == "Intercept" {
                continue;
            }
            let unknown = || {
                let supported =
                    "columns, C(column) with Treatment, I(…) of arithmetic, and numpy's functions of one number";
                Error::unsupported(data.path(), format!("{part} in a formula"), supported)
            };
            let mut place = |column: &str| -> Option<usize> {
                let values = &frame.iter().find(|(name, _)| name == column)?.1;
                let known = inputs.iter().position(|input| input == column);
                let at = known.unwrap_or(inputs.len());
                if known.is_none() {
                    inputs.push(column.to_string());
                }
                levels.entry(at).or_insert_with(|| of_values(values));
                Some(at)
            };
            if let Some((column, level)) = category(part) {
                let at = place(&column).ok_or_else(unknown)?;
                let code = levels.get(&at).and_then(|(_, texts)| texts.iter().position(|text| text == level));
                factors.push(run::Factor::Level(at, code.ok_or_else(unknown)? as u32));
                continue;
            }
            let steps = expression(part, &mut place).ok_or_else(unknown)?;
            numbers.extend(steps.iter().filter_map(|step| match step {
                run::Part::Column(at) => Some(*at),
                _ => None,
            }));
            factors.push(run::Factor::Number(steps));
        }
        terms.push(Term { factors, levels: BTreeMap::new() });
    }
    // Where no name of the formula stands for a column, as of `y ~ 1`, there is nothing to be given.
    let sources = loader.sources(data, given, inputs.len(), Some(inputs))?;
    for (at, source) in sources.iter().enumerate() {
        let kind = match levels.get(&at) {
            Some((categories, _)) if !numbers.contains(&at) => categories.kind(),
            _ => InputKind::Number,
        };
        loader.demand(source, kind);
    }
    for term in &mut terms {
        for factor in &term.factors {
            if let run::Factor::Level(at, _) = factor
                && let Some((categories, _)) = levels.get(at)
            {
                loader.hold(categories.bytes());
                term.levels.insert(*at, categories.clone());
            }
        }
    }
    Ok((sources, terms))
}

/// The levels of a column, as patsy and formulaic have them, and what they are called.
fn of_values(values: &Values) -> (Categories, Vec<String>) {
    match values {
        Values::Texts(all) => {
            let mut texts: Vec<String> = all.iter().flatten().cloned().collect();
            texts.sort_unstable();
            texts.dedup();
            (Categories::texts(texts.iter().cloned().map(Some).collect()), texts)
        }
        Values::Numbers(all, kind) => {
            let mut numbers: Vec<f64> = all.iter().copied().filter(|one| !one.is_nan()).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
            let text = |number: &f64| match kind {
                Kind::Bool => if *number == 0.0 { "False" } else { "True" }.to_string(),
                Kind::Float => format!("{number:?}"),
                _ => format!("{number}"),
            };
            let texts = numbers.iter().map(text).collect();
            (Categories::floats(&numbers), texts)
        }
    }
}

/// Parts between marks that are not inside of brackets or quotes.
fn parts(text: &str, mark: char) -> Vec<&str> {
    let (mut depth, mut quote, mut start, mut out) = (0i32, None, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => {}
            ('(' | '[', None) => depth = depth.saturating_add(1),
            (')' | ']', None) => depth = depth.saturating_sub(1),
            (letter, None) if letter == mark && depth == 0 => {
                out.push(text.get(start..at).unwrap_or_default());
                start = at.saturating_add(letter.len_utf8());
            }
            _ => {}
        }
    }
    out.push(text.get(start..).unwrap_or_default());
    out
}

/// `C(ward)[T.north]`, `ward[north]`, `C(ward, Treatment("south"))[T.north]`: the column and the level.
fn category(part: &str) -> Option<(String, &str)> {
    let (column, level) = part.strip_suffix(']')?.split_once('[')?;
    let level = level.strip_prefix("T.").unwrap_or(level);
    let column = match column.strip_prefix("C(").and_then(|inside| inside.strip_suffix(')')) {
        Some(inside) => {
            let arguments = parts(inside, ',');
            let is_treatment = |argument: &&str| {
                let argument = argument.trim().trim_start_matches("contr.").to_ascii_lowercase();
                argument.starts_with("treatment")
            };
            if !arguments.get(1..).unwrap_or_default().iter().all(is_treatment) {
                return None;
            }
            arguments.first()?.trim()
        }
        None => column,
    };
    Some((unquoted(column), level))
}

/// `Q("a name")` is a name that is none in Python.
fn unquoted(name: &str) -> String {
    let inside = name.strip_prefix("Q(").and_then(|inside| inside.strip_suffix(')'));
    inside.map_or(name, |inside| inside.trim_matches(['"', '\''])).to_string()
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let letters: Vec<char> = text.chars().collect();
    let (mut at, mut out) = (0usize, Vec::new());
    let word = |from: usize, is: fn(char) -> bool| -> String {
        letters.get(from..).unwrap_or_default().iter().copied().take_while(|letter| is(*letter)).collect()
    };
    while let Some(letter) = letters.get(at) {
        let taken = match letter {
            ' ' => 1,
            '0'..='9' | '.' => {
                let number = word(at, |letter| letter.is_ascii_digit() || letter == '.');
                out.push(Token::Number(number.parse().ok()?, number.contains('.')));
                number.chars().count()
            }
            letter if letter.is_alphabetic() || *letter == '_' => {
                let name = word(at, |letter| letter.is_alphanumeric() || letter == '_' || letter == '.');
                let count = name.chars().count();
                if name == "Q" {
                    // The name stands in quotes.
                    let rest: String = letters.get(at..)?.iter().collect();
                    let end = rest.find(')')?.saturating_add(1);
                    let quoted = rest.get(..end)?;
                    out.push(Token::Name(unquoted(quoted)));
                    quoted.chars().count()
                } else {
                    out.push(Token::Name(name));
                    count
                }
            }
            '*' if letters.get(at.saturating_add(1)) == Some(&'*') => {
                out.push(Token::Power);
                2
            }
            '+' | '-' | '*' | '/' | '(' | ')' => {
                out.push(Token::Mark(*letter));
                1
            }
            _ => return None,
        };
        at = at.saturating_add(taken);
    }
    Some(out)
}

/// How tightly an operator binds.
fn rank(token: &Token) -> u8 {
    match token {
        Token::Mark('+' | '-') => 1,
        Token::Mark('*' | '/') => 2,
        // The sign before a number.
        Token::Mark('~') => 3,
        Token::Power => 4,
        _ => 0,
    }
}

/// An expression as steps on a stack.
fn expression(text: &str, place: &mut impl FnMut(&str) -> Option<usize>) -> Option<Vec<run::Part>> {
    // A whole name that is not one in Python is a column all the same.
    if let Some(at) = place(&unquoted(text)) {
        return Some(vec![run::Part::Column(at)]);
    }
    let tokens = tokens(text)?;
    let (mut out, mut open): (Vec<run::Part>, Vec<Token>) = (Vec::new(), Vec::new());
    let mut after_value = false;
    let close = |open: &mut Vec<Token>, out: &mut Vec<run::Part>, until: u8| -> Option<()> {
        while open.last().is_some_and(|last| rank(last) > 0 && rank(last) >= until) {
            out.push(run::Part::operator(&mark(open.pop()?))?);
        }
        Some(())
    };
    for (index, token) in tokens.iter().enumerate() {
        let calls = tokens.get(index.saturating_add(1)) == Some(&Token::Mark('('));
        match token {
            Token::Number(number, has_point) => out.push(run::Part::Number(*number, *has_point)),
            Token::Name(_) if calls => open.push(token.clone()),
            Token::Name(name) => out.push(run::Part::Column(place(name)?)),
            Token::Mark('(') => open.push(Token::Mark('(')),
            Token::Mark(')') => {
                close(&mut open, &mut out, 1)?;
                if open.pop() != Some(Token::Mark('(')) {
                    return None;
                }
                if let Some(Token::Name(name)) = open.last() {
                    if name != "I" {
                        out.push(run::Part::Function(Function::named(name)?));
                    }
                    open.pop();
                }
            }
            Token::Mark('-') if !after_value => open.push(Token::Mark('~')),
            Token::Mark('+') if !after_value => {}
            Token::Power => {
                close(&mut open, &mut out, 5)?;
                open.push(Token::Power);
            }
            operator => {
                close(&mut open, &mut out, rank(operator))?;
                open.push(operator.clone());
            }
        }
        after_value =
            matches!(token, Token::Number(..) | Token::Mark(')')) || (matches!(token, Token::Name(_)) && !calls);
    }
    close(&mut open, &mut out, 1)?;
    (open.is_empty() && run::depth(&out) == Some(1)).then_some(out)
}

fn mark(token: Token) -> String {
    match token {
        Token::Mark(mark) => mark.to_string(),
        Token::Power => "**".to_string(),
        _ => String::new(),
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array};

    use super::super::typed::{Function, Operator, Typed};
    use crate::categories::{Categories, MISSING, UNSEEN, texts};
    use crate::matrix::Matrix;
    use crate::step::Run;
    use crate::types::is_text;

    /// A step of an expression: what it puts on a stack, or does with what is on top.
    #[derive(Debug, Clone, Copy)]
    pub(super) enum Part {
        Number(f64, bool),
        Column(usize),
        Function(Function),
        Negative,
        Of(Operator),
    }

    impl Part {
        pub(super) fn operator(mark: &str) -> Option<Part> {
            Some(match mark {
                "+" => Part::Of(Operator::Plus),
                "-" => Part::Of(Operator::Minus),
                "*" => Part::Of(Operator::Times),
                "/" => Part::Of(Operator::Over),
                "**" => Part::Of(Operator::Power),
                "~" => Part::Negative,
                _ => return None,
            })
        }
    }

    /// How many values are left on the stack; `None` where one was missing.
    pub(super) fn depth(parts: &[Part]) -> Option<usize> {
        parts.iter().try_fold(0usize, |depth, part| match part {
            Part::Number(..) | Part::Column(_) => Some(depth + 1),
            Part::Function(_) | Part::Negative => (depth > 0).then_some(depth),
            Part::Of(_) => (depth > 1).then(|| depth - 1),
        })
    }

    #[derive(Debug)]
    pub(super) enum Factor {
        Number(Vec<Part>),
        /// 1 where the column is this level.
        Level(usize, u32),
    }

    /// The product of its factors; 1 without any.
    #[derive(Debug)]
    pub(in super::super) struct Term {
        pub(super) factors: Vec<Factor>,
        pub(super) levels: BTreeMap<usize, Categories>,
    }

    impl Term {
        pub(in super::super) fn one() -> Self {
            Term { factors: Vec::new(), levels: BTreeMap::new() }
        }

        pub(in super::super) fn column(at: usize) -> Self {
            Term { factors: vec![Factor::Number(vec![Part::Column(at)])], levels: BTreeMap::new() }
        }

        /// A number a row.
        pub(in super::super) fn values(&self, x: &Matrix, step: &str, labels: &[String], run: &mut Run) -> Vec<f64> {
            let mut product = vec![1.0; x.rows()];
            for factor in &self.factors {
                let values = match factor {
                    Factor::Number(parts) => match number(parts, x) {
                        Ok(typed) => {
                            typed.refused().iter().for_each(|(row, reason)| run.refuse(*row, step, None, reason));
                            typed.floats()
                        }
                        Err(reason) => {
                            run.refuse_all(x.rows(), step, None, reason);
                            vec![0.0; x.rows()]
                        }
                    },
                    Factor::Level(at, level) => {
                        let column: ArrayRef = match x {
                            Matrix::Frame(frame) => frame.columns[*at].clone(),
                            other => Arc::new(Float64Array::from(other.numbers(*at).unwrap_or_default())),
                        };
                        let mut codes = self.levels[at].codes(&column);
                        if is_text(column.data_type()) {
                            // A text that Python reads as NaN is missing to patsy.
                            texts(&column, |row, text| {
                                if text.is_some_and(says_nan) && codes[row] == UNSEEN {
                                    codes[row] = MISSING;
                                }
                            });
                        }
                        for (row, _) in codes.iter().enumerate().filter(|(_, code)| **code == UNSEEN) {
                            run.refuse(row, step, labels.get(*at).map(String::as_str), "unseen category");
                        }
                        let value =
                            |code: u32| if code == MISSING { f64::NAN } else { f64::from(u8::from(code == *level)) };
                        codes.into_iter().map(value).collect()
                    }
                };
                product.iter_mut().zip(values).for_each(|(product, value)| *product *= value);
            }
            product
        }
    }

    fn says_nan(text: &str) -> bool {
        let text = text.trim();
        text.strip_prefix(['+', '-']).unwrap_or(text).eq_ignore_ascii_case("nan")
    }

    /// An expression's numbers, in the types that numpy would compute them in; or why it would compute something else.
    fn number(parts: &[Part], x: &Matrix) -> Result<Typed, &'static str> {
        let mut stack: Vec<Typed> = Vec::new();
        for part in parts {
            match part {
                Part::Number(number, has_point) => stack.push(Typed::literal(*number, *has_point, x.rows())),
                Part::Column(at) => stack.push(Typed::column(x, *at)),
                Part::Function(of) => stack.iter_mut().next_back().into_iter().for_each(|one| one.apply(*of)),
                Part::Negative => stack.last_mut().map_or(Ok(()), Typed::negate)?,
                Part::Of(operator) => {
                    let second = stack.pop().unwrap_or_default();
                    stack.last_mut().map_or(Ok(()), |first| first.join(*operator, second))?;
                }
            }
        }
        Ok(stack.pop().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_read_as_the_formula_wrote_them() {
        assert_eq!(
            parts("C(ward, Treatment('a:b'))[T.x]:np.log(b)", ':'),
            ["C(ward, Treatment('a:b'))[T.x]", "np.log(b)"]
        );
        assert_eq!(category("C(ward, Treatment('a'))[T.north]"), Some(("ward".to_string(), "north")));
        assert_eq!(category("ward[T.a b]"), Some(("ward".to_string(), "a b")));
        assert_eq!(category("C(ward, Sum)[S.north]"), None);
        let mut place = |name: &str| ["a", "b", "my name"].iter().position(|known| *known == name);
        for text in
            ["I(a ** 2)", "np.log(a + 1)", "-a * b", "I((a - b) / 2)", "Q('my name')", "np.sqrt(Q('my name') + 1)"]
        {
            assert!(expression(text, &mut place).is_some(), "{text}");
        }
        for text in ["bs(a, 3)", "center(a)", "a b", "I(a", "c", "a +", "np.power(a, 2)", "__import__('os')"] {
            assert!(expression(text, &mut place).is_none(), "{text}");
        }
    }
}
