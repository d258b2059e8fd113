//! `LabelBinarizer`: a column a class, or a single one for the second of two.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{flag, labels, some_attr, word};
use crate::categories::Categories;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "LabelBinarizer",
    classes: &[("sklearn.preprocessing._label", "LabelBinarizer"), ("sklearn.preprocessing.label", "LabelBinarizer")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let kind = word(view, "y_type_", "multiclass")?;
    if kind.starts_with("multilabel") {
        return Err(Error::unsupported(view.path(), "several labels a row", "one class a row"));
    }
    let classes = view.attr("classes_")?;
    let names = labels(&classes)?;
    let classes = Categories::read(&classes)?;
    let sources = loader.sources(view, given, 1, None)?;
    sources.iter().for_each(|source| loader.demand(source, classes.kind()));
    loader.hold(classes.bytes());
    let number = |name: &str, default: f64| -> Result<f64, Error> {
        some_attr(view, name)?.map_or(Ok(default), |value| Ok(value.as_f64()?))
    };
    let (negative, positive) = (number("neg_label", 0.0)?, number("pos_label", 1.0)?);
    let sparse = flag(view, "sparse_output", false)?;
    if sparse && (negative != 0.0 || positive == 0.0) {
        return Err(Error::state(view.path(), "a sparse table needs 0 for what is not the class"));
    }
    let places: Vec<Option<u32>> = match names.len() {
        1 => vec![None],
        2 => vec![None, Some(0)],
        count => (0..count).map(|class| u32::try_from(class).ok()).collect(),
    };
    let shown = match names.len() {
        2 => 1..2,
        count => 0..count,
    };
    let out: Vec<Source> = shown.map(|class| Source::made(names.text(class))).collect();
    let step = run::Binarizer { classes, places, width: out.len(), negative, positive, sparse };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::categories::{self, Categories, MISSING};
    use crate::matrix::{Csr, Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Binarizer {
        pub(super) classes: Categories,
        /// The output column of each class.
        pub(super) places: Vec<Option<u32>>,
        pub(super) width: usize,
        pub(super) negative: f64,
        pub(super) positive: f64,
        pub(super) sparse: bool,
    }

    impl Transform for Binarizer {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let codes = categories::column_codes(&x, 0, &self.classes, "LabelBinarizer", "label", run);
            run.unseen("label", categories::unseen(&codes));
            let mut csr = Csr::empty(self.width, rows);
            for (row, code) in codes.into_iter().enumerate() {
                if code == MISSING {
                    run.refuse(row, "LabelBinarizer", Some("label"), "missing value");
                }
                if let Some(place) = self.places.get(code as usize).copied().flatten() {
                    csr.push(place, self.positive);
                }
                csr.end_row();
            }
            if self.sparse {
                return Matrix::Csr(csr);
            }
            let mut dense = Dense::zeros(rows, self.width);
            dense.data.fill(self.negative);
            for row in 0..rows {
                csr.row(row).for_each(|(col, value)| dense.data[col as usize * rows + row] = value);
            }
            Matrix::Dense(dense)
        }
    }
}
