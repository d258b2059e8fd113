//! `TargetEncoder`: each category the mean of the target that was learned for it.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{feature_names, word};
use crate::categories::Categories;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "TargetEncoder",
    classes: &[("sklearn.preprocessing._target_encoder", "TargetEncoder")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let categories: Vec<Categories> =
        view.attr("categories_")?.items()?.iter().map(Categories::read).collect::<Result<_, _>>()?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, categories.len(), names)?;
    let mean = view.attr("target_mean_")?;
    let means = match mean.array() {
        Ok(means) => means.f64s()?,
        Err(_) => vec![mean.as_f64()?],
    };
    // Several classes have an encoding each, those of one column side by side.
    let classes = if word(view, "target_type_", "")? == "multiclass" { means.len() } else { 1 };
    let encodings: Vec<Vec<f64>> =
        view.attr("encodings_")?.items()?.iter().map(|one| one.array()?.f64s()).collect::<Result<_, _>>()?;
    if classes == 0 || means.len() != classes || encodings.len() != categories.len().saturating_mul(classes) {
        let message = format!("{} encodings of {} columns", encodings.len(), categories.len());
        return Err(Error::state(view.path(), message));
    }
    let mut out = Vec::with_capacity(encodings.len());
    for (index, (source, categories)) in sources.iter().zip(&categories).enumerate() {
        loader.demand(source, categories.kind());
        loader.hold(categories.bytes());
        let of_column = encodings.iter().skip(index.saturating_mul(classes)).take(classes);
        for (class, encoding) in of_column.enumerate() {
            loader.hold(encoding.len().saturating_mul(8));
            if encoding.len() != categories.len() {
                return Err(Error::counts(view.path(), (encoding.len(), "values"), (categories.len(), "categories")));
            }
            let label = if classes == 1 { source.label.clone() } else { format!("{}_{class}", source.label) };
            out.push(Source::made(label));
        }
    }
    let labels = sources.into_iter().map(|source| source.label).collect();
    let step = run::Target { categories, labels, encodings, means };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::categories::{self, Categories};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Target {
        pub(super) categories: Vec<Categories>,
        pub(super) labels: Vec<String>,
        /// By column and class, the value of each category.
        pub(super) encodings: Vec<Vec<f64>>,
        /// By class, the value of what is not a category.
        pub(super) means: Vec<f64>,
    }

    impl Transform for Target {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let mut dense = Dense::zeros(x.rows(), self.encodings.len());
            let classes = self.means.len();
            for (index, categories) in self.categories.iter().enumerate() {
                let codes = categories::column_codes(&x, index, categories, "TargetEncoder", &self.labels[index], run);
                run.unseen(&self.labels[index], categories::unseen(&codes));
                for (class, mean) in self.means.iter().enumerate() {
                    let encoding = &self.encodings[index * classes + class];
                    let out = dense.column_mut(index * classes + class);
                    for (value, code) in out.iter_mut().zip(&codes) {
                        *value = encoding.get(*code as usize).copied().unwrap_or(*mean);
                    }
                }
            }
            Matrix::Dense(dense)
        }
    }
}
