//! `QuantileTransformer`: the share of training rows below a value, or the normal deviate of that share.
//!
//! Uniform output is equal to the bit. Normal output goes through `log`, whose last place differs between machines.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "QuantileTransformer",
    classes: &[
        ("sklearn.preprocessing._data", "QuantileTransformer"),
        ("sklearn.preprocessing.data", "QuantileTransformer"),
    ],
    globals: &[],
    load,
};

pub(super) use run::Curves;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let curves = read(view)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, curves.width(), names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(curves.bytes());
    let takes_negative = flag(view, "ignore_implicit_zeros", false)?;
    let finite = Finite::new("QuantileTransformer", &sources, true, false);
    let step = run::Quantile { curves, takes_negative, finite };
    let out = sources.into_iter().map(Source::changed).collect();
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

pub(super) fn read(view: &View<'_>) -> Result<Curves, Error> {
    let quantiles = view.attr("quantiles_")?.array()?;
    let [count, features] = quantiles.dims()?;
    let references = view.attr("references_")?.array()?.f64s()?;
    let quantiles = quantiles.f64s()?;
    if count == 0 || references.len() != count {
        return Err(Error::counts(view.path(), (count, "quantiles"), (references.len(), "references")));
    }
    let normal = match word(view, "output_distribution", "uniform")? {
        "uniform" => false,
        "normal" => true,
        other => {
            let what = format!("output_distribution={other}");
            return Err(Error::unsupported(view.path(), what, "uniform, normal"));
        }
    };
    let column = |col: usize| -> Vec<f64> { quantiles.iter().skip(col).step_by(features).copied().collect() };
    let columns = (0..features).map(|col| run::Curve::new(column(col))).collect();
    Ok(Curves { columns, references: run::Curve::new(references), normal })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::math::normal::{deviate, share_below};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    /// Numbers that ascend, and the same with their signs and their order turned round.
    #[derive(Debug)]
    pub(in crate::families) struct Curve {
        up: Vec<f64>,
        down: Vec<f64>,
    }

    impl Curve {
        pub(super) fn new(up: Vec<f64>) -> Self {
            let down = up.iter().rev().map(|value| -value).collect();
            Curve { up, down }
        }
    }

    #[derive(Debug)]
    pub(in crate::families) struct Curves {
        pub(super) columns: Vec<Curve>,
        pub(super) references: Curve,
        pub(super) normal: bool,
    }

    #[derive(Debug)]
    pub(super) struct Quantile {
        pub(super) curves: Curves,
        /// Whether a sparse table may hold numbers below zero.
        pub(super) takes_negative: bool,
        pub(super) finite: Finite,
    }

    /// So near to the ends the normal deviate is cut off.
    const BOUNDS: f64 = 1e-7;

    impl Curves {
        pub(in crate::families) fn width(&self) -> usize {
            self.columns.len()
        }

        pub(super) fn bytes(&self) -> usize {
            self.columns.iter().map(|curve| curve.up.len() * 16).sum()
        }

        /// The value below which a share of the training rows lies.
        pub(in crate::families) fn inverse(&self, col: usize, x: f64) -> f64 {
            let curve = &self.columns[col].up;
            let share = if self.normal { share_below(x) } else { x };
            let (below, above) =
                if self.normal { (share - BOUNDS < 0.0, share + BOUNDS > 1.0) } else { (share == 0.0, share == 1.0) };
            match (below, above) {
                _ if share.is_nan() => share,
                (true, _) => curve[0],
                (_, true) => curve[curve.len() - 1],
                _ => interpolate(share, &self.references.up, curve),
            }
        }

        fn apply(&self, x: f64, curve: &Curve, narrow: bool) -> f64 {
            if x.is_nan() {
                return x;
            }
            let (low, high) = (curve.up[0], curve.up[curve.up.len() - 1]);
            let (below, above) = if self.normal {
                (round(x - BOUNDS, narrow) < low, round(x + BOUNDS, narrow) > high)
            } else {
                (x == low, x == high)
            };
            // Where quantiles repeat, the mean of both ends of the step.
            let up = interpolate(x, &curve.up, &self.references.up);
            let down = interpolate(-x, &curve.down, &self.references.down);
            let share = match (below, above) {
                (true, _) => 0.0,
                (_, true) => 1.0,
                _ => round(0.5 * (up - down), narrow),
            };
            if !self.normal {
                return share;
            }
            let bound = BOUNDS - f64::EPSILON;
            round(deviate(share).max(deviate(bound)).min(deviate(1.0 - bound)), narrow)
        }
    }

    /// numpy's `interp`, operation by operation.
    fn interpolate(x: f64, xs: &[f64], ys: &[f64]) -> f64 {
        let last = xs.len() - 1;
        if x > xs[last] {
            return ys[last];
        }
        let Some(at) = xs.partition_point(|one| *one <= x).checked_sub(1) else { return ys[0] };
        if at == last || xs[at] == x {
            return ys[at];
        }
        let slope = (ys[at + 1] - ys[at]) / (xs[at + 1] - xs[at]);
        let y = slope * (x - xs[at]) + ys[at];
        if !y.is_nan() {
            return y;
        }
        let y = slope * (x - xs[at + 1]) + ys[at + 1];
        if y.is_nan() && ys[at] == ys[at + 1] { ys[at] } else { y }
    }

    impl Transform for Quantile {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            self.finite.check(&x, run);
            if let Matrix::Csr(mut csr) = x {
                for row in 0..rows {
                    if !self.takes_negative && csr.row(row).any(|(_, value)| value < 0.0) {
                        run.refuse(row, "QuantileTransformer", None, "below zero in a sparse table");
                    }
                }
                for (value, col) in csr.data.iter_mut().zip(&csr.indices) {
                    *value = self.curves.apply(*value, &self.curves.columns[*col as usize], csr.narrow);
                }
                return Matrix::Csr(csr);
            }
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let narrow = dense.narrow;
            for (col, curve) in self.curves.columns.iter().enumerate() {
                dense.column_mut(col).iter_mut().for_each(|value| *value = self.curves.apply(*value, curve, narrow));
            }
            Matrix::Dense(dense)
        }
    }
}
