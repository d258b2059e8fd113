//! Explainable boosting machines of interpret: a table of scores for each feature or pair of them, looked up and added up.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{labels, some_attr, word};
use crate::families::shared::acts::texts;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets, decisions};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, Output};

pub(crate) const FAMILY: Family = Family {
    name: "explainable boosting machines",
    classes: &[
        ("interpret.glassbox._ebm._ebm", "ExplainableBoostingClassifier"),
        ("interpret.glassbox._ebm._ebm", "ExplainableBoostingRegressor"),
        ("interpret.glassbox.ebm.ebm", "ExplainableBoostingClassifier"),
        ("interpret.glassbox.ebm.ebm", "ExplainableBoostingRegressor"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let is_classifier = class.ends_with("Classifier");
    let kinds = texts(&view.attr("feature_types_in_")?)?;
    let names = texts(&view.attr("feature_names_in_")?)?;
    if names.len() != kinds.len() {
        return Err(Error::counts(view.path(), (kinds.len(), "kinds"), (names.len(), "features")));
    }
    // Of an array they are made up.
    let made_up = names.iter().enumerate().all(|(index, name)| *name == format!("feature_{index:04}"));
    let sources = loader.sources(view, given, names.len(), (!made_up).then_some(names))?;
    let bins = view.attr("bins_")?.items()?;
    if bins.len() != kinds.len() {
        return Err(Error::counts(view.path(), (bins.len(), "bins"), (kinds.len(), "features")));
    }
    let intercept = view.attr("intercept_")?;
    let intercept = match intercept.array() {
        Ok(array) => array.f64s()?,
        Err(_) => vec![intercept.as_f64()?],
    };
    let (scores, terms) = (view.attr("term_scores_")?.items()?, view.attr("term_features_")?.items()?);
    if scores.len() != terms.len() || intercept.is_empty() {
        return Err(Error::counts(view.path(), (scores.len(), "tables of scores"), (terms.len(), "terms")));
    }
    let mut all = Vec::new();
    for (scores, term) in scores.iter().zip(&terms) {
        let array = scores.array()?;
        let features = term.items()?.iter().map(View::as_usize).collect::<Result<Vec<_>, _>>()?;
        let mut shape = array.shape().to_vec();
        if intercept.len() > 1 && shape.pop() != Some(intercept.len()) {
            return Err(Error::state(scores.path(), "there is not a score for each class"));
        }
        if shape.len() != features.len() || shape.iter().any(|size| *size < 2) {
            return Err(Error::state(scores.path(), format!("{} axes for {} features", shape.len(), features.len())));
        }
        let mut axes = Vec::new();
        for (feature, size) in features.iter().zip(shape) {
            let (Some(levels), Some(kind)) = (bins.get(*feature), kinds.get(*feature)) else {
                return Err(Error::out_of_range(term.path(), format!("feature {feature}")));
            };
            // Terms of more features have coarser bins.
            let levels = levels.items()?;
            let level = levels.get(features.len().min(levels.len()).saturating_sub(1));
            let level = level.ok_or_else(|| Error::state(view.path(), "a feature without bins"))?;
            let bins = read_bins(level, kind == "continuous", size)?;
            let kind = if kind == "continuous" { InputKind::Number } else { InputKind::Any };
            if let Some(source) = sources.get(*feature) {
                loader.demand(source, kind);
            }
            axes.push(run::Axis { feature: *feature, size, bins });
        }
        let scores = array.f64s()?;
        loader.hold(scores.len().saturating_mul(8));
        all.push(run::Term { axes, scores });
    }
    let labels_of = |sources: &[Source]| sources.iter().map(|source| source.label.clone()).collect();
    let outputs = intercept.len();
    let (link, targets) = if is_classifier {
        let classes = labels(&view.attr("classes_")?)?;
        if classes.len() == 0 || (classes.len() != 2 && classes.len() != outputs) {
            return Err(Error::counts(view.path(), (outputs, "scores"), (classes.len(), "classes")));
        }
        let decision = if outputs == 1 {
            decisions(&classes)
        } else {
            let column = |class: usize| Output {
                name: format!("decision_{}", classes.text(class)),
                data_type: DataType::Float64,
                class: Some(classes.text(class)),
            };
            (0..outputs).map(column).collect()
        };
        let link = if classes.len() == 1 { run::Link::Lone } else { run::Link::Classes };
        (link, Targets { decision, ..Targets::classes(vec![classes], DataType::Float64) })
    } else {
        let link = match word(view, "link_", "identity")? {
            "identity" => run::Link::Identity,
            "log" => run::Link::Log,
            other => return Err(Error::unsupported(view.path(), format!("the link {other}"), "identity, log")),
        };
        (link, Targets::numbers(1, DataType::Float64))
    };
    let is_lone = matches!(link, run::Link::Lone);
    if is_classifier && !is_lone && !matches!(word(view, "link_", "logit")?, "logit" | "mlogit") {
        return Err(Error::unsupported(view.path(), "other links of classes", "logit, mlogit"));
    }
    if some_attr(view, "has_fitted_")?.is_none() {
        return Err(Error::Unfitted { place: view.path() });
    }
    let step = run::Machine { class, labels: labels_of(&sources), terms: all, intercept, link };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// Cuts of numbers, or the number of each category, below `size`.
fn read_bins(view: &View<'_>, is_number: bool, size: usize) -> Result<run::Bins, Error> {
    if is_number {
        let cuts = view.array()?.f64s()?;
        if cuts.len().saturating_add(3) > size || !cuts.is_sorted() {
            return Err(Error::state(view.path(), format!("{} cuts for {size} scores", cuts.len())));
        }
        return Ok(run::Bins::Cuts(cuts));
    }
    let mut places = std::collections::HashMap::new();
    for (key, place) in view.pairs()? {
        let place = place.as_usize()?;
        if place >= size {
            return Err(Error::out_of_range(view.path(), format!("category {place}")));
        }
        places.insert(key.as_str()?.to_string(), place);
    }
    Ok(run::Bins::Categories(places))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use std::collections::HashMap;

    use arrow_array::Array;
    use arrow_schema::DataType;

    use crate::Method;
    use crate::categories::texts;
    use crate::math::scores::{best, first_largest};
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) enum Bins {
        Cuts(Vec<f64>),
        Categories(HashMap<String, usize>),
    }

    #[derive(Debug)]
    pub(super) struct Axis {
        pub(super) feature: usize,
        pub(super) size: usize,
        pub(super) bins: Bins,
    }

    #[derive(Debug)]
    pub(super) struct Term {
        pub(super) axes: Vec<Axis>,
        /// By bin of each axis, a score or one a class.
        pub(super) scores: Vec<f64>,
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Link {
        Identity,
        Log,
        Classes,
        /// A single class, which all rows are of.
        Lone,
    }

    #[derive(Debug)]
    pub(super) struct Machine {
        pub(super) class: String,
        pub(super) labels: Vec<String>,
        pub(super) terms: Vec<Term>,
        pub(super) intercept: Vec<f64>,
        pub(super) link: Link,
    }

    /// A number as the library writes it to find its category.
    fn category(number: f64) -> String {
        let text = format!("{:?}", number + 0.0);
        text.strip_suffix(".0").map(str::to_string).unwrap_or(text)
    }

    impl Machine {
        /// The bin of each row: the first for what is missing, the last for what was not seen.
        fn bins(&self, axis: &Axis, x: &Matrix, run: &mut Run) -> Vec<usize> {
            let mut out = vec![0; x.rows()];
            let last = axis.size - 1;
            match &axis.bins {
                Bins::Cuts(cuts) => {
                    let numbers = x.numbers(axis.feature);
                    if numbers.is_none() {
                        run.refuse_all(x.rows(), &self.class, Some(&self.labels[axis.feature]), "not a number");
                    }
                    for (out, number) in out.iter_mut().zip(numbers.unwrap_or_default()) {
                        if !number.is_nan() {
                            *out = 1 + cuts.partition_point(|cut| *cut <= number);
                        }
                    }
                }
                Bins::Categories(places) => {
                    let mut unseen = 0;
                    let mut place = |text: &str| {
                        places.get(text).copied().unwrap_or_else(|| {
                            unseen += 1;
                            last
                        })
                    };
                    match x {
                        Matrix::Frame(frame) if is_text(frame.columns[axis.feature].data_type()) => {
                            texts(&frame.columns[axis.feature], |row, text| {
                                out[row] = text.map_or(0, &mut place);
                            });
                        }
                        Matrix::Frame(frame) if frame.columns[axis.feature].data_type() == &DataType::Boolean => {
                            let column = &frame.columns[axis.feature];
                            let values = x.numbers(axis.feature).unwrap_or_default();
                            for (row, value) in values.into_iter().enumerate() {
                                out[row] =
                                    if column.is_null(row) { 0 } else { place(if value == 0.0 { "0" } else { "1" }) };
                            }
                        }
                        _ => {
                            for (out, number) in out.iter_mut().zip(x.numbers(axis.feature).unwrap_or_default()) {
                                *out = if number.is_nan() { 0 } else { place(&category(number)) };
                            }
                        }
                    }
                    run.unseen(&self.labels[axis.feature], unseen);
                }
            }
            out
        }

        fn scores(&self, x: &Matrix, run: &mut Run) -> Vec<Vec<f64>> {
            let (rows, outputs) = (x.rows(), self.intercept.len());
            let mut sums: Vec<Vec<f64>> = self.intercept.iter().map(|start| vec![*start; rows]).collect();
            for term in &self.terms {
                let mut places = vec![0; rows];
                for axis in &term.axes {
                    let bins = self.bins(axis, x, run);
                    places.iter_mut().zip(bins).for_each(|(place, bin)| *place = *place * axis.size + bin);
                }
                for (output, sums) in sums.iter_mut().enumerate() {
                    for (sum, place) in sums.iter_mut().zip(&places) {
                        *sum += term.scores[place * outputs + output];
                    }
                }
            }
            sums
        }
    }

    impl Predict for Machine {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let mut scores = self.scores(&x, run);
            match (self.link, want) {
                (Link::Lone, Method::Predict) => Answer::Class(vec![vec![0; rows]]),
                (Link::Lone, Method::Proba) => Answer::F64(vec![vec![1.0; rows]]),
                (Link::Classes, Method::Predict) if scores.len() > 1 => {
                    Answer::Class(vec![first_largest(&scores, rows)])
                }
                (Link::Classes, Method::Predict) => Answer::Class(vec![best(&scores)]),
                (Link::Classes, Method::Proba) if scores.len() == 1 => {
                    scores[0].iter_mut().for_each(|score| {
                        let power = score.exp();
                        *score = if power.is_infinite() { 1.0 } else { power / (power + 1.0) };
                    });
                    let first = scores[0].iter().map(|second| 1.0 - second).collect();
                    scores.insert(0, first);
                    Answer::F64(scores)
                }
                (Link::Classes, Method::Proba) => {
                    for row in 0..rows {
                        let largest = scores.iter().map(|column| column[row]).fold(f64::NEG_INFINITY, f64::max);
                        scores.iter_mut().for_each(|column| column[row] = (column[row] - largest).exp());
                        let sum: f64 = scores.iter().map(|column| column[row]).sum();
                        scores.iter_mut().for_each(|column| column[row] /= sum);
                    }
                    Answer::F64(scores)
                }
                (Link::Log, Method::Predict) => {
                    scores.iter_mut().flatten().for_each(|score| *score = score.exp());
                    Answer::F64(scores)
                }
                _ => Answer::F64(scores),
            }
        }
    }
}
