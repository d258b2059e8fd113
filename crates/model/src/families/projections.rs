//! `BernoulliRBM`, `NeighborhoodComponentsAnalysis`, `SparsePCA`, `MiniBatchSparsePCA`, `PLSSVD`: one product with weights,
//! after what is taken off and divided by; and `FeatureAgglomeration`, which puts columns together.
//!
//! The library leaves the products to BLAS, which adds in an order of its own: within 1e-12 of the terms, not to the bit. Where
//! weights and rows are float32 it adds up in float32; here the sum is rounded once.

use foretell_pickle::{Entry, Kind, View};

use crate::attributes::{feature_names, flag, some_attr, version};
use crate::families::shared::rows::numbered;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::math::solve::inverse;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "projections and groups of columns",
    classes: &[
        ("sklearn.cluster._agglomerative", "FeatureAgglomeration"),
        ("sklearn.cluster.hierarchical", "FeatureAgglomeration"),
        ("sklearn.cross_decomposition._pls", "PLSSVD"),
        ("sklearn.cross_decomposition.pls_", "PLSSVD"),
        ("sklearn.decomposition._sparse_pca", "MiniBatchSparsePCA"),
        ("sklearn.decomposition._sparse_pca", "SparsePCA"),
        ("sklearn.decomposition.sparse_pca", "MiniBatchSparsePCA"),
        ("sklearn.decomposition.sparse_pca", "SparsePCA"),
        ("sklearn.neighbors._nca", "NeighborhoodComponentsAnalysis"),
        ("sklearn.neighbors.nca", "NeighborhoodComponentsAnalysis"),
        ("sklearn.neural_network._rbm", "BernoulliRBM"),
        ("sklearn.neural_network.rbm", "BernoulliRBM"),
    ],
    globals: &[
        Entry::inert("numpy", "amax"),
        Entry::inert("numpy", "amin"),
        Entry::inert("numpy", "max"),
        Entry::inert("numpy", "mean"),
        Entry::inert("numpy", "median"),
        Entry::inert("numpy", "min"),
    ],
    load,
};

fn table(view: &View<'_>) -> Result<(Vec<f64>, [usize; 2]), Error> {
    let array = view.array()?;
    let dims: [usize; 2] = array.dims()?;
    if dims.contains(&0) {
        return Err(Error::state(view.path(), format!("a table of {} rows and {} columns", dims[0], dims[1])));
    }
    Ok((array.f64s()?, dims))
}

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    if class == "FeatureAgglomeration" {
        return groups(loader, view, given);
    }
    let either = |new: &str, old: &str| match some_attr(view, new)? {
        Some(found) => Ok(found),
        None => view.attr(old).map_err(Error::from),
    };
    let (weights, [count, features]) = match class.as_str() {
        "PLSSVD" => {
            let (all, [features, count]) = table(&view.attr("x_weights_")?)?;
            let column = |index: usize| all.iter().skip(index).step_by(count).copied();
            ((0..count).flat_map(column).collect(), [count, features])
        }
        _ => table(&view.attr("components_")?)?,
    };
    let is_narrow = some_attr(view, "components_")?.is_some_and(|components| {
        components.array().is_ok_and(|array| array.dtype().kind == Kind::Float && array.dtype().size == 4)
    });
    let numbers = |found: View<'_>, wanted: usize| -> Result<Vec<f64>, Error> {
        let all = found.array()?.f64s()?;
        if all.len() != wanted {
            return Err(Error::counts(found.path(), (all.len(), "numbers"), (wanted, "columns")));
        }
        Ok(all)
    };
    let mut step = run::Project { weights, is_narrow, ..run::Project::default() };
    match class.as_str() {
        "BernoulliRBM" => {
            step.plus = Some(numbers(view.attr("intercept_hidden_")?, count)?);
            step.takes_sparse = true;
        }
        "PLSSVD" => {
            step.centre = Some(numbers(either("_x_mean", "x_mean_")?, features)?);
            step.scale = Some(numbers(either("_x_std", "x_std_")?, features)?);
        }
        "SparsePCA" | "MiniBatchSparsePCA" => {
            let old = version(view)?.is_some_and(|version| version < (0, 22));
            if old && !flag(view, "normalize_components", false)? {
                let message = "divides by what all rows of a batch give: train it with `normalize_components=True`";
                return Err(Error::state(view.path(), message));
            }
            step.centre = Some(numbers(view.attr("mean_")?, features)?);
            step.casts = true;
            let ridge = view.attr("ridge_alpha")?.as_f64()?;
            step.weights = ridge_weights(view, &step.weights, features, ridge)?;
        }
        _ => {}
    }
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(step.weights.len().saturating_mul(8));
    let out = numbered(&class.to_ascii_lowercase(), count, &sources);
    step.finite = Some(Finite::new(&class, &sources, false, false));
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// More components than these would take long to solve for.
const COMPONENTS: usize = 1 << 11;

/// The least squares with a ridge are a product: `(C Cᵀ + α)⁻¹ C`.
fn ridge_weights(view: &View<'_>, components: &[f64], features: usize, ridge: f64) -> Result<Vec<f64>, Error> {
    let rows: Vec<&[f64]> = components.chunks_exact(features).collect();
    if rows.len() > COMPONENTS {
        return Err(Error::Limit { place: view.path(), what: "components", limit: COMPONENTS });
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let products = rows.iter().enumerate().map(|(at, row)| {
        let add = |(other, product): (usize, f64)| if other == at { product + ridge } else { product };
        rows.iter().map(|other| dot(row, other)).enumerate().map(add).collect()
    });
    let inverse = inverse(products.collect())
        .ok_or_else(|| Error::state(view.path(), "components that are combinations of each other, without a ridge"))?;
    let column = |column: usize| -> Vec<f64> { rows.iter().filter_map(|row| row.get(column).copied()).collect() };
    let columns: Vec<Vec<f64>> = (0..features).map(column).collect();
    Ok(inverse.iter().flat_map(|row| columns.iter().map(|column| dot(row, column)).collect::<Vec<_>>()).collect())
}

/// `FeatureAgglomeration`: the mean of each group of columns, or another function of them.
fn groups(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let labels = view.attr("labels_")?.array()?.u64s()?;
    let count = view.attr("n_clusters_").or_else(|_| view.attr("n_clusters"))?.as_usize()?;
    let labels: Option<Vec<usize>> =
        labels.into_iter().map(|label| usize::try_from(label).ok().filter(|label| *label < count)).collect();
    let labels = labels.ok_or_else(|| Error::out_of_range(view.path(), "a group of columns"))?;
    if (0..count).any(|group| !labels.contains(&group)) {
        return Err(Error::state(view.path(), "a group without a column"));
    }
    let function = view.attr("pooling_func")?;
    let how = match function.class().map(|class| (class.module.as_str(), class.name.as_str())) {
        Some(("numpy", "mean")) => run::Pool::Mean,
        Some(("numpy", "amax" | "max")) => run::Pool::Largest,
        Some(("numpy", "amin" | "min")) => run::Pool::Least,
        Some(("numpy", "median")) => run::Pool::Median,
        _ => {
            let supported = "numpy's mean, max, min, median";
            return Err(Error::unsupported(function.path(), "another pooling_func", supported));
        }
    };
    let sources = loader.sources(view, given, labels.len(), feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let out = numbered("featureagglomeration", count, &sources);
    let finite = Finite::new("FeatureAgglomeration", &sources, false, false);
    let step = run::Groups { labels, count, how, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::math::scores::{expit, products, sparse_products};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug, Default)]
    pub(super) struct Project {
        /// By output.
        pub(super) weights: Vec<f64>,
        pub(super) centre: Option<Vec<f64>>,
        pub(super) scale: Option<Vec<f64>>,
        /// What is added to the product, of which the logistic function is told.
        pub(super) plus: Option<Vec<f64>>,
        /// Whether the weights are float32: then so is what they make of float32.
        pub(super) is_narrow: bool,
        /// Whether the rows are brought to the type of the weights.
        pub(super) casts: bool,
        pub(super) takes_sparse: bool,
        pub(super) finite: Option<Finite>,
    }

    impl Transform for Project {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            let step = self.finite.as_ref().map(|finite| finite.step.as_str()).unwrap_or_default();
            self.finite.iter().for_each(|finite| finite.check(&x, run));
            let narrow = self.is_narrow && (self.casts || x.is_narrow());
            let mut out = match x {
                Matrix::Csr(csr) if self.takes_sparse => sparse_products(&csr, &self.weights),
                x => {
                    if matches!(x, Matrix::Csr(_)) {
                        run.refuse_all(rows, step, None, "a sparse table");
                    }
                    let mut x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                    for (col, centre) in self.centre.iter().flatten().enumerate() {
                        x.column_mut(col).iter_mut().for_each(|value| *value = round(*value - centre, narrow));
                    }
                    for (col, scale) in self.scale.iter().flatten().enumerate() {
                        x.column_mut(col).iter_mut().for_each(|value| *value /= scale);
                    }
                    products(&x, &self.weights)
                }
            };
            for (column, plus) in out.iter_mut().zip(self.plus.iter().flatten()) {
                column.iter_mut().for_each(|value| *value = expit(round(round(*value, narrow) + plus, narrow)));
            }
            let data = out.concat().into_iter().map(|value| round(value, narrow)).collect();
            let cols = out.len();
            Matrix::Dense(Dense { data, rows, cols, narrow })
        }
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Pool {
        Mean,
        Largest,
        Least,
        Median,
    }

    #[derive(Debug)]
    pub(super) struct Groups {
        pub(super) labels: Vec<usize>,
        pub(super) count: usize,
        pub(super) how: Pool,
        pub(super) finite: Finite,
    }

    impl Pool {
        fn of(self, mut all: Vec<f64>) -> f64 {
            match self {
                // In order, as they are counted up.
                Pool::Mean => all.iter().fold(0.0, |sum, value| sum + value) / all.len() as f64,
                Pool::Largest => all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Pool::Least => all.iter().copied().fold(f64::INFINITY, f64::min),
                Pool::Median => {
                    all.sort_by(f64::total_cmp);
                    let half = all.len() / 2;
                    if all.len() % 2 == 1 { all[half] } else { (all[half - 1] + all[half]) / 2.0 }
                }
            }
        }
    }

    impl Transform for Groups {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            self.finite.check(&x, run);
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            // Means are of float64 whatever the numbers are; the others are one of them.
            let narrow = x.is_narrow() && !matches!(self.how, Pool::Mean);
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let mut out = Dense { narrow, ..Dense::zeros(rows, self.count) };
            for row in 0..rows {
                let mut groups = vec![Vec::new(); self.count];
                self.labels.iter().enumerate().for_each(|(col, group)| groups[*group].push(x.column(col)[row]));
                for (group, values) in groups.into_iter().enumerate() {
                    out.column_mut(group)[row] = self.how.of(values);
                }
            }
            Matrix::Dense(out)
        }
    }
}
