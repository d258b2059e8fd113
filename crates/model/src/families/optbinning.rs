//! optbinning: the weight of evidence of the bin that a value is in (`OptimalBinning`, `BinningProcess`), and the estimator
//! behind them (`Scorecard`), whose `score` is told as `score_samples`.

use std::ops::Range;

use foretell_pickle::{Entry, View};

use crate::attributes::{some_attr, word};
use crate::categories::Categories;
use crate::families::shared::acts::{Builder, texts};
use crate::families::shared::members::predictor;
use crate::families::shared::rows::number;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::pandas::{self, Values};
use crate::step::Step;
use crate::{Error, InputKind, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "optbinning",
    classes: &[
        ("optbinning.binning.binning", "OptimalBinning"),
        ("optbinning.binning.binning_process", "BinningProcess"),
        ("optbinning.binning.continuous_binning", "ContinuousOptimalBinning"),
        ("optbinning.scorecard.scorecard", "Scorecard"),
    ],
    globals: &[
        Entry::class("optbinning.binning.binning_statistics", "BinningTable"),
        Entry::class("optbinning.binning.binning_statistics", "ContinuousBinningTable"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    match view.class().map(|class| class.name.as_str()).unwrap_or_default() {
        "BinningProcess" => {
            let mut build = process(loader, view, given, None)?;
            let kept = kept(view, &build)?;
            (0..build.len()).filter(|at| !kept.contains(at)).for_each(|at| build.drop(at));
            build.finish(loader, view)
        }
        "Scorecard" => scorecard(loader, view, given),
        _ => {
            let name = some_attr(view, "name")?.and_then(|name| name.as_text().ok().map(|name| name.into_owned()));
            let name = name.filter(|name| !name.is_empty());
            let mut build = Builder::of(loader, view, given, Some(vec![name.unwrap_or_else(|| "x".to_string())]))?;
            let binning = Binning::read(view, None)?;
            binning.put(loader, &mut build, 0);
            build.finish(loader, view)
        }
    }
}

/// What stands for special and missing values.
#[derive(Debug, Clone, Copy)]
struct Instead {
    special: Option<f64>,
    missing: Option<f64>,
}

/// Categories, and a place for each.
type Placed = (Categories, Vec<usize>);

/// The bins of a column, and a number for each: those of special codes and of missing values come last.
struct Binning {
    splits: Vec<f64>,
    /// Which bin each category is in; `None` of numbers.
    categories: Option<Placed>,
    special: Option<Placed>,
    values: Vec<f64>,
    special_values: Vec<f64>,
    missing: f64,
    unseen: f64,
}

impl Binning {
    /// What `transform` makes, `empirical` where `instead` says nothing of special or missing values.
    fn read(view: &View<'_>, instead: Option<Instead>) -> Result<Self, Error> {
        let instead = instead.unwrap_or(Instead { special: Some(0.0), missing: Some(0.0) });
        let is_number = word(view, "dtype", "numerical")? == "numerical";
        if some_attr(view, "user_splits")?.is_some() && !is_number {
            return Err(Error::unsupported(view.path(), "user_splits of categories", "splits that are found"));
        }
        let splits = view.attr("_splits_optimal")?.array()?.f64s()?;
        if !splits.is_sorted() {
            return Err(Error::state(view.path(), "splits that do not rise"));
        }
        let (categories, bins) =
            if is_number { (None, splits.len().saturating_add(1)) } else { grouped(view, &splits)? };
        let special = special(view)?;
        let specials =
            special.as_ref().map_or(1, |(_, groups)| groups.iter().max().map_or(1, |last| last.saturating_add(1)));
        let all = bins.saturating_add(specials).saturating_add(1);
        // An empirical number anywhere takes the counts of special and missing values into account, too.
        let (values, unseen) =
            numbers(view, if instead.special.is_none() || instead.missing.is_none() { None } else { Some(bins) })?;
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        if values.len() < bins || (values.len() < all && (instead.special.is_none() || instead.missing.is_none())) {
            return Err(Error::counts(view.path(), (values.len(), "numbers"), (all, "bins")));
        }
        let groups = |range: Range<usize>| range.map(at).collect::<Vec<_>>();
        let special_values = match instead.special {
            Some(value) => vec![value; specials],
            None => groups(bins..bins.saturating_add(specials)),
        };
        let missing = instead.missing.unwrap_or_else(|| at(bins.saturating_add(specials)));
        Ok(Binning { splits, categories, special, values: groups(0..bins), special_values, missing, unseen })
    }

    /// In the place of a column.
    fn put(self, loader: &mut Loader<'_>, build: &mut Builder, at: usize) {
        let kind = match &self.categories {
            Some((categories, _)) => {
                loader.hold(categories.bytes());
                categories.kind()
            }
            None => InputKind::Number,
        };
        build.demand(loader, at, kind);
        build.changed(at);
        let Binning { splits, categories, special, values, special_values, missing, unseen } = self;
        build.act(run::Bins { at, splits, categories, special, values, special_values, missing, unseen });
    }
}

/// Which bin each category is in: those that were put together are others of the last bin.
fn grouped(view: &View<'_>, splits: &[f64]) -> Result<(Option<Placed>, usize), Error> {
    let categories = view.attr("_categories")?;
    let objects = match pandas::values(&categories)? {
        Some(Values::Texts(texts)) => Categories::texts(texts),
        _ => Categories::read(&categories)?,
    };
    let bin = |at: usize| splits.iter().filter(|split| split.ceil() <= at as f64).count();
    let mut places: Vec<usize> = (0..objects.len()).map(bin).collect();
    let mut bins = splits.len().saturating_add(1);
    let others = view.attr("_cat_others")?;
    let others = match pandas::values(&others)? {
        Some(Values::Texts(texts)) => Categories::texts(texts),
        _ => match others.array() {
            Ok(_) => Categories::read(&others)?,
            Err(_) => Categories::objects(&others.items()?)?,
        },
    };
    let mut all = objects;
    if others.len() > 0 {
        all = all.and(others);
        places.resize(all.len(), bins);
        bins = bins.saturating_add(1);
    }
    Ok((Some((all, places)), bins))
}

/// Special codes, and which of them are told apart.
fn special(view: &View<'_>) -> Result<Option<Placed>, Error> {
    let Some(codes) = some_attr(view, "special_codes")? else { return Ok(None) };
    let mut all = Vec::new();
    let mut groups = Vec::new();
    if let Ok(pairs) = codes.pairs() {
        for (group, (_, codes)) in pairs.into_iter().enumerate() {
            let codes = codes.items().unwrap_or_else(|_| vec![codes.clone()]);
            groups.resize(groups.len().saturating_add(codes.len()), group);
            all.extend(codes);
        }
    } else {
        all = codes.items()?;
        groups = vec![0; all.len()];
    }
    Ok(Some((Categories::objects(&all)?, groups)))
}

/// The number of each bin, and of a category that is in none. `first` says how many bins are looked at.
fn numbers(view: &View<'_>, first: Option<usize>) -> Result<(Vec<f64>, f64), Error> {
    let counts = |name: &str| -> Result<Vec<f64>, Error> { Ok(view.attr(name)?.array()?.f64s()?) };
    let told = some_attr(view, "cat_unknown")?.map(|value| value.as_f64()).transpose()?;
    let is_continuous = view.class().is_some_and(|class| class.name == "ContinuousOptimalBinning");
    let cut = |mut all: Vec<f64>| {
        first.into_iter().for_each(|first| all.truncate(first));
        all
    };
    if is_continuous {
        let (records, sums) = (cut(counts("_n_records")?), cut(counts("_sums")?));
        let mean = |(sum, count): (&f64, &f64)| if *count > 0.0 { sum / count } else { 0.0 };
        let all = sums.iter().zip(&records).map(mean).collect();
        let total: (f64, f64) = (sums.iter().sum(), records.iter().sum());
        return Ok((all, told.unwrap_or(total.0 / total.1)));
    }
    let (none, some) = (counts("_n_nonevent")?, counts("_n_event")?);
    let (all_none, all_some): (f64, f64) = (none.iter().sum(), some.iter().sum());
    let weight = |rate: f64| ((1.0 / rate - 1.0) * all_some / all_none).ln();
    let (none, some) = (cut(none), cut(some));
    let one = |(none, some): (&f64, &f64)| {
        if *none > 0.0 && *some > 0.0 { weight(some / (some + none)) } else { 0.0 }
    };
    let values = none.iter().zip(&some).map(one).collect();
    let records: f64 = none.iter().zip(&some).map(|(none, some)| none + some).sum();
    Ok((values, told.unwrap_or_else(|| weight(all_some / records))))
}

/// The bins of all columns that were chosen, each in its column's place.
fn process(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    instead: Option<Instead>,
) -> Result<Builder, Error> {
    if some_attr(view, "binning_transform_params")?.is_some() {
        return Err(Error::unsupported(
            view.path(),
            "binning_transform_params",
            "the same transformation of all columns",
        ));
    }
    let names = texts(&view.attr("variable_names")?)?;
    let mut build = Builder::of(loader, view, given, Some(names))?;
    let kept = kept(view, &build)?;
    let binned = view.attr("_binned_variables")?;
    for at in kept {
        let name = build.name(at).to_string();
        let found =
            binned.get(&name)?.ok_or_else(|| Error::state(view.path(), format!("there are no bins of `{name}`")))?;
        let class = found.class().map(|class| class.name.as_str()).unwrap_or_default();
        if !matches!(class, "OptimalBinning" | "ContinuousOptimalBinning") {
            return Err(Error::unsupported(
                found.path(),
                class.to_string(),
                "OptimalBinning, ContinuousOptimalBinning",
            ));
        }
        Binning::read(&found, instead)?.put(loader, &mut build, at);
    }
    Ok(build)
}

/// Which columns were chosen.
fn kept(view: &View<'_>, build: &Builder) -> Result<Vec<usize>, Error> {
    let support = view.attr("_support")?.array()?.bools()?;
    if support.len() != build.len() {
        return Err(Error::counts(view.path(), (support.len(), "choices"), (build.len(), "columns")));
    }
    Ok(support.iter().enumerate().filter(|(_, kept)| **kept).map(|(at, _)| at).collect())
}

/// A number that stands for special or missing values; `None` where their own is taken.
fn stands(view: &View<'_>, name: &str) -> Result<Option<f64>, Error> {
    let value = view.attr(name)?;
    Ok(if value.as_str() == Ok("empirical") { None } else { Some(value.as_f64()?) })
}

fn scorecard(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let bins = view.attr("binning_process_")?;
    let instead = Instead { special: stands(view, "_metric_special")?, missing: stands(view, "_metric_missing")? };
    let mut build = process(loader, &bins, given, Some(instead))?;
    let kept = kept(&bins, &build)?;
    let points = points(view, &bins, &build, &kept)?;
    (0..build.len()).filter(|at| !kept.contains(at)).for_each(|at| build.drop(at));
    let table = build.finish(loader, &bins)?.transformer(&bins)?;
    let estimator = view.attr("estimator_")?;
    let loaded = loader.load(&estimator, Some(&table.out))?;
    let (member, mut child) = predictor(loaded, &estimator)?;
    child.name = Some("estimator_".to_string());
    let mut targets = member.targets.clone();
    (targets.samples, targets.table, targets.contribs) = (number("score"), Vec::new(), Vec::new());
    targets.leaves.clear();
    let report = StepReport { children: vec![table.report, child], ..StepReport::default() };
    let intercept = view.attr("intercept_")?.as_f64()?;
    let step = run::Card { bins: table.step, member, points, intercept };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// The points of each bin of each chosen column.
fn points(view: &View<'_>, bins: &View<'_>, build: &Builder, kept: &[usize]) -> Result<Vec<run::Points>, Error> {
    let frame = pandas::frame(&view.attr("_df_scorecard")?)?;
    let find = |name: &str| frame.iter().find(|(column, _)| column == name).map(|(_, values)| values);
    let (Some(Values::Texts(variables)), Some(Values::Numbers(all, _))) = (find("Variable"), find("Points")) else {
        return Err(Error::state(view.path(), "a scorecard without points"));
    };
    let binned = bins.attr("_binned_variables")?;
    let one = |at: &usize| {
        let name = build.name(*at);
        let own = variables.iter().zip(all).filter(|(variable, _)| variable.as_deref() == Some(name));
        let points: Vec<f64> = own.map(|(_, points)| *points).collect();
        let found =
            binned.get(name)?.ok_or_else(|| Error::state(view.path(), format!("there are no bins of `{name}`")))?;
        let binning = Binning::read(&found, None)?;
        let count = binning.values.len().saturating_add(binning.special_values.len());
        if points.len() <= count {
            return Err(Error::counts(view.path(), (points.len(), "points"), (count.saturating_add(1), "bins")));
        }
        // The bins themselves, and not what stands for them.
        let values = (0..binning.values.len()).map(|bin| bin as f64).collect();
        let special_values = (binning.values.len()..count).map(|bin| bin as f64).collect();
        let Binning { splits, categories, special, .. } = binning;
        let bins = run::Bins {
            at: *at,
            splits,
            categories,
            special,
            values,
            special_values,
            missing: count as f64,
            unseen: -1.0,
        };
        Ok(run::Points { bins, points })
    };
    kept.iter().map(one).collect()
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::categories::{Categories, MISSING};
    use crate::families::shared::acts::{Act, Columns};
    use crate::families::shared::members::Member;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run, Transform};

    #[derive(Debug)]
    pub(super) struct Bins {
        pub(super) at: usize,
        pub(super) splits: Vec<f64>,
        pub(super) categories: Option<(Categories, Vec<usize>)>,
        pub(super) special: Option<(Categories, Vec<usize>)>,
        pub(super) values: Vec<f64>,
        pub(super) special_values: Vec<f64>,
        pub(super) missing: f64,
        pub(super) unseen: f64,
    }

    impl Bins {
        fn numbers(&self, table: &Columns<'_>, run: &mut Run) -> Vec<f64> {
            let column = &table.all[self.at];
            let mut out = vec![self.unseen; table.rows];
            match &self.categories {
                Some((categories, bins)) => {
                    let codes = categories.codes(column);
                    run.unseen(&table.labels[self.at], crate::categories::unseen(&codes));
                    for (out, code) in out.iter_mut().zip(codes) {
                        if code == MISSING {
                            *out = self.missing;
                        } else if let Some(bin) = bins.get(code as usize) {
                            *out = self.values[*bin];
                        }
                    }
                }
                None => {
                    for (out, number) in out.iter_mut().zip(table.numbers(self.at, run)) {
                        let bin = self.splits.partition_point(|split| *split <= number);
                        *out = if number.is_nan() { self.missing } else { self.values[bin] };
                    }
                }
            }
            if let Some((codes, groups)) = &self.special {
                for (out, code) in out.iter_mut().zip(codes.codes(column)) {
                    if let Some(group) = groups.get(code as usize) {
                        *out = self.special_values[*group];
                    }
                }
            }
            out
        }
    }

    impl Act for Bins {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let numbers = self.numbers(table, run);
            table.put(self.at, numbers);
        }
    }

    /// The points of each bin.
    #[derive(Debug)]
    pub(super) struct Points {
        pub(super) bins: Bins,
        pub(super) points: Vec<f64>,
    }

    #[derive(Debug)]
    pub(super) struct Card {
        pub(super) bins: Box<dyn Transform>,
        pub(super) member: Member,
        pub(super) points: Vec<Points>,
        pub(super) intercept: f64,
    }

    impl Card {
        fn score(&self, x: Matrix, run: &mut Run) -> Vec<f64> {
            let (rows, cols) = (x.rows(), x.cols());
            let mut score = vec![0.0; rows];
            let labels: Vec<String> = vec![String::new(); cols];
            let Matrix::Frame(frame) = x else {
                run.refuse_all(rows, "Scorecard", None, "a table without names");
                return score;
            };
            let table = Columns { all: frame.columns, rows, class: "Scorecard", labels: &labels };
            for one in &self.points {
                for (score, bin) in score.iter_mut().zip(one.bins.numbers(&table, run)) {
                    // -1 is the last one, as Python counts.
                    let last = one.points.len() - 1;
                    *score += if bin < 0.0 { one.points[last] } else { one.points[bin as usize] };
                }
            }
            score.iter_mut().for_each(|score| *score += self.intercept);
            score
        }
    }

    impl Predict for Card {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            if want == Method::Samples {
                return Answer::F64(vec![self.score(x, run)]);
            }
            let x = self.bins.transform(x, run);
            let x = x.clone().into_dense().map_or(x, Matrix::Dense);
            self.member.step.answer(x, want, run)
        }
    }
}
