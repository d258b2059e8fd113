//! `IterativeImputer`: each feature that is missing is predicted from the others, round after round.

use foretell_pickle::{Entry, View};

use super::knn_imputer::indicated;
use super::simple_imputer::{Fill, fill};
use crate::attributes::{feature_names, flag, some_attr};
use crate::families::shared::members::predictor;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "imputers by regressions",
    classes: &[("sklearn.impute._iterative", "IterativeImputer")],
    globals: &[Entry::class("sklearn.impute._iterative", "_ImputerTriplet")],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if flag(view, "sample_posterior", false)? {
        return Err(Error::unsupported(view.path(), "sample_posterior=True", "values that are not drawn at random"));
    }
    let initial = view.attr("initial_imputer_")?;
    let statistics = initial.attr("statistics_")?.array()?.f64s()?;
    let missing = match fill(&view.attr("missing_values")?)? {
        Fill::Number(number) => number,
        Fill::Text(_) => return Err(Error::unsupported(view.path(), "a text for what is missing", "a number")),
    };
    let keeps_empty = flag(view, "keep_empty_features", false)?;
    let sources = loader.sources(view, given, statistics.len(), feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let kept: Vec<usize> =
        statistics.iter().enumerate().filter(|(_, fill)| keeps_empty || !fill.is_nan()).map(|(col, _)| col).collect();
    let fills: Vec<f64> = kept.iter().filter_map(|col| statistics.get(*col).copied()).collect();
    let inside: Vec<Source> = kept.iter().filter_map(|col| sources.get(*col).cloned()).map(Source::changed).collect();
    let bounds = |name: &str, none: f64| -> Result<Vec<f64>, Error> {
        // Where there was nothing to predict there are none.
        let Some(bounds) = some_attr(view, name)? else { return Ok(vec![none; kept.len()]) };
        let bounds = bounds.array()?.f64s()?;
        // Of columns that are left out there are bounds, too, in some versions.
        let all = if bounds.len() == statistics.len() && statistics.len() != kept.len() {
            kept.iter().filter_map(|col| bounds.get(*col).copied()).collect()
        } else {
            bounds
        };
        if all.len() != kept.len() {
            return Err(Error::counts(view.path(), (all.len(), "bounds"), (kept.len(), "features")));
        }
        Ok(all)
    };
    let (low, high) = (bounds("_min_value", f64::NEG_INFINITY)?, bounds("_max_value", f64::INFINITY)?);
    let mut rounds = Vec::new();
    let mut children = Vec::new();
    let sequence = match some_attr(view, "imputation_sequence_")? {
        Some(sequence) if view.attr("n_iter_")?.as_i64()? > 0 => sequence.items()?,
        _ => Vec::new(),
    };
    for triplet in sequence {
        let feature = triplet.arg(0)?.as_usize()?;
        let from = triplet.arg(1)?.array()?.u64s()?;
        let from: Vec<usize> = from.into_iter().map(|one| usize::try_from(one).unwrap_or(usize::MAX)).collect();
        let of_estimator: Option<Vec<Source>> = from.iter().map(|one| inside.get(*one).cloned()).collect();
        let (Some(of_estimator), true) = (of_estimator, feature < kept.len()) else {
            return Err(Error::out_of_range(triplet.path(), format!("feature {feature}")));
        };
        let estimator = triplet.arg(2)?;
        let (member, report) = predictor(loader.load(&estimator, Some(&of_estimator))?, &estimator)?;
        if member.targets.predict.len() != 1 || !member.targets.labels.is_empty() {
            return Err(Error::no_such_answer(estimator.path(), "the estimator", "one number a row"));
        }
        children.push(report);
        rounds.push(run::Round { feature, from, member });
    }
    let mut out = inside;
    let indicated = indicated(view, &sources, &mut out)?;
    let finite = Finite::new("IterativeImputer", &sources, missing.is_nan(), false);
    let step = run::Imputer { fills, kept, low, high, rounds, missing, indicated, finite };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::finite::Finite;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    /// One feature predicted from others.
    #[derive(Debug)]
    pub(super) struct Round {
        pub(super) feature: usize,
        pub(super) from: Vec<usize>,
        pub(super) member: Member,
    }

    #[derive(Debug)]
    pub(super) struct Imputer {
        /// By feature that stays, what it is first.
        pub(super) fills: Vec<f64>,
        /// The features that stay.
        pub(super) kept: Vec<usize>,
        /// By feature that stays, the least and the most that it may become.
        pub(super) low: Vec<f64>,
        pub(super) high: Vec<f64>,
        pub(super) rounds: Vec<Round>,
        pub(super) missing: f64,
        pub(super) indicated: Vec<usize>,
        pub(super) finite: Finite,
    }

    impl Transform for Imputer {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let rows = x.rows();
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, "IterativeImputer", None, "a sparse table");
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.finite.labels.len()));
            let is_missing = |value: f64| if self.missing.is_nan() { value.is_nan() } else { value == self.missing };
            let mask = |col: usize| x.column(col).iter().map(|value| is_missing(*value)).collect::<Vec<bool>>();
            let masks: Vec<Vec<bool>> = self.kept.iter().map(|col| mask(*col)).collect();
            let mut filled = Dense::zeros(rows, self.kept.len());
            filled.narrow = x.narrow;
            for (at, (col, fill)) in self.kept.iter().zip(&self.fills).enumerate() {
                let values = x.column(*col).iter().zip(&masks[at]);
                let fill = if fill.is_nan() { 0.0 } else { round(*fill, x.narrow) };
                filled.column_mut(at).iter_mut().zip(values).for_each(|(to, (value, missing))| {
                    *to = if *missing { fill } else { *value };
                });
            }
            for Round { feature, from, member } in &self.rounds {
                let picked: Vec<usize> = (0..rows).filter(|row| masks[*feature][*row]).collect();
                if picked.is_empty() {
                    continue;
                }
                let mut part = Dense::zeros(picked.len(), from.len());
                part.narrow = x.narrow;
                for (to, col) in from.iter().enumerate() {
                    let column = filled.column(*col);
                    part.column_mut(to).iter_mut().zip(&picked).for_each(|(to, row)| *to = column[*row]);
                }
                let mut inner = Run::default();
                let told = member.numbers(Matrix::Dense(part), Method::Predict, &mut inner);
                run.add_picked(inner, &picked);
                let column = filled.column_mut(*feature);
                for (row, value) in picked.into_iter().zip(told.into_iter().flatten()) {
                    // What is not a number stays so, as numpy clips.
                    let bounded =
                        if value.is_nan() { value } else { value.max(self.low[*feature]).min(self.high[*feature]) };
                    column[row] = round(bounded, x.narrow);
                }
            }
            for feature in &self.indicated {
                filled.data.extend(mask(*feature).into_iter().map(|missing| f64::from(u8::from(missing))));
            }
            filled.cols += self.indicated.len();
            Matrix::Dense(filled)
        }
    }
}
