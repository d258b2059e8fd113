//! `ClassifierChain` and `RegressorChain`: each estimator is given what those before it answered.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{some_attr, version};
use crate::families::shared::members::{Member, array, predictor};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, Output, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "chains of estimators",
    classes: &[("sklearn.multioutput", "ClassifierChain"), ("sklearn.multioutput", "RegressorChain")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let estimators = view.attr("estimators_")?.items()?;
    let mut sources = array(loader, view, given)?;
    let mut members: Vec<Member> = Vec::new();
    let mut children = Vec::new();
    for estimator in &estimators {
        let columns = sources.as_ref().map(|sources| {
            let before = (0..members.len()).map(|index| Source::made(format!("answer {index}")));
            sources.iter().cloned().chain(before).collect::<Vec<Source>>()
        });
        let (member, report) = predictor(loader.load(estimator, columns.as_deref())?, estimator)?;
        // The first estimator is given nothing but the columns themselves.
        sources = sources.or_else(|| loader.own());
        if member.targets.predict.len() != 1 || member.targets.predict.iter().any(|one| one.data_type == DataType::Utf8)
        {
            return Err(Error::state(estimator.path(), "does not give one number a row"));
        }
        members.push(member);
        children.push(report);
    }
    let Some(sources) = sources else { return Err(Error::state(view.path(), "has no estimator inside")) };
    let order = order(view, members.len())?;
    let hands_on = match some_attr(view, "chain_method_")? {
        None => Method::Predict,
        Some(method) => match method.as_str()? {
            "predict" => Method::Predict,
            "predict_proba" => Method::Proba,
            "decision_function" => Method::Decision,
            other => {
                let supported = "predict, predict_proba, decision_function";
                return Err(Error::unsupported(method.path(), format!("chain_method {other}"), supported));
            }
        },
    };
    let has = |want: Method, width: usize| members.iter().all(|member| member.outputs(want).len() == width);
    let (proba, decision) = (has(Method::Proba, 2), has(Method::Decision, 1));
    if (hands_on == Method::Proba && !proba) || (hands_on == Method::Decision && !decision) {
        return Err(Error::state(view.path(), "an estimator does not give what the next one is given"));
    }
    let column = |stem: &str, index: usize| Output {
        name: format!("{stem}_{index}"),
        data_type: DataType::Float64,
        class: None,
    };
    let columns = |stem: &str| (0..members.len()).map(|index| column(stem, index)).collect();
    let mut targets = Targets::numbers(members.len(), DataType::Float64);
    if class == "ClassifierChain" {
        targets.proba = if proba { columns("proba") } else { Vec::new() };
        targets.decision = if decision { columns("decision") } else { Vec::new() };
    }
    let finite = Finite::new(&class, &sources, false, false);
    // Of decisions the first estimator alone was the judge.
    let checks_decisions = version(view)?.is_some_and(|version| version >= (1, 0));
    let step = run::Chained { members, order, hands_on, finite, checks_decisions };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// The target of each estimator.
fn order(view: &View<'_>, count: usize) -> Result<Vec<usize>, Error> {
    let order = view.attr("order_")?;
    let order: Vec<usize> = match order.array() {
        Ok(array) => array.u64s()?.into_iter().map(|index| usize::try_from(index).unwrap_or(usize::MAX)).collect(),
        Err(_) => order.items()?.iter().map(View::as_usize).collect::<Result<_, _>>()?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted.into_iter().ne(0..count) {
        return Err(Error::state(view.path(), format!("the order is not one of {count} estimators")));
    }
    Ok(order)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::families::shared::side_by_side::side_by_side;
    use crate::finite::Finite;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Chained {
        pub(super) members: Vec<Member>,
        pub(super) order: Vec<usize>,
        /// The answer that the next estimators are given.
        pub(super) hands_on: Method,
        pub(super) finite: Finite,
        pub(super) checks_decisions: bool,
    }

    impl Predict for Chained {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if want != Method::Decision || self.checks_decisions {
                self.finite.check(&x, run);
            }
            let rows = x.rows();
            let sparse = matches!(x, Matrix::Csr(_));
            let mut before: Vec<f64> = Vec::new();
            let mut out = vec![Vec::new(); self.members.len()];
            for (index, (member, target)) in self.members.iter().zip(&self.order).enumerate() {
                let answers = Matrix::Dense(Dense { data: before.clone(), rows, cols: index, narrow: false });
                // Beside a table of no answers yet numbers become float64, too.
                let x = side_by_side(vec![x.clone().into(), answers.into()], rows, sparse);
                // Of two classes it is the second one's probability.
                let ask = |want, run: &mut Run| member.numbers(x.clone(), want, run).pop().unwrap_or_default();
                let answer = ask(want, run);
                let handed = if want == self.hands_on { answer.clone() } else { ask(self.hands_on, run) };
                before.extend(handed);
                out[*target] = answer;
            }
            Answer::F64(out)
        }
    }
}
