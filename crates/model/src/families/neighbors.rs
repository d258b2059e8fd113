//! `KNeighborsClassifier` and `KNeighborsRegressor`: what the nearest rows of the training were.
//!
//! The trees of the file are walked as the library walks them, nearest branch first, so that of rows as near as the last
//! neighbour the same are taken. Without a tree the rows are gone through in their order; there the library's distances
//! are sums of products that go through BLAS, and of rows that are nearly as near another may be taken.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{self, feature_names, version, word};
use crate::families::shared::near;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "nearest neighbours",
    classes: &[
        ("sklearn.neighbors._classification", "KNeighborsClassifier"),
        ("sklearn.neighbors._regression", "KNeighborsRegressor"),
        ("sklearn.neighbors.classification", "KNeighborsClassifier"),
        ("sklearn.neighbors.regression", "KNeighborsRegressor"),
    ],
    globals: near::ENTRIES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let training = near::any_training(view)?;
    let (count, features) = (training.count(), training.features);
    let neighbours = view.attr("n_neighbors")?.as_usize()?;
    if neighbours == 0 || neighbours > count {
        let message = format!("{neighbours} neighbours among {count} rows of {features} features");
        return Err(Error::state(view.path(), message));
    }
    let by_distance = by_distance(view)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.bytes());
    let (form, targets) = if class == "KNeighborsRegressor" {
        let values = columns(&view.attr("_y")?, count)?;
        let targets = Targets::numbers(values.len(), DataType::Float64);
        (run::Form::Numbers(values), targets)
    } else {
        let (classes, labels) = classes(view, count)?;
        (run::Form::Classes(classes), Targets::classes(labels, DataType::Float64))
    };
    let finite = Finite::new(&class, &sources, false, false);
    // From 1.4 on classes without any weight are none.
    let needs_weight = by_distance && class == "KNeighborsClassifier" && version(view)? >= Some((1, 4));
    let step = run::Neighbours { training, neighbours, by_distance, needs_weight, form, finite };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// Whether a nearer row counts more.
pub(super) fn by_distance(view: &View<'_>) -> Result<bool, Error> {
    match word(view, "weights", "uniform") {
        Ok("uniform") => Ok(false),
        Ok("distance") => Ok(true),
        _ => Err(Error::unsupported(view.path(), "such weights", "uniform, distance")),
    }
}

/// The class of each row of training, and how many classes there are.
type Codes = (Vec<u32>, usize);

/// By target, the classes of the rows; and the labels.
pub(super) fn classes(view: &View<'_>, count: usize) -> Result<(Vec<Codes>, Vec<Labels>), Error> {
    let several = attributes::flag(view, "outputs_2d_", false)?;
    let by_target = view.attr("classes_")?;
    let by_target = if several { by_target.items()? } else { vec![by_target] };
    let labels = by_target.iter().map(attributes::labels).collect::<Result<Vec<_>, _>>()?;
    let codes = columns(&view.attr("_y")?, count)?;
    if labels.len() != codes.len() {
        return Err(Error::counts(view.path(), (codes.len(), "targets"), (labels.len(), "lists of classes")));
    }
    let mut classes = Vec::with_capacity(labels.len());
    for (labels, codes) in labels.iter().zip(codes) {
        let code = |code: &f64| (*code >= 0.0 && *code < labels.len() as f64).then_some(*code as u32);
        let codes: Option<Vec<u32>> = codes.iter().map(code).collect();
        classes.push((codes.ok_or_else(|| Error::out_of_range(view.path(), "a class"))?, labels.len()));
    }
    Ok((classes, labels))
}

/// A column for each target.
pub(super) fn columns(view: &View<'_>, count: usize) -> Result<Vec<Vec<f64>>, Error> {
    let array = view.array()?;
    let width = match *array.shape() {
        [rows] if rows == count => 1,
        [rows, width] if rows == count && width > 0 => width,
        _ => return Err(Error::state(view.path(), format!("targets of other rows than the {count} of training"))),
    };
    let all = array.f64s()?;
    Ok((0..width).map(|target| all.iter().skip(target).step_by(width).copied().collect()).collect())
}

pub(super) use run::{votes, weights};

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::near::{Metric, Training};
    use crate::families::shared::rows::Points;
    use crate::finite::Finite;
    use crate::math::scores::{self, pairwise_sum};
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum Form {
        /// By target, the number of each row of training.
        Numbers(Vec<Vec<f64>>),
        /// By target, the class of each row of training, and how many classes there are.
        Classes(Vec<(Vec<u32>, usize)>),
    }

    #[derive(Debug)]
    pub(super) struct Neighbours {
        pub(super) training: Training,
        pub(super) neighbours: usize,
        /// Whether a nearer row counts more.
        pub(super) by_distance: bool,
        /// Whether a row is refused whose neighbours are all too far away to count.
        pub(super) needs_weight: bool,
        pub(super) form: Form,
        pub(super) finite: Finite,
    }

    impl Neighbours {
        fn numbers(&self, values: &[Vec<f64>], nearest: &[(f64, usize)], weights: &[f64]) -> Vec<f64> {
            let mean = |values: &Vec<f64>| {
                let of_rows = nearest.iter().map(|(_, row)| values[*row]);
                if !self.by_distance {
                    return pairwise_sum(&of_rows.collect::<Vec<f64>>()) / nearest.len() as f64;
                }
                let weighted: Vec<f64> = of_rows.zip(weights).map(|(value, weight)| value * weight).collect();
                pairwise_sum(&weighted) / pairwise_sum(weights)
            };
            values.iter().map(mean).collect()
        }
    }

    /// How much each neighbour counts.
    pub(in crate::families) fn weights(metric: Metric, nearest: &[(f64, usize)], by_distance: bool) -> Vec<f64> {
        if !by_distance {
            return vec![1.0; nearest.len()];
        }
        let distances = nearest.iter().map(|(reduced, _)| metric.distance(*reduced));
        if nearest.iter().any(|(reduced, _)| *reduced == 0.0) {
            return distances.map(|distance| f64::from(u8::from(distance == 0.0))).collect();
        }
        distances.map(|distance| 1.0 / distance).collect()
    }

    /// How much each class weighs.
    pub(in crate::families) fn votes(
        codes: &[u32],
        count: usize,
        nearest: &[(f64, usize)],
        weights: &[f64],
    ) -> Vec<f64> {
        let mut votes = vec![0.0; count];
        for ((_, row), weight) in nearest.iter().zip(weights) {
            votes[codes[*row] as usize] += weight;
        }
        votes
    }

    impl Predict for Neighbours {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let rows = x.rows();
            let features = self.training.features;
            if matches!(x, Matrix::Csr(_)) && !self.training.takes_sparse() {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            let mut points = Points::new(x, features);
            let mut columns: Vec<Vec<f64>> = Vec::new();
            for at in 0..rows {
                let nearest = self.training.nearest(points.at(at), self.neighbours);
                let mut weights = weights(self.training.metric, &nearest, self.by_distance);
                if weights.iter().any(|weight| weight.is_infinite()) {
                    // Next to nothing away is as good as nothing.
                    weights.iter_mut().for_each(|weight| *weight = f64::from(u8::from(weight.is_infinite())));
                }
                if self.needs_weight && weights.iter().all(|weight| *weight == 0.0) {
                    run.refuse(at, &self.finite.step, None, "neighbours so far away that none counts");
                }
                let of_row: Vec<f64> = match &self.form {
                    Form::Numbers(values) => self.numbers(values, &nearest, &weights),
                    Form::Classes(targets) => {
                        let of_target = |(codes, count): &(Vec<u32>, usize)| {
                            let votes = votes(codes, *count, &nearest, &weights);
                            if want == Method::Proba {
                                let sum = pairwise_sum(&votes);
                                let sum = if sum == 0.0 { 1.0 } else { sum };
                                return votes.into_iter().map(|vote| vote / sum).collect();
                            }
                            let columns: Vec<Vec<f64>> = votes.into_iter().map(|vote| vec![vote]).collect();
                            vec![f64::from(scores::first_largest(&columns, 1)[0])]
                        };
                        targets.iter().flat_map(of_target).collect()
                    }
                };
                columns.resize_with(of_row.len(), Vec::new);
                columns.iter_mut().zip(of_row).for_each(|(column, value)| column.push(value));
            }
            if rows == 0 {
                let width = match &self.form {
                    Form::Numbers(values) => values.len(),
                    Form::Classes(targets) if want == Method::Proba => targets.iter().map(|(_, count)| count).sum(),
                    Form::Classes(targets) => targets.len(),
                };
                columns.resize_with(width, Vec::new);
            }
            match &self.form {
                Form::Classes(_) if want != Method::Proba => {
                    let codes = |column: Vec<f64>| column.into_iter().map(|code| code as u32).collect();
                    Answer::Class(columns.into_iter().map(codes).collect())
                }
                _ => Answer::F64(columns),
            }
        }
    }
}
