//! A chunk of rows as predictions beside outcomes, and what is left out of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, ArrayRef};

use crate::answers::{Answers, floats};
use crate::error::Error;
use crate::left_out::LeftOut;
use crate::metrics::classification::ClassAnswers;
use crate::metrics::regression::Pairs;
use crate::sample::{self, SampleRows};
use crate::task::{Classes, Scores, Task};

/// What a model answers to some rows.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// The predicted number or class of each row.
    pub predicted: ArrayRef,
    /// The scores that the task names: the probability of each class, in their order, or one decision. Else empty.
    pub scores: Vec<ArrayRef>,
}

/// A row that the model gave no answer to.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The row within its chunk, from 0 on.
    pub row: usize,
    /// Why, in words that are the same for rows refused for the same reason.
    pub why: String,
}

/// A chunk of rows to be compared.
pub struct Rows<'a> {
    /// The chunk's place in the data, from 0 on: with it the sample of rows is the same at every run.
    pub chunk: u64,
    /// The features, a column each.
    pub features: &'a [ArrayRef],
    /// What happened.
    pub actual: &'a ArrayRef,
    /// How much each row counts; `None` where all count alike.
    pub weight: Option<&'a ArrayRef>,
    /// What the model answered.
    pub predictions: &'a Predictions,
    /// The rows that it refused.
    pub refused: &'a [Refused],
    /// What a row is called where one is named as an example: `orders.csv:17`.
    pub place: &'a dyn Fn(usize) -> String,
}

impl<'a> Rows<'a> {
    /// Rows of equal weight of which none was refused.
    pub fn new(chunk: u64, features: &'a [ArrayRef], actual: &'a ArrayRef, predictions: &'a Predictions) -> Self {
        let place = &|row: usize| format!("row {row}");
        Rows { chunk, features, actual, weight: None, predictions, refused: &[], place }
    }

    fn check(&self) -> Result<(), Error> {
        let expected = self.actual.len();
        let features = self.features.iter().map(|column| ("a feature", column));
        let scores = self.predictions.scores.iter().map(|column| ("a column of scores", column));
        let others = [("the predictions", &self.predictions.predicted)].into_iter();
        let weight = self.weight.into_iter().map(|column| ("the weight", column));
        for (what, column) in others.chain(weight).chain(features).chain(scores) {
            if column.len() != expected {
                return Err(Error::Length { what, rows: column.len(), expected });
            }
        }
        if let Some(refused) = self.refused.iter().find(|refused| refused.row >= expected) {
            return Err(Error::Length { what: "a refused row", rows: refused.row + 1, expected });
        }
        Ok(())
    }
}

/// A chunk that was compared, for [`Evaluation::add`](crate::Evaluation::add).
#[derive(Debug)]
pub struct Compared {
    pub(crate) rows: u64,
    pub(crate) left_out: LeftOut,
    pub(crate) answers: Answers,
    pub(crate) sample: SampleRows,
}

/// Compares chunks, on any thread.
#[derive(Debug, Clone)]
pub struct Comparer {
    task: Arc<Task>,
    /// How rare the rows of the sample are by now.
    rarity: Arc<AtomicU32>,
}

impl Comparer {
    pub(crate) fn new(task: Arc<Task>, rarity: Arc<AtomicU32>) -> Self {
        Comparer { task, rarity }
    }

    /// What is compared.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Puts predictions beside outcomes; a row that has no outcome, no weight or no answer is left out and counted.
    ///
    /// # Errors
    /// When columns are of different lengths or of types that do not fit the task, and for a weight below 0.
    pub fn compare(&self, rows: &Rows<'_>) -> Result<Compared, Error> {
        rows.check()?;
        let count = rows.actual.len();
        let mut left_out = LeftOut::default();
        let mut good = vec![true; count];
        let weights = match rows.weight {
            Some(weights) => weights_of(weights, &mut good, &mut left_out)?,
            None => Vec::new(),
        };
        let all = match self.task.as_ref() {
            Task::Regression => numbers(rows, &mut good, &mut left_out)?,
            Task::Classification(classes) => labels(classes, rows, &mut good, &mut left_out)?,
        };
        for refused in rows.refused {
            if std::mem::replace(&mut good[refused.row], false) {
                let entry = left_out.refused.entry(refused.why.clone());
                entry.or_insert_with(|| (0, (rows.place)(refused.row))).0 += 1;
            }
        }
        finite(&all, &mut good, &mut left_out);

        let kept: Vec<u32> = (0..count as u32).filter(|row| good[*row as usize]).collect();
        let answers = all.select(&kept, &weights);
        let rarity = self.rarity.load(Ordering::Relaxed);
        let sample = sample::pick(rows.chunk, &kept, rows.features, &answers, rarity)?;
        Ok(Compared { rows: count as u64, left_out, answers, sample })
    }
}

fn weights_of(weights: &ArrayRef, good: &mut [bool], left_out: &mut LeftOut) -> Result<Vec<f64>, Error> {
    let weights = floats(weights)?;
    for (row, weight) in weights.iter().enumerate() {
        if weight.is_nan() {
            good[row] = false;
            left_out.weight += 1;
        } else if !(0.0..f64::INFINITY).contains(weight) {
            return Err(Error::Weight { row });
        }
    }
    Ok(weights)
}

fn numbers(rows: &Rows<'_>, good: &mut [bool], left_out: &mut LeftOut) -> Result<Answers, Error> {
    let (actual, predicted) = (floats(rows.actual)?, floats(&rows.predictions.predicted)?);
    for (actual, good) in actual.iter().zip(good) {
        if *good && !actual.is_finite() {
            *good = false;
            *(if actual.is_nan() { &mut left_out.target } else { &mut left_out.infinite }) += 1;
        }
    }
    Ok(Answers::Regression(Pairs { actual, predicted, weight: Vec::new() }))
}

fn labels(classes: &Classes, rows: &Rows<'_>, good: &mut [bool], left_out: &mut LeftOut) -> Result<Answers, Error> {
    let actual = classes.indices(rows.actual)?;
    for (actual, good) in actual.iter().zip(good) {
        if *good && actual.is_none() {
            *good = false;
            left_out.target += 1;
        }
    }
    let columns = classes.score_columns(&rows.predictions.scores)?;
    let (proba, decision) = match classes.scores {
        Some(Scores::Decision) => (Vec::new(), columns.into_iter().next()),
        _ => (columns, None),
    };
    let predicted = classes.indices(&rows.predictions.predicted)?;
    Ok(Answers::Classification(ClassAnswers {
        actual: actual.into_iter().map(Option::unwrap_or_default).collect(),
        predicted: predicted.into_iter().map(Option::unwrap_or_default).collect(),
        proba,
        decision,
        weight: Vec::new(),
    }))
}

/// Leaves out rows whose answer cannot be compared.
fn finite(answers: &Answers, good: &mut [bool], left_out: &mut LeftOut) {
    let columns: Vec<&Vec<f64>> = match answers {
        Answers::Regression(pairs) => vec![&pairs.predicted],
        Answers::Classification(answers) => answers.proba.iter().chain(&answers.decision).collect(),
    };
    for (row, good) in good.iter_mut().enumerate() {
        if *good && columns.iter().any(|column| !column[row].is_finite()) {
            *good = false;
            left_out.answer += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn column(values: Vec<Option<f64>>) -> ArrayRef {
        Arc::new(Float64Array::from(values))
    }

    fn comparer(task: Task) -> Comparer {
        Comparer::new(Arc::new(task), Arc::default())
    }

    #[test]
    fn rows_that_say_nothing_are_left_out_and_counted_by_why() {
        let actual = column(vec![Some(1.0), None, Some(f64::INFINITY), Some(2.0), Some(3.0), Some(4.0)]);
        let predicted = column(vec![Some(1.0), Some(1.0), Some(1.0), Some(f64::NAN), Some(1.0), Some(5.0)]);
        let weight = column(vec![Some(1.0), Some(1.0), Some(1.0), Some(1.0), None, Some(2.0)]);
        let predictions = Predictions { predicted, scores: vec![] };
        let refused = [Refused { row: 0, why: "unseen".to_string() }];
        let rows = Rows { weight: Some(&weight), refused: &refused, ..Rows::new(0, &[], &actual, &predictions) };
        let compared = comparer(Task::Regression).compare(&rows).unwrap();
        let Answers::Regression(pairs) = compared.answers else { panic!("numbers") };
        assert_eq!((pairs.actual, pairs.predicted, pairs.weight), (vec![4.0], vec![5.0], vec![2.0]));
        let refused = [("unseen".to_string(), (1, "row 0".to_string()))].into();
        let expected = LeftOut { target: 1, infinite: 1, weight: 1, answer: 1, refused };
        assert_eq!((compared.left_out.rows(), compared.left_out), (5, expected));
    }

    #[test]
    fn columns_that_do_not_fit_are_an_error() {
        let (two, three) = (column(vec![Some(1.0); 2]), column(vec![Some(1.0); 3]));
        let error = |task, rows: &Rows<'_>| comparer(task).compare(rows).unwrap_err().to_string();
        let predictions = Predictions { predicted: two.clone(), scores: vec![] };
        let rows = Rows::new(0, &[], &three, &predictions);
        assert_eq!(error(Task::Regression, &rows), "the predictions: 2 rows, and 3 are expected");
        let weight = column(vec![Some(1.0), Some(-1.0)]);
        let rows = Rows { weight: Some(&weight), ..Rows::new(0, &[], &two, &predictions) };
        assert_eq!(error(Task::Regression, &rows), "row 1: a weight is a number from 0 on");
        let refused = [Refused { row: 2, why: String::new() }];
        let rows = Rows { refused: &refused, ..Rows::new(0, &[], &two, &predictions) };
        assert_eq!(error(Task::Regression, &rows), "a refused row: 3 rows, and 2 are expected");

        let names = vec!["no".to_string(), "yes".to_string()];
        let text = arrow::datatypes::DataType::Utf8;
        let task = Task::classification(names, text, Some(Scores::Probabilities), f64::EPSILON).unwrap();
        let labels: ArrayRef = Arc::new(StringArray::from(vec!["yes", "no"]));
        let predictions = Predictions { predicted: labels.clone(), scores: vec![two.clone()] };
        let rows = Rows::new(0, &[], &labels, &predictions);
        assert_eq!(error(task, &rows), "1 columns of scores, and 2 are expected");
    }
}
