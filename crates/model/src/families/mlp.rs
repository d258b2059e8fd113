//! Neural networks: `MLPClassifier` and `MLPRegressor`, layer after layer.
//!
//! Sums of products run over a layer's inputs in order. The library's go through BLAS: within 1e-12 of the terms.

use arrow_schema::DataType;
use foretell_pickle::{Entry, Kind, View};

use crate::attributes::{self, feature_names, some_attr};
use crate::families::shared::lone_class;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, Output, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "neural networks of scikit-learn",
    classes: &[
        ("sklearn.neural_network._multilayer_perceptron", "MLPClassifier"),
        ("sklearn.neural_network._multilayer_perceptron", "MLPRegressor"),
        ("sklearn.neural_network.multilayer_perceptron", "MLPClassifier"),
        ("sklearn.neural_network.multilayer_perceptron", "MLPRegressor"),
        ("sklearn2pmml.neural_network", "MLPTransformer"),
    ],
    globals: &[
        Entry::class("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer"),
        Entry::class("sklearn.neural_network._stochastic_optimizers", "SGDOptimizer"),
        Entry::class("sklearn.preprocessing._label", "LabelBinarizer"),
        Entry::class("sklearn.preprocessing.label", "LabelBinarizer"),
    ],
    load,
};

/// More outputs are an attack on memory.
const OUTPUTS: usize = 1 << 16;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    if class == "MLPTransformer" {
        return transformer(loader, view, given);
    }
    let mut coefs = view.attr("coefs_")?.items()?;
    let mut intercepts = view.attr("intercepts_")?.items()?;
    // sklearn2pmml cuts a network off behind one of its layers.
    if let Some(layers) = some_attr(view, "n_layers_")? {
        let layers = layers.as_usize()?.saturating_sub(1);
        coefs.truncate(layers);
        intercepts.truncate(layers);
    }
    if coefs.is_empty() || coefs.len() != intercepts.len() {
        let message = format!("{} layers of coefficients with {} of intercepts", coefs.len(), intercepts.len());
        return Err(Error::state(view.path(), message));
    }
    let mut layers = Vec::with_capacity(coefs.len());
    let mut width: Option<usize> = None;
    let mut features = 0;
    let mut narrow = true;
    for (coef, intercept) in coefs.iter().zip(&intercepts) {
        let array = coef.array()?;
        let [inputs, outputs] = array.dims()?;
        narrow &= array.dtype().kind == Kind::Float && array.dtype().size == 4;
        let intercept = intercept.array()?.f64s()?;
        let fits = width.is_none_or(|width| width == inputs) && intercept.len() == outputs;
        if !fits || inputs == 0 || outputs == 0 || outputs > OUTPUTS {
            let message = format!("{inputs} by {outputs} coefficients and {} intercepts", intercept.len());
            return Err(Error::state(coef.path(), message));
        }
        if width.is_none() {
            features = inputs;
        }
        width = Some(outputs);
        let coef = array.f64s()?;
        loader.hold(coef.len().saturating_mul(8));
        // By output, as products are computed.
        let by_output = (0..outputs).flat_map(|output| coef.iter().skip(output).step_by(outputs).copied());
        layers.push(run::Layer { coef: by_output.collect(), intercept });
    }
    let outputs = width.unwrap_or(0);
    let hidden = activation(view, "activation")?;
    let last = activation(view, "out_activation_")?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    // Weights of float32 were learned from float32. A step before that made it makes it again; a table may or may not.
    let typed = narrow && sources.iter().all(|source| !source.follows);
    let float = if typed { DataType::Float32 } else { DataType::Float64 };
    let (form, targets) = if class == "MLPRegressor" {
        (run::Form::Numbers, Targets::numbers(outputs, float))
    } else {
        classifier(view, outputs, float)?
    };
    let finite = Finite::new(&class, &sources, false, false);
    let step = run::Network { layers, hidden, last, features, narrow, typed, form, finite };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// What a network makes of its columns, as columns.
fn transformer(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut loaded = loader.load(&view.attr("mlp_")?, given)?;
    if let Out::Answers(targets) = &mut loaded.out {
        let column = |output: &Output| Source::made(output.name.clone());
        targets.table = targets.predict.iter().map(column).collect();
    }
    let child = std::mem::take(&mut loaded.report);
    let transformer = loaded.transformer(view)?;
    Ok(Loaded { report: StepReport { children: vec![child], ..StepReport::default() }, ..transformer.into_loaded() })
}

fn activation(view: &View<'_>, name: &str) -> Result<run::Activation, Error> {
    let word = view.attr(name)?;
    Ok(match word.as_str()? {
        "identity" => run::Activation::Identity,
        "logistic" => run::Activation::Logistic,
        "tanh" => run::Activation::Tanh,
        "relu" => run::Activation::Relu,
        "softmax" => run::Activation::Softmax,
        other => {
            let what = format!("{name}={other}");
            return Err(Error::unsupported(word.path(), what, "identity, logistic, tanh, relu, softmax"));
        }
    })
}

fn classifier(view: &View<'_>, outputs: usize, float: DataType) -> Result<(run::Form, Targets), Error> {
    let labels = attributes::labels(&view.attr("classes_")?)?;
    let several = match some_attr(view, "_label_binarizer")? {
        Some(binarizer) => attributes::word(&binarizer, "y_type_", "")?.starts_with("multilabel"),
        None => false,
    };
    if several {
        if labels.len() != outputs {
            return Err(Error::counts(view.path(), (outputs, "outputs"), (labels.len(), "labels")));
        }
        // A probability for each label, of its being there.
        let mut targets = Targets::classes(vec![Labels::counted(2); outputs], float);
        targets.proba.retain(|output| output.class.as_deref() == Some("1"));
        return Ok((run::Form::Each, targets));
    }
    if labels.len() == 0 || outputs != if labels.len() <= 2 { 1 } else { labels.len() } {
        return Err(Error::counts(view.path(), (outputs, "outputs"), (labels.len(), "classes")));
    }
    let form = if labels.len() == 1 { run::Form::Lone } else { run::Form::Class };
    Ok((form, lone_class::targets(labels, float)))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores::{self, Softmax, expit};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Activation {
        Identity,
        Logistic,
        Tanh,
        Relu,
        Softmax,
    }

    impl Activation {
        fn apply(self, columns: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
            let each = |of: fn(f64) -> f64, mut columns: Vec<Vec<f64>>| {
                columns.iter_mut().flatten().for_each(|value| *value = of(*value));
                columns
            };
            match self {
                Activation::Identity => columns,
                Activation::Logistic => each(expit, columns),
                Activation::Tanh => each(f64::tanh, columns),
                Activation::Relu => each(|value| value.max(0.0), columns),
                // Of a single output it is 1.
                Activation::Softmax if columns.len() == 1 => each(|_| 1.0, columns),
                Activation::Softmax => Softmax::PLAIN.of(columns),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Layer {
        /// By output.
        pub(super) coef: Vec<f64>,
        pub(super) intercept: Vec<f64>,
    }

    #[derive(Debug)]
    pub(super) enum Form {
        Numbers,
        /// One class of several.
        Class,
        /// The only class of training.
        Lone,
        /// Each label by itself.
        Each,
    }

    #[derive(Debug)]
    pub(super) struct Network {
        pub(super) layers: Vec<Layer>,
        pub(super) hidden: Activation,
        pub(super) last: Activation,
        pub(super) features: usize,
        /// Whether the weights are float32: then the library computes in it where the numbers are.
        pub(super) narrow: bool,
        /// Whether its answers are float32 as the signature tells them.
        pub(super) typed: bool,
        pub(super) form: Form,
        pub(super) finite: Finite,
    }

    impl Network {
        fn outputs(&self, x: Matrix) -> Vec<Vec<f64>> {
            let rows = x.rows();
            let narrow = self.narrow && x.is_narrow();
            let rounded = |mut columns: Vec<Vec<f64>>| {
                columns.iter_mut().flatten().for_each(|value| *value = round(*value, narrow));
                columns
            };
            let mut before = None;
            if let Matrix::Csr(csr) = &x {
                before = Some(scores::sparse_products(csr, &self.layers[0].coef));
            }
            let mut x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
            for (index, layer) in self.layers.iter().enumerate() {
                let mut columns = before.take().unwrap_or_else(|| {
                    let mut columns = scores::products(&x, &layer.coef);
                    if narrow {
                        scores::overflow_float32(&x, &layer.coef, &mut columns);
                    }
                    columns
                });
                for (column, intercept) in columns.iter_mut().zip(&layer.intercept) {
                    column.iter_mut().for_each(|value| *value = round(round(*value, narrow) + intercept, narrow));
                }
                if index + 1 == self.layers.len() {
                    return rounded(self.last.apply(columns));
                }
                let columns = rounded(self.hidden.apply(columns));
                x = Dense { rows, cols: columns.len(), data: columns.concat(), narrow: false };
            }
            Vec::new()
        }
    }

    impl Predict for Network {
        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, narrow) = (x.rows(), self.narrow && x.is_narrow());
            let outputs = self.outputs(x);
            Matrix::Dense(Dense { rows, cols: outputs.len(), data: outputs.concat(), narrow })
        }

        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let rows = x.rows();
            let mut outputs = self.outputs(x);
            let above = |column: &Vec<f64>| column.iter().map(|value| u32::from(*value > 0.5)).collect();
            match (&self.form, want) {
                (Form::Numbers, _) | (Form::Each, Method::Proba) => Answer::floats(outputs, self.typed),
                (Form::Each, _) => Answer::Class(outputs.iter().map(above).collect()),
                (Form::Class | Form::Lone, Method::Proba) => {
                    if outputs.len() == 1 {
                        outputs.insert(0, outputs[0].iter().map(|second| 1.0 - second).collect());
                    }
                    Answer::floats(outputs, self.typed)
                }
                (Form::Lone, _) => Answer::Class(vec![vec![0; rows]]),
                (Form::Class, _) if outputs.len() == 1 => Answer::Class(outputs.iter().map(above).collect()),
                (Form::Class, _) => Answer::Class(vec![scores::first_largest(&outputs, rows)]),
            }
        }
    }
}
