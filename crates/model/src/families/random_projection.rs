//! `GaussianRandomProjection`: products with components that were drawn at random.
//!
//! The library leaves the products to BLAS, which adds in an order of its own: within 1e-12 of the terms, not to the bit.

use foretell_pickle::{Kind, View};

use crate::attributes::feature_names;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "random projections",
    classes: &[("sklearn.random_projection", "GaussianRandomProjection")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let array = view.attr("components_")?.array()?;
    let [count, features] = array.dims()?;
    if features == 0 {
        return Err(Error::state(view.path(), "components of no feature"));
    }
    let narrow = array.dtype().kind == Kind::Float && array.dtype().size == 4;
    let components = array.f64s()?;
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(components.len().saturating_mul(8));
    let out = (0..count).map(|index| Source::made_of(format!("gaussianrandomprojection{index}"), &sources)).collect();
    let finite = Finite::new("GaussianRandomProjection", &sources, false, false);
    let step = run::Project { components, features, narrow, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

mod run {
    use crate::finite::Finite;
    use crate::math::scores;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Project {
        /// One after the other, `features` numbers each.
        pub(super) components: Vec<f64>,
        pub(super) features: usize,
        /// Whether the components are float32.
        pub(super) narrow: bool,
        pub(super) finite: Finite,
    }

    impl Transform for Project {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let rows = x.rows();
            let (columns, narrow) = match x {
                Matrix::Csr(csr) => (scores::sparse_products(&csr, &self.components), csr.narrow),
                other => {
                    let dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
                    (scores::products(&dense, &self.components), dense.narrow)
                }
            };
            let (cols, narrow) = (columns.len(), narrow && self.narrow);
            let data = columns.concat().into_iter().map(|value| round(value, narrow)).collect();
            Matrix::Dense(Dense { data, rows, cols, narrow })
        }
    }
}
