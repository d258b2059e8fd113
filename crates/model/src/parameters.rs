//! The parameters of an estimator, as Python writes them.

use foretell_pickle::{Value, View};

use crate::text::written::float;

/// The parameters of an estimator: what its constructor took, as Python writes it.
pub(crate) fn parameters(view: &View<'_>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in view.attrs().unwrap_or_default() {
        if !name.starts_with('_')
            && !name.ends_with('_')
            && let Some(text) = literal(&value)
        {
            all.push((name.to_string(), text));
        }
    }
    all
}

/// Longer texts are not parameters that a person wants to read.
const LITERAL: usize = 80;

/// A simple value, or a few of them, as Python writes them; `None` for all else.
fn literal(view: &View<'_>) -> Option<String> {
    let (open, close) = match view.value() {
        Value::Tuple(items) if items.len() == 1 => ("(", ",)"),
        Value::Tuple(items) if items.len() <= LITERAL => ("(", ")"),
        Value::List(items) if items.len() <= LITERAL => ("[", "]"),
        _ => return scalar(view),
    };
    let items: Option<Vec<String>> = view.items().ok()?.iter().map(scalar).collect();
    let text = format!("{open}{}{close}", items?.join(", "));
    (text.len() <= LITERAL).then_some(text)
}

fn scalar(view: &View<'_>) -> Option<String> {
    match view.value() {
        Value::None => Some("None".to_string()),
        Value::Bool(true) => Some("True".to_string()),
        Value::Bool(false) => Some("False".to_string()),
        Value::Int(int) => Some(int.to_string()),
        Value::Float(number) => Some(float(*number)),
        Value::Str(_) | Value::OldStr(_) => {
            let text = view.as_str().ok()?;
            (text.len() <= LITERAL).then(|| format!("'{}'", text.escape_debug()))
        }
        Value::Global(_) => view.class().map(|class| class.to_string()),
        Value::Array(array) if array.shape.is_empty() => view.as_f64().ok().map(float),
        _ => None,
    }
}
