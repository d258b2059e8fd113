//! What a model's own levels say of a file: words that look like a missing value and are a level, such as the country `NA`,
//! and values that are not levels at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, NullArray, StringArray};
use foretell_decode::MISSING;
use foretell_model::{Columns, InputKind, Method, Model};

/// A text that is not a level of anything.
const NOBODYS: &str = "\u{1}";

/// More columns of text are not asked about: each costs the model a call.
const MOST: usize = 512;

/// By feature, the words of [`MISSING`] that are levels of the model: it can only have met them as values, so they are
/// values. The empty text never is.
pub(crate) fn words(model: &Model) -> BTreeMap<usize, Vec<&'static str>> {
    let features = model.signature().inputs.iter().enumerate();
    let asked = features.filter(|(_, input)| takes_text(&input.kind)).take(MOST);
    let known = asked.map(|(feature, input)| {
        let known: Vec<&str> = match &input.kind {
            InputKind::Category(levels) => words_but_empty().filter(|word| levels.iter().any(|l| l == word)).collect(),
            _ => known(model, feature),
        };
        (feature, known)
    });
    known.filter(|(_, known)| !known.is_empty()).collect()
}

fn words_but_empty() -> impl Iterator<Item = &'static str> {
    MISSING.into_iter().filter(|word| !word.is_empty())
}

fn takes_text(kind: &InputKind) -> bool {
    matches!(kind, InputKind::Text | InputKind::Category(_) | InputKind::Any)
}

/// The words that the model tells from a text that is not a level. Mostly one call says that there is none.
fn known(model: &Model, feature: usize) -> Vec<&'static str> {
    let texts: Vec<&str> = std::iter::once(NOBODYS).chain(words_but_empty()).collect();
    let all = ask(model, feature, &texts);
    match (all.refused.first(), all.unseen) {
        // An encoder that raises on what it does not know.
        (Some(true), _) => {
            let rows = texts.iter().zip(&all.refused).skip(1);
            words_but_empty().filter(|word| rows.clone().any(|(text, refused)| text == word && !refused)).collect()
        }
        // One that lets it pass; which rows it knew is asked one by one.
        (Some(false), unseen) if unseen > 0 && unseen < texts.len() && ask(model, feature, &[NOBODYS]).unseen > 0 => {
            let takes = |word: &&str| {
                let one = ask(model, feature, &[*word]);
                one.unseen == 0 && one.refused == [false]
            };
            words_but_empty().filter(takes).collect()
        }
        // It knows none of them; or has no levels at all, as one that counts words.
        _ => Vec::new(),
    }
}

/// What the model says of some texts in a column, zeros and missing values in the others.
struct Answers {
    /// By row, whether it was refused.
    refused: Vec<bool>,
    /// How many rows held no level.
    unseen: usize,
}

fn ask(model: &Model, feature: usize, texts: &[&str]) -> Answers {
    let signature = model.signature();
    let column = |(at, input): (usize, &foretell_model::Input)| -> ArrayRef {
        if at == feature {
            Arc::new(StringArray::from(texts.to_vec()))
        } else if takes_text(&input.kind) {
            Arc::new(StringArray::new_null(texts.len()))
        } else if input.kind == InputKind::List {
            Arc::new(NullArray::new(texts.len()))
        } else {
            Arc::new(Float64Array::from(vec![0.0; texts.len()]))
        }
    };
    let columns: Vec<ArrayRef> = signature.inputs.iter().enumerate().map(column).collect();
    let want = if signature.predict.is_empty() { Method::Transform } else { Method::Predict };
    let scored = model.score(&Columns::new(&columns, texts.len()), want);
    let name = signature.inputs.get(feature).and_then(|input| input.name.clone());
    let name = name.unwrap_or_else(|| format!("feature {feature}"));
    let mut refused = vec![false; texts.len()];
    for refusal in &scored.refusals {
        // A row that is refused for another column says nothing of this one: as if it were not a level.
        if let Some(row) = refused.get_mut(refusal.row as usize) {
            *row = true;
        }
    }
    let unseen = scored.unseen.iter().find(|(column, _)| *column == name).map_or(0, |(_, rows)| *rows);
    Answers { refused, unseen }
}

// ---------------------------------------------------------------- values that are not levels

/// Values that no encoder knew and that were let pass, by column.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    rows: u64,
    columns: BTreeMap<String, u64>,
}

impl Unseen {
    /// Adds what a call of the model told of this many rows.
    pub(crate) fn add(&mut self, rows: usize, unseen: &[(String, usize)]) {
        self.rows += rows as u64;
        for (column, count) in unseen {
            *self.columns.entry(column.clone()).or_default() += *count as u64;
        }
    }

    /// One sentence a column. `names`: those of the features, for a model that knows none.
    pub(crate) fn told(&self, names: &[String]) -> Vec<String> {
        let name = |column: &String| {
            let feature = column.strip_prefix("feature ").and_then(|number| number.parse::<usize>().ok());
            feature.and_then(|feature| names.get(feature)).unwrap_or(column).clone()
        };
        let sentence = |(column, count): (&String, &u64)| {
            let (rows, are) = (self.rows, if *count == 1 { "is" } else { "are" });
            format!("column {}: {count} of {rows} values {are} not among the levels of training", name(column))
        };
        self.columns.iter().map(sentence).collect()
    }
}

/// The same of a stream: told when it first happens, then once in a while.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    state: Mutex<(Unseen, Option<Instant>)>,
}

/// A stream that meets unknown levels meets them in every batch.
const EVERY: Duration = Duration::from_secs(30);

impl Watch {
    /// Adds what a call told; sentences where it is time to say something.
    pub(crate) fn add(&self, rows: usize, unseen: &[(String, usize)]) -> Vec<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.add(rows, unseen);
        let due = state.1.is_none_or(|told| told.elapsed() >= EVERY);
        if unseen.is_empty() || !due {
            return Vec::new();
        }
        state.1 = Some(Instant::now());
        std::mem::take(&mut state.0).told(&[])
    }

    /// What was not told yet.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.0).told(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_tells_at_once_and_then_adds_up() {
        let watch = Watch::default();
        let cc = |count| vec![("cc".to_string(), count)];
        assert!(watch.add(10, &[]).is_empty());
        assert_eq!(watch.add(10, &cc(1)), ["column cc: 1 of 20 values is not among the levels of training"]);
        assert!(watch.add(10, &cc(2)).is_empty() && watch.add(10, &cc(3)).is_empty());
        assert_eq!(watch.rest(), ["column cc: 5 of 20 values are not among the levels of training"]);
        assert!(watch.rest().is_empty());
    }

    #[test]
    fn a_column_without_a_name_is_called_as_the_file_calls_it() {
        let mut unseen = Unseen::default();
        unseen.add(3, &[("feature 1".to_string(), 2)]);
        let names = ["a".to_string(), "b".to_string()];
        assert_eq!(unseen.told(&names), ["column b: 2 of 3 values are not among the levels of training"]);
    }
}
