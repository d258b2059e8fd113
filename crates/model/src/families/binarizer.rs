//! `Binarizer`: 1 above the threshold, 0 elsewhere.

use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::matrix::{Csr, Dense, Matrix, round};
use crate::step::{Run, Step, Transform};
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "Binarizer",
    classes: &[("sklearn.preprocessing._data", "Binarizer"), ("sklearn.preprocessing.data", "Binarizer")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let threshold = match some_attr(view, "threshold")? {
        Some(threshold) => threshold.as_f64()?,
        None => 0.0,
    };
    let names = feature_names(view)?;
    let count = loader.width(view, given, None)?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let step = Binarizer { threshold, finite: Finite::new("Binarizer", &sources, false, false) };
    let out = sources.into_iter().map(Source::changed).collect();
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[derive(Debug)]
struct Binarizer {
    threshold: f64,
    finite: Finite,
}

impl Transform for Binarizer {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.finite.check(&x, run);
        let (rows, cols) = (x.rows(), x.cols());
        if let Matrix::Csr(csr) = x {
            if self.threshold < 0.0 {
                run.refuse_all(rows, "Binarizer", None, "a sparse table with a threshold below zero");
            }
            let mut out = Csr::empty(cols, rows);
            out.narrow = csr.narrow;
            for row in 0..rows {
                csr.row(row).filter(|entry| entry.1 > self.threshold).for_each(|(col, _)| out.push(col, 1.0));
                out.end_row();
            }
            return Matrix::Csr(out);
        }
        let mut dense = x.typed().into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
        let threshold = round(self.threshold, dense.narrow);
        dense.data.iter_mut().for_each(|value| *value = f64::from(u8::from(*value > threshold)));
        Matrix::Dense(dense)
    }
}
