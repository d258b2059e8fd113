//! `LabelEncoder`: each label of one column an integer.

use foretell_pickle::View;

use crate::attributes::labels;
use crate::categories::Categories;
use crate::encoding::{Codes, Encoding, Unknown};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "LabelEncoder",
    classes: &[("sklearn.preprocessing._label", "LabelEncoder"), ("sklearn.preprocessing.label", "LabelEncoder")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if given.is_some() {
        return Err(Error::state(view.path(), "a LabelEncoder encodes one column, and is not a step of a pipeline"));
    }
    let encoding = read(view, Unknown::Refuse)?;
    let sources = loader.own_sources(1, None)?;
    let source = sources.into_iter().next().ok_or_else(|| Error::state(view.path(), "no column"))?;
    loader.demand(&source, encoding.signature().inputs.first().map_or(InputKind::Any, |input| input.kind.clone()));
    loader.hold(encoding.bytes());
    let out = Out::Codes(Source::made("code".to_string()));
    Ok(Loaded { step: Step::Transform(Box::new(run::Label(encoding))), out, report: Default::default() })
}

/// The labels and their codes.
pub(crate) fn read(view: &View<'_>, unknown: Unknown) -> Result<Encoding, Error> {
    let classes = view.attr("classes_")?;
    let categories = Categories::read(&classes)?;
    let codes = Codes::Int((0..).take(categories.len()).collect());
    Encoding::new("LabelEncoder", categories, labels(&classes).ok(), codes, unknown)
}

mod run {
    use crate::encoding::Encoding;
    use crate::matrix::{ArrayRule, Frame, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Label(pub(super) Encoding);

    impl Transform for Label {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            match x {
                Matrix::Frame(frame) => {
                    let column = frame.columns.iter().take(1).map(|column| self.0.encode(column, run)).collect();
                    Matrix::Frame(Frame { columns: column, rows, rule: ArrayRule::default() })
                }
                other => {
                    run.refuse_all(rows, "LabelEncoder", None, "not a column of labels");
                    other
                }
            }
        }
    }
}
