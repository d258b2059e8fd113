//! FLAML's `AutoML`: the estimator that it chose, behind what it does to a DataFrame's columns.

use foretell_pickle::{Entry, View};

use crate::attributes::{flag, some_attr};
use crate::categories::Categories;
use crate::families::shared::acts::{Builder, Wrapped, texts};
use crate::families::shared::members::predictor;
use crate::families::shared::relabelled::relabelled;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::{Chain, Step};
use crate::{Error, InputKind, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "FLAML",
    classes: &[
        ("flaml.automl", "AutoML"),
        ("flaml.automl.automl", "AutoML"),
        ("flaml.automl.contrib.histgb", "HistGradientBoostingEstimator"),
        ("flaml.automl.model", "CatBoostEstimator"),
        ("flaml.automl.model", "ElasticNetEstimator"),
        ("flaml.automl.model", "ExtraTreesEstimator"),
        ("flaml.automl.model", "KNeighborsEstimator"),
        ("flaml.automl.model", "LGBMEstimator"),
        ("flaml.automl.model", "LRL1Classifier"),
        ("flaml.automl.model", "LRL2Classifier"),
        ("flaml.automl.model", "LassoLarsEstimator"),
        ("flaml.automl.model", "RandomForestEstimator"),
        ("flaml.automl.model", "XGBoostLimitDepthEstimator"),
        ("flaml.automl.model", "XGBoostSklearnEstimator"),
        ("flaml.model", "ExtraTreesEstimator"),
        ("flaml.model", "KNeighborsEstimator"),
        ("flaml.model", "LGBMEstimator"),
        ("flaml.model", "LRL1Classifier"),
        ("flaml.model", "LRL2Classifier"),
        ("flaml.model", "RandomForestEstimator"),
        ("flaml.model", "XGBoostLimitDepthEstimator"),
        ("flaml.model", "XGBoostSklearnEstimator"),
    ],
    globals: &[Entry::class("flaml.automl.data", "DataTransformer"), Entry::class("flaml.data", "DataTransformer")],
    load,
};

/// What stands for a missing category, and for one that training has not seen.
const NOTHING: &str = "__NAN__";

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let unfitted = || Error::Unfitted { place: view.path() };
    if view.class().is_some_and(|class| class.name != "AutoML") {
        let inside = some_attr(view, "_model")?.ok_or_else(unfitted)?;
        return loader.load(&inside, given);
    }
    let estimator = some_attr(view, "_trained_estimator")?.ok_or_else(unfitted)?;
    let prepares = some_attr(view, "_transformer")?.filter(|transformer| transformer.class().is_some());
    let loaded = match prepares {
        Some(transformer) if flag(view, "_df", true)? => {
            let table = prepared(loader, view, given, &transformer, &estimator)?;
            let (step, out) = match (table.step, table.out) {
                (Step::Transform(step), Out::Table(out)) => (step, out),
                _ => return Err(Error::WrongRole { place: view.path(), does: "predicts", needed: "transformer" }),
            };
            let (member, child) = predictor(loader.load(&estimator, Some(&out))?, &estimator)?;
            let chain = Chain { transforms: vec![step], last: Some(member.step) };
            let report = StepReport { children: vec![table.report, child], ..StepReport::default() };
            Loaded { step: Step::Predict(Box::new(chain)), out: Out::Answers(member.targets), report }
        }
        _ => loader.load(&estimator, given)?,
    };
    match some_attr(view, "_label_transformer")?.filter(|encoder| encoder.class().is_some()) {
        Some(encoder) => relabelled(view, loaded, &encoder),
        None => Ok(loaded),
    }
}

/// What the estimator takes for categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Texts,
    Codes,
    /// It takes numbers alone.
    Nothing,
}

/// Categories first, then numbers, of which those that are missing are filled.
fn prepared(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    transformer: &View<'_>,
    estimator: &View<'_>,
) -> Result<Loaded, Error> {
    let list = |name: &str| -> Result<Vec<String>, Error> {
        some_attr(transformer, name)?.map(|names| texts(&names)).transpose().map(Option::unwrap_or_default)
    };
    let (categories, numbers) = (list("_cat_columns")?, list("_num_columns")?);
    if !list("_datetime_columns")?.is_empty() {
        return Err(Error::unsupported(transformer.path(), "columns of dates", "numbers and texts"));
    }
    let taken = match estimator.class().map(|class| (class.module.as_str(), class.name.as_str())) {
        Some((_, "LGBMEstimator" | "CatBoostEstimator")) => Taken::Texts,
        Some((_, "KNeighborsEstimator")) => Taken::Nothing,
        Some((module, _)) if module.starts_with("flaml.") || categories.is_empty() => Taken::Codes,
        _ => {
            return Err(Error::unsupported(
                estimator.path(),
                "several estimators with columns of text",
                "one estimator",
            ));
        }
    };
    let names = some_attr(view, "_feature_names_in_")?.map(|names| texts(&names)).transpose()?;
    let mut build = Builder::of(loader, view, given, names)?;
    let mut order = Vec::new();
    for (index, name) in categories.iter().enumerate() {
        let (at, known) = (build.at(view, name)?, known(transformer, index, name)?);
        if known.kind() != InputKind::Text {
            return Err(Error::unsupported(transformer.path(), "categories that are not texts", "texts"));
        }
        build.demand(loader, at, InputKind::Text);
        loader.hold(known.bytes());
        if taken != Taken::Nothing {
            order.push(at);
            build.changed(at);
            build.act(run::Category { at, known, as_text: taken == Taken::Texts });
        }
    }
    let columns = numbers.iter().map(|name| build.at(view, name)).collect::<Result<Vec<usize>, _>>()?;
    if !columns.is_empty() {
        let sources: Vec<Source> = columns.iter().filter_map(|at| build.sources.get(*at)).cloned().collect();
        sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
        let loaded = loader.transformer(&transformer.attr("transformer")?, Some(&sources))?;
        if loaded.out.len() != columns.len() {
            return Err(Error::counts(view.path(), (loaded.out.len(), "columns filled"), (columns.len(), "columns")));
        }
        build.children.push(loaded.report);
        columns.iter().for_each(|at| build.changed(*at));
        build.act(Wrapped { step: loaded.step, columns: columns.clone(), places: columns.clone() });
    }
    order.extend(columns);
    build.arrange(order);
    build.finish(loader, view)
}

/// The categories of a column, which newer files keep.
fn known(transformer: &View<'_>, index: usize, name: &str) -> Result<Categories, Error> {
    if let Some(encoder) = some_attr(transformer, "_ordinal_encoder")? {
        return Categories::read(&encoder.attr("categories_")?.item(index)?);
    }
    let by_name = some_attr(transformer, "_cat_categories")?;
    if let Some(known) = by_name.map(|all| all.get(name)).transpose()?.flatten() {
        return Categories::objects(&known.items()?);
    }
    Err(Error::unsupported(
        transformer.path(),
        "texts whose codes each call makes of its own rows",
        "files that keep the categories (`_ordinal_encoder`)",
    ))
}

#[allow(clippy::indexing_slicing, reason = "places are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::StringArray;

    use super::NOTHING;
    use crate::categories::{Categories, texts};
    use crate::families::shared::acts::{Act, Columns};
    use crate::step::Run;

    /// A column of categories as texts, or as the places that they have among those known.
    #[derive(Debug)]
    pub(super) struct Category {
        pub(super) at: usize,
        pub(super) known: Categories,
        pub(super) as_text: bool,
    }

    impl Act for Category {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let column = table.all[self.at].clone();
            let mut out = vec![NOTHING; table.rows];
            let mut unseen = 0usize;
            texts(&column, |row, text| match text {
                Some(text) if self.known.text_code(text).is_some() => out[row] = text,
                Some(_) => unseen = unseen.saturating_add(1),
                None => {}
            });
            run.unseen(&table.labels[self.at], unseen);
            if self.as_text {
                table.place(self.at, Arc::new(StringArray::from(out)));
                return;
            }
            let last = self.known.len() as f64;
            let code = |text: &str| self.known.text_code(text).map_or(last, f64::from);
            table.put(self.at, out.into_iter().map(code).collect());
        }
    }
}
