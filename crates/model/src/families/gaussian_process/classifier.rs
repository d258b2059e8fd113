//! One of two classes by a Gaussian process, as Laplace approximated it.

use arrow_schema::DataType;
use foretell_pickle::View;

use super::kernel::Kernel;
use crate::attributes::{self, feature_names};
use crate::families::shared::kernels::Held;
use crate::families::shared::rows::Rows;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let training = Held::read(&view.attr("X_train_")?)?;
    let kernel = Kernel::read(&view.attr("kernel_")?, training.features)?;
    let count = training.count();
    let numbers = |name: &str, wanted: usize| -> Result<Vec<f64>, Error> {
        let all = view.attr(name)?.array()?.f64s()?;
        if all.len() == wanted {
            Ok(all)
        } else {
            Err(Error::counts(view.path(), (all.len(), "numbers"), (count, "rows")))
        }
    };
    let (targets, shares) = (numbers("y_train_", count)?, numbers("pi_", count)?);
    let off = targets.iter().zip(&shares).map(|(target, share)| target - share).collect();
    let roots = numbers("W_sr_", count)?;
    let lower = numbers("L_", count.saturating_mul(count))?;
    let labels = attributes::labels(&view.attr("classes_")?)?;
    if labels.len() != 2 {
        return Err(Error::counts(view.path(), (labels.len(), "classes"), (2, "sides")));
    }
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(lower.len().saturating_mul(8));
    let targets = Targets::classes(vec![labels], DataType::Float64);
    let finite = Finite::new("GaussianProcessClassifier", &sources, false, false);
    let step = Rows { inner: run::Sides { training, kernel, off, roots, lower }, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use super::Kernel;
    use crate::Method;
    use crate::families::shared::kernels::{Held, dot};
    use crate::families::shared::rows::OfRow;
    use crate::math::normal::error_function;
    use crate::math::solve;

    /// The logistic function as a sum of error functions.
    const LAMBDAS: [f64; 5] = [0.41, 0.4, 0.37, 0.44, 0.39];
    const COEFS: [f64; 5] = [-1854.8214151, 3516.89893646, 221.29346712, 128.12323805, -2010.49422654];

    #[derive(Debug)]
    pub(super) struct Sides {
        pub(super) training: Held,
        pub(super) kernel: Kernel,
        /// By row of training, what its share lacks of its class.
        pub(super) off: Vec<f64>,
        pub(super) roots: Vec<f64>,
        /// A triangle, row by row.
        pub(super) lower: Vec<f64>,
    }

    impl OfRow for Sides {
        fn of_row(&self, row: &[f64], want: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let kernels = self.kernel.row(row, &self.training);
            let mean = dot(&kernels, &self.off);
            if want != Method::Proba {
                out.push(f64::from(u8::from(mean > 0.0)));
                return Ok(());
            }
            let weighted = kernels.iter().zip(&self.roots).map(|(kernel, root)| root * kernel).collect();
            let solved = solve::forward(&self.lower, weighted);
            let variance = self.kernel.of(row, row, true) - dot(&solved, &solved);
            let alpha = 1.0 / (2.0 * variance);
            let integral = |lambda: f64| {
                let spread = (alpha / (alpha + lambda * lambda)).sqrt();
                (std::f64::consts::PI / alpha).sqrt() * error_function(lambda * mean * spread)
                    / (2.0 * (variance * 2.0 * std::f64::consts::PI).sqrt())
            };
            let sum: f64 = LAMBDAS.iter().zip(COEFS).map(|(lambda, coef)| coef * integral(*lambda)).sum();
            let share = sum + 0.5 * COEFS.iter().sum::<f64>();
            out.extend([1.0 - share, share]);
            Ok(())
        }

        fn width(&self, want: Method) -> usize {
            if want == Method::Proba { 2 } else { 1 }
        }

        fn is_class(&self, want: Method) -> bool {
            want == Method::Predict
        }
    }
}
