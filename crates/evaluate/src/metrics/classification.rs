//! Classes against classes.

use super::calibration::Calibration;
use super::ranking::{Ranking, rank};
use super::{Sum, weight};

/// What is known of some rows. A class is its index; an actual one that the model does not know is `classes`.
#[derive(Debug, Default)]
pub struct ClassAnswers {
    /// The class that each row is of.
    pub actual: Vec<u32>,
    /// The class that was predicted.
    pub predicted: Vec<u32>,
    /// Of each class a column; empty where the model has no probabilities.
    pub proba: Vec<Vec<f64>>,
    /// What ranks the rows where there are no probabilities: the decision for the second of two classes.
    pub decision: Option<Vec<f64>>,
    /// Empty where all rows count alike.
    pub weight: Vec<f64>,
}

/// Scores that are kept to be ranked: 1 GiB of them.
const SCORES: usize = 1 << 27;

/// Counts classes. What needs no order of the rows is summed up at once; the scores alone are kept.
#[derive(Debug)]
pub struct Tally {
    classes: usize,
    /// Probabilities are clipped to this distance from 0 and 1: the precision of the model's own type.
    clip: f64,
    /// Weight by actual class (one more than there are: the unknown ones) and predicted class.
    confusion: Vec<f64>,
    scored: bool,
    known: Sum,
    log_loss: Sum,
    brier: Sum,
    calibration: Calibration,
    actual: Vec<u32>,
    weight: Vec<f64>,
    /// By class; of two classes the second alone.
    scores: Vec<Vec<f64>>,
    too_many: bool,
}

/// The figures of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFigures {
    /// Weight of the rows that are of this class.
    pub actual: f64,
    /// Weight of the rows that are predicted to be.
    pub predicted: f64,
    /// Of the rows predicted to be of the class, the share that is; 0 where none is predicted.
    pub precision: f64,
    /// Of the rows of the class, the share that is predicted; 0 where there are none.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
    /// Against all others; `None` where they cannot be ranked.
    pub ranking: Option<Ranking>,
}

/// The figures of a classification; none of those that need probabilities where the model has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The share of the predictions that is right.
    pub accuracy: f64,
    /// The mean recall of the classes that occur.
    pub balanced_accuracy: f64,
    /// Of the second of two classes.
    pub f1: Option<f64>,
    /// The mean over the classes that occur or are predicted.
    pub f1_macro: f64,
    /// `-mean(ln p)`, where `p` is the probability of the class that happened.
    pub log_loss: Option<f64>,
    /// Of the second of two classes `mean((p - y)²)`; of more the squares of all classes are added up.
    pub brier: Option<f64>,
    /// Of the second of two classes; of more the mean over the classes that occur, each against the rest.
    pub auc: Option<f64>,
    /// As `auc`: the precision over all thresholds.
    pub average_precision: Option<f64>,
    /// How often probabilities come true.
    pub calibration: Option<Calibration>,
    /// The figures of each class.
    pub classes: Vec<ClassFigures>,
    /// Weight by actual and predicted class; the last row is of classes that the model does not know.
    pub confusion: Vec<Vec<f64>>,
    /// Whether there were too many scores to rank them.
    pub too_many: bool,
}

impl Tally {
    /// For this many classes.
    pub fn new(classes: usize, clip: f64) -> Self {
        Tally {
            classes,
            clip,
            confusion: vec![0.0; (classes + 1) * classes],
            scored: false,
            known: Sum::default(),
            log_loss: Sum::default(),
            brier: Sum::default(),
            calibration: Calibration::default(),
            actual: Vec::new(),
            weight: Vec::new(),
            scores: Vec::new(),
            too_many: false,
        }
    }

    /// Counts rows.
    pub fn add(&mut self, answers: &ClassAnswers) {
        for (row, (actual, predicted)) in answers.actual.iter().zip(&answers.predicted).enumerate() {
            self.confusion[*actual as usize * self.classes + *predicted as usize] += weight(&answers.weight, row);
        }
        if !answers.proba.is_empty() {
            self.scored = true;
            (0..answers.actual.len()).for_each(|row| self.add_probabilities(answers, row));
        }
        self.keep(answers);
    }

    /// A row whose class the model does not know says nothing about its probabilities.
    fn add_probabilities(&mut self, answers: &ClassAnswers, row: usize) {
        let (actual, weight) = (answers.actual[row] as usize, weight(&answers.weight, row));
        let Some(own) = answers.proba.get(actual) else { return };
        self.known.add(weight);
        self.log_loss.add(-weight * own[row].clamp(self.clip, 1.0 - self.clip).ln());
        let squares = answers.proba.iter().enumerate().map(|(class, column)| {
            let miss = f64::from(u8::from(class == actual)) - column[row];
            miss * miss
        });
        self.brier.add(weight * squares.sum::<f64>());
        let (sure_of, happened) = match self.classes {
            2 => (1, actual == 1),
            _ => (answers.predicted[row] as usize, answers.predicted[row] as usize == actual),
        };
        self.calibration.add(answers.proba[sure_of][row], happened, weight);
    }

    /// Keeps what ranks the rows.
    fn keep(&mut self, answers: &ClassAnswers) {
        let columns: Vec<&Vec<f64>> = match (&answers.decision, self.classes) {
            (Some(decision), 2) => vec![decision],
            (_, 2) => answers.proba.iter().skip(1).collect(),
            _ => answers.proba.iter().collect(),
        };
        let after = self.actual.len() + answers.actual.len();
        if self.too_many || columns.is_empty() || after.saturating_mul(columns.len()) > SCORES {
            self.too_many |= !columns.is_empty();
            (self.actual, self.weight, self.scores) = Default::default();
            return;
        }
        self.scores.resize(columns.len(), Vec::new());
        let known = |row: &usize| (answers.actual[*row] as usize) < self.classes;
        let rows: Vec<usize> = (0..answers.actual.len()).filter(known).collect();
        for (kept, column) in self.scores.iter_mut().zip(columns) {
            kept.extend(rows.iter().map(|row| column[*row]));
        }
        self.actual.extend(rows.iter().map(|row| answers.actual[*row]));
        if !answers.weight.is_empty() {
            self.weight.extend(rows.iter().map(|row| answers.weight[*row]));
        }
    }

    /// The weight of all rows.
    pub fn weight(&self) -> f64 {
        self.confusion.iter().sum()
    }

    /// The figures of all that was counted; there must be weight.
    pub fn figures(&self) -> Classification {
        let classes: Vec<ClassFigures> = (0..self.classes).map(|class| self.class(class)).collect();
        let total = self.weight();
        let right: f64 = (0..self.classes).map(|class| self.at(class, class)).sum();
        let unknown: f64 = (0..self.classes).map(|class| self.at(self.classes, class)).sum();
        let strangers = usize::from(unknown > 0.0);
        let mean = |figure: fn(&ClassFigures) -> f64, counts: fn(&ClassFigures) -> bool| {
            let counted: Vec<f64> = classes.iter().filter(|class| counts(class)).map(figure).collect();
            counted.iter().sum::<f64>() / (counted.len() + strangers) as f64
        };
        let ranked: Vec<&Ranking> = classes.iter().filter_map(|class| class.ranking.as_ref()).collect();
        let average = |of: fn(&Ranking) -> f64| match (self.classes, classes.get(1)) {
            (2, Some(second)) => second.ranking.as_ref().map(of),
            _ if ranked.is_empty() => None,
            _ => Some(ranked.iter().map(|ranking| of(ranking)).sum::<f64>() / ranked.len() as f64),
        };
        let known = self.known.value();
        let scored = self.scored && known > 0.0;
        let half = if self.classes == 2 { 0.5 } else { 1.0 };
        Classification {
            accuracy: right / total,
            balanced_accuracy: mean(|class| class.recall, |class| class.actual > 0.0),
            f1: (self.classes == 2).then(|| classes[1].f1),
            f1_macro: mean(|class| class.f1, |class| class.actual + class.predicted > 0.0),
            log_loss: scored.then(|| self.log_loss.value() / known),
            brier: scored.then(|| half * self.brier.value() / known),
            auc: average(|ranking| ranking.auc),
            average_precision: average(|ranking| ranking.average_precision),
            calibration: scored.then(|| self.calibration.clone()),
            confusion: self.confusion.chunks(self.classes.max(1)).map(<[f64]>::to_vec).collect(),
            classes,
            too_many: self.too_many,
        }
    }

    fn at(&self, actual: usize, predicted: usize) -> f64 {
        self.confusion[actual * self.classes + predicted]
    }

    fn class(&self, class: usize) -> ClassFigures {
        let actual: f64 = (0..self.classes).map(|other| self.at(class, other)).sum();
        let predicted: f64 = (0..=self.classes).map(|other| self.at(other, class)).sum();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let hits = self.at(class, class);
        let scores = match self.classes {
            2 if class == 0 => None,
            2 => self.scores.first(),
            _ => self.scores.get(class),
        };
        ClassFigures {
            actual,
            predicted,
            precision: share(hits, predicted),
            recall: share(hits, actual),
            f1: share(2.0 * hits, actual + predicted),
            ranking: scores.and_then(|scores| rank(scores, |row| self.actual[row] as usize == class, &self.weight)),
        }
    }
}
