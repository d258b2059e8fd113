//! `HistGradientBoostingClassifier` and `HistGradientBoostingRegressor`.
//!
//! Values stay float64. What is missing, and a category that is unknown, goes the way that the node says.

use foretell_pickle::{Entry, View};

use crate::attributes::{self, some_attr};
use crate::families::shared::explained::{Shares, Told, explained};
use crate::families::shared::lone_class;
use crate::families::shared::losses::{Choice, Link, Loss};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Transformer};
use crate::loader::Loader;
use crate::math::scores::{Formula, Softmax};
use crate::step::{Chain, Step};
use crate::trees::{Ensemble, Explainer, Gain, NONE, Node, Plan, Rule, Tree};
use crate::{Error, InputKind, StepReport, TreesReport};

const MODULE: &str = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting";

pub(crate) const FAMILY: Family = Family {
    name: "histogram gradient boosting of scikit-learn",
    classes: &[(MODULE, "HistGradientBoostingClassifier"), (MODULE, "HistGradientBoostingRegressor")],
    // And the losses, which `gradient_boosting` lists.
    globals: &[
        Entry::class("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
        Entry::class("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
        // The check of the columns that are not categories: named, never called.
        Entry::inert("sklearn.utils.validation", "check_array"),
    ],
    load,
};

/// More outputs than this are an attack on memory.
const OUTPUTS: usize = 1 << 16;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let version = attributes::version(view)?;
    let features = match view.get_attr("_n_features")? {
        Some(count) => count.as_usize()?,
        None => view.attr("n_features_")?.as_usize()?,
    };
    let labels = if class.ends_with("Classifier") { Some(attributes::labels(&view.attr("classes_")?)?) } else { None };
    let outputs = labels.as_ref().map_or(1, |labels| if labels.len() == 2 { 1 } else { labels.len() });
    if outputs > OUTPUTS || outputs == 0 {
        return Err(Error::state(view.path(), format!("{outputs} outputs")));
    }
    let loss = match (&labels, view.attr("loss")?.as_str()?) {
        (Some(_), "auto" | "log_loss" | "binary_crossentropy" | "categorical_crossentropy") => {
            if outputs == 1 {
                Loss::Logit
            } else {
                Loss::Multinomial
            }
        }
        (None, "poisson" | "gamma") => Loss::Log,
        (None, "squared_error" | "least_squares" | "absolute_error" | "least_absolute_deviation" | "quantile") => {
            Loss::Identity
        }
        (_, other) => {
            let known = "log_loss, squared_error, absolute_error, quantile, poisson, gamma, and their older names";
            return Err(Error::unsupported(view.path(), format!("loss={other}"), known));
        }
    };
    let names = attributes::feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    // The first version took finite numbers only.
    let finite = version
        .is_some_and(|version| version < (0, 22))
        .then(|| Finite::new("HistGradientBoosting", &sources, false, false));
    let (transform, mut report, order) = preprocessor(loader, view, &sources)?;

    let known = known_categories(view, features)?;
    let mut ensemble = Ensemble { trees: Vec::new(), width: 1, outputs, features, rule: Rule::LessEqual };
    for iteration in view.attr("_predictors")?.items()? {
        let predictors = iteration.items()?;
        if predictors.len() != outputs {
            return Err(Error::counts(iteration.path(), (predictors.len(), "trees"), (outputs, "outputs")));
        }
        for (predictor, offset) in predictors.iter().zip(0u32..) {
            let mut tree = read_tree(predictor, &known)?;
            tree.offset = offset;
            ensemble.trees.push(tree);
        }
    }
    let depth = ensemble.check(&view.path())?;
    let baseline = view.attr("_baseline_prediction")?;
    let start = match baseline.array() {
        Ok(array) => array.f64s()?,
        Err(_) => vec![baseline.as_f64()?],
    };
    if start.len() != outputs {
        return Err(Error::counts(baseline.path(), (start.len(), "baselines"), (outputs, "outputs")));
    }
    let plan = Plan::new(&ensemble, |_, value| value);
    report.trees = Some(TreesReport {
        trees: ensemble.trees.len(),
        nodes: ensemble.nodes(),
        max_depth: depth,
        kernel: plan.kernel(),
        bytes: ensemble.bytes().saturating_add(plan.bytes()),
        features: ensemble.uses(Gain::Split, order.iter().map(String::as_str)),
    });
    let lone = labels.as_ref().is_some_and(|labels| labels.len() == 1);
    let mut targets = loss.targets(labels);
    let before = |first| version.is_none_or(|version| version < first);
    let choice = if before((1, 3)) { Choice::Probability } else { Choice::Score };
    let formula = if before((1, 1)) { Formula::LogSumExp } else { Formula::Quotient };
    let link = Link { loss, softmax: Softmax { formula, ..Softmax::BY_CLASS }, choice };
    let explainer = match loader.options.explain {
        true => Explainer::new(&ensemble, |_, value| value, &start, false),
        false => None,
    };
    // The trees see the columns in an order of their own.
    let columns: Vec<Source> = order.into_iter().map(Source::made).collect();
    let told = Told { shares: explainer.map(Shares::Trees), ..Told::default() };
    let scorer = Box::new(score::Boosting { plan, start, link, finite });
    let scorer = explained(scorer, told, &columns, &mut targets);
    let scorer = lone_class::guarded(scorer, &class, lone);
    let step = match transform {
        Some(transform) => Step::Predict(Box::new(Chain { transforms: vec![transform], last: Some(scorer) })),
        None => Step::Predict(scorer),
    };
    Ok(Loaded { step, out: Out::Answers(targets), report })
}

type Transform = Box<dyn crate::step::Transform>;

/// From 1.4 on: an encoder of the categorical columns, which come first, before all others. With the names of the
/// features as the trees know them.
fn preprocessor(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    sources: &[Source],
) -> Result<(Option<Transform>, StepReport, Vec<String>), Error> {
    let Some(columns) = some_attr(view, "_preprocessor")? else {
        sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
        let order = sources.iter().map(|source| source.label.clone()).collect();
        return Ok((None, StepReport::default(), order));
    };
    let mask = view.attr("is_categorical_")?.array()?.bools()?;
    if mask.len() != sources.len() {
        return Err(Error::counts(view.path(), (mask.len(), "marks"), (sources.len(), "features")));
    }
    let marked = |want: bool| -> Vec<usize> {
        mask.iter().enumerate().filter(|(_, mark)| **mark == want).map(|(index, _)| index).collect()
    };
    let (categories, numbers) = (marked(true), marked(false));
    let mut encoder = None;
    for part in columns.attr("transformers_")?.items()? {
        if part.item(0)?.as_str()? == "encoder" {
            encoder = Some(part.item(1)?);
        }
    }
    let encoder = encoder.ok_or_else(|| Error::state(columns.path(), "there is no `encoder`"))?;
    let given: Vec<Source> = categories.iter().filter_map(|index| sources.get(*index)).cloned().collect();
    let Transformer { step: encoder, out, report } = loader.transformer(&encoder, Some(&given))?;
    if out.len() != categories.len() {
        return Err(Error::state(columns.path(), "the encoder gives other columns than it takes"));
    }
    numbers.iter().filter_map(|index| sources.get(*index)).for_each(|source| loader.demand(source, InputKind::Number));
    let report = StepReport { children: vec![report], ..StepReport::default() };
    let order = categories.iter().chain(&numbers).filter_map(|index| sources.get(*index));
    let order = order.map(|source| source.label.clone()).collect();
    Ok((Some(Box::new(score::Encode { encoder, categories, numbers })), report, order))
}

/// Words of a set of categories: they are below 256.
const WORDS: usize = 8;

/// The categories that each feature had while training, as bits; `None` where it is a number.
fn known_categories(view: &View<'_>, features: usize) -> Result<Vec<Option<[u32; WORDS]>>, Error> {
    let Some(mapper) = some_attr(view, "_bin_mapper")? else { return Ok(Vec::new()) };
    let Some(marks) = some_attr(&mapper, "is_categorical_")? else { return Ok(Vec::new()) };
    let marks = marks.array()?.u64s()?;
    let all = mapper.attr("bin_thresholds_")?.items()?;
    if marks.len() != features || all.len() != features {
        return Err(Error::state(mapper.path(), format!("bins of {} features for {features}", all.len())));
    }
    let one = |(mark, values): (&u64, &View<'_>)| -> Result<Option<[u32; WORDS]>, Error> {
        if *mark == 0 {
            return Ok(None);
        }
        let mut set = [0u32; WORDS];
        for value in values.array()?.f64s()? {
            let bit = value as usize;
            let Some(word) = set.get_mut(bit / 32) else {
                return Err(Error::state(values.path(), "a category is above 255"));
            };
            *word |= 1 << (bit % 32);
        }
        Ok(Some(set))
    };
    marks.iter().zip(&all).map(one).collect()
}

fn read_tree(predictor: &View<'_>, known: &[Option<[u32; WORDS]>]) -> Result<Tree, Error> {
    let nodes = predictor.attr("nodes")?.array()?;
    let optional = |name: &str| nodes.get_field(name).map(|field| field.u64s()).transpose();
    let value = nodes.field("value")?.f64s()?;
    let feature = nodes.field("feature_idx")?.i64s()?;
    let threshold = match nodes.get_field("num_threshold") {
        Some(field) => field.f64s()?,
        None => nodes.field("threshold")?.f64s()?,
    };
    let missing = optional("missing_go_to_left")?.unwrap_or_else(|| vec![0; value.len()]);
    let (left, right) = (nodes.field("left")?.u64s()?, nodes.field("right")?.u64s()?);
    let is_leaf = nodes.field("is_leaf")?.u64s()?;
    let (count, gain) = (nodes.field("count")?.f64s()?, nodes.field("gain")?.f64s()?);
    let (is_set, bitset) = (optional("is_categorical")?, optional("bitset_idx")?);
    let sets: Vec<u32> = match predictor.get_attr("raw_left_cat_bitsets")? {
        Some(sets) => sets.array()?.u64s()?.into_iter().map(|word| u32::try_from(word).unwrap_or(0)).collect(),
        None => Vec::new(),
    };
    let sets: Vec<&[u32]> = sets.chunks_exact(WORDS).collect();

    let mut tree = Tree::default();
    let children = left.iter().zip(&right).zip(feature.iter().zip(&threshold));
    let rest = value.iter().zip(&missing).zip(is_leaf.iter()).zip(count.iter().zip(&gain));
    for (index, (((left, right), (feature, threshold)), (((value, missing), is_leaf), (count, gain)))) in
        children.zip(rest).enumerate()
    {
        let wrong =
            |message: &str| Error::Tree { place: predictor.path(), tree: 0, node: index, message: message.to_string() };
        let short = |child: u64| u32::try_from(child).unwrap_or(NONE).min(NONE - 1);
        let mut node = Node {
            left: NONE,
            right: NONE,
            feature: u32::try_from(tree.values.len()).map_err(|_| wrong("too many leaves"))?,
            set: NONE,
            missing_left: *missing != 0,
            threshold: *threshold,
            cover: *count,
            gain: *gain,
        };
        if *is_leaf != 0 {
            tree.values.push(*value);
            tree.nodes.push(node);
            continue;
        }
        (node.left, node.right) = (short(*left), short(*right));
        node.feature = u32::try_from(*feature).map_err(|_| wrong("its feature is out of range"))?;
        if is_set.as_ref().and_then(|all| all.get(index)).is_some_and(|is_set| *is_set != 0) {
            let place = bitset.as_ref().and_then(|all| all.get(index)).and_then(|place| usize::try_from(*place).ok());
            let goes_left = place.and_then(|place| sets.get(place));
            let all = known.get(node.feature as usize).copied().flatten();
            let (Some(goes_left), Some(all)) = (goes_left, all) else {
                return Err(wrong("its set of categories is not there"));
            };
            // Here a set goes right and all else left, together with what is missing: the sides are swapped where
            // the file sends what is missing to the right.
            let set = if node.missing_left {
                all.iter().zip(goes_left.iter()).map(|(all, left)| all & !left).collect()
            } else {
                (node.left, node.right) = (node.right, node.left);
                goes_left.to_vec()
            };
            node.missing_left = true;
            node.set = u32::try_from(tree.sets.len()).map_err(|_| wrong("too many sets"))?;
            tree.sets.push(set);
        }
        tree.nodes.push(node);
    }
    Ok(tree)
}

/// What runs.
mod score {
    use crate::Method;
    use crate::families::shared::losses::Link;
    use crate::finite::Finite;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run, Transform};
    use crate::trees::Plan;

    #[derive(Debug)]
    pub(super) struct Boosting {
        pub(super) plan: Plan<f64, f64>,
        pub(super) start: Vec<f64>,
        pub(super) link: Link,
        pub(super) finite: Option<Finite>,
    }

    impl Predict for Boosting {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if let Some(finite) = &self.finite {
                finite.check(&x, run);
            }
            let raw = self.plan.sum(&x, &self.start, 0.0, None);
            self.link.answer(raw, want)
        }
    }

    /// Codes of the categorical columns first, then the numbers.
    #[derive(Debug)]
    pub(super) struct Encode {
        pub(super) encoder: Box<dyn Transform>,
        pub(super) categories: Vec<usize>,
        pub(super) numbers: Vec<usize>,
    }

    impl Transform for Encode {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, width) = (x.rows(), self.categories.len());
            let dense = |x: Matrix, cols| x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let numbers = dense(x.select(&self.numbers), self.numbers.len());
            let mut out = dense(self.encoder.transform(x.select(&self.categories), run), width);
            out.data.extend_from_slice(&numbers.data);
            out.cols = out.cols.saturating_add(numbers.cols);
            out.narrow = false;
            Matrix::Dense(out)
        }
    }
}
