//! `VotingClassifier` and `VotingRegressor`: several estimators answer, weighted or not.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{self, flag, some_attr};
use crate::families::shared::members::{Members, codes, members, named, nameless, names, places, weights};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "voting",
    classes: &[
        ("mlxtend.classifier.ensemble_vote", "EnsembleVoteClassifier"),
        ("sklearn.ensemble._voting", "VotingClassifier"),
        ("sklearn.ensemble._voting", "VotingRegressor"),
        ("sklearn.ensemble.voting", "VotingClassifier"),
        ("sklearn.ensemble.voting", "VotingRegressor"),
        ("sklearn.ensemble.voting_classifier", "VotingClassifier"),
    ],
    globals: &[
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
        Entry::class("sklearn.preprocessing.label", "LabelEncoder"),
        Entry::class("sklearn.utils", "Bunch").with_items(),
        Entry::class("sklearn.utils._bunch", "Bunch").with_items(),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let is_other = view.class().is_some_and(|class| class.name == "EnsembleVoteClassifier");
    let estimators = if is_other { nameless(view.attr("clfs_")?.items()?) } else { named(view)? };
    let Members { all: members, reports: children, .. } = members(loader, view, given, &estimators)?;
    let weights = if is_other { weights_of_all(view, members.len())? } else { weights(view, members.len())? };
    if view.class().is_some_and(|class| class.name == "VotingRegressor") {
        if members.iter().any(|member| member.targets.predict.len() != 1 || !member.targets.labels.is_empty()) {
            return Err(Error::no_such_answer(view.path(), "an estimator", "one number a row"));
        }
        let narrow = weights.is_none() && members.iter().all(|member| member.is_narrow(Method::Predict));
        let mut targets = Targets::numbers(1, if narrow { DataType::Float32 } else { DataType::Float64 });
        targets.table = children.iter().flat_map(|child| names(view, name(child), 1)).collect();
        let step = run::Voting { members, weights, narrow, vote: run::Vote::Mean };
        let report = StepReport { children, ..StepReport::default() };
        return Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report });
    }
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let count = labels.len();
    let is_soft = view.attr("voting")?.as_str()? == "soft";
    let mut all_codes = Vec::new();
    for member in &members {
        let Some(known) = member.labels() else {
            return Err(Error::no_such_answer(view.path(), "an estimator", "one class a row"));
        };
        // Those that were trained before know the classes themselves.
        let own = is_other && !flag(view, "fit_base_estimators", flag(view, "refit", true)?)?;
        all_codes.push(if own { places(view, known, &labels)? } else { codes(view, known, count)? });
        if is_soft && member.targets.proba.len() != count {
            return Err(Error::no_such_answer(view.path(), "an estimator", "a probability for each class"));
        }
    }
    let narrow = weights.is_none() && members.iter().all(|member| member.is_narrow(Method::Proba));
    let mut targets = Targets::classes(vec![labels], if narrow { DataType::Float32 } else { DataType::Float64 });
    // Without `flatten_transform` the library makes a cube of them: of each row it is the same columns.
    let columns = if is_soft { count } else { 1 };
    targets.table = children.iter().flat_map(|child| names(view, name(child), columns)).collect();
    if is_other {
        // It makes a cube, or codes.
        targets.table.clear();
    }
    let vote = if is_soft {
        run::Vote::Soft
    } else {
        // mlxtend's has probabilities all the same, where all estimators have.
        if !is_other || members.iter().any(|member| member.targets.proba.len() != count) {
            targets.proba.clear();
        }
        run::Vote::Hard(all_codes, count)
    };
    let step = run::Voting { members, weights, narrow, vote };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// mlxtend's weights, a list or an array.
fn weights_of_all(view: &View<'_>, count: usize) -> Result<Option<Vec<f64>>, Error> {
    let Some(weights) = some_attr(view, "weights")? else { return Ok(None) };
    let all: Vec<f64> = match weights.array() {
        Ok(array) => array.f64s()?,
        Err(_) => weights.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?,
    };
    if all.len() != count {
        return Err(Error::counts(weights.path(), (all.len(), "weights"), (count, "estimators")));
    }
    Ok(Some(all))
}

fn name(child: &StepReport) -> &str {
    child.name.as_deref().unwrap_or_default()
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::math::scores::{self, Average};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum Vote {
        /// The mean of numbers.
        Mean,
        /// The class with the largest mean probability.
        Soft,
        /// The class that most estimators told: the code of each estimator's classes, and how many codes there are.
        Hard(Vec<Vec<u32>>, usize),
    }

    #[derive(Debug)]
    pub(super) struct Voting {
        pub(super) members: Vec<Member>,
        pub(super) weights: Option<Vec<f64>>,
        pub(super) narrow: bool,
        pub(super) vote: Vote,
    }

    impl Voting {
        fn mean(&self, x: &Matrix, want: Method, run: &mut Run) -> Vec<Vec<f64>> {
            let mut average = Average::new(self.weights.as_deref(), self.narrow);
            self.members.iter().for_each(|member| average.add(member.numbers(x.clone(), want, run)));
            average.finish()
        }

        fn majority(&self, x: &Matrix, codes: &[Vec<u32>], count: usize, run: &mut Run) -> Vec<u32> {
            let rows = x.rows();
            let mut votes = vec![vec![0.0; rows]; count];
            for (index, (member, codes)) in self.members.iter().zip(codes).enumerate() {
                let weight = self.weights.as_ref().map_or(1.0, |weights| weights[index]);
                for (row, class) in member.classes(x.clone(), run).into_iter().enumerate() {
                    votes[codes[class as usize] as usize][row] += weight;
                }
            }
            scores::first_largest(&votes, rows)
        }
    }

    impl Predict for Voting {
        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let mut columns = Vec::new();
            let want = if matches!(self.vote, Vote::Soft) { Method::Proba } else { Method::Predict };
            for (index, member) in self.members.iter().enumerate() {
                match &self.vote {
                    Vote::Hard(codes, _) => {
                        let classes = member.classes(x.clone(), run).into_iter();
                        columns.push(classes.map(|class| f64::from(codes[index][class as usize])).collect());
                    }
                    _ => columns.extend(member.numbers(x.clone(), want, run)),
                }
            }
            let narrow = self.members.iter().all(|member| member.is_narrow(want));
            Matrix::Dense(Dense { data: columns.concat(), rows, cols: columns.len(), narrow })
        }

        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            match (&self.vote, want) {
                (Vote::Hard(codes, count), Method::Predict) => {
                    Answer::Class(vec![self.majority(&x, codes, *count, run)])
                }
                (Vote::Soft, Method::Predict) => {
                    let proba = self.mean(&x, Method::Proba, run);
                    Answer::Class(vec![scores::first_largest(&proba, rows)])
                }
                _ => Answer::floats(self.mean(&x, want, run), self.narrow),
            }
        }
    }
}
