//! `MultiOutputClassifier` and `MultiOutputRegressor`: an estimator for each target.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::families::shared::members::{Members, members, nameless};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "an estimator for each target",
    classes: &[("sklearn.multioutput", "MultiOutputClassifier"), ("sklearn.multioutput", "MultiOutputRegressor")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let estimators = nameless(view.attr("estimators_")?.items()?);
    let Members { all: members, reports: children, .. } = members(loader, view, given, &estimators)?;
    if members.iter().any(|member| member.targets.predict.len() != 1) {
        return Err(Error::no_such_answer(view.path(), "an estimator", "one answer a row"));
    }
    let labels: Vec<Labels> = members.iter().flat_map(|member| member.targets.labels.iter().cloned()).collect();
    let narrow = |want: Method| members.iter().all(|member| member.is_narrow(want));
    let float = |narrow: bool| if narrow { DataType::Float32 } else { DataType::Float64 };
    let targets = if labels.is_empty() {
        Targets::numbers(members.len(), float(narrow(Method::Predict)))
    } else if labels.len() == members.len() {
        let mut targets = Targets::classes(labels, float(narrow(Method::Proba)));
        if members.iter().any(|member| member.targets.proba.is_empty()) {
            targets.proba.clear();
        }
        targets
    } else {
        return Err(Error::state(view.path(), "some estimators give classes and some numbers"));
    };
    let narrow = targets.proba.iter().chain(&targets.predict).any(|output| output.data_type == DataType::Float32);
    let report = StepReport { children, ..StepReport::default() };
    let step = run::MultiOutput { members, narrow };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct MultiOutput {
        pub(super) members: Vec<Member>,
        pub(super) narrow: bool,
    }

    impl Predict for MultiOutput {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if want == Method::Predict && self.members.iter().any(|member| !member.targets.labels.is_empty()) {
                return Answer::Class(self.members.iter().map(|member| member.classes(x.clone(), run)).collect());
            }
            let numbers = |member: &Member, run: &mut Run| member.numbers(x.clone(), want, run);
            Answer::floats(self.members.iter().flat_map(|member| numbers(member, run)).collect(), self.narrow)
        }
    }
}
