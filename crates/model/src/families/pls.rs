//! `PLSRegression`, `PLSCanonical`, `CCA`: products with what partial least squares learned.
//!
//! Sums of products run over the features in order. The library's go through BLAS: within 1e-12 of the terms.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "partial least squares",
    classes: &[
        ("sklearn.cross_decomposition._cca", "CCA"),
        ("sklearn.cross_decomposition._pls", "CCA"),
        ("sklearn.cross_decomposition._pls", "PLSCanonical"),
        ("sklearn.cross_decomposition._pls", "PLSRegression"),
        ("sklearn.cross_decomposition.cca_", "CCA"),
        ("sklearn.cross_decomposition.pls_", "PLSCanonical"),
        ("sklearn.cross_decomposition.pls_", "PLSRegression"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let version = version(view)?;
    let rotations = view.attr("x_rotations_")?.array()?;
    let [features, components] = rotations.dims()?;
    // The names of 1.1 and 1.2, and of 1.3 and later, hold them by target; before, by feature.
    let (coef, by_target) = match some_attr(view, "_coef_")? {
        Some(coef) => (coef, true),
        None => (view.attr("coef_")?, version.is_some_and(|version| version >= (1, 3))),
    };
    let array = coef.array()?;
    let [rows, columns] = array.dims()?;
    let (targets, same) = if by_target { (rows, columns) } else { (columns, rows) };
    if features == 0 || targets == 0 || same != features {
        let message = format!("coefficients of {same} features and rotations of {features} for {targets} targets");
        return Err(Error::state(view.path(), message));
    }
    let all = array.f64s()?;
    let coef = if by_target { all } else { transposed(&all, targets) };
    let numbers = |names: &[&str], count: usize| -> Result<Vec<f64>, Error> {
        for name in names {
            if let Some(numbers) = some_attr(view, name)? {
                let numbers = numbers.array()?.f64s()?;
                return match numbers.len() == count {
                    true => Ok(numbers),
                    false => Err(Error::counts(view.path(), (numbers.len(), "numbers"), (count, "columns"))),
                };
            }
        }
        Err(Error::state(view.path(), format!("`{}` is missing", names.join("` or `"))))
    };
    let mean = numbers(&["_x_mean", "x_mean_"], features)?;
    let deviation = numbers(&["_x_std", "x_std_"], features)?;
    let intercept = numbers(&["intercept_", "_y_mean", "y_mean_"], targets)?;
    let rotations = transposed(&rotations.f64s()?, components);
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(coef.len().saturating_add(rotations.len()).saturating_mul(8));
    let mut answers = Targets::numbers(targets, DataType::Float64);
    let prefix = class.to_ascii_lowercase();
    answers.table = (0..components).map(|index| Source::made(format!("{prefix}{index}"))).collect();
    let finite = Finite::new(&class, &sources, false, false);
    // From 1.5 on the deviations are within the coefficients.
    let divides = version.is_none_or(|version| version < (1, 5));
    let step = run::Pls { mean, deviation, divides, coef, intercept, rotations, features, finite };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(answers), report: Default::default() })
}

/// Rows of `width` numbers by their columns.
fn transposed(rows: &[f64], width: usize) -> Vec<f64> {
    (0..width).flat_map(|column| rows.iter().skip(column).step_by(width.max(1)).copied()).collect()
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Pls {
        pub(super) mean: Vec<f64>,
        pub(super) deviation: Vec<f64>,
        /// Whether a prediction divides by the deviations.
        pub(super) divides: bool,
        /// By target.
        pub(super) coef: Vec<f64>,
        pub(super) intercept: Vec<f64>,
        /// By column that it transforms to.
        pub(super) rotations: Vec<f64>,
        pub(super) features: usize,
        pub(super) finite: Finite,
    }

    impl Pls {
        /// Around the means, in float32 where the table is.
        fn centred(&self, x: Matrix, divides: bool, run: &mut Run) -> Dense {
            self.finite.check(&x, run);
            let rows = x.rows();
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            let mut x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
            let narrow = x.narrow;
            for (col, (mean, deviation)) in self.mean.iter().zip(&self.deviation).enumerate() {
                let deviation = if divides { *deviation } else { 1.0 };
                for value in x.column_mut(col) {
                    *value = round(round(*value - mean, narrow) / deviation, narrow);
                }
            }
            x
        }
    }

    impl Predict for Pls {
        fn answer(&self, x: Matrix, _want: Method, run: &mut Run) -> Answer {
            let x = self.centred(x, self.divides, run);
            let mut columns = scores::products(&x, &self.coef);
            for (column, intercept) in columns.iter_mut().zip(&self.intercept) {
                column.iter_mut().for_each(|value| *value += intercept);
            }
            Answer::F64(columns)
        }

        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            let x = self.centred(x, true, run);
            let columns = scores::products(&x, &self.rotations);
            Matrix::Dense(Dense { rows: x.rows, cols: columns.len(), data: columns.concat(), narrow: false })
        }
    }
}
