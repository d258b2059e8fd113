//! `NMF`: how much of each component is in a row, found step by step. Each row is what the library gives of it alone: beside
//! others it may stop a step earlier or later, because it looks at all of them together (`tol`). Where it was trained on float32,
//! every step is rounded as there, and float32 is all that it takes.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, some_attr, version, word};
use crate::families::shared::kernels::Held;
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "non-negative factors",
    classes: &[("sklearn.decomposition._nmf", "NMF"), ("sklearn.decomposition.nmf", "NMF")],
    globals: &[],
    load,
};

/// Steps for one row: more are an attack on time.
const STEPS: usize = 100_000;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let components = Held::read(&view.attr("components_")?)?;
    let solver = word(view, "solver", "cd")?;
    if solver != "cd" || flag(view, "shuffle", false)? {
        let what = format!("solver={solver} that starts from the mean of a whole batch, or shuffles");
        return Err(Error::unsupported(view.path(), what, "solver=cd, shuffle=False"));
    }
    let number = |name: &str| -> Result<f64, Error> {
        Ok(some_attr(view, name)?.and_then(|value| value.as_f64().ok()).unwrap_or(0.0))
    };
    let (mut alpha, ratio) = (number("alpha_W")?, number("l1_ratio")?);
    if version(view)?.is_none_or(|version| version < (1, 2)) && number("alpha")? != 0.0 {
        return Err(Error::unsupported(view.path(), "alpha, as versions before 1.2 had it", "alpha=0"));
    }
    alpha *= components.features as f64;
    let steps = view.attr("max_iter")?.as_usize()?;
    if steps > STEPS {
        return Err(Error::Limit { place: view.path(), what: "steps for a row", limit: STEPS });
    }
    let tolerance = view.attr("tol")?.as_f64()?;
    let sources = loader.sources(view, given, components.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(components.points.len().saturating_mul(8));
    loader.note(format!(
        "NMF: each row is what the library gives of it alone; in a batch its iterations stop for all rows together, within tol={tolerance}"
    ));
    let out = numbered("nmf", components.count(), &sources);
    let finite = Finite::new("NMF", &sources, false, false);
    // Until 0.24 it brought all numbers to float64.
    let casts = version(view)?.is_none_or(|version| version < (0, 24));
    let inner = run::Factors::new(components, (alpha * ratio, alpha * (1.0 - ratio)), tolerance, steps, casts);
    let step = Rows { inner, finite, takes_sparse: true };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::{Held, dot};
    use crate::families::shared::rows::OfRow;
    use crate::matrix::round;

    #[derive(Debug)]
    pub(super) struct Factors {
        components: Held,
        /// The product of each component with each, and the second penalty.
        products: Vec<Vec<f64>>,
        /// The first penalty.
        lasso: f64,
        tolerance: f64,
        steps: usize,
        /// Whether float32 counts as float64.
        casts: bool,
    }

    impl Factors {
        pub(super) fn new(
            components: Held,
            (lasso, ridge): (f64, f64),
            tolerance: f64,
            steps: usize,
            casts: bool,
        ) -> Self {
            let narrow = components.narrow;
            let rows = || components.points.chunks_exact(components.features);
            let product = |one: &[f64], other: &[f64]| round(dot(one, other), narrow);
            let mut products: Vec<Vec<f64>> =
                rows().map(|one| rows().map(|other| product(one, other)).collect()).collect();
            products.iter_mut().enumerate().for_each(|(at, row)| row[at] = round(row[at] + ridge, narrow));
            Factors { components, products, lasso, tolerance, steps, casts }
        }
    }

    impl OfRow for Factors {
        fn of_row(&self, row: &[f64], _: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            if row.iter().any(|value| *value < 0.0) {
                return Err("a number below 0");
            }
            let is_narrow = self.components.narrow;
            if narrow != is_narrow && !(narrow && self.casts) {
                // The library raises.
                return Err(if is_narrow {
                    "float64, where the components are float32: cast the columns to FLOAT"
                } else {
                    "float32, where the components are float64: cast the columns to DOUBLE"
                });
            }
            let one = |value: f64| round(value, is_narrow);
            let rows = self.components.points.chunks_exact(self.components.features);
            let wanted: Vec<f64> = rows.map(|component| one(one(dot(row, component)) - self.lasso)).collect();
            let mut parts = vec![0.0; wanted.len()];
            let mut first = 0.0;
            for step in 0..self.steps {
                let mut violation = 0.0;
                for at in 0..parts.len() {
                    let gradient =
                        self.products[at].iter().zip(&parts).fold(-wanted[at], |sum, (a, b)| one(sum + one(a * b)));
                    let away = if parts[at] == 0.0 { gradient.min(0.0).abs() } else { gradient.abs() };
                    violation = one(violation + away);
                    if self.products[at][at] != 0.0 {
                        parts[at] = one(parts[at] - one(gradient / self.products[at][at])).max(0.0);
                    }
                }
                if step == 0 {
                    first = violation;
                }
                if first == 0.0 || violation / first <= self.tolerance {
                    break;
                }
            }
            out.extend(parts);
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.products.len()
        }

        fn makes_narrow(&self, rows: bool) -> bool {
            rows && self.components.narrow
        }
    }
}
