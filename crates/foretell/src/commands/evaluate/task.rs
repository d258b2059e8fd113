//! What is compared: numbers with numbers, or classes with classes.

use std::collections::HashMap;

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use foretell_model::{Method, Model};

/// A regression or a classification.
#[derive(Debug)]
pub(super) enum Task {
    Numbers,
    Classes(Classes),
}

/// The classes of a model.
#[derive(Debug)]
pub(super) struct Classes {
    /// In the order of their probabilities.
    pub(super) names: Vec<String>,
    index: HashMap<String, u32>,
    data_type: DataType,
    /// What ranks rows beside the prediction.
    pub(super) scores: Option<Method>,
    /// The precision of the probabilities' type.
    pub(super) clip: f64,
}

/// With more classes no confusion matrix fits.
const CLASSES: usize = 2048;

impl Task {
    /// What the model does.
    pub(super) fn of(model: &Model) -> Result<Task> {
        let signature = model.signature();
        let [output] = &signature.predict[..] else {
            if signature.predict.is_empty() {
                let class = &model.describe().root.class;
                bail!("a `{class}` transforms and does not predict; name the model with `--at`");
            }
            bail!("the model predicts {} targets; only models of one can be evaluated", signature.predict.len());
        };
        let names = model.classes(0);
        if names.is_empty() {
            return Ok(Task::Numbers);
        }
        if names.len() > CLASSES {
            bail!("the model knows {} classes; at most {CLASSES} can be evaluated", names.len());
        }
        let scores = match (&signature.proba[..], &signature.decision[..]) {
            ([_, ..], _) => Some(Method::Proba),
            (_, [_]) if names.len() == 2 => Some(Method::Decision),
            _ => None,
        };
        let narrow = signature.proba.first().is_some_and(|output| output.data_type == DataType::Float32);
        let clip = if narrow { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let index = names.iter().cloned().zip(0..).collect();
        Ok(Task::Classes(Classes { names, index, data_type: output.data_type.clone(), scores, clip }))
    }
}

impl Classes {
    /// The index of each label; `None` where it is missing, the number of classes where the model does not know it.
    pub(super) fn indices(&self, labels: &ArrayRef) -> Result<Vec<Option<u32>>> {
        let labels = cast(labels, &DataType::Utf8)?;
        let labels: &StringArray = labels.as_string();
        // Labels come again and again: each is understood once.
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut of = |text| *known.entry(text).or_insert_with(|| self.index_of(text));
        Ok(labels.iter().map(|text| text.map(&mut of)).collect())
    }

    fn index_of(&self, text: &str) -> u32 {
        let written = self.index.get(text);
        let found = written.or_else(|| self.index.get(&as_python(text, &self.data_type)?));
        found.copied().unwrap_or(self.names.len() as u32)
    }
}

/// A label as Python's `str` writes one of this type, so that `1.0`, `1` and `true` are the same class to a model whose
/// classes are numbers or booleans.
fn as_python(text: &str, data_type: &DataType) -> Option<String> {
    let text = text.trim();
    let number = match text {
        "True" | "TRUE" | "true" => 1.0,
        "False" | "FALSE" | "false" => 0.0,
        _ => text.parse::<f64>().ok()?,
    };
    match data_type {
        DataType::Boolean if number == 1.0 => Some("True".to_string()),
        DataType::Boolean if number == 0.0 => Some("False".to_string()),
        DataType::Int64 if number.fract() == 0.0 && number.abs() < 9e15 => Some((number as i64).to_string()),
        DataType::Float64 => Some(format!("{number:?}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_understood_in_the_type_of_the_classes() {
        let same = |text, data_type| as_python(text, &data_type);
        for text in ["1", "1.0", "true", "True", "1e0"] {
            assert_eq!(same(text, DataType::Boolean).as_deref(), Some("True"), "{text}");
            assert_eq!(same(text, DataType::Int64).as_deref(), Some("1"), "{text}");
            assert_eq!(same(text, DataType::Float64).as_deref(), Some("1.0"), "{text}");
            assert_eq!(same(text, DataType::Utf8), None, "text is what it is");
        }
        assert_eq!(same("2", DataType::Boolean), None);
        assert_eq!(same("1.5", DataType::Int64), None);
        assert_eq!(same("-3.0", DataType::Int64).as_deref(), Some("-3"));
        assert_eq!(same("ill", DataType::Int64), None);
    }
}
