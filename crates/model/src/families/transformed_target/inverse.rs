//! The way back through the transformers that targets are bent by: their `inverse_transform`, a column a target.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{flag, version};
use crate::families::function_transformer::{function, validates};
use crate::families::power_transformer::{self, Power};
use crate::families::quantile_transformer::{self, Curves};
use crate::families::scalers::CASTS;
use crate::families::shared::functions::Function;
use crate::matrix::round;
use crate::step::Run;

/// One operation of the way back; of numbers there is one a target.
#[derive(Debug)]
pub(super) enum Inverse {
    /// Refuses infinities, and what is not a number where it is set.
    Check {
        nan: bool,
    },
    Function(Function),
    Times(Vec<f64>),
    Over(Vec<f64>),
    Plus(Vec<f64>),
    Minus(Vec<f64>),
    /// Times and plus, of numbers brought to float32 where the answers are.
    Standard {
        scale: Option<Vec<f64>>,
        mean: Option<Vec<f64>>,
    },
    Power(Power),
    Quantile(Curves),
}

const SUPPORTED: &str = "FunctionTransformer, MaxAbsScaler, MinMaxScaler, PowerTransformer, QuantileTransformer, \
                         RobustScaler, StandardScaler, Pipeline of those";

/// The operations of a transformer's `inverse_transform` for this many targets, in their order.
pub(super) fn read(transformer: &View<'_>, targets: usize) -> Result<Vec<Inverse>, Error> {
    let mut steps = Vec::new();
    let class = transformer.class().map(|class| class.name.as_str()).unwrap_or_default();
    if class != "Pipeline" {
        append(transformer, class, targets, &mut steps)?;
        return Ok(steps);
    }
    for pair in transformer.attr("steps")?.items()?.into_iter().rev() {
        let step = pair.item(1)?;
        if !step.is_none() && step.as_str() != Ok("passthrough") {
            append(&step, step.class().map(|class| class.name.as_str()).unwrap_or_default(), targets, &mut steps)?;
        }
    }
    Ok(steps)
}

fn append(transformer: &View<'_>, class: &str, targets: usize, steps: &mut Vec<Inverse>) -> Result<(), Error> {
    // What a scaler learned of one target stands for each of several that a regression of quantiles makes of it.
    let numbers = |name: &str| match transformer.attr(name)?.array()?.f64s()?.as_slice() {
        [one] => Ok(vec![*one; targets]),
        values => checked(transformer, name, values.to_vec(), targets),
    };
    if class == "FunctionTransformer" {
        if validates(transformer)? {
            steps.push(Inverse::Check { nan: true });
        }
        steps.extend(function(transformer, "inverse_func", "inv_kw_args")?.map(Inverse::Function));
        return Ok(());
    }
    steps.push(Inverse::Check { nan: false });
    match class {
        "StandardScaler" | "RobustScaler" => {
            let is_standard = class == "StandardScaler";
            let (scales, scale) = (if is_standard { "with_std" } else { "with_scaling" }, "scale_");
            let (shifts, shift) = if is_standard { ("with_mean", "mean_") } else { ("with_centering", "center_") };
            let scale = if flag(transformer, scales, true)? { Some(numbers(scale)?) } else { None };
            let shift = if flag(transformer, shifts, true)? { Some(numbers(shift)?) } else { None };
            steps.extend(shifted(scale, shift, is_standard && casts(transformer)?));
        }
        "MinMaxScaler" => {
            steps.push(Inverse::Minus(numbers("min_")?));
            steps.push(Inverse::Over(numbers("scale_")?));
        }
        "MaxAbsScaler" => steps.push(Inverse::Times(numbers("scale_")?)),
        "PowerTransformer" => {
            let (power, scale) = power_transformer::read(transformer)?;
            if let Some((mean, scale)) = scale {
                steps.extend(shifted(Some(scale), Some(mean), casts(transformer)?));
            }
            checked(transformer, "lambdas_", power.lambdas.clone(), targets)?;
            steps.push(Inverse::Power(power));
        }
        "QuantileTransformer" => {
            let curves = quantile_transformer::read(transformer)?;
            if curves.width() != targets {
                let message = format!("quantiles of {} targets for {targets}", curves.width());
                return Err(Error::state(transformer.path(), message));
            }
            steps.push(Inverse::Quantile(curves));
        }
        other => {
            return Err(Error::unsupported(transformer.path(), format!("a target transformed by {other}"), SUPPORTED));
        }
    }
    Ok(())
}

/// Whether a scaler brings what it learned to the type of the numbers first.
fn casts(view: &View<'_>) -> Result<bool, Error> {
    Ok(version(view)?.is_none_or(|version| version >= CASTS))
}

fn shifted(scale: Option<Vec<f64>>, mean: Option<Vec<f64>>, casts: bool) -> Vec<Inverse> {
    if casts {
        return vec![Inverse::Standard { scale, mean }];
    }
    scale.map(Inverse::Times).into_iter().chain(mean.map(Inverse::Plus)).collect()
}

fn checked(view: &View<'_>, name: &str, values: Vec<f64>, targets: usize) -> Result<Vec<f64>, Error> {
    if values.len() == targets {
        return Ok(values);
    }
    Err(Error::state(view.path(), format!("`{name}` has {} numbers for {targets} targets", values.len())))
}

impl Inverse {
    /// Changes the answers for one target; `step` is who refuses.
    pub(super) fn apply(&self, target: usize, column: &mut [f64], narrow: bool, step: &str, run: &mut Run) {
        let of = |values: &[f64]| values.get(target).copied().unwrap_or(f64::NAN);
        let mut each = |change: &dyn Fn(f64) -> f64| {
            column.iter_mut().for_each(|value| *value = round(change(*value), narrow));
        };
        match self {
            Inverse::Check { nan } => {
                for (row, value) in column.iter().enumerate() {
                    if value.is_infinite() {
                        run.refuse(row, step, None, "the answer is infinite");
                    } else if *nan && value.is_nan() {
                        run.refuse(row, step, None, "the answer is not a number");
                    }
                }
            }
            Inverse::Function(function) => each(&|value| function.call(value, narrow)),
            Inverse::Times(values) => each(&|value| value * of(values)),
            Inverse::Over(values) => each(&|value| value / of(values)),
            Inverse::Plus(values) => each(&|value| value + of(values)),
            Inverse::Minus(values) => each(&|value| value - of(values)),
            Inverse::Power(power) if narrow => {
                each(&|value| power.narrow_inverse(value as f32, of(&power.lambdas)).into());
            }
            Inverse::Power(power) => each(&|value| power.how.inverse(value, of(&power.lambdas))),
            Inverse::Standard { scale, mean } => {
                let learned = |values: &Option<Vec<f64>>| values.as_deref().map(|all| round(of(all), narrow));
                if let Some(scale) = learned(scale) {
                    each(&|value| value * scale);
                }
                if let Some(mean) = learned(mean) {
                    each(&|value| value + mean);
                }
            }
            Inverse::Quantile(curves) => each(&|value| curves.inverse(target, value)),
        }
    }
}
