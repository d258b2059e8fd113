//! `MinMaxScaler`, `MaxAbsScaler`, `RobustScaler`: one or two operations a column, in the library's own order.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::View;

use super::Family;
use super::finite::Finite;
use crate::loader::{Loaded, Loader, Out, Source, feature_names, flag};
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "scalers by range",
    classes: &[
        ("sklearn.preprocessing._data", "MaxAbsScaler"),
        ("sklearn.preprocessing._data", "MinMaxScaler"),
        ("sklearn.preprocessing._data", "RobustScaler"),
        ("sklearn.preprocessing.data", "MaxAbsScaler"),
        ("sklearn.preprocessing.data", "MinMaxScaler"),
        ("sklearn.preprocessing.data", "RobustScaler"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let numbers = |name: &str| -> Result<Vec<f64>, Error> { Ok(view.attr(name)?.array()?.f64s()?) };
    let mut steps = Vec::new();
    let clips = flag(view, "clip", false)?;
    match class.as_str() {
        "MinMaxScaler" => {
            steps.push(run::Operation::Times(numbers("scale_")?));
            steps.push(run::Operation::Plus(numbers("min_")?));
            if clips {
                let range = view.attr("feature_range")?;
                steps.push(clip(view, range.item(0)?.as_f64()?, range.item(1)?.as_f64()?)?);
            }
        }
        "MaxAbsScaler" => {
            steps.push(run::Operation::Over(numbers("scale_")?));
            if clips {
                steps.push(clip(view, -1.0, 1.0)?);
            }
        }
        _ => {
            if flag(view, "with_centering", true)? {
                steps.push(run::Operation::Minus(numbers("center_")?));
            }
            if flag(view, "with_scaling", true)? {
                steps.push(run::Operation::Over(numbers("scale_")?));
            }
        }
    }
    let learned = steps.iter().find_map(run::Operation::len);
    let count = loader.width(view, given, learned)?;
    if steps.iter().filter_map(run::Operation::len).any(|len| len != count) {
        return Err(Error::state(view.path(), "its attributes have different lengths"));
    }
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let finite = Finite::new(&class, &sources, true, false);
    let out = sources.into_iter().map(Source::changed).collect();
    let step = run::Scaler { steps, finite, takes_sparse: class != "MinMaxScaler" };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn clip(view: &View<'_>, low: f64, high: f64) -> Result<run::Operation, Error> {
    if low <= high {
        return Ok(run::Operation::Clip(low, high));
    }
    Err(Error::state(view.path(), format!("clips to {low} and {high}")))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::families::finite::Finite;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) enum Operation {
        Plus(Vec<f64>),
        Minus(Vec<f64>),
        Times(Vec<f64>),
        Over(Vec<f64>),
        Clip(f64, f64),
    }

    impl Operation {
        pub(super) fn len(&self) -> Option<usize> {
            match self {
                Operation::Plus(by) | Operation::Minus(by) | Operation::Times(by) | Operation::Over(by) => {
                    Some(by.len())
                }
                Operation::Clip(..) => None,
            }
        }

        fn apply(&self, value: f64, col: usize) -> f64 {
            match self {
                Operation::Plus(by) => value + by[col],
                Operation::Minus(by) => value - by[col],
                Operation::Times(by) => value * by[col],
                Operation::Over(by) => value / by[col],
                Operation::Clip(low, high) => value.clamp(*low, *high),
            }
        }

        /// Sparse tables are multiplied by the reciprocal and never shifted.
        fn apply_sparse(&self, value: f64, col: usize) -> f64 {
            match self {
                Operation::Over(by) => value * (1.0 / by[col]),
                other => other.apply(value, col),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Scaler {
        pub(super) steps: Vec<Operation>,
        pub(super) finite: Finite,
        pub(super) takes_sparse: bool,
    }

    impl Transform for Scaler {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, cols) = (x.rows(), x.cols());
            if let Matrix::Csr(mut csr) = x {
                let shifts = |step: &Operation| matches!(step, Operation::Plus(_) | Operation::Minus(_));
                if !self.takes_sparse || self.steps.iter().any(shifts) {
                    run.refuse_all(rows, &self.finite.step, None, "a sparse table");
                    return Matrix::Csr(csr);
                }
                for (value, col) in csr.data.iter_mut().zip(&csr.indices) {
                    for step in &self.steps {
                        *value = round(step.apply_sparse(*value, *col as usize), csr.narrow);
                    }
                }
                return Matrix::Csr(csr);
            }
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let narrow = dense.narrow;
            for col in 0..cols {
                for step in &self.steps {
                    dense.column_mut(col).iter_mut().for_each(|value| *value = round(step.apply(*value, col), narrow));
                }
            }
            Matrix::Dense(dense)
        }
    }

    fn round(value: f64, narrow: bool) -> f64 {
        if narrow { f64::from(value as f32) } else { value }
    }
}
