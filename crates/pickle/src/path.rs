//! How the way to a value is written: `models[2].best`, `stores["St. Gallen"]`, `[3]`. What is written so can be read
//! back as it is.

use std::fmt::Write;

use crate::view::Steps;
use crate::{Id, Value, View};

/// A key that is longer is cut: a message holds it.
const KEY_SHOWN: usize = 200;
/// Tuples of more are not keys that a person gives.
const KEY_PARTS: usize = 16;

impl View<'_> {
    /// The way from the root: `steps[1].encoder.categories_`; empty at the root.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for (steps, step) in self.steps() {
            let id = Id(step);
            let written = match steps {
                Steps::Attr => named(&mut path, self.name(id).unwrap_or("?")),
                Steps::Item => write!(path, "[{step}]"),
                Steps::Key => match self.beside(id).as_step() {
                    Some(key) if key.starts_with('[') => write!(path, "{key}"),
                    Some(key) => named(&mut path, &key),
                    None => write!(path, "[?]"),
                },
                Steps::Arg => write!(path, "({step})"),
                Steps::State => named(&mut path, "state"),
            };
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
        path
    }

    /// This value as a key in a path: `best`, and in brackets where it is not a plain word: `["St. Gallen"]`, `[3]`;
    /// `None` for keys that no path can name.
    #[must_use]
    pub fn as_step(&self) -> Option<String> {
        match self.as_text() {
            Ok(text) if is_plain(&text) => Some(cut(&text)),
            _ => self.as_key().map(|key| format!("[{key}]")),
        }
    }

    /// This value as a key in brackets, as Python shows it: a text in quotes, a number, or a tuple of these.
    #[must_use]
    pub fn as_key(&self) -> Option<String> {
        if let Value::Tuple(parts) = self.value() {
            if parts.len() > KEY_PARTS {
                return None;
            }
            let parts: Option<Vec<String>> = self.items().ok()?.iter().map(scalar).collect();
            return parts.map(|parts| format!("({})", parts.join(", ")));
        }
        scalar(self)
    }
}

fn named(path: &mut String, name: &str) -> std::fmt::Result {
    let dot = if path.is_empty() { "" } else { "." };
    write!(path, "{dot}{}", cut(name))
}

/// Whether a text key needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_alphanumeric() || "_-".contains(char))
}

fn scalar(key: &View<'_>) -> Option<String> {
    if let Ok(text) = key.as_text() {
        return Some(format!("\"{}\"", cut(&text).replace('\\', "\\\\").replace('"', "\\\"")));
    }
    match key.value() {
        Value::None => Some("None".to_owned()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        _ => match key.as_i64() {
            Ok(number) => Some(number.to_string()),
            Err(_) => key.as_f64().ok().map(|number| format!("{number:?}")),
        },
    }
}

fn cut(key: &str) -> String {
    key.chars().take(KEY_SHOWN).collect()
}
