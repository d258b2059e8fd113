//! What is compared: numbers with numbers, or classes with classes.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::answers::floats;
use crate::error::Error;

/// A regression or a classification.
#[derive(Debug, Clone)]
pub enum Task {
    /// Numbers are predicted.
    Regression,
    /// Classes are predicted.
    Classification(Classes),
}

/// The classes of a model.
#[derive(Debug, Clone)]
pub struct Classes {
    pub(crate) names: Vec<String>,
    index: HashMap<String, u32>,
    label_type: DataType,
    pub(crate) scores: Option<Scores>,
    pub(crate) clip: f64,
}

/// What ranks rows beside the predicted class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// A probability for each class, in their order.
    Probabilities,
    /// A number that grows with how likely the second of two classes is.
    Decision,
}

/// With more classes no confusion matrix fits.
const CLASSES: usize = 2048;

impl Task {
    /// A classification. `names` are the classes as Python's `str` writes them, in the order of their probabilities,
    /// `label_type` is the type of the labels, and probabilities are clipped `clip` away from 0 and 1: the precision
    /// of their type, as scikit-learn's log loss has it.
    ///
    /// # Errors
    /// When there are too many classes.
    pub fn classification(
        names: Vec<String>,
        label_type: DataType,
        scores: Option<Scores>,
        clip: f64,
    ) -> Result<Task, Error> {
        if names.len() > CLASSES {
            return Err(Error::TooManyClasses { classes: names.len(), most: CLASSES });
        }
        let index = names.iter().cloned().zip(0..).collect();
        Ok(Task::Classification(Classes { names, index, label_type, scores, clip }))
    }
}

impl Classes {
    /// Their names, in the order of their probabilities.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What ranks rows; `None` where only classes are predicted.
    pub fn scores(&self) -> Option<Scores> {
        self.scores
    }

    /// The scores as numbers, a column each.
    pub(crate) fn score_columns(&self, scores: &[ArrayRef]) -> Result<Vec<Vec<f64>>, Error> {
        let expected = match self.scores {
            None => 0,
            Some(Scores::Probabilities) => self.names.len(),
            Some(Scores::Decision) => 1,
        };
        if scores.len() != expected {
            return Err(Error::ScoreColumns { columns: scores.len(), expected });
        }
        scores.iter().map(floats).collect()
    }

    /// The index of each label; `None` where it is missing, the number of classes where the model does not know it.
    pub(crate) fn indices(&self, labels: &ArrayRef) -> Result<Vec<Option<u32>>, Error> {
        let labels = cast(labels, &DataType::Utf8)?;
        let labels: &StringArray = labels.as_string();
        // Labels come again and again: each is understood once.
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut of = |text| *known.entry(text).or_insert_with(|| self.index_of(text));
        Ok(labels.iter().map(|text| text.map(&mut of)).collect())
    }

    fn index_of(&self, text: &str) -> u32 {
        let written = self.index.get(text);
        let found = written.or_else(|| self.index.get(&as_python(text, &self.label_type)?));
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
