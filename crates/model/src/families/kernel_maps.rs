//! `KernelPCA` and `Nystroem`: kernels with rows of the training, projected.

use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr};
use crate::families::shared::kernels::{Held, Kernel, Parameters, Projection, projection};
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};
use foretell_pickle::Entry;

pub(crate) const FAMILY: Family = Family {
    name: "projections of kernels",
    classes: &[
        ("sklearn.decomposition._kernel_pca", "KernelPCA"),
        ("sklearn.decomposition.kernel_pca", "KernelPCA"),
        ("sklearn.kernel_approximation", "Nystroem"),
    ],
    globals: &[
        Entry::class("sklearn.preprocessing._data", "KernelCenterer"),
        Entry::class("sklearn.preprocessing.data", "KernelCenterer"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let is_pca = class == "KernelPCA";
    let training = Held::read_any(&view.attr(if is_pca { "X_fit_" } else { "components_" })?)?;
    let parameters = if is_pca { Parameters::read(view)? } else { of_nystroem(view)? };
    let kernel = Kernel::read(view, "kernel", parameters, training.features)?;
    let count = training.count();
    let (axes, centre) = if is_pca {
        let Projection { axes, rows, all } = projection(view, count)?;
        (axes, Some((rows, all)))
    } else {
        // Row by row, not column by column: the projection is transposed.
        let normalization = view.attr("normalization_")?.array()?;
        let [components, width] = normalization.dims()?;
        if components == 0 || width != count {
            return Err(Error::counts(view.path(), (width, "weights"), (count, "rows")));
        }
        (normalization.f64s()?.chunks_exact(width).map(<[f64]>::to_vec).collect(), None)
    };
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.bytes());
    let out = numbered(&class.to_ascii_lowercase(), axes.len(), &sources);
    let finite = Finite::new(&class, &sources, false, false);
    let step = Rows { inner: run::Map { training, kernel, axes, centre }, finite, takes_sparse: true };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// Those that are given; the others are the kernel's own.
fn of_nystroem(view: &View<'_>) -> Result<Parameters, Error> {
    let own = Parameters::read(view)?;
    let Some(given) = some_attr(view, "kernel_params")? else { return Ok(own) };
    let number = |name: &str, default: f64| -> Result<f64, Error> {
        Ok(given.get(name)?.and_then(View::some).map_or(Ok(default), |value| value.as_f64())?)
    };
    let gamma = given.get("gamma")?.and_then(View::some).map(|gamma| gamma.as_f64()).transpose()?;
    Ok(Parameters {
        gamma: gamma.or(own.gamma),
        coef0: number("coef0", own.coef0)?,
        degree: number("degree", own.degree)?,
    })
}

mod run {
    use crate::Method;
    use crate::families::shared::kernels::{Held, Kernel, dot};
    use crate::families::shared::rows::OfRow;
    use crate::math::scores::pairwise_sum;

    #[derive(Debug)]
    pub(super) struct Map {
        pub(super) training: Held,
        pub(super) kernel: Kernel,
        pub(super) axes: Vec<Vec<f64>>,
        /// The mean kernel of each row of training, and of all of them.
        pub(super) centre: Option<(Vec<f64>, f64)>,
    }

    impl OfRow for Map {
        fn of_row(&self, row: &[f64], _: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let mut kernels = self.kernel.row(row, &self.training, narrow)?;
            if let Some((rows, all)) = &self.centre {
                if kernels.iter().any(|kernel| !kernel.is_finite()) {
                    return Err("a kernel that no number is large enough for");
                }
                let own = pairwise_sum(&kernels) / rows.len() as f64;
                kernels.iter_mut().zip(rows).for_each(|(kernel, mean)| *kernel = *kernel - mean - own + all);
            }
            out.extend(self.axes.iter().map(|axis| dot(&kernels, axis)));
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.axes.len()
        }

        fn makes_narrow(&self, rows: bool) -> bool {
            rows && self.training.narrow && self.kernel.narrows()
        }
    }
}
