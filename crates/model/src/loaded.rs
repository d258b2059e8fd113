//! What a loader makes of an estimator: the step, the columns or answers it gives, and what `inspect` says of it.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::labels::Labels;
use crate::step::{Step, Table, Transform};
use crate::{Error, Output, StepReport};

/// A column that a step is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The feature's name, or `feature 3`.
    pub(crate) label: String,
    /// The model's input that it is, unchanged.
    pub(crate) origin: Option<usize>,
    /// Whether it is float32 where the table is, and float64 where that is.
    pub(crate) follows: bool,
}

impl Source {
    /// The same column with other values in it.
    pub(crate) fn changed(self) -> Self {
        Source { origin: None, ..self }
    }

    /// A column that a step makes.
    pub(crate) fn made(label: String) -> Self {
        Source { label, origin: None, follows: false }
    }

    /// A column that a step makes of others, in their type.
    pub(crate) fn made_of(label: String, sources: &[Source]) -> Self {
        Source { label, origin: None, follows: sources.iter().any(|source| source.follows) }
    }

    /// The output column of a transformer at the root.
    pub(crate) fn output(&self) -> Output {
        Output { name: self.label.clone(), data_type: DataType::Float64, class: None }
    }
}

/// What a step gives.
#[derive(Debug)]
pub(crate) enum Out {
    Table(Vec<Source>),
    /// One column of integers, which no other step takes.
    Codes(Source),
    Answers(Targets),
}

/// What a predictor answers, as the signature tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Targets {
    pub(crate) predict: Vec<Output>,
    pub(crate) proba: Vec<Output>,
    pub(crate) decision: Vec<Output>,
    /// Whether Python finds a `decision_function` where there is none to call.
    pub(crate) claims_decision: bool,
    /// What `score_samples` gives.
    pub(crate) samples: Vec<Output>,
    /// What `transform` gives; empty where it is not a transformer besides.
    pub(crate) table: Vec<Source>,
    /// The classes of each target; empty for regressions.
    pub(crate) labels: Vec<Labels>,
    /// What each column adds to each output, where the step can tell it.
    pub(crate) contribs: Vec<Output>,
    /// In which leaf of each tree a row ends, where the step can tell it.
    pub(crate) leaves: Vec<Output>,
}

impl Targets {
    /// `count` numbers.
    pub(crate) fn numbers(count: usize, data_type: DataType) -> Self {
        let predict = (0..count).map(|index| Output {
            name: name("prediction", index, count),
            data_type: data_type.clone(),
            class: None,
        });
        Targets { predict: predict.collect(), ..Targets::default() }
    }

    /// One class a target, with a probability for each.
    pub(crate) fn classes(labels: Vec<Labels>, proba: DataType) -> Self {
        let count = labels.len();
        let mut targets = Targets::default();
        for (target, labels) in labels.iter().enumerate() {
            let predict = name("prediction", target, count);
            targets.predict.push(Output { name: predict, data_type: labels.data_type(), class: None });
            let prefix = name("proba", target, count);
            for class in 0..labels.len() {
                let class = labels.text(class);
                let name = format!("{prefix}_{class}");
                targets.proba.push(Output { name, data_type: proba.clone(), class: Some(class) });
            }
        }
        targets.labels = labels;
        targets
    }
}

fn name(stem: &str, index: usize, count: usize) -> String {
    if count == 1 { stem.to_string() } else { format!("{stem}_{index}") }
}

/// A step with what it gives and what `inspect` says of it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) step: Step,
    pub(crate) out: Out,
    pub(crate) report: StepReport,
}

/// A step that hands a table on, with its columns.
pub(crate) struct Transformer {
    pub(crate) step: Box<dyn Transform>,
    pub(crate) out: Vec<Source>,
    pub(crate) report: StepReport,
}

impl Transformer {
    /// As what any loader gives.
    pub(crate) fn into_loaded(self) -> Loaded {
        Loaded { step: Step::Transform(self.step), out: Out::Table(self.out), report: self.report }
    }
}

impl Loaded {
    /// The step as one that others follow.
    pub(crate) fn transformer(self, view: &View<'_>) -> Result<Transformer, Error> {
        let (step, out): (Box<dyn Transform>, _) = match (self.step, self.out) {
            (Step::Transform(step), Out::Table(out)) => (step, out),
            (Step::Predict(step), Out::Answers(targets)) if !targets.table.is_empty() => {
                (Box::new(Table(step)), targets.table)
            }
            _ => return Err(Error::WrongRole { place: view.path(), does: "predicts", needed: "transformer" }),
        };
        Ok(Transformer { step, out, report: self.report })
    }
}

/// One column a class, or a single one for the second of two.
pub(crate) fn decisions(labels: &Labels) -> Vec<Output> {
    let column = |name: String, class: Option<String>| Output { name, data_type: DataType::Float64, class };
    if labels.len() <= 2 {
        return vec![column("decision".to_string(), None)];
    }
    let texts = (0..labels.len()).map(|class| labels.text(class));
    texts.map(|class| column(format!("decision_{class}"), Some(class))).collect()
}
