//! `PowerTransformer`: Yeo-Johnson or Box-Cox, then mean 0 and deviation 1 where asked for.
//!
//! numpy's `power`, `log1p` and `expm1` come from whichever vector library the machine has: the last places differ from
//! one to the next, and the subtraction of the mean makes them visible. Hence within 1e-12 of the terms, not to the bit.
//!
//! Of float32 it is told what numpy makes of a power that is float64: before numpy 2 it counted as float32.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, version, with_numpy_2, word};
use crate::families::scalers::CASTS;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "PowerTransformer",
    classes: &[("sklearn.preprocessing._data", "PowerTransformer"), ("sklearn.preprocessing.data", "PowerTransformer")],
    globals: &[],
    load,
};

pub(super) use run::{Power, PowerMethod, narrow};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let (power, scale) = read(view)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, power.lambdas.len(), names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let finite = Finite::new("PowerTransformer", &sources, true, false);
    let casts = version(view)?.is_none_or(|version| version >= CASTS);
    let step = run::Scaled { power, scale, casts, finite };
    let out = sources.into_iter().map(Source::changed).collect();
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// Means and deviations of what the power gives.
type Scale = (Vec<f64>, Vec<f64>);

pub(super) fn read(view: &View<'_>) -> Result<(Power, Option<Scale>), Error> {
    let (lambdas, learned_narrow) = match view.attr("lambdas_")?.array() {
        Ok(lambdas) => (lambdas.f64s()?, lambdas.dtype().size == 4),
        // 0.20 kept a list.
        Err(_) => (view.attr("lambdas_")?.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?, false),
    };
    let with_2 = with_numpy_2(view)?;
    let (narrow, other_narrow) = (learned_narrow || !with_2, learned_narrow && with_2);
    let how = match word(view, "method", "yeo-johnson")? {
        "yeo-johnson" if version(view)?.is_some_and(|version| version >= (1, 9)) => run::PowerMethod::YeoJohnsonByLog,
        "yeo-johnson" => run::PowerMethod::YeoJohnson,
        "box-cox" if version(view)?.is_some_and(|version| version >= (1, 6)) => run::PowerMethod::BoxCoxByLog,
        "box-cox" => run::PowerMethod::BoxCox,
        other => return Err(Error::unsupported(view.path(), format!("method={other}"), "yeo-johnson, box-cox")),
    };
    let scale = if flag(view, "standardize", true)? {
        let scaler = view.attr("_scaler")?;
        let (mean, scale) = (scaler.attr("mean_")?.array()?.f64s()?, scaler.attr("scale_")?.array()?.f64s()?);
        if mean.len() != lambdas.len() || scale.len() != lambdas.len() {
            return Err(Error::state(scaler.path(), format!("scales {} of {} features", mean.len(), lambdas.len())));
        }
        Some((mean, scale))
    } else {
        None
    };
    Ok((Power { lambdas, how, narrow, other_narrow }, scale))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::math::float32;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::families) enum PowerMethod {
        YeoJohnson,
        /// By logarithm and exponential, as scipy does it.
        YeoJohnsonByLog,
        /// Back by a power.
        BoxCox,
        BoxCoxByLog,
    }

    #[derive(Debug)]
    pub(in crate::families) struct Power {
        pub(in crate::families) lambdas: Vec<f64>,
        pub(in crate::families) how: PowerMethod,
        /// Whether the powers are float32 beside numbers that are.
        pub(in crate::families) narrow: bool,
        /// Whether 2 without a power is float32 whatever the numbers are.
        pub(in crate::families) other_narrow: bool,
    }

    #[derive(Debug)]
    pub(super) struct Scaled {
        pub(super) power: Power,
        /// Means and deviations.
        pub(super) scale: Option<(Vec<f64>, Vec<f64>)>,
        /// Whether both are float32 where the numbers are.
        pub(super) casts: bool,
        pub(super) finite: Finite,
    }

    /// Above this `exp` overflows.
    const LARGEST: f64 = 709.78;

    impl PowerMethod {
        /// `other` is 2 without the power.
        pub(in crate::families) fn apply(self, x: f64, lambda: f64, other: f64) -> f64 {
            if x.is_nan() {
                return x;
            }
            match self {
                PowerMethod::BoxCox | PowerMethod::BoxCoxByLog if lambda.abs() < 1e-19 => x.ln(),
                PowerMethod::BoxCox | PowerMethod::BoxCoxByLog if lambda * x.ln() < LARGEST => {
                    (lambda * x.ln()).exp_m1() / lambda
                }
                PowerMethod::BoxCox | PowerMethod::BoxCoxByLog => {
                    lambda.signum() * (lambda * x.ln() - lambda.abs().ln()).exp() - 1.0 / lambda
                }
                _ if x >= 0.0 => self.half(x, lambda),
                _ => -self.half(-x, other),
            }
        }

        pub(in crate::families) fn inverse(self, x: f64, lambda: f64) -> f64 {
            match self {
                PowerMethod::BoxCox | PowerMethod::BoxCoxByLog if lambda == 0.0 => x.exp(),
                PowerMethod::BoxCox => (x * lambda + 1.0).powf(1.0 / lambda),
                PowerMethod::BoxCoxByLog => ((lambda * x).ln_1p() / lambda).exp(),
                _ if x >= 0.0 && lambda.abs() < f64::EPSILON => x.exp() - 1.0,
                _ if x >= 0.0 => (x * lambda + 1.0).powf(1.0 / lambda) - 1.0,
                _ if (lambda - 2.0).abs() > f64::EPSILON => {
                    1.0 - (-(2.0 - lambda) * x + 1.0).powf(1.0 / (2.0 - lambda))
                }
                _ => 1.0 - (-x).exp(),
            }
        }

        fn half(self, x: f64, lambda: f64) -> f64 {
            if lambda.abs() < f64::EPSILON {
                x.ln_1p()
            } else if self == PowerMethod::YeoJohnsonByLog {
                (lambda * x.ln_1p()).exp_m1() / lambda
            } else {
                ((x + 1.0).powf(lambda) - 1.0) / lambda
            }
        }
    }

    impl Power {
        /// The way back of a float32.
        pub(in crate::families) fn narrow_inverse(&self, x: f32, lambda: f64) -> f32 {
            if !self.narrow || matches!(self.how, PowerMethod::BoxCoxByLog) {
                return self.how.inverse(x.into(), round(lambda, self.narrow)) as f32;
            }
            let power = lambda as f32;
            match self.how {
                PowerMethod::BoxCox if lambda == 0.0 => float32::exp(x),
                PowerMethod::BoxCox => (x * power + 1.0).powf((1.0 / lambda) as f32),
                _ if x >= 0.0 && lambda.abs() < f64::EPSILON => float32::exp(x) - 1.0,
                _ if x >= 0.0 => (x * power + 1.0).powf((1.0 / lambda) as f32) - 1.0,
                _ if (lambda - 2.0).abs() > f64::EPSILON => {
                    1.0 - (-((2.0 - lambda) as f32) * x + 1.0).powf((1.0 / (2.0 - lambda)) as f32)
                }
                _ => 1.0 - float32::exp(-x),
            }
        }
    }

    /// What the power gives of a float32. Where the power is float32 too, every operation is.
    pub(in crate::families) fn narrow(how: PowerMethod, x: f32, lambda: f64, all: bool) -> f32 {
        if x.is_nan() {
            return x;
        }
        match how {
            // scipy computes in float64 either way.
            PowerMethod::BoxCox | PowerMethod::BoxCoxByLog => how.apply(x.into(), round(lambda, all), 0.0) as f32,
            _ if x >= 0.0 => narrow_half(how, x, lambda, all),
            _ => -narrow_half(how, -x, round(2.0 - lambda, all), all),
        }
    }

    fn narrow_half(how: PowerMethod, x: f32, lambda: f64, all: bool) -> f32 {
        let is_zero = match how {
            PowerMethod::YeoJohnsonByLog if all => lambda.abs() < f64::from(f32::EPSILON),
            _ => lambda.abs() < f64::EPSILON,
        };
        if is_zero {
            return x.ln_1p();
        }
        let power = lambda as f32;
        match (how, all) {
            (PowerMethod::YeoJohnsonByLog, true) => (power * x.ln_1p()).exp_m1() / power,
            (PowerMethod::YeoJohnsonByLog, false) => ((lambda * f64::from(x.ln_1p())).exp_m1() / lambda) as f32,
            (_, true) => ((x + 1.0).powf(power) - 1.0) / power,
            (_, false) => ((f64::from(x + 1.0).powf(lambda) - 1.0) / lambda) as f32,
        }
    }

    impl Transform for Scaled {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            self.finite.check(&x, run);
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, "PowerTransformer", None, "a sparse table");
            }
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let is_narrow = dense.narrow;
            let how = self.power.how;
            for (col, lambda) in self.power.lambdas.iter().enumerate() {
                for (row, value) in dense.column_mut(col).iter_mut().enumerate() {
                    if matches!(how, PowerMethod::BoxCox | PowerMethod::BoxCoxByLog) && *value <= 0.0 {
                        run.refuse(row, "PowerTransformer", Some(&self.finite.labels[col]), "not above zero");
                    }
                    *value = if is_narrow {
                        narrow(how, *value as f32, *lambda, self.power.narrow).into()
                    } else {
                        how.apply(*value, *lambda, round(2.0 - *lambda, self.power.other_narrow))
                    };
                    if let Some((mean, scale)) = &self.scale {
                        // The scaler inside checks its input as every scaler does.
                        if value.is_infinite() {
                            run.refuse(row, "PowerTransformer", Some(&self.finite.labels[col]), "overflow");
                        }
                        let learned = |value: f64| round(value, is_narrow && self.casts);
                        *value = round(round(*value - learned(mean[col]), is_narrow) / learned(scale[col]), is_narrow);
                    }
                }
            }
            Matrix::Dense(dense)
        }
    }
}
