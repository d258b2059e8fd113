//! scikit-lego's plain steps: columns picked, capped, projected, and estimators that another one answers for.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, some_attr};
use crate::families::shared::acts::texts;
use crate::families::shared::members::predictor;
use crate::families::shared::pick::Pick;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "scikit-lego",
    classes: &[
        ("sklego.meta.decay_estimator", "DecayEstimator"),
        ("sklego.meta.estimator_transformer", "EstimatorTransformer"),
        ("sklego.meta.thresholder", "Thresholder"),
        ("sklego.meta.zero_inflated_regressor", "ZeroInflatedRegressor"),
        ("sklego.preprocessing.columncapper", "ColumnCapper"),
        ("sklego.preprocessing.identitytransformer", "IdentityTransformer"),
        ("sklego.preprocessing.intervalencoder", "IntervalEncoder"),
        ("sklego.preprocessing.pandastransformers", "ColumnDropper"),
        ("sklego.preprocessing.pandastransformers", "ColumnSelector"),
        ("sklego.preprocessing.pandastransformers", "PandasTypeSelector"),
        ("sklego.preprocessing.pandastransformers", "TypeSelector"),
        ("sklego.preprocessing.projections", "InformationFilter"),
        ("sklego.preprocessing.projections", "OrthogonalTransformer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    match class.as_str() {
        "ColumnDropper" | "ColumnSelector" | "PandasTypeSelector" | "TypeSelector" => pick(loader, view, given, &class),
        "DecayEstimator" | "EstimatorTransformer" | "Thresholder" | "ZeroInflatedRegressor" => {
            around(loader, view, given, &class)
        }
        _ => numbers(loader, view, given, &class),
    }
}

/// Whether a step hands on what it is given, without a look at it.
pub(super) fn is_identity(view: &View<'_>) -> Result<bool, Error> {
    let named = view
        .class()
        .is_some_and(|class| class.to_string() == "sklego.preprocessing.identitytransformer.IdentityTransformer");
    Ok(named && !flag(view, "check_X", false)?)
}

/// Columns of a DataFrame by their names.
fn pick(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>, class: &str) -> Result<Loaded, Error> {
    let names = |name: &str| -> Result<Option<Vec<String>>, Error> {
        some_attr(view, name)?.map(|names| texts(&names)).transpose()
    };
    let kept = match class {
        "ColumnSelector" => match names("columns_")? {
            Some(kept) => kept,
            None => texts(&view.attr("columns")?)?,
        },
        _ => names("feature_names_")?.ok_or_else(|| Error::Unfitted { place: view.path() })?,
    };
    // What it dropped is a column of the input as well.
    let own: Vec<String> = match class {
        "ColumnDropper" => kept.iter().cloned().chain(names("columns_")?.unwrap_or_default()).collect(),
        _ => kept.clone(),
    };
    let told = !loader.options.columns.is_empty();
    let width = if given.is_none() && !told { own.len() } else { loader.width(view, given, None)? };
    let sources = loader.sources(view, given, width, (given.is_none() && !told).then_some(own))?;
    let place = |name: &String| {
        let at = sources.iter().position(|source| source.label == *name);
        at.ok_or_else(|| Error::NoSuchColumn { place: view.path(), column: name.clone() })
    };
    let picked = kept.iter().map(place).collect::<Result<_, _>>()?;
    Pick::load(loader, view, &sources, picked, Pick::FRAME)
}

/// A table of numbers.
fn table(view: &View<'_>, name: &str) -> Result<(Vec<f64>, [usize; 2]), Error> {
    let array = view.attr(name)?.array()?;
    let dims: [usize; 2] = array.dims()?;
    if dims.contains(&0) {
        return Err(Error::state(
            view.path(),
            format!("`{name}` is a table of {} rows and {} columns", dims[0], dims[1]),
        ));
    }
    Ok((array.f64s()?, dims))
}

/// Whether an attribute holds float32.
fn is_narrow(view: &View<'_>, name: &str) -> Result<bool, Error> {
    Ok(some_attr(view, name)?.is_some_and(|found| found.array().is_ok_and(|array| array.dtype().size == 4)))
}

fn numbers(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>, class: &str) -> Result<Loaded, Error> {
    let names = feature_names(view)?;
    let (how, features) = match class {
        "ColumnCapper" => {
            let (bounds, [two, features]) = table(view, "quantiles_")?;
            if two != 2 {
                return Err(Error::state(view.path(), format!("{two} quantiles of each column")));
            }
            let (low, high) = bounds.split_at(features);
            let discards = flag(view, "discard_infs", false)?;
            (run::How::Cap { low: low.to_vec(), high: high.to_vec(), discards }, features)
        }
        "IntervalEncoder" => {
            let (places, [features, count]) = table(view, "quantiles_")?;
            let (heights, dims) = table(view, "heights_")?;
            if dims != [features, count] {
                return Err(Error::state(view.path(), "heights of other intervals"));
            }
            (run::How::Interpolate { places, heights, count }, features)
        }
        "OrthogonalTransformer" => {
            let (weights, [features, count]) = table(view, "inv_R_")?;
            let scale = match some_attr(view, "normalization_vector_")? {
                Some(scale) => match scale.array() {
                    Ok(array) => array.f64s()?,
                    Err(_) => vec![scale.as_f64()?; count],
                },
                None => vec![1.0; count],
            };
            if scale.len() != count {
                return Err(Error::counts(view.path(), (scale.len(), "lengths"), (count, "columns")));
            }
            let narrow = is_narrow(view, "inv_R_")?;
            let divides = narrow && is_narrow(view, "normalization_vector_")?;
            (run::How::Product { weights: transposed(&weights, count), scale, narrow, divides }, features)
        }
        "InformationFilter" => {
            let (projection, [features, count]) = table(view, "projection_")?;
            let removed: Vec<usize> =
                view.attr("col_ids_")?.items()?.iter().map(View::as_usize).collect::<Result<_, _>>()?;
            let kept: Vec<usize> = (0..features).filter(|at| !removed.contains(at)).collect();
            if count != features || kept.is_empty() {
                return Err(Error::counts(view.path(), (count, "columns"), (features, "features")));
            }
            let alpha = view.attr("alpha")?.as_f64()?;
            let narrow = is_narrow(view, "projection_")?;
            (run::How::Filter { weights: transposed(&projection, count), kept, alpha, narrow }, features)
        }
        _ => {
            let width = loader.width(view, given, names.as_ref().map(Vec::len))?;
            let sources = loader.sources(view, given, width, names)?;
            if flag(view, "check_X", false)? {
                sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
                let finite = Finite::new(class, &sources, false, false);
                return Ok(Loaded {
                    step: Step::Transform(Box::new(finite)),
                    out: Out::Table(sources),
                    report: Default::default(),
                });
            }
            return Pick::load(loader, view, &sources, (0..width).collect(), Pick::FRAME);
        }
    };
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let out = match &how {
        run::How::Filter { kept, .. } => {
            kept.iter().filter_map(|at| sources.get(*at)).cloned().map(Source::changed).collect()
        }
        run::How::Product { scale, .. } => {
            (0..scale.len()).map(|index| Source::made(format!("orthogonal{index}"))).collect()
        }
        _ => sources.iter().cloned().map(Source::changed).collect(),
    };
    let finite = (class != "ColumnCapper").then(|| Finite::new(class, &sources, false, false));
    let step = run::Numbers { class: class.to_string(), how, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// By output what is by input.
fn transposed(all: &[f64], count: usize) -> Vec<f64> {
    (0..count).flat_map(|output| all.iter().skip(output).step_by(count).copied().collect::<Vec<_>>()).collect()
}

/// Estimators around another one.
fn around(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>, class: &str) -> Result<Loaded, Error> {
    let own = match (given, feature_names(view)?) {
        (None, Some(names)) => Some(loader.own_sources(names.len(), Some(names))?),
        _ => None,
    };
    let given = given.or(own.as_deref());
    let inside = view.attr(if class == "ZeroInflatedRegressor" { "classifier_" } else { "estimator_" })?;
    let mut loaded = loader.load(&inside, given)?;
    loaded.report.name = Some("estimator_".to_string());
    if class == "DecayEstimator" {
        let child = std::mem::take(&mut loaded.report);
        loaded.report.children.push(child);
        return Ok(loaded);
    }
    let (member, child) = predictor(loaded, &inside)?;
    let mut report = StepReport { children: vec![child], ..StepReport::default() };
    match class {
        "Thresholder" => {
            if member.targets.proba.len() != 2 || member.labels().is_none_or(|labels| labels.len() != 2) {
                return Err(Error::no_such_answer(
                    inside.path(),
                    "the estimator",
                    "a probability for each of two classes",
                ));
            }
            let threshold = view.attr("threshold")?.as_f64()?;
            let mut targets = member.targets.clone();
            (targets.decision, targets.samples) = (Vec::new(), Vec::new());
            (targets.table, targets.contribs) = (Vec::new(), Vec::new());
            targets.leaves.clear();
            let step = run::Threshold { member, threshold };
            Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
        }
        "EstimatorTransformer" => {
            let want = match view.attr("predict_func")?.as_str()? {
                "predict" => Method::Predict,
                "predict_proba" => Method::Proba,
                "decision_function" => Method::Decision,
                other => {
                    let supported = "predict, predict_proba, decision_function";
                    return Err(Error::unsupported(view.path(), format!("predict_func={other}"), supported));
                }
            };
            let is_text = |labels: &crate::labels::Labels| matches!(labels, crate::labels::Labels::Text(_));
            if member.outputs(want).is_empty() || (want == Method::Predict && member.targets.labels.iter().any(is_text))
            {
                return Err(Error::no_such_answer(inside.path(), "the estimator", "an answer that is a number"));
            }
            if member.outputs(want).len() > 1 && !flag(view, "multi_output_", false)? {
                return Err(Error::state(
                    view.path(),
                    "puts several columns below each other, which are no rows any more",
                ));
            }
            let out = member.outputs(want).iter().map(|output| Source::made(output.name.clone())).collect();
            let step = run::AsTable { member, want };
            Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report })
        }
        _ => {
            let second = view.attr("regressor_")?;
            let columns = given.map(<[Source]>::to_vec).or_else(|| loader.own());
            let (number, child) = predictor(loader.load(&second, columns.as_deref())?, &second)?;
            report.children.push(child);
            if number.targets.predict.len() != 1 || !number.targets.labels.is_empty() || member.labels().is_none() {
                return Err(Error::no_such_answer(second.path(), "the estimator", "one number a row"));
            }
            let targets = crate::loaded::Targets::numbers(1, arrow_schema::DataType::Float64);
            let finite = Finite::new(class, columns.as_deref().unwrap_or_default(), false, false);
            let step = run::Inflated { member, number, finite };
            Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
        }
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::finite::Finite;
    use crate::labels::Labels;
    use crate::math::scores::{overflow_float32, products};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run, Transform};

    #[derive(Debug)]
    pub(super) enum How {
        Cap {
            low: Vec<f64>,
            high: Vec<f64>,
            /// Whether infinity becomes missing.
            discards: bool,
        },
        /// By column, heights between places.
        Interpolate { places: Vec<f64>, heights: Vec<f64>, count: usize },
        /// By output, and what it is divided by.
        Product {
            weights: Vec<f64>,
            scale: Vec<f64>,
            /// Whether the weights are float32, and what it is divided by, too.
            narrow: bool,
            divides: bool,
        },
        Filter {
            weights: Vec<f64>,
            kept: Vec<usize>,
            alpha: f64,
            /// Whether the weights are float32.
            narrow: bool,
        },
    }

    #[derive(Debug)]
    pub(super) struct Numbers {
        pub(super) class: String,
        pub(super) how: How,
        pub(super) finite: Option<Finite>,
    }

    /// Between the two places around a number, as numpy's `interp`.
    fn between(x: f64, places: &[f64], heights: &[f64]) -> f64 {
        let last = places.len() - 1;
        if x > places[last] {
            return heights[last];
        }
        if x < places[0] {
            return heights[0];
        }
        let at = places.partition_point(|place| *place <= x).saturating_sub(1);
        if at == last || places[at] == x {
            return heights[at];
        }
        let slope = (heights[at + 1] - heights[at]) / (places[at + 1] - places[at]);
        slope * (x - places[at]) + heights[at]
    }

    impl Transform for Numbers {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            self.finite.iter().for_each(|finite| finite.check(&x, run));
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, &self.class, None, "a sparse table");
            }
            let is_narrow = x.is_narrow();
            let stays_narrow;
            let mut x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let columns = match &self.how {
                How::Cap { low, high, discards } => {
                    for (col, (low, high)) in low.iter().zip(high).enumerate() {
                        for value in x.column_mut(col) {
                            if *discards && value.is_infinite() {
                                *value = f64::NAN;
                            }
                            // NaN stays.
                            if *value > *high {
                                *value = *high;
                            }
                            if *value < *low {
                                *value = *low;
                            }
                        }
                    }
                    return Matrix::Dense(Dense { narrow: false, ..x });
                }
                How::Interpolate { places, heights, count } => {
                    for (col, (places, heights)) in places.chunks(*count).zip(heights.chunks(*count)).enumerate() {
                        x.column_mut(col).iter_mut().for_each(|value| *value = between(*value, places, heights));
                    }
                    return Matrix::Dense(Dense { narrow: false, ..x });
                }
                How::Product { weights, scale, narrow, divides } => {
                    let narrow = is_narrow && *narrow;
                    stays_narrow = narrow && *divides;
                    let mut out = products(&x, weights);
                    if narrow {
                        overflow_float32(&x, weights, &mut out);
                    }
                    for (column, scale) in out.iter_mut().zip(scale) {
                        let one = |value: f64| round(round(value, narrow) / scale, stays_narrow);
                        column.iter_mut().for_each(|value| *value = one(*value));
                    }
                    out
                }
                How::Filter { weights, kept, alpha, narrow } => {
                    // The products are float32 where both are; the row itself is where it came so.
                    stays_narrow = is_narrow && *narrow;
                    let (most, rest) = (round(*alpha, stays_narrow), round(1.0 - alpha, is_narrow));
                    let fair = products(&x, weights);
                    let one = |at: &usize| -> Vec<f64> {
                        let both = fair[*at].iter().zip(x.column(*at));
                        both.map(|(fair, value)| {
                            let fair = round(most * round(*fair, stays_narrow), stays_narrow);
                            round(fair + round(rest * value, is_narrow), stays_narrow)
                        })
                        .collect()
                    };
                    kept.iter().map(one).collect()
                }
            };
            let cols = columns.len();
            Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow: stays_narrow })
        }
    }

    /// The second class where its probability is above a threshold.
    #[derive(Debug)]
    pub(super) struct Threshold {
        pub(super) member: Member,
        pub(super) threshold: f64,
    }

    impl Predict for Threshold {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if want != Method::Predict {
                return self.member.step.answer(x, want, run);
            }
            let proba = self.member.numbers(x, Method::Proba, run);
            Answer::Class(vec![proba[1].iter().map(|second| u32::from(*second > self.threshold)).collect()])
        }
    }

    #[derive(Debug)]
    pub(super) struct AsTable {
        pub(super) member: Member,
        pub(super) want: Method,
    }

    impl Transform for AsTable {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let columns = self.member.numbers(x, self.want, run);
            let (cols, narrow) = (columns.len(), self.member.is_narrow(self.want));
            Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow })
        }

        fn gives_small(&self) -> bool {
            let labels = &self.member.targets.labels;
            self.want == Method::Predict
                && !labels.is_empty()
                && labels.iter().all(|labels| matches!(labels, Labels::Bool(_)))
        }
    }

    /// 0, or what the second estimator says where the first does not say 0.
    #[derive(Debug)]
    pub(super) struct Inflated {
        pub(super) member: Member,
        pub(super) number: Member,
        pub(super) finite: Finite,
    }

    impl Predict for Inflated {
        fn answer(&self, x: Matrix, _want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let is_some = self.member.numbers(x.clone(), Method::Predict, run).swap_remove(0);
            // The second is asked about those rows alone.
            let mut told = Run::default();
            let mut numbers = self.number.numbers(x, Method::Predict, &mut told).swap_remove(0);
            run.add_wanted(told, |row| is_some[row] != 0.0);
            numbers.iter_mut().zip(is_some).filter(|(_, some)| *some == 0.0).for_each(|(number, _)| *number = 0.0);
            Answer::F64(vec![numbers])
        }
    }
}
