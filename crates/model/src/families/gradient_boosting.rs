//! `GradientBoostingClassifier` and `GradientBoostingRegressor`.
//!
//! The raw score starts at what the initial estimator says and adds `learning_rate * leaf` in the order of the trees.

use foretell_pickle::View;

use super::forest::{Shape, read_tree};
use crate::attributes::{self};
use crate::families::shared::explained::{Shares, Told, explained};
use crate::families::shared::losses::{self, Choice, Link, Loss};
use crate::families::shared::members::predictor;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::math::scores::{Formula, Softmax, pairwise_sum};
use crate::step::Step;
use crate::trees::{Ensemble, Explainer, Gain, Landing, Numbers, Plan, Rule};
use crate::{Error, InputKind, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "gradient boosting of scikit-learn",
    classes: &[
        ("sklearn.ensemble._gb", "GradientBoostingClassifier"),
        ("sklearn.ensemble._gb", "GradientBoostingRegressor"),
        ("sklearn.ensemble.gradient_boosting", "GradientBoostingClassifier"),
        ("sklearn.ensemble.gradient_boosting", "GradientBoostingRegressor"),
    ],
    globals: losses::ENTRIES,
    load,
};

/// More outputs than this are an attack on memory.
const OUTPUTS: usize = 1 << 16;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let version = attributes::version(view)?;
    let grid = view.attr("estimators_")?.array()?;
    let [_, outputs] = grid.dims::<2>()?;
    let trees = grid.objects()?;
    let Some(first) = trees.first() else { return Err(Error::state(view.path(), "there is no tree")) };
    let shape = Shape::read(first)?;
    let labels = if class.ends_with("Classifier") { Some(attributes::labels(&view.attr("classes_")?)?) } else { None };
    let expected = labels.as_ref().map_or(1, |labels| if labels.len() == 2 { 1 } else { labels.len() });
    if outputs != expected || outputs == 0 || outputs > OUTPUTS {
        return Err(Error::state(view.path(), format!("{outputs} trees an iteration instead of {expected}")));
    }
    let loss = match (&labels, view.attr("loss")?.as_str()?) {
        (Some(_), "exponential") => Loss::HalfLogit,
        (Some(_), "deviance" | "log_loss") if outputs == 1 => Loss::Logit,
        (Some(_), "deviance" | "log_loss") => Loss::Multinomial,
        (None, "ls" | "lad" | "squared_error" | "absolute_error" | "huber" | "quantile") => Loss::Identity,
        (_, other) => {
            let known = "deviance, log_loss, exponential, squared_error, absolute_error, ls, lad, huber, quantile";
            return Err(Error::unsupported(view.path(), format!("loss={other}"), known));
        }
    };
    let mut ensemble =
        Ensemble { trees: Vec::new(), width: 1, outputs, features: shape.features, rule: Rule::LessEqual };
    for (tree, offset) in trees.iter().zip((0..outputs).cycle()) {
        let this = Shape::read(tree)?;
        if this != shape || this.outputs != 1 || this.classes != 1 {
            return Err(Error::state(tree.path(), "the tree has other features or outputs than it must have"));
        }
        let (mut read, _) = read_tree(&tree.attr("tree_")?, 1)?;
        read.offset = u32::try_from(offset).unwrap_or(u32::MAX);
        ensemble.trees.push(read);
    }
    let depth = ensemble.check(&view.path())?;
    let names = attributes::feature_names(view)?;
    let sources = loader.sources(view, given, shape.features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let (start, child) = start(loader, view, &sources, loss, outputs)?;

    let rate = view.attr("learning_rate")?.as_f64()?;
    let plan = Plan::new(&ensemble, |_, value| rate * value);
    let trees = TreesReport {
        trees: ensemble.trees.len(),
        nodes: ensemble.nodes(),
        max_depth: depth,
        kernel: plan.kernel(),
        bytes: ensemble.bytes().saturating_add(plan.bytes()),
        features: ensemble.uses(Gain::Boosted, sources.iter().map(|source| source.label.as_str())),
    };
    let children = child.into_iter().collect();
    let report = StepReport { trees: Some(trees), children, ..StepReport::default() };
    let mut targets = loss.targets(labels);
    let old = version.is_none_or(|version| version < (1, 4));
    let choice = if old && loss != Loss::HalfLogit { Choice::Probability } else { Choice::ScoreOrZero };
    let formula = if old { Formula::LogSumExp } else { Formula::Quotient };
    let link = Link { loss, softmax: Softmax { formula, ..Softmax::PLAIN }, choice };
    let finite = Finite::new(&class, &sources, false, true);
    let explainer = match &start {
        score::Start::Same(start) if loader.options.explain => {
            Explainer::new(&ensemble, |_, value| rate * value, start, true)
        }
        score::Start::Same(_) | score::Start::Estimator(..) => None,
    };
    let landing = loader.lands().then(|| Landing::new(&ensemble, Numbers::Nodes, true));
    let told = Told { shares: explainer.map(Shares::Trees), landing, ..Told::default() };
    let scorer = score::Boosting { plan, start, link, finite };
    let step = explained(Box::new(scorer), told, &sources, &mut targets);
    Ok(Loaded { step: Step::Predict(step), out: Out::Answers(targets), report })
}

/// The raw scores before the first tree: numbers, or what another estimator says.
fn start(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    sources: &[Source],
    loss: Loss,
    outputs: usize,
) -> Result<(score::Start, Option<StepReport>), Error> {
    let version = attributes::version(view)?;
    let init = view.attr("init_")?;
    if init.as_str().is_ok_and(|text| text == "zero") {
        return Ok((score::Start::Same(vec![0.0; outputs]), None));
    }
    let Some(class) = init.class() else { return Err(init.expected("an initial estimator").into()) };
    match (class.module.as_str(), class.name.as_str()) {
        ("sklearn.dummy", "DummyRegressor") => {
            let constant = init.attr("constant_")?.array()?.f64s()?;
            match (loss, constant.as_slice()) {
                (Loss::Identity, [_]) => Ok((score::Start::Same(constant), None)),
                _ => Err(Error::state(init.path(), format!("{} constants for one output", constant.len()))),
            }
        }
        ("sklearn.dummy", "DummyClassifier") if init.attr("strategy")?.as_str()? == "prior" => {
            let start = prior(&init.attr("class_prior_")?.array()?.f64s()?, loss, outputs, version)
                .ok_or_else(|| Error::state(init.path(), "the prior is not one of the classes"))?;
            Ok((score::Start::Same(start), None))
        }
        // Until 0.20 estimators of its own, which keep what they predict.
        ("sklearn.ensemble.gradient_boosting", name) => {
            let attribute = match name {
                "MeanEstimator" => "mean",
                "QuantileEstimator" => "quantile",
                "LogOddsEstimator" | "ScaledLogOddsEstimator" => "prior",
                "PriorProbabilityEstimator" => "priors",
                "ZeroEstimator" => return Ok((score::Start::Same(vec![0.0; outputs]), None)),
                _ => return Err(Error::unsupported(init.path(), class.to_string(), "the initial estimators of 0.20")),
            };
            let kept = init.attr(attribute)?;
            let kept = match kept.array() {
                Ok(array) => array.f64s()?,
                Err(_) => vec![kept.as_f64()?],
            };
            let message = format!("{} constants for {outputs} outputs", kept.len());
            if kept.len() == outputs {
                Ok((score::Start::Same(kept), None))
            } else {
                Err(Error::state(init.path(), message))
            }
        }
        _ => {
            // It is given the float32 that the trees are given.
            let columns: Vec<Source> = sources.iter().map(|source| Source::made(source.label.clone())).collect();
            let (member, mut report) = predictor(loader.load(&init, Some(&columns))?, &init)?;
            let classes = member.labels().map_or(0, |labels| labels.len());
            let fits = match loss {
                Loss::Identity => classes == 0 && member.targets.predict.len() == 1,
                _ => classes == outputs.max(2) && member.targets.proba.len() == classes,
            };
            if !fits {
                return Err(Error::state(init.path(), "does not give what the trees go on from"));
            }
            report.name = Some("init_".to_string());
            Ok((score::Start::Estimator(Box::new(member), version), Some(report)))
        }
    }
}

/// The scores whose probabilities are the shares of the classes.
fn prior(shares: &[f64], loss: Loss, outputs: usize, version: Option<(u32, u32)>) -> Option<Vec<f64>> {
    let version = version.unwrap_or((0, 0));
    let least = if version < (1, 7) { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let clip = |share: &f64| share.clamp(least, 1.0 - least);
    match (loss, shares) {
        (Loss::Logit | Loss::HalfLogit, [_, yes]) => {
            let yes = clip(yes);
            // scipy's own is another from 1.15 on, which came between 1.6 and 1.7.
            let logit = if version < (1, 7) { (yes / (1.0 - yes)).ln() } else { logit(yes) };
            Some(vec![if loss == Loss::HalfLogit { 0.5 * logit } else { logit }])
        }
        (Loss::Multinomial, shares) if shares.len() == outputs => {
            let shares: Vec<f64> = shares.iter().map(clip).collect();
            if version < (1, 4) {
                return Some(shares.iter().map(|share| share.ln()).collect());
            }
            let logs: Vec<f64> = shares.iter().map(|share| share.ln()).collect();
            let mean = (pairwise_sum(&logs) / outputs as f64).exp();
            Some(shares.iter().map(|share| (share / mean).ln()).collect())
        }
        _ => None,
    }
}

/// scipy's: near one half the difference of two logarithms of nearly one.
fn logit(p: f64) -> f64 {
    if !(0.3..=0.65).contains(&p) {
        return (p / (1.0 - p)).ln();
    }
    let s = 2.0 * (p - 0.5);
    s.ln_1p() - (-s).ln_1p()
}

/// What runs.
mod score {
    use super::prior;
    use crate::Method;
    use crate::families::shared::losses::{Link, Loss};
    use crate::families::shared::members::Member;
    use crate::finite::Finite;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};
    use crate::trees::Plan;

    /// What the raw scores start from.
    #[derive(Debug)]
    pub(super) enum Start {
        Same(Vec<f64>),
        /// An estimator, and the version that says how its shares become scores.
        Estimator(Box<Member>, Option<(u32, u32)>),
    }

    #[derive(Debug)]
    pub(super) struct Boosting {
        pub(super) plan: Plan<f32, f64>,
        pub(super) start: Start,
        pub(super) link: Link,
        pub(super) finite: Finite,
    }

    impl Boosting {
        fn told(&self, member: &Member, version: Option<(u32, u32)>, x: &Matrix, run: &mut Run) -> Vec<Vec<f64>> {
            let outputs = self.plan.outputs();
            let x = x.clone().narrowed();
            if self.link.loss == Loss::Identity {
                return member.numbers(x, Method::Predict, run);
            }
            let shares = member.numbers(x, Method::Proba, run);
            let rows = shares.first().map_or(0, Vec::len);
            let mut raw = vec![vec![0.0; rows]; outputs];
            for row in 0..rows {
                let told: Vec<f64> = shares.iter().filter_map(|column| column.get(row)).copied().collect();
                let scores = prior(&told, self.link.loss, outputs, version).unwrap_or_default();
                for (column, score) in raw.iter_mut().zip(scores) {
                    if let Some(slot) = column.get_mut(row) {
                        *slot = score;
                    }
                }
            }
            raw
        }
    }

    impl Predict for Boosting {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let raw = match &self.start {
                Start::Same(start) => self.plan.sum(&x, start, 0.0, None),
                Start::Estimator(member, version) => {
                    let start = self.told(member, *version, &x, run);
                    self.plan.sum_from(&x, start, 0.0, None)
                }
            };
            self.link.answer(raw, want)
        }
    }
}
