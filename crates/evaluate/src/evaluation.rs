//! What has been compared so far, and how it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::answers::Answers;
use crate::compare::{Compared, Comparer};
use crate::error::Error;
use crate::findings::{Findings, Outcome, Subject};
use crate::groups;
use crate::importance::Importance;
use crate::left_out::LeftOut;
use crate::metrics::classification::Tally;
use crate::metrics::regression::Pairs;
use crate::sample::{Sample, SampleRows};
use crate::task::Task;

/// An evaluation that is being made: chunks are added in the order of the data.
pub struct Evaluation {
    comparer: Comparer,
    rows: u64,
    left_out: LeftOut,
    counts: Counts,
    sample: Sample,
}

enum Counts {
    Regression(Pairs),
    Classification(Vec<String>, Box<Tally>),
}

impl Evaluation {
    /// Of rows with this many features.
    pub fn new(task: Task, features: usize) -> Self {
        let counts = match &task {
            Task::Regression => Counts::Regression(Pairs::default()),
            Task::Classification(classes) => {
                let tally = Tally::new(classes.names.len(), classes.clip);
                Counts::Classification(classes.names.clone(), Box::new(tally))
            }
        };
        let rarity = Arc::new(AtomicU32::new(0));
        Evaluation {
            comparer: Comparer::new(Arc::new(task), rarity.clone()),
            rows: 0,
            left_out: LeftOut::default(),
            counts,
            sample: Sample::new(features, rarity),
        }
    }

    /// What compares the rows of this evaluation, to be cloned for each thread.
    pub fn comparer(&self) -> Comparer {
        self.comparer.clone()
    }

    /// Counts a chunk: the next one in the order of the data.
    ///
    /// # Errors
    /// When its features have other types than those of the chunks before.
    pub fn add(&mut self, compared: Compared) -> Result<(), Error> {
        self.rows += compared.rows;
        self.left_out.add(compared.left_out);
        match (&mut self.counts, compared.answers) {
            (Counts::Regression(all), Answers::Regression(mut pairs)) => {
                all.actual.append(&mut pairs.actual);
                all.predicted.append(&mut pairs.predicted);
                all.weight.append(&mut pairs.weight);
            }
            (Counts::Classification(_, tally), Answers::Classification(answers)) => tally.add(&answers),
            _ => {}
        }
        self.sample.add(compared.sample)
    }

    /// Whether there is anything to say of the model; `target` is the name of the column of outcomes.
    ///
    /// # Errors
    /// When there is no row, none that could be compared, or none that counts.
    pub fn check(&self, target: &str) -> Result<(), Error> {
        if self.rows == 0 {
            return Err(Error::NoRows);
        }
        if self.rows == self.left_out.rows() {
            let why: Vec<String> =
                self.left_out.sentences(target).into_iter().map(|(rows, why)| format!("{rows} rows: {why}")).collect();
            return Err(Error::NothingToCompare { why: why.join("; ") });
        }
        let weight = match &self.counts {
            Counts::Regression(pairs) if pairs.weight.is_empty() => 1.0,
            Counts::Regression(pairs) => pairs.weight.iter().sum(),
            Counts::Classification(_, tally) => tally.weight(),
        };
        if weight <= 0.0 {
            return Err(Error::NoWeight);
        }
        Ok(())
    }

    /// The figures, without what is told of the features.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn finish(self, subject: Subject) -> Result<Findings, Error> {
        self.check(&subject.target)?;
        let compared = self.rows - self.left_out.rows();
        let outcome = match self.counts {
            Counts::Regression(pairs) => {
                let figures = pairs.figures();
                Outcome::Regression(pairs, figures)
            }
            Counts::Classification(names, tally) => Outcome::Classification(names, Box::new(tally.figures())),
        };
        let (rows, left_out) = (self.rows, self.left_out);
        let (features, sampled, importance) = (Vec::new(), 0, None);
        Ok(Findings { subject, rows, compared, left_out, outcome, features, sampled, importance })
    }

    /// The figures, where the model is wrong by its features, and what it looks at. `names` are the features';
    /// `importance` gets the sample of rows, for [`Importance::by_shuffling`].
    ///
    /// # Errors
    /// As [`check`](Self::check), and those of `importance`.
    pub fn finish_with_features(
        mut self,
        subject: Subject,
        names: &[String],
        importance: impl FnOnce(&SampleRows) -> Result<Option<Importance>, Error>,
    ) -> Result<Findings, Error> {
        self.check(&subject.target)?;
        let task = self.comparer.clone();
        let sample = std::mem::replace(&mut self.sample, Sample::new(0, Arc::default())).finish()?;
        let mut findings = self.finish(subject)?;
        findings.sampled = sample.len();
        findings.features = groups::by_feature(&sample, names, matches!(task.task(), Task::Classification(_)))?;
        findings.importance = importance(&sample)?;
        Ok(findings)
    }
}
