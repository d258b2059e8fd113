//! `Normalizer`: each row divided by its norm.

use foretell_pickle::View;

use crate::attributes::{feature_names, version};
use crate::families::shared::norm::Norm;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::matrix::{Dense, Matrix};
use crate::step::{Run, Step, Transform};
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "Normalizer",
    classes: &[("sklearn.preprocessing._data", "Normalizer"), ("sklearn.preprocessing.data", "Normalizer")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let norm = Norm::read(view)?.unwrap_or(Norm::L2);
    let names = feature_names(view)?;
    let count = loader.width(view, given, None)?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let spares_tiny = version(view)?.is_some_and(|version| version >= (1, 0));
    let step = Normalizer { norm, spares_tiny, finite: Finite::new("Normalizer", &sources, false, false) };
    let out = sources.into_iter().map(Source::changed).collect();
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[derive(Debug)]
struct Normalizer {
    norm: Norm,
    spares_tiny: bool,
    finite: Finite,
}

impl Transform for Normalizer {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.finite.check(&x, run);
        let (rows, cols) = (x.rows(), x.cols());
        if let Matrix::Csr(mut csr) = x {
            self.norm.sparse(&mut csr, false);
            return Matrix::Csr(csr);
        }
        let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
        self.norm.dense(&mut dense, self.spares_tiny);
        Matrix::Dense(dense)
    }
}
