//! All that an evaluation found, and its figures with what they mean.

use serde_json::{Map, Value, json};

use crate::format::{count, number, percent};
use crate::groups::Feature;
use crate::importance::{Importance, Measure};
use crate::left_out::LeftOut;
use crate::metrics::classification::Classification;
use crate::metrics::regression::{Pairs, Regression};

/// What is compared with what.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The model's file.
    pub model: String,
    /// What is in it: `XGBRegressor (XGBoost 3.2.0)`.
    pub class: String,
    /// The SHA-256 of the model's file.
    pub sha256: String,
    /// The data's file.
    pub data: String,
    /// The column of outcomes.
    pub target: String,
    /// The column of weights.
    pub weight: Option<String>,
}

/// Everything that is told of a model.
pub struct Findings {
    /// What is compared with what.
    pub subject: Subject,
    /// Rows of the data.
    pub rows: u64,
    /// Rows that were compared.
    pub compared: u64,
    /// Rows that were not.
    pub left_out: LeftOut,
    /// The figures.
    pub outcome: Outcome,
    /// The features by how much the error differs in them; empty unless they were asked for.
    pub features: Vec<Feature>,
    /// How many rows the features were seen in.
    pub sampled: usize,
    /// What the model looks at.
    pub importance: Option<Importance>,
}

/// How it came out.
pub enum Outcome {
    /// Numbers: what was predicted and what happened, and the figures.
    Regression(Pairs, Regression),
    /// Classes: their names, and the figures.
    Classification(Vec<String>, Box<Classification>),
}

/// One figure.
pub struct Figure {
    /// Its name in JSON.
    pub key: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// The value; `None` where there is none.
    pub value: Option<f64>,
    /// The value as people read it.
    pub shown: String,
    /// What it says, in a sentence.
    pub means: String,
}

fn figure(
    key: &'static str,
    name: &'static str,
    value: impl Into<Option<f64>>,
    show: fn(f64) -> String,
    means: impl FnOnce(&str) -> String,
) -> Figure {
    let value: Option<f64> = value.into();
    let shown = value.map_or("–".to_string(), show);
    let means = if value.is_some() { means(&shown) } else { String::new() };
    Figure { key, name, value, shown, means }
}

impl Findings {
    /// The figures, the most telling first. Those that there are none of are left out.
    pub fn figures(&self) -> Vec<Figure> {
        let all = match &self.outcome {
            Outcome::Regression(pairs, figures) => regression(pairs, figures),
            Outcome::Classification(names, figures) => classification(names, figures),
        };
        all.into_iter().filter(|figure| figure.value.is_some()).collect()
    }

    /// What a reader must know to trust the figures.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .left_out
            .sentences(&self.subject.target)
            .into_iter()
            .map(|(many, why)| format!("{} left out: {why}", count(many as f64, "row")))
            .collect();
        if let Outcome::Regression(pairs, _) = &self.outcome {
            let zeros = pairs.actual.iter().filter(|actual| **actual == 0.0).count();
            if zeros > 0 {
                notes.push(format!(
                    "{} with an actual value of 0: MAPE divides by 2.2e-16 there, as scikit-learn does; look at MAE",
                    count(zeros as f64, "row")
                ));
            }
        }
        if let Outcome::Classification(names, figures) = &self.outcome {
            let strange: f64 = figures.confusion.get(names.len()).into_iter().flatten().sum();
            if strange > 0.0 {
                notes.push(format!(
                    "{} of classes that the model does not know: wrong in any case, and not part of log loss, Brier \
                     score, AUC and calibration",
                    count(strange, "row")
                ));
            }
            if figures.too_many {
                notes.push("too many rows and classes to rank them all: AUC and its curves are left out".to_string());
            }
        }
        notes
    }

    /// Everything, for machines.
    pub fn json(&self) -> Value {
        let subject = &self.subject;
        let figures: Map<String, Value> =
            self.figures().iter().map(|figure| (figure.key.to_string(), Value::from(figure.value))).collect();
        let left_out = self.left_out.sentences(&subject.target);
        let left_out: Vec<Value> =
            left_out.into_iter().map(|(rows, why)| json!({ "rows": rows, "why": why })).collect();
        let mut all = json!({
            "model": subject.model, "class": subject.class, "sha256": subject.sha256, "data": subject.data,
            "target": subject.target, "weight": subject.weight,
            "task": match &self.outcome { Outcome::Regression(..) => "regression", Outcome::Classification(..) => "classification" },
            "rows": self.rows, "compared": self.compared, "left_out": left_out, "figures": figures,
        });
        if let Outcome::Classification(names, found) = &self.outcome {
            let classes = names.iter().zip(&found.classes).map(|(name, class)| {
                json!({
                    "class": name, "actual": class.actual, "predicted": class.predicted, "precision": class.precision,
                    "recall": class.recall, "f1": class.f1, "auc": class.ranking.as_ref().map(|ranking| ranking.auc),
                })
            });
            all["classes"] = classes.collect();
            let (known, unknown) = found.confusion.split_at(names.len());
            all["confusion"] = json!({ "actual_by_predicted": known, "unknown_classes": unknown.first() });
            let bins = found.calibration.iter().flat_map(|calibration| calibration.bins());
            let bin = |bin: &crate::metrics::calibration::Bin| json!({ "rows": bin.weight, "predicted": bin.predicted(), "happened": bin.happened() });
            all["calibration"] = bins.map(bin).collect();
        }
        if let Some(Importance { measure, features }) = &self.importance {
            let name = match measure {
                Measure::Gain => "gain",
                Measure::Splits => "splits",
                Measure::Shuffled(_) => "shuffled",
            };
            let features: Vec<Value> =
                features.iter().map(|(name, x)| json!({ "feature": name, "value": x })).collect();
            all["importance"] = json!({ "measure": name, "features": features });
        }
        all
    }
}

fn regression(pairs: &Pairs, found: &Regression) -> Vec<Figure> {
    let too = |bias: f64| if bias < 0.0 { "too little" } else { "too much" };
    let zeros = pairs.actual.contains(&0.0);
    vec![
        figure("mape", "MAPE", found.mape, percent, |shown| match zeros {
            true => "Means nothing here: some actual values are 0, and no share of 0 is finite.".to_string(),
            false => format!("On average a prediction is off by {shown} of the actual value."),
        }),
        figure("mae", "MAE", found.mae, number, |shown| format!("On average a prediction is off by {shown}.")),
        figure("median_absolute_error", "Median error", found.median, number, |shown| {
            format!("Half of all predictions are off by no more than {shown}.")
        }),
        figure("rmse", "RMSE", found.rmse, number, |_| {
            let times = found.rmse / found.mae;
            match found.mae > 0.0 {
                true => {
                    format!("As MAE, but large errors weigh more: it is {} times MAE (1.25 is usual).", number(times))
                }
                false => "As MAE, but large errors weigh more.".to_string(),
            }
        }),
        figure("r2", "R²", found.r2, number, |_| {
            let r2 = found.r2.unwrap_or_default();
            if r2 > 0.0 {
                format!("The model accounts for {} of how the actual values vary.", percent(r2))
            } else if r2 < 0.0 {
                "Worse than to predict the mean of the actual values every time.".to_string()
            } else {
                "No better than to predict the mean of the actual values every time.".to_string()
            }
        }),
        figure("bias", "Bias", found.bias, number, |_| {
            format!("On average the model predicts {} {}.", number(found.bias.abs()), too(found.bias))
        }),
        figure("max_error", "Largest error", found.max, number, |shown| {
            format!("No prediction is off by more than {shown}.")
        }),
    ]
}

fn classification(names: &[String], found: &Classification) -> Vec<Figure> {
    let total: f64 = found.confusion.iter().flatten().sum();
    let largest = found.classes.iter().map(|class| class.actual).fold(0.0, f64::max);
    let second = names.get(1).cloned().unwrap_or_default();
    let two = names.len() == 2;
    let calibration = found.calibration.as_ref().map(|calibration| calibration.error());
    vec![
        figure("accuracy", "Accuracy", found.accuracy, percent, |shown| {
            format!(
                "{shown} of the predictions are right; the most frequent class every time would give {}.",
                percent(largest / total)
            )
        }),
        figure("balanced_accuracy", "Balanced accuracy", found.balanced_accuracy, percent, |_| {
            "The mean of the share of each class that is found: rare classes count as much as frequent ones."
                .to_string()
        }),
        figure("roc_auc", "ROC AUC", found.auc, number, |_| match two {
            true => format!(
                "A row of class {second} has a higher score than another one {} of the time (0.5 is chance).",
                percent(found.auc.unwrap_or_default())
            ),
            false => "The mean over the classes, each against the rest: 1 ranks perfectly, 0.5 is chance.".to_string(),
        }),
        figure("average_precision", "Average precision", found.average_precision, number, |_| match two {
            true => format!(
                "The precision for class {second}, averaged over all thresholds; chance gives {}.",
                number(found.classes[1].actual / total)
            ),
            false => "Precision averaged over all thresholds, the mean over the classes.".to_string(),
        }),
        figure("f1", "F1", found.f1, number, |_| {
            format!("For class {second} the harmonic mean of how many found are right and how many there are found.")
        }),
        figure("f1_macro", "F1, macro", found.f1_macro, number, |_| "The mean of the classes' F1.".to_string()),
        figure("log_loss", "Log loss", found.log_loss, number, |_| {
            let even = (names.len() as f64).ln();
            format!(
                "Confident mistakes weigh most; 0 is perfect, and giving each class the same gets {}.",
                number(even)
            )
        }),
        figure("brier_score", "Brier score", found.brier, number, |_| {
            "The mean squared distance of the probabilities from what happened; 0 is perfect.".to_string()
        }),
        figure("calibration_error", "Calibration error", calibration, percent, |shown| {
            format!("On average a probability is {shown} away from how often it comes true.")
        }),
    ]
}
