//! `LabelPropagation` and `LabelSpreading`: the shares of classes among the rows of the training, weighed by a kernel or
//! taken of the nearest.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{self, feature_names};
use crate::families::shared::kernels::{Held, Kernel, Parameters, weights};
use crate::families::shared::near;
use crate::families::shared::rows::Rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "spread labels",
    classes: &[
        ("sklearn.semi_supervised._label_propagation", "LabelPropagation"),
        ("sklearn.semi_supervised._label_propagation", "LabelSpreading"),
        ("sklearn.semi_supervised.label_propagation", "LabelPropagation"),
        ("sklearn.semi_supervised.label_propagation", "LabelSpreading"),
    ],
    globals: near::ENTRIES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let by = match view.attr("kernel")?.as_str().unwrap_or("a function") {
        "rbf" => {
            let training = Held::read_any(&view.attr("X_")?)?;
            let kernel = Kernel::read(view, "kernel", Parameters::read(view)?, training.features)?;
            run::By::Kernel(kernel, training)
        }
        "knn" => {
            let training = near::any_training(&view.attr("nn_fit")?)?;
            let neighbours = view.attr("n_neighbors")?.as_usize()?;
            if neighbours == 0 || neighbours > training.count() {
                return Err(Error::state(view.path(), format!("{neighbours} neighbours of {}", training.count())));
            }
            run::By::Nearest(neighbours, training)
        }
        other => return Err(Error::unsupported(view.path(), format!("the kernel {other}"), "rbf, knn")),
    };
    let (count, features) = match &by {
        run::By::Kernel(_, training) => (training.count(), training.features),
        run::By::Nearest(_, training) => (training.count(), training.features),
    };
    let shares = weights(&view.attr("label_distributions_")?, count)?;
    if shares.len() != labels.len() {
        return Err(Error::counts(view.path(), (shares.len(), "shares"), (labels.len(), "classes")));
    }
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(count.saturating_mul(features).saturating_mul(8));
    let targets = Targets::classes(vec![labels], DataType::Float64);
    let finite = Finite::new(&class, &sources, false, false);
    let takes_sparse = match &by {
        run::By::Kernel(..) => true,
        run::By::Nearest(_, training) => training.takes_sparse(),
    };
    let step = Rows { inner: run::Spread { by, shares }, finite, takes_sparse };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::{Held, Kernel, dot};
    use crate::families::shared::near::Training;
    use crate::families::shared::rows::{OfRow, largest};
    use crate::math::scores::pairwise_sum;

    #[derive(Debug)]
    pub(super) enum By {
        Kernel(Kernel, Held),
        Nearest(usize, Training),
    }

    #[derive(Debug)]
    pub(super) struct Spread {
        pub(super) by: By,
        /// By class, the share of it in each row of training.
        pub(super) shares: Vec<Vec<f64>>,
    }

    impl OfRow for Spread {
        fn of_row(&self, row: &[f64], want: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let mut sums: Vec<f64> = match &self.by {
                By::Kernel(kernel, training) => {
                    let kernels = kernel.row(row, training, narrow)?;
                    self.shares.iter().map(|shares| dot(&kernels, shares)).collect()
                }
                By::Nearest(count, training) => {
                    let nearest = training.nearest(row, *count);
                    let sum = |shares: &Vec<f64>| nearest.iter().map(|(_, row)| shares[*row]).sum();
                    self.shares.iter().map(sum).collect()
                }
            };
            // Far from everything there is nothing to share: NaN, and the first class.
            let sum = pairwise_sum(&sums);
            sums.iter_mut().for_each(|share| *share /= sum);
            if want == Method::Proba {
                out.extend(sums)
            } else {
                out.push(largest(&sums))
            }
            Ok(())
        }

        fn width(&self, want: Method) -> usize {
            if want == Method::Proba { self.shares.len() } else { 1 }
        }

        fn is_class(&self, want: Method) -> bool {
            want == Method::Predict
        }
    }
}
