//! `KernelRidge`: a sum of kernels with the rows of the training.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::feature_names;
use crate::families::shared::kernels::{Held, Kernel, Parameters, weights};
use crate::families::shared::rows::Rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family =
    Family { name: "kernel ridge", classes: &[("sklearn.kernel_ridge", "KernelRidge")], globals: &[], load };

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let training = Held::read_any(&view.attr("X_fit_")?)?;
    let kernel = Kernel::read(view, "kernel", Parameters::read(view)?, training.features)?;
    let coefs = weights(&view.attr("dual_coef_")?, training.count())?;
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.bytes());
    let targets = Targets::numbers(coefs.len(), DataType::Float64);
    let finite = Finite::new("KernelRidge", &sources, false, false);
    let step = Rows { inner: run::Ridge { training, kernel, coefs }, finite, takes_sparse: true };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

mod run {
    use crate::Method;
    use crate::families::shared::kernels::{Held, Kernel, dot};
    use crate::families::shared::rows::OfRow;

    #[derive(Debug)]
    pub(super) struct Ridge {
        pub(super) training: Held,
        pub(super) kernel: Kernel,
        pub(super) coefs: Vec<Vec<f64>>,
    }

    impl OfRow for Ridge {
        fn of_row(&self, row: &[f64], _: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let kernels = self.kernel.row(row, &self.training, narrow)?;
            out.extend(self.coefs.iter().map(|coefs| dot(&kernels, coefs)));
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.coefs.len()
        }
    }
}
