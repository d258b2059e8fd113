//! statsmodels: fitted OLS (and WLS, GLS), Logit, Probit, Poisson, MNLogit and GLM, with a formula or without.
//!
//! What `predict` of the results gives. The column `const` that `add_constant` makes is 1 and is no input.

mod estimator;
mod formula;
mod typed;

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::some_attr;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::pandas;
use crate::step::Step;
use crate::{Error, InputKind};

/// Cython's and Python's own objects without a state of their own.
const BARE: foretell_pickle::State = foretell_pickle::State::DICT.or(foretell_pickle::State::EMPTY);

pub(crate) const FAMILY: Family = Family {
    name: "statsmodels",
    classes: &[
        ("sklearn2pmml.statsmodels", "StatsModelsClassifier"),
        ("sklearn2pmml.statsmodels", "StatsModelsRegressor"),
        ("statsmodels.discrete.discrete_model", "BinaryResultsWrapper"),
        ("statsmodels.discrete.discrete_model", "L1BinaryResultsWrapper"),
        ("statsmodels.discrete.discrete_model", "MultinomialResultsWrapper"),
        ("statsmodels.discrete.discrete_model", "PoissonResultsWrapper"),
        ("statsmodels.genmod.generalized_linear_model", "GLMResultsWrapper"),
        ("statsmodels.regression.linear_model", "RegressionResultsWrapper"),
    ],
    globals: &[
        Entry::class("statsmodels.base.data", "ModelData"),
        Entry::class("statsmodels.base.data", "PandasData"),
        Entry::class("statsmodels.discrete.discrete_model", "L1BinaryResults"),
        Entry::class("statsmodels.discrete.discrete_model", "Logit"),
        Entry::class("statsmodels.discrete.discrete_model", "LogitResults"),
        Entry::class("statsmodels.discrete.discrete_model", "MNLogit"),
        Entry::class("statsmodels.discrete.discrete_model", "MultinomialResults"),
        Entry::class("statsmodels.discrete.discrete_model", "Poisson"),
        Entry::class("statsmodels.discrete.discrete_model", "PoissonResults"),
        Entry::class("statsmodels.discrete.discrete_model", "Probit"),
        Entry::class("statsmodels.discrete.discrete_model", "ProbitResults"),
        Entry::class("statsmodels.genmod.families.family", "Binomial"),
        Entry::class("statsmodels.genmod.families.family", "Gamma"),
        Entry::class("statsmodels.genmod.families.family", "Gaussian"),
        Entry::class("statsmodels.genmod.families.family", "InverseGaussian"),
        Entry::class("statsmodels.genmod.families.family", "NegativeBinomial"),
        Entry::class("statsmodels.genmod.families.family", "Poisson"),
        Entry::class("statsmodels.genmod.families.family", "Tweedie"),
        Entry::class("statsmodels.genmod.families.links", "CLogLog").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "Identity").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "InversePower").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "InverseSquared").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "Log").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "Logit").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "Power").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "Probit"),
        Entry::class("statsmodels.genmod.families.links", "Sqrt").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "cloglog").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "identity").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "inverse_power").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "inverse_squared").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "log").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "logit").with_state(BARE),
        Entry::class("statsmodels.genmod.families.links", "probit"),
        Entry::class("statsmodels.genmod.families.links", "sqrt").with_state(BARE),
        Entry::class("statsmodels.genmod.families.varfuncs", "Binomial"),
        Entry::class("statsmodels.genmod.families.varfuncs", "NegativeBinomial"),
        Entry::class("statsmodels.genmod.families.varfuncs", "Power"),
        Entry::class("statsmodels.genmod.families.varfuncs", "VarianceFunction").with_state(BARE),
        Entry::class("statsmodels.genmod.generalized_linear_model", "GLM"),
        Entry::class("statsmodels.genmod.generalized_linear_model", "GLMResults"),
        Entry::class("statsmodels.regression.linear_model", "GLS"),
        Entry::class("statsmodels.regression.linear_model", "OLS"),
        Entry::class("statsmodels.regression.linear_model", "OLSResults"),
        Entry::class("statsmodels.regression.linear_model", "RegressionResults"),
        Entry::class("statsmodels.regression.linear_model", "WLS"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    match view.class().map(|class| class.name.as_str()) {
        Some("StatsModelsRegressor") => return estimator::regressor(loader, view, given),
        Some("StatsModelsClassifier") => return estimator::classifier(loader, view, given),
        _ => {}
    }
    let results = view.attr("_results")?;
    let model = results.attr("model")?;
    let data = model.attr("data")?;
    let params = results.attr("params")?.array()?;
    let (count, outputs) = match *params.shape() {
        [count] => (count, 1),
        [count, outputs] => (count, outputs),
        _ => return Err(Error::state(results.path(), "parameters of more than two axes")),
    };
    let all = params.f64s()?;
    if count == 0 || outputs == 0 || all.len() != count.saturating_mul(outputs) {
        return Err(Error::state(results.path(), format!("{} numbers for {count} parameters", all.len())));
    }
    let weights: Vec<Vec<f64>> =
        (0..outputs).map(|output| all.iter().skip(output).step_by(outputs).copied().collect()).collect();
    let link = link(&model)?;
    let exog = some_attr(&data, "orig_exog")?;
    let names = match &exog {
        Some(exog) if exog.is("pandas", "DataFrame") || exog.is("pandas.core.frame", "DataFrame") => {
            pandas::column_names(exog)?
        }
        _ => None,
    };
    let (sources, terms) = match some_attr(&model, "formula")? {
        Some(formula) => {
            let Some(names) = names else {
                let message =
                    "its data were removed, and with them what the formula made of each column: save it with them";
                return Err(Error::state(formula.path(), message));
            };
            formula::terms(loader, &data, given, &names)?
        }
        None => plain(loader, &data, given, count, names)?,
    };
    if terms.len() != count {
        return Err(Error::counts(results.path(), (terms.len(), "columns"), (count, "parameters")));
    }
    let labels: Vec<String> = sources.iter().map(|source| source.label.clone()).collect();
    loader.hold(all.len().saturating_mul(8));
    let width = if matches!(link, run::Link::Shares) { outputs.saturating_add(1) } else { outputs };
    let targets = Targets::numbers(width, DataType::Float64);
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let step = run::Fitted { class, labels, terms, weights, link };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// Columns as they are; one that is constant is filled in.
fn plain(
    loader: &mut Loader<'_>,
    data: &View<'_>,
    given: Option<&[Source]>,
    count: usize,
    names: Option<Vec<String>>,
) -> Result<(Vec<Source>, Vec<formula::Term>), Error> {
    let constant = some_attr(data, "const_idx")?.map(|at| at.as_usize()).transpose()?;
    let name = |at: usize| names.as_ref().and_then(|names| names.get(at)).map(String::as_str);
    let constant = constant.filter(|at| *at < count && name(*at).is_none_or(|name| name == "const"));
    // One that is not 1 is a column of the data that never changed.
    let constant = match constant {
        Some(at) if name(at).is_none() && !is_one(data, at, count)? => None,
        constant => constant,
    };
    // In a chain whatever comes before may make it, too.
    let constant = constant.filter(|_| given.is_none_or(|given| given.len() != count));
    let own: Vec<usize> = (0..count).filter(|at| Some(*at) != constant).collect();
    let own_names = names.as_ref().map(|names| own.iter().filter_map(|at| names.get(*at)).cloned().collect());
    let sources = loader.sources(data, given, own.len(), own_names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    if constant.is_some() {
        loader.note("the constant that `add_constant` puts into a table is 1 and is no input".to_string());
    }
    let mut terms: Vec<formula::Term> = (0..own.len()).map(formula::Term::column).collect();
    if let Some(at) = constant {
        terms.insert(at, formula::Term::one());
    }
    Ok((sources, terms))
}

/// Whether a column of the data is 1 in each row, as far as they were kept.
fn is_one(data: &View<'_>, at: usize, count: usize) -> Result<bool, Error> {
    let Some(exog) = some_attr(data, "exog")? else { return Ok(true) };
    let Ok(array) = exog.array() else { return Ok(true) };
    Ok(array.f64s()?.iter().skip(at).step_by(count).all(|value| *value == 1.0))
}

/// What makes the answer of a sum.
fn link(model: &View<'_>) -> Result<run::Link, Error> {
    let class = model.class().map(|class| class.name.as_str()).unwrap_or_default();
    let link = match class {
        "OLS" | "WLS" | "GLS" => return Ok(run::Link::Identity),
        "Logit" => return Ok(run::Link::Logit),
        "Probit" => return Ok(run::Link::Probit),
        "Poisson" => return Ok(run::Link::Exp),
        "MNLogit" => return Ok(run::Link::Shares),
        _ => {
            let family = model.attr("family")?;
            match some_attr(&family, "_link")? {
                Some(link) => link,
                None => family.attr("link")?,
            }
        }
    };
    let name = link.class().map(|class| class.name.to_ascii_lowercase().replace('_', "")).unwrap_or_default();
    Ok(match name.as_str() {
        "logit" => run::Link::Logit,
        "log" => run::Link::Exp,
        "cloglog" => run::Link::Complementary,
        "identity" => run::Link::Identity,
        "probit" => run::Link::Probit,
        "inversepower" => run::Link::Power(-1.0),
        "inversesquared" => run::Link::Power(-2.0),
        "sqrt" => run::Link::Power(0.5),
        "power" => run::Link::Power(link.attr("power")?.as_f64()?),
        other => {
            let supported = "logit, probit, log, identity, cloglog, inverse_power, inverse_squared, sqrt, power";
            return Err(Error::unsupported(link.path(), format!("the link {other}"), supported));
        }
    })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use super::formula::Term;
    use crate::Method;
    use crate::math::normal;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Link {
        Identity,
        Logit,
        Probit,
        Exp,
        Complementary,
        Power(f64),
        /// The shares of several classes, the first of which has 0.
        Shares,
    }

    impl Link {
        fn of(self, sum: f64) -> f64 {
            match self {
                Link::Identity | Link::Shares => sum,
                Link::Logit => 1.0 / (1.0 + (-sum).exp()),
                // Beyond these the share is none, or all.
                Link::Probit if sum.abs() > 40.0 => f64::from(u8::from(sum > 0.0)),
                Link::Probit => normal::share_below(sum),
                Link::Exp => sum.exp(),
                Link::Complementary => 1.0 - (-sum.exp()).exp(),
                Link::Power(1.0) => sum,
                Link::Power(0.5) => sum * sum,
                Link::Power(-1.0) => 1.0 / sum,
                Link::Power(power) => sum.powf(1.0 / power),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Fitted {
        pub(super) class: String,
        pub(super) labels: Vec<String>,
        pub(super) terms: Vec<Term>,
        /// By output, a number a term.
        pub(super) weights: Vec<Vec<f64>>,
        pub(super) link: Link,
    }

    impl Predict for Fitted {
        fn answer(&self, x: Matrix, _want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let columns: Vec<Vec<f64>> =
                self.terms.iter().map(|term| term.values(&x, &self.class, &self.labels, run)).collect();
            let mut sums = Vec::with_capacity(self.weights.len());
            for weights in &self.weights {
                let mut sum = vec![0.0; rows];
                for (column, weight) in columns.iter().zip(weights) {
                    sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += value * weight);
                }
                sum.iter_mut().for_each(|sum| *sum = self.link.of(*sum));
                sums.push(sum);
            }
            if let Link::Shares = self.link {
                sums.iter_mut().flatten().for_each(|sum| *sum = sum.exp());
                sums.insert(0, vec![1.0; rows]);
                let total: Vec<f64> = (0..rows).map(|row| sums.iter().map(|column| column[row]).sum()).collect();
                sums.iter_mut().for_each(|column| column.iter_mut().zip(&total).for_each(|(one, all)| *one /= all));
            }
            Answer::F64(sums)
        }
    }
}
