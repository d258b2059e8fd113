//! Paths in a file that holds several things: `models[1].best`, `stores["St. Gallen"]`, `[3]`.
//!
//! A text key or an attribute is written after a dot, and where it is not a plain word in brackets and quotes; in brackets
//! too stand places in a list and keys that are not text, as Python shows them. Every path that an error lists can be
//! given back as it is.

use foretell_pickle::{Value, View};

use crate::{Error, families};

/// How deep and how wide a root of plain containers is searched for models.
const DEPTH: usize = 16;
const COUNT: usize = 100_000;

/// The objects of known families in dicts, lists, tuples and arrays of objects.
#[derive(Default)]
pub(crate) struct Candidates {
    /// Paths and classes.
    pub(crate) paths: Vec<(String, String)>,
    /// Whether the search ended before all was seen.
    more: bool,
}

/// More are not looked into: each is loaded.
const FEW: usize = 8;

impl Candidates {
    /// Adds those of another part of the file.
    pub(crate) fn add(&mut self, more: Candidates) {
        self.paths.extend(more.paths);
        self.more |= more.more;
    }

    /// All of them, or none where there are too many to be looked into.
    pub(crate) fn few(&self) -> impl Iterator<Item = &(String, String)> {
        self.paths.iter().filter(|_| self.paths.len() <= FEW)
    }

    pub(crate) fn listed(&self) -> String {
        let path = |(path, class): &(String, String)| format!("`{path}` ({class})");
        let listed = self.paths.iter().map(path).collect::<Vec<_>>().join(", ");
        if self.more { format!("{listed}, and what is deeper in the file") } else { listed }
    }
}

/// The estimators below a value, whose own path is `start`.
pub(crate) fn candidates(root: &View<'_>, start: String) -> Result<Candidates, Error> {
    search(root, start, false)
}

/// The estimators below a value, in the attributes of objects of classes that are not known, too.
pub(crate) fn inside(root: &View<'_>, start: String) -> Result<Candidates, Error> {
    search(root, start, true)
}

fn search(root: &View<'_>, start: String, into_objects: bool) -> Result<Candidates, Error> {
    let mut found = Candidates::default();
    let mut open = vec![(root.clone(), start, 0usize)];
    let mut seen = 0usize;
    while let Some((view, path, depth)) = open.pop() {
        seen = seen.saturating_add(1);
        if seen > COUNT || depth > DEPTH {
            found.more = true;
            continue;
        }
        if let Some(class) = view.class() {
            if families::find(&class.module, &class.name).is_some() {
                found.paths.push((path, class.to_string()));
            } else if into_objects {
                for (name, value) in view.attrs().unwrap_or_default().into_iter().rev() {
                    let dot = if path.is_empty() { "" } else { "." };
                    open.push((value, format!("{path}{dot}{name}"), depth.saturating_add(1)));
                }
            }
            continue;
        }
        let next = depth.saturating_add(1);
        if let Ok(pairs) = view.pairs() {
            for (key, value) in pairs.into_iter().rev() {
                if let Some(step) = key.as_step() {
                    let dot = if path.is_empty() || step.starts_with('[') { "" } else { "." };
                    open.push((value, format!("{path}{dot}{step}"), next));
                }
            }
        } else if let Ok(items) = view.items() {
            open.extend(items.into_iter().enumerate().rev().map(|(n, item)| (item, format!("{path}[{n}]"), next)));
        }
    }
    Ok(found)
}

/// The paths of a chain, which are written with a plus between them: `scaler+model`. A plus in brackets is one of a key.
pub fn paths(text: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    let (mut quote, mut depth, mut escaped) = (None, 0usize, false);
    for char in text.chars() {
        let in_quotes = quote.is_some();
        match char {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            _ if quote == Some(char) => quote = None,
            '"' | '\'' if !in_quotes && depth > 0 => quote = Some(char),
            '[' if !in_quotes => depth = depth.saturating_add(1),
            ']' if !in_quotes => depth = depth.saturating_sub(1),
            '+' if !in_quotes && depth == 0 => {
                paths.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(path) = paths.last_mut() {
            path.push(char);
        }
    }
    paths
}

/// Follows a path.
pub(crate) fn walk<'a>(root: View<'a>, path: &str) -> Result<View<'a>, Error> {
    let nowhere = |rest: &str| {
        let found = candidates(&root, String::new())?;
        let there = path.strip_suffix(rest).unwrap_or(path);
        let holds = match found.paths.as_slice() {
            [] => "the file holds no model".to_string(),
            [whole] if whole.0.is_empty() => "the whole file is the model: leave `at` out".to_string(),
            _ => format!("the file holds {}", found.listed()),
        };
        let message = format!("`{path}`: there is no `{there}`; {holds}");
        Err(Error::At { message })
    };
    let mut view = root.clone();
    let mut rest = path;
    loop {
        let (next, after) = match rest.starts_with('[') {
            true => {
                let Some((inner, after)) = bracket(rest) else { return nowhere("") };
                (in_brackets(&view, inner), after)
            }
            false => {
                let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                (named(&view, name), after)
            }
        };
        view = match next {
            Some(next) => next,
            None => return nowhere(after),
        };
        rest = match after.strip_prefix('.') {
            None if after.is_empty() => return Ok(view),
            None => after,
            Some(name) => name,
        };
    }
}

/// What stands in the brackets at the start, and what follows them; a bracket in quotes is one of the text.
fn bracket(rest: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, char) in rest.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if char == open => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, ']') => return Some((rest.get(1..at)?, rest.get(at..)?.strip_prefix(']')?)),
            _ => {}
        }
    }
    None
}

/// A text in quotes of either kind, without them.
fn unquoted(inner: &str) -> Option<String> {
    let quote = inner.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let text = inner.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut escaped = false;
    let keep = |char: &char| {
        escaped = *char == '\\' && !escaped;
        !escaped
    };
    Some(text.chars().filter(keep).collect())
}

/// The attribute of an object, or the value of a text key.
fn named<'a>(view: &View<'a>, name: &str) -> Option<View<'a>> {
    if view.class().is_some() {
        return view.get_attr(name).ok()?;
    }
    // Of keys that numpy wrapped, `get` knows nothing.
    view.get(name).ok()?.or_else(|| keyed(view, |key| key.as_text().is_ok_and(|text| text == name)))
}

/// The item of a list, or the value of a key.
fn in_brackets<'a>(view: &View<'a>, inner: &str) -> Option<View<'a>> {
    if let Some(text) = unquoted(inner) {
        return named(view, &text);
    }
    if let Value::Dict(_) = view.value() {
        return keyed(view, |key| key.as_key().is_some_and(|shown| shown == inner));
    }
    view.items().ok()?.into_iter().nth(inner.parse().ok()?)
}

/// The value of the first key that is the one.
fn keyed<'a>(view: &View<'a>, is: impl Fn(&View<'a>) -> bool) -> Option<View<'a>> {
    view.pairs().ok()?.into_iter().find(|(key, _)| is(key)).map(|(_, value)| value)
}
