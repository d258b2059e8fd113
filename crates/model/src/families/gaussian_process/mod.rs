//! `GaussianProcessRegressor` and `GaussianProcessClassifier`: sums of kernels with the rows of the training.

mod classifier;
mod kernel;

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{feature_names, some_attr};
use crate::families::shared::kernels::{Held, weights};
use crate::families::shared::rows::Rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};
use kernel::Kernel;

pub(crate) const FAMILY: Family = Family {
    name: "Gaussian processes",
    classes: &[
        ("sklearn.gaussian_process._gpc", "GaussianProcessClassifier"),
        ("sklearn.gaussian_process._gpc", "_BinaryGaussianProcessClassifierLaplace"),
        ("sklearn.gaussian_process._gpr", "GaussianProcessRegressor"),
        ("sklearn.gaussian_process.gpc", "GaussianProcessClassifier"),
        ("sklearn.gaussian_process.gpc", "_BinaryGaussianProcessClassifierLaplace"),
        ("sklearn.gaussian_process.gpr", "GaussianProcessRegressor"),
    ],
    globals: &[
        Entry::class("sklearn.gaussian_process.kernels", "ConstantKernel"),
        Entry::class("sklearn.gaussian_process.kernels", "DotProduct"),
        Entry::class("sklearn.gaussian_process.kernels", "ExpSineSquared"),
        Entry::class("sklearn.gaussian_process.kernels", "Exponentiation"),
        Entry::class("sklearn.gaussian_process.kernels", "Matern"),
        Entry::class("sklearn.gaussian_process.kernels", "Product"),
        Entry::class("sklearn.gaussian_process.kernels", "RBF"),
        Entry::class("sklearn.gaussian_process.kernels", "RationalQuadratic"),
        Entry::class("sklearn.gaussian_process.kernels", "Sum"),
        Entry::class("sklearn.gaussian_process.kernels", "WhiteKernel"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    match class.as_str() {
        "GaussianProcessRegressor" => regressor(loader, view, given),
        "GaussianProcessClassifier" => {
            // What it holds answers for it, to several classes one against the rest or each against each other.
            let own = match (given, feature_names(view)?) {
                (None, Some(names)) => Some(loader.own_sources(names.len(), Some(names))?),
                _ => None,
            };
            let mut loaded = loader.load(&view.attr("base_estimator_")?, given.or(own.as_deref()))?;
            loaded.report.name = Some("base_estimator_".to_string());
            let child = std::mem::take(&mut loaded.report);
            loaded.report.children.push(child);
            if let Out::Answers(targets) = &mut loaded.out {
                targets.decision.clear();
            }
            Ok(loaded)
        }
        _ => classifier::load(loader, view, given),
    }
}

fn regressor(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let training = Held::read(&view.attr("X_train_")?)?;
    let kernel = Kernel::read(&view.attr("kernel_")?, training.features)?;
    let alphas = weights(&view.attr("alpha_")?, training.count())?;
    let each = |names: &[&str], default: f64| -> Result<Vec<f64>, Error> {
        for name in names {
            let Some(found) = some_attr(view, name)? else { continue };
            let all = match found.array() {
                Ok(array) => array.f64s()?,
                Err(_) => vec![found.as_f64()?],
            };
            let fits = all.len() == 1 || all.len() == alphas.len();
            if !fits {
                return Err(Error::counts(found.path(), (all.len(), "numbers"), (alphas.len(), "targets")));
            }
            return Ok(all);
        }
        Ok(vec![default])
    };
    let (means, scales) = (each(&["_y_train_mean", "y_train_mean"], 0.0)?, each(&["_y_train_std"], 1.0)?);
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.points.len().saturating_mul(8));
    let targets = Targets::numbers(alphas.len(), DataType::Float64);
    let finite = Finite::new("GaussianProcessRegressor", &sources, false, false);
    let inner = run::Process { training, kernel, alphas, means, scales };
    let step = Rows { inner, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use super::Kernel;
    use crate::Method;
    use crate::families::shared::kernels::{Held, dot};
    use crate::families::shared::rows::OfRow;

    #[derive(Debug)]
    pub(super) struct Process {
        pub(super) training: Held,
        pub(super) kernel: Kernel,
        pub(super) alphas: Vec<Vec<f64>>,
        /// By target, or one for all.
        pub(super) means: Vec<f64>,
        pub(super) scales: Vec<f64>,
    }

    impl OfRow for Process {
        fn of_row(&self, row: &[f64], _: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let kernels = self.kernel.row(row, &self.training);
            for (target, alphas) in self.alphas.iter().enumerate() {
                let of = |all: &[f64]| all[target.min(all.len() - 1)];
                out.push(of(&self.scales) * dot(&kernels, alphas) + of(&self.means));
            }
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.alphas.len()
        }
    }
}
