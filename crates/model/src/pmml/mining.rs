//! Models that are made of others: each for the rows that its predicate chooses.

use std::sync::Arc;

use super::compiler::{Compiler, Told, is_model};
use super::fields::Refused;
use super::model::Model;
use super::predicate::Predicate;
use super::value::Val;
use super::xml::Element;
use crate::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Votes {
        weighted: bool,
    },
    Average {
        weighted: bool,
    },
    Median,
    /// Of classes, what the surest segments say.
    Max,
    Sum {
        weighted: bool,
    },
    First,
    Chain,
}

/// What becomes of a row that a segment says nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Continue,
    Skip,
    Nothing,
}

#[derive(Debug)]
struct Segment {
    predicate: Predicate,
    model: Model,
    weight: f64,
}

#[derive(Debug)]
pub(super) struct Mining {
    segments: Vec<Segment>,
    method: Method,
    missing: Missing,
    threshold: f64,
    is_classifier: bool,
    narrow: bool,
}

impl Mining {
    pub(super) fn read(
        element: Element<'_>,
        compiler: &mut Compiler<'_>,
        is_classifier: bool,
        narrow: bool,
    ) -> Result<Mining, Error> {
        let segmentation = element.needed("Segmentation")?;
        let method = match segmentation.attribute("multipleModelMethod")? {
            "majorityVote" => Method::Votes { weighted: false },
            "weightedMajorityVote" => Method::Votes { weighted: true },
            "average" => Method::Average { weighted: false },
            "weightedAverage" => Method::Average { weighted: true },
            "median" => Method::Median,
            "max" => Method::Max,
            "sum" => Method::Sum { weighted: false },
            "weightedSum" | "x-weightedSum" => Method::Sum { weighted: true },
            "selectFirst" => Method::First,
            "modelChain" => Method::Chain,
            other => {
                let known = "majorityVote, weightedMajorityVote, average, weightedAverage, median, max, sum, \
                             weightedSum, selectFirst, modelChain";
                return Err(segmentation.unsupported(format!("multipleModelMethod='{other}'"), known));
            }
        };
        let sums = matches!(method, Method::Median | Method::Sum { .. });
        if sums && is_classifier {
            return Err(segmentation.unsupported("sums and medians of classes", "numbers"));
        }
        // The standard has it for classes alone, and so has JPMML.
        if method == Method::Max && !is_classifier {
            return Err(
                segmentation.unsupported("the largest of several numbers", "means, medians and sums of numbers")
            );
        }
        let missing = match segmentation.get("missingPredictionTreatment").unwrap_or("continue") {
            "continue" => Missing::Continue,
            "skipSegment" => Missing::Skip,
            "returnMissing" => Missing::Nothing,
            other => return Err(segmentation.error(format!("there is no treatment `{other}`"))),
        };
        let threshold = segmentation.number_or("missingThreshold", 1.0)?;
        let mut segments = Vec::new();
        for segment in segmentation.all("Segment") {
            let inner = segment.children().find(|child| is_model(*child));
            let inner = inner.ok_or_else(|| segment.error("it has no model"))?;
            let predicate = Predicate::inside(segment, &compiler.scope)?;
            let weight = segment.number_or("weight", 1.0)?;
            let model = compiler.model(inner, None)?;
            // What it hands on is found by those after it.
            compiler.keep(&model);
            segments.push(Segment { predicate, model, weight });
        }
        if segments.is_empty() {
            return Err(segmentation.error("it has no segments"));
        }
        Ok(Mining { segments, method, missing, threshold, is_classifier, narrow })
    }

    /// Whether its answer is that of one of its segments, as it is.
    pub(super) fn selects(&self) -> bool {
        matches!(self.method, Method::First | Method::Chain)
    }

    pub(super) fn evaluate(&self, row: &mut Vec<Val>) -> Result<Told, Refused> {
        let nothing = || Told::value(Val::Missing);
        let (mut all, mut skipped, mut weights) = (Vec::new(), 0.0, 0.0);
        for segment in &self.segments {
            if segment.predicate.holds(row) != Some(true) {
                continue;
            }
            let told = segment.model.evaluate(row)?;
            if self.method == Method::First {
                return Ok(told);
            }
            weights += segment.weight;
            if told.value.is_missing() && self.method != Method::Chain {
                match self.missing {
                    Missing::Continue => {}
                    Missing::Nothing => return Ok(nothing()),
                    Missing::Skip => {
                        skipped += segment.weight;
                        continue;
                    }
                }
            }
            all.push((told, segment.weight));
        }
        if skipped > 0.0 && skipped / weights > self.threshold {
            return Ok(nothing());
        }
        Ok(match self.method {
            Method::First => nothing(),
            Method::Chain => all.pop().map_or_else(nothing, |(told, _)| told),
            _ if all.is_empty() || all.iter().any(|(told, _)| told.value.is_missing()) => nothing(),
            _ if self.is_classifier => self.class(&all),
            _ => self.number(&all),
        })
    }

    fn round(&self, x: f64) -> f64 {
        if self.narrow { f64::from(x as f32) } else { x }
    }

    fn number(&self, all: &[(Told, f64)]) -> Told {
        let values: Option<Vec<(f64, f64)>> =
            all.iter().map(|(told, weight)| Some((told.value.number()?, *weight))).collect();
        let Some(values) = values else { return Told::value(Val::Missing) };
        let total = |weighted: bool| {
            let each = values.iter().map(|(x, weight)| if weighted { self.round(x * weight) } else { *x });
            each.fold(0.0, |sum, x| self.round(sum + x))
        };
        let value = match self.method {
            Method::Sum { weighted } => total(weighted),
            Method::Average { weighted: false } => self.round(total(false) / values.len() as f64),
            Method::Average { weighted: true } => {
                self.round(total(true) / values.iter().fold(0.0, |sum, (_, weight)| self.round(sum + weight)))
            }
            _ => {
                let mut sorted: Vec<f64> = values.iter().map(|(x, _)| *x).collect();
                sorted.sort_by(f64::total_cmp);
                let half = sorted.len() / 2;
                let at = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
                if sorted.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)) / 2.0 }
            }
        };
        Told::value(Val::Number(value))
    }

    fn class(&self, all: &[(Told, f64)]) -> Told {
        let all: Vec<(&Told, f64)> = match self.method {
            Method::Max => surest(all),
            _ => all.iter().map(|(told, weight)| (told, *weight)).collect(),
        };
        let mut shares: Vec<(Arc<str>, f64)> = Vec::new();
        let mut add = |class: &Arc<str>, x: f64| match shares.iter_mut().find(|(own, _)| own == class) {
            Some((_, sum)) => *sum += x,
            None => shares.push((class.clone(), x)),
        };
        let weighted = matches!(self.method, Method::Votes { weighted: true } | Method::Average { weighted: true });
        let mut sum = 0.0;
        for (told, weight) in all {
            let weight = if weighted { weight } else { 1.0 };
            sum += weight;
            match self.method {
                Method::Votes { .. } => told.value.text().iter().for_each(|class| add(class, weight)),
                _ => told.shares.iter().for_each(|(class, share)| add(class, share * weight)),
            }
        }
        shares.iter_mut().for_each(|(_, share)| *share /= sum);
        Told::likeliest(shares)
    }
}

/// Those that are as sure as any of the class that one of them is surest of.
fn surest(all: &[(Told, f64)]) -> Vec<(&Told, f64)> {
    let Some((first, _)) = all.first() else { return Vec::new() };
    // Of classes that are as likely the one that the first model names first.
    let (mut best, mut most) = (None, f64::NEG_INFINITY);
    for (class, _) in &first.shares {
        let share = all.iter().filter_map(|(told, _)| told.share(class)).fold(f64::NEG_INFINITY, f64::max);
        if share > most {
            (best, most) = (Some(class), share);
        }
    }
    let Some(class) = best else { return Vec::new() };
    let is_surest = |told: &Told| told.share(class) == Some(most);
    all.iter().filter(|(told, _)| is_surest(told)).map(|(told, weight)| (told, *weight)).collect()
}
