//! `PCA`, `IncrementalPCA`, `TruncatedSVD`, `FastICA`: products with the components that were learned.
//!
//! The library leaves the products to BLAS, which adds in an order of its own: within 1e-12 of the terms, not to the bit.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, some_attr, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "decompositions",
    classes: &[
        ("sklearn.decomposition._fastica", "FastICA"),
        ("sklearn.decomposition._incremental_pca", "IncrementalPCA"),
        ("sklearn.decomposition._pca", "PCA"),
        ("sklearn.decomposition._truncated_svd", "TruncatedSVD"),
        ("sklearn.decomposition.fastica_", "FastICA"),
        ("sklearn.decomposition.incremental_pca", "IncrementalPCA"),
        ("sklearn.decomposition.pca", "PCA"),
        ("sklearn.decomposition.truncated_svd", "TruncatedSVD"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let components = view.attr("components_")?.array()?;
    let [count, features] = components.dims()?;
    // Of float32 numbers a product with float64 is float64.
    let mut narrow = components.dtype().size == 4;
    let components = components.f64s()?;
    let numbers = |name: &str, wanted: usize| -> Result<Option<Vec<f64>>, Error> {
        let Some(array) = some_attr(view, name)? else { return Ok(None) };
        let all = array.array()?.f64s()?;
        if all.len() != wanted {
            return Err(Error::state(view.path(), format!("`{name}` holds {} numbers instead of {wanted}", all.len())));
        }
        Ok(Some(all))
    };
    if features == 0 {
        return Err(Error::state(view.path(), "components of no feature"));
    }
    let is_svd = class == "TruncatedSVD";
    let is_ica = class == "FastICA";
    let mut mean = if is_svd { None } else { numbers("mean_", features)? };
    // Taken off before the products, and in float32 where the numbers are.
    let centre = if is_ica { mean.take() } else { None };
    if mean.is_some() && version(view)?.is_none_or(|version| version < (1, 5)) {
        // Until then the mean was taken from the numbers themselves.
        narrow &= view.attr("mean_")?.array()?.dtype().size == 4;
    }
    let scale = if !is_svd && !is_ica && flag(view, "whiten", false)? {
        // A deviation of 0 would divide by 0, which versions before 1.4 did.
        let least = if version(view)?.is_some_and(|version| version >= (1, 4)) { f64::EPSILON } else { 0.0 };
        let deviation = |variance: f64| variance.sqrt().max(least);
        numbers("explained_variance_", count)?.map(|all| all.into_iter().map(deviation).collect())
    } else {
        None
    };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(components.len().saturating_mul(8));
    let prefix = class.to_ascii_lowercase();
    let out = (0..count).map(|index| Source::made_of(format!("{prefix}{index}"), &sources)).collect();
    let takes_sparse = match class.as_str() {
        "PCA" => version(view)?.is_some_and(|version| version >= (1, 4)),
        "FastICA" => false,
        _ => true,
    };
    let finite = Finite::new(&class, &sources, false, false);
    let step = run::Project { components, centre, mean, scale, features, narrow, takes_sparse, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::math::scores;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Project {
        /// One after the other, `features` numbers each.
        pub(super) components: Vec<f64>,
        /// What is taken off the numbers.
        pub(super) centre: Option<Vec<f64>>,
        /// Whose product is taken off the products.
        pub(super) mean: Option<Vec<f64>>,
        pub(super) scale: Option<Vec<f64>>,
        pub(super) features: usize,
        /// Whether the answer is float32 where the numbers are.
        pub(super) narrow: bool,
        pub(super) takes_sparse: bool,
        pub(super) finite: Finite,
    }

    impl Transform for Project {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let rows = x.rows();
            let (mut columns, is_narrow) = match x {
                Matrix::Csr(csr) => {
                    if !self.takes_sparse {
                        run.refuse_all(rows, &self.finite.step, None, "a sparse table");
                    }
                    (scores::sparse_products(&csr, &self.components), csr.narrow)
                }
                other => {
                    let mut dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
                    let narrow = dense.narrow;
                    for (col, mean) in self.centre.iter().flatten().enumerate() {
                        dense.column_mut(col).iter_mut().for_each(|value| *value = round(*value - mean, narrow));
                    }
                    let mut products = scores::products(&dense, &self.components);
                    if self.narrow && narrow {
                        scores::overflow_float32(&dense, &self.components, &mut products);
                    }
                    (products, narrow)
                }
            };
            let narrow = self.narrow && is_narrow;
            for (index, (column, component)) in
                columns.iter_mut().zip(self.components.chunks_exact(self.features)).enumerate()
            {
                let mean: f64 = match &self.mean {
                    Some(mean) => mean.iter().zip(component).map(|(mean, weight)| mean * weight).sum(),
                    None => 0.0,
                };
                let scale = self.scale.as_ref().map_or(1.0, |scale| scale[index]);
                let mean = round(mean, narrow);
                let one = |value: f64| round(round(round(value, narrow) - mean, narrow) / scale, narrow);
                column.iter_mut().for_each(|value| *value = one(*value));
            }
            let cols = columns.len();
            Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow })
        }
    }
}
