//! `GaussianRandomProjection` and `SparseRandomProjection`: products with components that were drawn at random.
//!
//! The library leaves the products to BLAS, which adds in an order of its own: within 1e-12 of the terms, not to the bit.

use foretell_pickle::{Kind, View};

use crate::attributes::{feature_names, flag};
use crate::families::shared::rows::numbered;
use crate::families::shared::sparse::sparse_rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "random projections",
    classes: &[
        ("sklearn.random_projection", "GaussianRandomProjection"),
        ("sklearn.random_projection", "SparseRandomProjection"),
    ],
    globals: &[],
    load,
};

/// Components are kept in full: more of them are an attack on memory.
const COMPONENTS: usize = 1 << 26;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let found = view.attr("components_")?;
    let (components, count, features, narrow) = match found.array() {
        Ok(array) => {
            let [count, features] = array.dims()?;
            let narrow = array.dtype().kind == Kind::Float && array.dtype().size == 4;
            (array.f64s()?, count, features, narrow)
        }
        Err(_) => {
            let narrow = found.attr("data")?.array()?.dtype().size == 4;
            let (rows, features) = sparse_rows(&found)?;
            if rows.len().saturating_mul(features) > COMPONENTS {
                return Err(Error::Limit { place: found.path(), what: "numbers of components", limit: COMPONENTS });
            }
            let mut components = vec![0.0; rows.len().saturating_mul(features)];
            for (row, entries) in components.chunks_mut(features.max(1)).zip(&rows) {
                for (col, value) in entries {
                    row.get_mut(*col).into_iter().for_each(|slot| *slot += value);
                }
            }
            (components, rows.len(), features, narrow)
        }
    };
    if features == 0 {
        return Err(Error::state(view.path(), "components of no feature"));
    }
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(components.len().saturating_mul(8));
    let out = numbered(&class.to_ascii_lowercase(), count, &sources);
    let finite = Finite::new(&class, &sources, false, false);
    // A sparse table stays one where the components are, unless it is said otherwise.
    let stays_sparse = class == "SparseRandomProjection" && !flag(view, "dense_output", false)?;
    let step = run::Project { components, features, narrow, stays_sparse, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

mod run {
    use crate::finite::Finite;
    use crate::math::scores;
    use crate::matrix::{Csr, Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Project {
        /// One after the other, `features` numbers each.
        pub(super) components: Vec<f64>,
        pub(super) features: usize,
        /// Whether the components are float32.
        pub(super) narrow: bool,
        pub(super) stays_sparse: bool,
        pub(super) finite: Finite,
    }

    impl Transform for Project {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let rows = x.rows();
            let is_sparse = matches!(x, Matrix::Csr(_));
            let (columns, narrow) = match x {
                Matrix::Csr(csr) => (scores::sparse_products(&csr, &self.components), csr.narrow),
                other => {
                    let dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
                    let mut products = scores::products(&dense, &self.components);
                    if self.narrow && dense.narrow {
                        scores::overflow_float32(&dense, &self.components, &mut products);
                    }
                    (products, dense.narrow)
                }
            };
            let (cols, narrow) = (columns.len(), narrow && self.narrow);
            let data: Vec<f64> = columns.concat().into_iter().map(|value| round(value, narrow)).collect();
            if is_sparse && self.stays_sparse {
                let mut csr = Csr::empty(cols, rows);
                csr.narrow = narrow;
                for row in 0..rows {
                    let of_row = data.iter().skip(row).step_by(rows.max(1)).zip(0..);
                    of_row.filter(|(value, _)| **value != 0.0).for_each(|(value, col)| csr.push(col, *value));
                    csr.end_row();
                }
                return Matrix::Csr(csr);
            }
            Matrix::Dense(Dense { data, rows, cols, narrow })
        }
    }
}
