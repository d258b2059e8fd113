//! `TransformedTargetRegressor`: a regression of a target that was bent before training, and is bent back.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use arrow_schema::DataType;
use foretell_pickle::View;

use super::Family;
use super::function_transformer::{function, validates};
use super::inner::{Members, members};
use crate::loader::{Loaded, Loader, Out, Source, Targets, flag};
use crate::step::Step;
use crate::{Error, StepReport, Want};

pub(crate) const FAMILY: Family = Family {
    name: "regressions of transformed targets",
    classes: &[
        ("sklearn.compose._target", "TransformedTargetRegressor"),
        ("sklearn.compose", "TransformedTargetRegressor"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let regressor = view.attr("regressor_")?;
    let name = Some("regressor".to_string());
    let Members { all: mut members, reports: children, .. } = members(loader, view, given, &[(name, regressor)])?;
    let Some(member) = members.pop().filter(|member| member.targets.labels.is_empty()) else {
        return Err(Error::state(view.path(), "the regressor does not give numbers"));
    };
    let count = member.targets.predict.len();
    let (back, checks) = back(&view.attr("transformer_")?, count)?;
    let narrow = member.is_narrow(Want::Predict);
    let targets = Targets::numbers(count, if narrow { DataType::Float32 } else { DataType::Float64 });
    let step = run::Transformed { member, back, checks, narrow };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// The operations of `inverse_transform`, and what it checks before.
fn back(transformer: &View<'_>, count: usize) -> Result<(Vec<run::Back>, run::Check), Error> {
    let class = transformer.class().map(|class| class.name.as_str()).unwrap_or_default();
    let numbers = |name: &str| -> Result<Vec<f64>, Error> {
        let values = transformer.attr(name)?.array()?.f64s()?;
        if values.len() != count {
            let message = format!("`{name}` has {} numbers for {count} targets", values.len());
            return Err(Error::state(transformer.path(), message));
        }
        Ok(values)
    };
    let mut steps = Vec::new();
    match class {
        "FunctionTransformer" => {
            steps.extend(function(transformer, "inverse_func", "inv_kw_args")?.map(run::Back::Function));
            let checks = if validates(transformer)? { run::Check::Finite } else { run::Check::Nothing };
            return Ok((steps, checks));
        }
        "StandardScaler" | "RobustScaler" => {
            let is_standard = class == "StandardScaler";
            let (scales, scale) = (if is_standard { "with_std" } else { "with_scaling" }, "scale_");
            let (shifts, shift) = if is_standard { ("with_mean", "mean_") } else { ("with_centering", "center_") };
            if flag(transformer, scales, true)? {
                steps.push(run::Back::Times(numbers(scale)?));
            }
            if flag(transformer, shifts, true)? {
                steps.push(run::Back::Plus(numbers(shift)?));
            }
        }
        "MinMaxScaler" => {
            steps.push(run::Back::Minus(numbers("min_")?));
            steps.push(run::Back::Over(numbers("scale_")?));
        }
        "MaxAbsScaler" => steps.push(run::Back::Times(numbers("scale_")?)),
        other => {
            let supported = "FunctionTransformer, StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler";
            return Err(Error::unsupported(transformer.path(), format!("a target transformed by {other}"), supported));
        }
    }
    Ok((steps, run::Check::NanPasses))
}

mod run {
    use crate::Want;
    use crate::families::functions::Function;
    use crate::families::inner::Member;
    use crate::families::scores::round;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    /// One operation of the way back; of numbers there is one a target.
    #[derive(Debug)]
    pub(super) enum Back {
        Function(Function),
        Times(Vec<f64>),
        Over(Vec<f64>),
        Plus(Vec<f64>),
        Minus(Vec<f64>),
    }

    /// What is refused before the way back.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Check {
        Nothing,
        NanPasses,
        Finite,
    }

    #[derive(Debug)]
    pub(super) struct Transformed {
        pub(super) member: Member,
        pub(super) back: Vec<Back>,
        pub(super) checks: Check,
        pub(super) narrow: bool,
    }

    impl Transformed {
        fn check(&self, column: &[f64], run: &mut Run) {
            for (row, value) in column.iter().enumerate() {
                let nan = value.is_nan() && self.checks == Check::Finite;
                if nan || (value.is_infinite() && self.checks != Check::Nothing) {
                    let reason = if nan { "the answer is not a number" } else { "the answer is infinite" };
                    run.refuse(row, "TransformedTargetRegressor", None, reason);
                }
            }
        }
    }

    impl Predict for Transformed {
        fn answer(&self, x: Matrix, want: Want, run: &mut Run) -> Answer {
            let mut columns = self.member.numbers(x, want, run);
            for (target, column) in columns.iter_mut().enumerate() {
                self.check(column, run);
                let of = |values: &[f64]| values.get(target).copied().unwrap_or(f64::NAN);
                for value in column.iter_mut() {
                    let through = |value: f64, back: &Back| match back {
                        Back::Function(function) => (function.of)(value),
                        Back::Times(values) => value * of(values),
                        Back::Over(values) => value / of(values),
                        Back::Plus(values) => value + of(values),
                        Back::Minus(values) => value - of(values),
                    };
                    *value = self.back.iter().fold(*value, |value, back| round(through(value, back), self.narrow));
                }
            }
            Answer::floats(columns, self.narrow)
        }
    }
}
