//! `RadiusNeighborsClassifier` and `RadiusNeighborsRegressor`: what the rows of the training within a radius were.

use arrow_schema::DataType;
use foretell_pickle::{Value, View};

use super::neighbors::{by_distance, classes, columns};
use crate::attributes::{feature_names, some_attr};
use crate::families::shared::near;
use crate::families::shared::rows::Rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "neighbours within a radius",
    classes: &[
        ("sklearn.neighbors._classification", "RadiusNeighborsClassifier"),
        ("sklearn.neighbors._regression", "RadiusNeighborsRegressor"),
        ("sklearn.neighbors.classification", "RadiusNeighborsClassifier"),
        ("sklearn.neighbors.regression", "RadiusNeighborsRegressor"),
    ],
    globals: near::ENTRIES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let training = near::any_training(view)?;
    let radius = view.attr("radius")?.as_f64()?;
    let by_distance = by_distance(view)?;
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.bytes());
    let (form, targets) = if class == "RadiusNeighborsRegressor" {
        let values = columns(&view.attr("_y")?, training.count())?;
        let targets = Targets::numbers(values.len(), DataType::Float64);
        (run::Form::Numbers(values), targets)
    } else {
        let (codes, labels) = classes(view, training.count())?;
        let outliers = outliers(view, &labels)?;
        (run::Form::Classes { codes, outliers }, Targets::classes(labels, DataType::Float64))
    };
    let finite = Finite::new(&class, &sources, false, false);
    let takes_sparse = training.takes_sparse();
    let inner = run::Near { training, radius, by_distance, form };
    let step = Rows { inner, finite, takes_sparse };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// By target, the class of a row without neighbours; `None` where the library raises.
fn outliers(view: &View<'_>, labels: &[Labels]) -> Result<Option<Vec<u32>>, Error> {
    let Some(told) = some_attr(view, "outlier_label_")?.or(some_attr(view, "outlier_label")?) else { return Ok(None) };
    let told = match told.value() {
        Value::List(_) | Value::Tuple(_) => told.items()?,
        _ => vec![told],
    };
    if told.len() != labels.len() {
        return Err(Error::counts(view.path(), (told.len(), "labels of outliers"), (labels.len(), "targets")));
    }
    let mut places = Vec::new();
    for (told, labels) in told.iter().zip(labels) {
        let is = |class: &usize| match labels {
            Labels::Text(all) => told.as_text().is_ok_and(|text| all.get(*class).is_some_and(|one| **one == *text)),
            _ => told.as_f64().is_ok_and(|number| labels.number(*class) == number),
        };
        let place = (0..labels.len()).find(is).and_then(|place| u32::try_from(place).ok());
        let supported = "a label of training, most_frequent, None";
        places.push(place.ok_or_else(|| Error::unsupported(told.path(), "an outlier_label of its own", supported))?);
    }
    Ok(Some(places))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::neighbors::{votes, weights};
    use crate::families::shared::near::Training;
    use crate::families::shared::rows::{OfRow, largest};
    use crate::math::scores::pairwise_sum;

    #[derive(Debug)]
    pub(super) enum Form {
        /// By target, the number of each row of training.
        Numbers(Vec<Vec<f64>>),
        /// By target, the class of each row of training and how many classes there are; and that of rows without
        /// neighbours.
        Classes { codes: Vec<(Vec<u32>, usize)>, outliers: Option<Vec<u32>> },
    }

    #[derive(Debug)]
    pub(super) struct Near {
        pub(super) training: Training,
        pub(super) radius: f64,
        /// Whether a nearer row counts more.
        pub(super) by_distance: bool,
        pub(super) form: Form,
    }

    impl OfRow for Near {
        fn of_row(&self, row: &[f64], want: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let near = self.training.within(row, self.radius);
            let weights = weights(self.training.metric, &near, self.by_distance);
            match &self.form {
                Form::Numbers(targets) => {
                    for values in targets {
                        let weighted: Vec<f64> =
                            near.iter().zip(&weights).map(|((_, row), w)| values[*row] * w).collect();
                        // Without neighbours there is no number.
                        out.push(pairwise_sum(&weighted) / pairwise_sum(&weights));
                    }
                }
                Form::Classes { codes, outliers } => {
                    if near.is_empty() && outliers.is_none() {
                        return Err("no neighbour within the radius");
                    }
                    for (target, (codes, count)) in codes.iter().enumerate() {
                        let mut votes = votes(codes, *count, &near, &weights);
                        if near.is_empty()
                            && let Some(outliers) = outliers
                        {
                            votes[outliers[target] as usize] = 1.0;
                        }
                        let sum = pairwise_sum(&votes);
                        let sum = if sum == 0.0 { 1.0 } else { sum };
                        votes.iter_mut().for_each(|vote| *vote /= sum);
                        if want == Method::Proba { out.extend(votes) } else { out.push(largest(&votes)) }
                    }
                }
            }
            Ok(())
        }

        fn width(&self, want: Method) -> usize {
            match &self.form {
                Form::Numbers(targets) => targets.len(),
                Form::Classes { codes, .. } if want == Method::Proba => codes.iter().map(|(_, count)| count).sum(),
                Form::Classes { codes, .. } => codes.len(),
            }
        }

        fn is_class(&self, want: Method) -> bool {
            want != Method::Proba && matches!(self.form, Form::Classes { .. })
        }
    }
}
