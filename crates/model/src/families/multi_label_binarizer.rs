//! `MultiLabelBinarizer` and mlxtend's `TransactionEncoder`: a column a label, for rows that have a list of them. Labels that
//! are not known count nothing, or are refused.

use foretell_pickle::View;

use crate::attributes::{flag, labels};
use crate::categories::Categories;
use crate::families::shared::acts::texts;
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "lists of labels",
    classes: &[
        ("mlxtend.preprocessing.transactionencoder", "TransactionEncoder"),
        ("sklearn.preprocessing._label", "MultiLabelBinarizer"),
        ("sklearn.preprocessing.label", "MultiLabelBinarizer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let is_transaction = class == "TransactionEncoder";
    let classes = view.attr(if is_transaction { "columns_" } else { "classes_" })?;
    let (names, classes) = if is_transaction {
        (Labels::Text(texts(&classes)?), Categories::objects(&classes.items()?)?)
    } else {
        (labels(&classes)?, Categories::read(&classes)?)
    };
    let sources = loader.sources(view, given, 1, None)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::List));
    loader.hold(classes.bytes());
    let out: Vec<Source> = (0..names.len()).map(|class| Source::made(names.text(class))).collect();
    let label = sources.into_iter().next().map(|source| source.label).unwrap_or_default();
    let sparse = flag(view, "sparse_output", false)?;
    let step = run::Lists { class, classes, label, sparse, refuses: is_transaction };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, reason = "ranges are those of the lists")]
mod run {
    use std::ops::Range;

    use crate::categories::{self, Categories};
    use crate::families::shared::lists::lists;
    use crate::matrix::{Csr, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Lists {
        pub(super) class: String,
        pub(super) classes: Categories,
        /// The input's name.
        pub(super) label: String,
        pub(super) sparse: bool,
        /// Whether a label that is not known is refused.
        pub(super) refuses: bool,
    }

    impl Transform for Lists {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, count) = (x.rows(), self.classes.len());
            let mut csr = Csr::empty(count, rows);
            let column = match &x {
                Matrix::Frame(frame) => frame.columns.first(),
                _ => None,
            };
            if let Some((values, ranges)) = column.and_then(lists) {
                let codes = self.classes.codes(values);
                let known = |range: &&Range<usize>| categories::unseen(&codes[(*range).clone()]) > 0;
                if self.refuses {
                    let rows = ranges.iter().enumerate();
                    let unknown = rows.filter(|(_, range)| range.as_ref().is_some_and(|range| known(&range)));
                    unknown.for_each(|(row, _)| run.refuse(row, &self.class, Some(&self.label), "unseen label"));
                } else {
                    run.unseen(&self.label, ranges.iter().flatten().filter(known).count());
                }
                for (row, range) in ranges.into_iter().enumerate() {
                    if range.is_none() {
                        run.refuse(row, &self.class, Some(&self.label), "missing value");
                    }
                    let mut known = codes[range.unwrap_or_default()].to_vec();
                    known.retain(|code| (*code as usize) < count);
                    known.sort_unstable();
                    known.dedup();
                    known.into_iter().for_each(|code| csr.push(code, 1.0));
                    csr.end_row();
                }
            } else {
                run.refuse_all(rows, &self.class, Some(&self.label), "not a list of labels");
                (0..rows).for_each(|_| csr.end_row());
            }
            if self.sparse { Matrix::Csr(csr) } else { Matrix::Dense(csr.to_dense()) }
        }
    }
}
