//! NGBoost: the parameters of a distribution, each a start and a sum over estimators. What is told is its mean, or the
//! probability of each class.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{labels, some_attr};
use crate::families::shared::members::predictor;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "NGBoost",
    classes: &[("ngboost.api", "NGBClassifier"), ("ngboost.api", "NGBRegressor")],
    globals: &[
        Entry::inert("ngboost.distns.exponential", "Exponential"),
        Entry::inert("ngboost.distns.laplace", "Laplace"),
        Entry::inert("ngboost.distns.lognormal", "LogNormal"),
        Entry::inert("ngboost.distns.normal", "Normal"),
        Entry::inert("ngboost.distns.normal", "NormalFixedVar"),
        Entry::inert("ngboost.distns.poisson", "Poisson"),
        Entry::inert("ngboost.scores", "CRPScore"),
        Entry::inert("ngboost.scores", "LogScore"),
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    if some_attr(view, "multi_output")?.is_some_and(|several| several.as_bool() == Ok(true)) {
        return Err(Error::unsupported(view.path(), "a distribution of several targets", "one target"));
    }
    let start = view.attr("init_params")?.array()?.f64s()?;
    let rounds = view.attr("base_models")?.items()?;
    let scalings = numbers(&view.attr("scalings")?)?;
    let picked = view.attr("col_idxs")?.items()?;
    if rounds.len() != scalings.len() || rounds.len() != picked.len() || start.is_empty() {
        return Err(Error::counts(view.path(), (scalings.len(), "scalings"), (rounds.len(), "rounds")));
    }
    let rate = view.attr("learning_rate")?.as_f64()?;
    let features = view.attr("n_features")?.as_usize()?;
    let sources = loader.sources(view, given, features, None)?;
    let mut all = Vec::new();
    let mut children = Vec::new();
    for ((models, scaling), picked) in rounds.iter().zip(scalings).zip(&picked) {
        let columns: Vec<usize> =
            picked.array()?.u64s()?.into_iter().map(|at| usize::try_from(at).unwrap_or(usize::MAX)).collect();
        if columns.iter().any(|at| *at >= features) {
            return Err(Error::out_of_range(picked.path(), "a column"));
        }
        let given: Vec<Source> = columns.iter().filter_map(|at| sources.get(*at)).cloned().collect();
        let mut members = Vec::new();
        for model in models.items()? {
            let (member, report) = predictor(loader.load(&model, Some(&given))?, &model)?;
            if member.targets.predict.len() != 1 || !member.targets.labels.is_empty() {
                return Err(Error::no_such_answer(model.path(), "the estimator", "one number a row"));
            }
            children.push(report);
            members.push(member);
        }
        if members.len() != start.len() {
            return Err(Error::counts(models.path(), (members.len(), "estimators"), (start.len(), "parameters")));
        }
        all.push(run::Round { members, scaling, columns });
    }
    let (form, targets) = if class == "NGBClassifier" {
        let classes = match some_attr(view, "classes_")? {
            Some(classes) => labels(&classes)?,
            None => crate::labels::Labels::counted(start.len().saturating_add(1)),
        };
        if classes.len() != start.len().saturating_add(1) {
            return Err(Error::counts(view.path(), (start.len(), "parameters"), (classes.len(), "classes")));
        }
        (run::Form::Classes, Targets::classes(vec![classes], DataType::Float64))
    } else {
        let distribution = view.attr("Dist")?;
        let form = match distribution.class().map(|class| class.name.as_str()).unwrap_or_default() {
            "Normal" | "NormalFixedVar" | "Laplace" => run::Form::First,
            "LogNormal" if start.len() == 2 => run::Form::LogNormal,
            "Exponential" | "Poisson" => run::Form::Exponential,
            other => {
                let supported = "Normal, LogNormal, Laplace, Exponential, Poisson";
                return Err(Error::unsupported(distribution.path(), format!("the distribution {other}"), supported));
            }
        };
        (form, Targets::numbers(1, DataType::Float64))
    };
    let finite = Finite::new(&class, &sources, true, false);
    let step = run::Natural { start, rate, rounds: all, form, finite };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

fn numbers(view: &View<'_>) -> Result<Vec<f64>, Error> {
    match view.array() {
        Ok(array) => Ok(array.f64s()?),
        Err(_) => Ok(view.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?),
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::finite::Finite;
    use crate::math::scores::first_largest;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Round {
        /// One for each parameter.
        pub(super) members: Vec<Member>,
        pub(super) scaling: f64,
        pub(super) columns: Vec<usize>,
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Form {
        /// The first parameter is the mean.
        First,
        LogNormal,
        Exponential,
        Classes,
    }

    #[derive(Debug)]
    pub(super) struct Natural {
        pub(super) start: Vec<f64>,
        pub(super) rate: f64,
        pub(super) rounds: Vec<Round>,
        pub(super) form: Form,
        pub(super) finite: Finite,
    }

    impl Predict for Natural {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let rows = x.rows();
            // The library makes an array of the columns first.
            let x = match x {
                Matrix::Frame(_) => x.clone().into_dense().map_or(x, Matrix::Dense),
                other => other,
            };
            let mut params: Vec<Vec<f64>> = self.start.iter().map(|start| vec![*start; rows]).collect();
            for round in &self.rounds {
                let given = x.select(&round.columns);
                for (member, param) in round.members.iter().zip(&mut params) {
                    let answer = member.numbers(given.clone(), Method::Predict, run);
                    for (param, value) in param.iter_mut().zip(answer.iter().flatten()) {
                        *param -= self.rate * value * round.scaling;
                    }
                }
            }
            match self.form {
                Form::First => Answer::F64(vec![params.swap_remove(0)]),
                Form::Exponential => {
                    let mean = params.swap_remove(0);
                    Answer::F64(vec![mean.into_iter().map(f64::exp).collect()])
                }
                Form::LogNormal => {
                    let mean = |(place, scale): (&f64, &f64)| {
                        let scale = scale.exp();
                        place.exp() * (scale * scale / 2.0).exp()
                    };
                    Answer::F64(vec![params[0].iter().zip(&params[1]).map(mean).collect()])
                }
                Form::Classes => {
                    params.insert(0, vec![0.0; rows]);
                    for row in 0..rows {
                        let largest = params.iter().map(|column| column[row]).fold(f64::NEG_INFINITY, f64::max);
                        params.iter_mut().for_each(|column| column[row] = (column[row] - largest).exp());
                        let sum: f64 = params.iter().map(|column| column[row]).sum();
                        params.iter_mut().for_each(|column| column[row] /= sum);
                    }
                    match want {
                        Method::Predict => Answer::Class(vec![first_largest(&params, rows)]),
                        _ => Answer::F64(params),
                    }
                }
            }
        }
    }
}
