//! A chunk of the data as rows that can be compared, and what is left out of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use foretell_model::{Columns, Method, Model, Scratch};

use super::metrics::classification::Votes;
use super::metrics::regression::Pairs;
use super::sample::{self, Part};
use super::task::{Classes, Task};
use crate::commands::data::input::{Chunk, How};
use crate::commands::data::layout::Layout;
use crate::commands::data::parse::{Place, parse};
use crate::commands::data::why;
use crate::commands::data::work::Work;

/// What every thread needs.
pub(super) struct Job {
    pub(super) model: Arc<Model>,
    pub(super) task: Arc<Task>,
    pub(super) layout: Layout,
    pub(super) how: Arc<How>,
    /// How rare the rows of the sample are by now.
    pub(super) rarity: Arc<AtomicU32>,
}

/// The rows of a chunk.
pub(super) struct Scored {
    pub(super) rows: u64,
    pub(super) left_out: LeftOut,
    pub(super) unseen: Vec<(String, usize)>,
    pub(super) answers: Answers,
    pub(super) sample: Part,
}

/// What was predicted and what happened.
pub(super) enum Answers {
    Numbers(Pairs),
    Classes(Votes),
}

/// Rows that say nothing about the model, counted by why.
#[derive(Debug, Default, PartialEq)]
pub(super) struct LeftOut {
    /// The target is missing.
    pub(super) target: u64,
    /// The target is infinite.
    pub(super) infinite: u64,
    /// The weight is missing.
    pub(super) weight: u64,
    /// The model answers with what is no finite number.
    pub(super) answer: u64,
    /// The model refuses the row: how often for this reason, and where first.
    pub(super) refused: BTreeMap<String, (u64, String)>,
}

impl LeftOut {
    /// Adds what a later chunk left out.
    pub(super) fn add(&mut self, later: LeftOut) {
        self.target += later.target;
        self.infinite += later.infinite;
        self.weight += later.weight;
        self.answer += later.answer;
        for (why, (count, first)) in later.refused {
            self.refused.entry(why).or_insert((0, first)).0 += count;
        }
    }

    /// One sentence a reason.
    pub(super) fn sentences(&self, target: &str) -> Vec<(u64, String)> {
        let counted = [
            (self.target, format!("`{target}` is missing")),
            (self.infinite, format!("`{target}` is infinite")),
            (self.weight, "the weight is missing".to_string()),
            (self.answer, "the model's answer is not a finite number".to_string()),
        ];
        let refused = self
            .refused
            .iter()
            .map(|(why, (count, first))| (*count, format!("the model refuses the row: {why} (first: {first})")));
        counted.into_iter().chain(refused).filter(|(count, _)| *count > 0).collect()
    }
}

impl Work for Job {
    type Made = Scored;

    fn make(&self, chunk: &Chunk, scratch: &mut Scratch) -> Result<(Scored, usize)> {
        let table = parse(chunk, &self.how, &self.layout)?;
        let place = Place { how: &self.how, chunk };
        let mut left_out = LeftOut::default();
        let mut good = vec![true; table.rows];
        let mut more = table.more.iter();
        let target = more.next();
        let weights = match more.next() {
            Some(weights) => self.weights(weights, &place, &mut good, &mut left_out)?,
            None => Vec::new(),
        };
        let columns = Columns::new(&table.features, table.rows);
        let mut predicted = self.model.score(&columns, Method::Predict, scratch);
        let unseen = std::mem::take(&mut predicted.unseen);
        let Some((target, answer)) = target.zip(predicted.columns.first()) else {
            bail!("{}: the model gives no answer", self.how.name);
        };

        let all = match self.task.as_ref() {
            Task::Numbers => self.numbers(target, answer, &mut good, &mut left_out)?,
            Task::Classes(classes) => {
                let scores = classes.scores.map(|want| self.model.score(&columns, want, scratch).columns);
                self.classes(classes, target, answer, scores.as_deref(), &mut good, &mut left_out)?
            }
        };
        for refusal in &predicted.refusals {
            let row = refusal.row as usize;
            if std::mem::replace(&mut good[row], false) {
                let entry = left_out.refused.entry(why(refusal));
                entry.or_insert_with(|| (0, place.of(row))).0 += 1;
            }
        }
        self.finite(&all, &mut good, &mut left_out);

        let kept: Vec<u32> = (0..table.rows as u32).filter(|row| good[*row as usize]).collect();
        let answers = all.select(&kept, &weights);
        let rarity = self.rarity.load(Ordering::Relaxed);
        let sample = sample::pick(chunk.number, &kept, &table.features, &answers, rarity)?;
        Ok((Scored { rows: table.rows as u64, left_out, unseen, answers, sample }, table.rows))
    }
}

impl Job {
    fn weights(
        &self,
        weights: &ArrayRef,
        place: &Place<'_>,
        good: &mut [bool],
        left_out: &mut LeftOut,
    ) -> Result<Vec<f64>> {
        let weights = floats(weights)?;
        for (row, weight) in weights.iter().enumerate() {
            if weight.is_nan() {
                good[row] = false;
                left_out.weight += 1;
            } else if !(0.0..f64::INFINITY).contains(weight) {
                let column = self.layout.more.get(1).map_or("", |column| column.name.as_str());
                bail!("{}: column {column}: a weight is a number from 0 on", place.of(row));
            }
        }
        Ok(weights)
    }

    fn numbers(
        &self,
        target: &ArrayRef,
        answer: &ArrayRef,
        good: &mut [bool],
        left_out: &mut LeftOut,
    ) -> Result<Answers> {
        let pairs = Pairs { actual: floats(target)?, predicted: floats(answer)?, weight: Vec::new() };
        for (actual, good) in pairs.actual.iter().zip(good) {
            if *good && !actual.is_finite() {
                *good = false;
                *(if actual.is_nan() { &mut left_out.target } else { &mut left_out.infinite }) += 1;
            }
        }
        Ok(Answers::Numbers(pairs))
    }

    fn classes(
        &self,
        classes: &Classes,
        target: &ArrayRef,
        answer: &ArrayRef,
        scores: Option<&[ArrayRef]>,
        good: &mut [bool],
        left_out: &mut LeftOut,
    ) -> Result<Answers> {
        let actual = classes.indices(target)?;
        for (actual, good) in actual.iter().zip(good) {
            if *good && actual.is_none() {
                *good = false;
                left_out.target += 1;
            }
        }
        let columns = scores.unwrap_or_default().iter().map(floats).collect::<Result<Vec<_>>>()?;
        let (proba, decision) = match classes.scores {
            Some(Method::Decision) => (Vec::new(), columns.into_iter().next()),
            _ => (columns, None),
        };
        Ok(Answers::Classes(Votes {
            actual: actual.into_iter().map(Option::unwrap_or_default).collect(),
            predicted: classes.indices(answer)?.into_iter().map(Option::unwrap_or_default).collect(),
            proba,
            decision,
            weight: Vec::new(),
        }))
    }

    /// Leaves out rows whose answer cannot be compared.
    fn finite(&self, answers: &Answers, good: &mut [bool], left_out: &mut LeftOut) {
        let columns: Vec<&Vec<f64>> = match answers {
            Answers::Numbers(pairs) => vec![&pairs.predicted],
            Answers::Classes(votes) => votes.proba.iter().chain(&votes.decision).collect(),
        };
        for (row, good) in good.iter_mut().enumerate() {
            if *good && columns.iter().any(|column| !column[row].is_finite()) {
                *good = false;
                left_out.answer += 1;
            }
        }
    }
}

impl Answers {
    /// These rows, with their weights.
    fn select(&self, rows: &[u32], weights: &[f64]) -> Answers {
        fn take<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
            if values.is_empty() { Vec::new() } else { rows.iter().map(|row| values[*row as usize]).collect() }
        }
        let weight = take(weights, rows);
        match self {
            Answers::Numbers(pairs) => Answers::Numbers(Pairs {
                actual: take(&pairs.actual, rows),
                predicted: take(&pairs.predicted, rows),
                weight,
            }),
            Answers::Classes(votes) => Answers::Classes(Votes {
                actual: take(&votes.actual, rows),
                predicted: take(&votes.predicted, rows),
                proba: votes.proba.iter().map(|column| take(column, rows)).collect(),
                decision: votes.decision.as_ref().map(|scores| take(scores, rows)),
                weight,
            }),
        }
    }
}

/// Numbers of any type as float64; NULL is NaN.
pub(super) fn floats(array: &ArrayRef) -> Result<Vec<f64>> {
    let array = cast(array, &DataType::Float64)?;
    let array = array.as_primitive::<Float64Type>();
    Ok(array.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// Some rows of every column.
pub(super) fn take_rows(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|column| Ok(arrow::compute::take(column.as_ref(), &rows, None)?)).collect()
}
