//! `IsotonicRegression`: a line from point to point, by one number a row.

use arrow_schema::DataType;
use foretell_pickle::{Kind, View};

use crate::attributes::{feature_names, some_attr};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family =
    Family { name: "isotonic regression", classes: &[("sklearn.isotonic", "IsotonicRegression")], globals: &[], load };

pub(super) use run::Curve;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let curve = read(view)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, 1, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let mut targets = Targets::numbers(1, if curve.narrow { DataType::Float32 } else { DataType::Float64 });
    targets.table = vec![Source::made("isotonicregression0".to_string())];
    let label = sources.into_iter().next().map(|source| source.label);
    let step = run::Isotonic { curve, label };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// The points of a fitted curve: under their older names before 0.24.
pub(super) fn read(view: &View<'_>) -> Result<Curve, Error> {
    let old = view.get_attr("X_thresholds_")?.is_none();
    let (x, y) = if old { ("_necessary_X_", "_necessary_y_") } else { ("X_thresholds_", "y_thresholds_") };
    let (x, y) = (view.attr(x)?.array()?, view.attr(y)?.array()?);
    let narrow = x.dtype().kind == Kind::Float && x.dtype().size == 4;
    let (x, y) = (x.f64s()?, y.f64s()?);
    let rises = x.windows(2).all(|pair| matches!(pair, [left, right] if left < right));
    if x.len() != y.len() || x.is_empty() || !rises {
        return Err(Error::state(view.path(), format!("a curve of {} and {} coordinates", x.len(), y.len())));
    }
    let outside = view.attr("out_of_bounds")?;
    let outside = match outside.as_str()? {
        "nan" => run::Outside::Nan,
        "raise" => run::Outside::Refuse,
        "clip" => {
            let bound = |name: &str| -> Result<Option<f64>, Error> {
                some_attr(view, name)?.map(|bound| bound.as_f64()).transpose().map_err(Error::from)
            };
            let (Some(low), Some(high)) = (bound("X_min_")?, bound("X_max_")?) else {
                return Err(Error::state(view.path(), "does not tell its bounds"));
            };
            run::Outside::Clip(low, high)
        }
        other => {
            return Err(Error::unsupported(outside.path(), format!("out_of_bounds={other}"), "nan, clip, raise"));
        }
    };
    Ok(Curve { x, y, outside, narrow })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::matrix::round;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(in crate::families) enum Outside {
        Nan,
        Refuse,
        Clip(f64, f64),
    }

    /// Points in rising order, at least one.
    #[derive(Debug)]
    pub(in crate::families) struct Curve {
        pub(super) x: Vec<f64>,
        pub(super) y: Vec<f64>,
        pub(super) outside: Outside,
        /// Whether the library computes in float32.
        pub(super) narrow: bool,
    }

    impl Curve {
        /// The curve at each value; refused where there is none, or where a value is not finite.
        pub(in crate::families) fn at(&self, values: &mut [f64], label: Option<&str>, run: &mut Run) {
            let step = "IsotonicRegression";
            for (row, value) in values.iter_mut().enumerate() {
                let mut x = round(*value, self.narrow);
                if !x.is_finite() {
                    run.refuse(row, step, label, if value.is_nan() { "missing value" } else { "infinity" });
                    continue;
                }
                if let Outside::Clip(low, high) = self.outside {
                    x = if x < low {
                        low
                    } else if x > high {
                        high
                    } else {
                        x
                    };
                }
                let (first, last) = (self.x[0], self.x[self.x.len() - 1]);
                if self.x.len() > 1 && (x < first || x > last) {
                    if matches!(self.outside, Outside::Refuse) {
                        run.refuse(row, step, label, "outside of what was seen in training");
                    }
                    *value = f64::NAN;
                    continue;
                }
                *value = self.line(x);
            }
        }

        /// numpy's `interp` in float64; in float32 scipy's `interp1d`, which draws a line even to the points.
        fn line(&self, x: f64) -> f64 {
            let last = self.x.len() - 1;
            if last == 0 {
                return self.y[0];
            }
            let right = if self.narrow {
                self.x.partition_point(|point| *point < x).clamp(1, last)
            } else {
                let right = self.x.partition_point(|point| *point <= x);
                if right == 0 || right > last || self.x[right - 1] == x {
                    return self.y[right.saturating_sub(1)];
                }
                right
            };
            let left = right - 1;
            let round = |value| round(value, self.narrow);
            let slope = round(round(self.y[right] - self.y[left]) / round(self.x[right] - self.x[left]));
            let y = round(round(slope * round(x - self.x[left])) + self.y[left]);
            if y.is_nan() && self.y[left] == self.y[right] { self.y[left] } else { y }
        }
    }

    #[derive(Debug)]
    pub(super) struct Isotonic {
        pub(super) curve: Curve,
        pub(super) label: Option<String>,
    }

    impl Isotonic {
        fn values(&self, x: &Matrix, run: &mut Run) -> Vec<f64> {
            let Some(mut values) = x.numbers(0) else {
                run.refuse_all(x.rows(), "IsotonicRegression", self.label.as_deref(), "not a number");
                return vec![0.0; x.rows()];
            };
            self.curve.at(&mut values, self.label.as_deref(), run);
            values
        }
    }

    impl Predict for Isotonic {
        fn answer(&self, x: Matrix, _want: Method, run: &mut Run) -> Answer {
            Answer::floats(vec![self.values(&x, run)], self.curve.narrow)
        }

        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            let data = self.values(&x, run);
            Matrix::Dense(Dense { data, rows: x.rows(), cols: 1, narrow: self.curve.narrow })
        }
    }
}
