//! PyCaret's own transformers.

use foretell_pickle::View;

use crate::attributes::{flag, some_attr, word};
use crate::categories::Categories;
use crate::families::feature_engine::dates::run::{Part, Parts};
use crate::families::shared::acts::{Builder, Refuse, Wrapped, text, texts};
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;
use crate::{Error, InputKind};

/// What is taken out of the names of columns.
const MATCHED: &str = r#"[\]\[\,\{\}\"\:]+"#;

pub(super) fn load(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    class: &str,
) -> Result<Loaded, Error> {
    let mut build = Builder::of(loader, view, given, None)?;
    match class {
        "CleanColumnNames" => {
            if word(view, "match", MATCHED)? != MATCHED {
                return Err(Error::unsupported(view.path(), "a `match` of one's own", "the one that setup uses"));
            }
            build.sources.iter_mut().for_each(|source| source.label.retain(|one| !"[],{}\":".contains(one)));
        }
        "DropImputer" => {
            let columns = build.places(&view.attr("columns")?)?;
            build.act(Refuse { columns, infinity: false });
        }
        "EmbedTextFeatures" => embed(loader, view, &mut build)?,
        "ExtractDateTimeFeatures" => dates(loader, view, &mut build)?,
        "RareCategoryGrouping" => group(loader, view, &mut build)?,
        "GroupFeatures" => statistics(loader, view, &mut build)?,
        _ => {
            for name in texts(&view.attr("drop_")?)? {
                let at = build.at(view, &name)?;
                build.drop(at);
            }
        }
    }
    build.finish(loader, view)
}

/// Dates as ISO 8601 writes them become their parts, in the places of the dates and the last part first. Whether a part is
/// left out because dates are missing depends on the rows beside it: without a date a row is refused.
fn dates(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let mut wanted = Vec::new();
    for word in texts(&view.attr("features")?)? {
        let part = Part::of_pandas(&word).ok_or_else(|| {
            Error::unsupported(view.path(), format!("the part {word}"), "day, month, year, hour, dayofweek …")
        })?;
        wanted.push((word, part));
    }
    wanted.reverse();
    let columns: Vec<usize> = (0..build.len()).collect();
    columns.iter().for_each(|at| build.demand(loader, *at, InputKind::Text));
    build.act(Refuse { columns: columns.clone(), infinity: false });
    for at in columns {
        let name = build.name(at).to_string();
        wanted.iter().for_each(|(word, _)| build.add(format!("{name}_{word}")));
        build.act(Parts { at, parts: wanted.iter().map(|(_, part)| *part).collect() });
        build.drop(at);
    }
    Ok(())
}

/// Texts become the counts or weights of their words, behind all columns.
fn embed(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let learned = view.attr("estimators_")?;
    for at in 0..build.len() {
        let (name, source) = (build.name(at).to_string(), build.sources.get(at).cloned());
        let estimator =
            learned.get(&name)?.ok_or_else(|| Error::NoSuchColumn { place: view.path(), column: name.clone() })?;
        let loaded = loader.transformer(&estimator, source.as_ref().map(std::slice::from_ref))?;
        loader.charge(view, loaded.out.len())?;
        build.children.push(loaded.report);
        build.drop(at);
        let first = build.len();
        loaded.out.iter().for_each(|word| build.add(format!("{name}_{}", word.label)));
        build.act(Wrapped { step: loaded.step, columns: vec![at], places: (first..build.len()).collect() });
    }
    Ok(())
}

/// Rare categories become one.
fn group(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let stands = some_attr(view, "value")?.map(|value| text(&value)).transpose()?.unwrap_or_default();
    for (name, rare) in view.attr("to_other_")?.pairs()? {
        let rare = rare.items()?;
        if rare.is_empty() {
            continue;
        }
        let at = build.at(view, &text(&name)?)?;
        let rare = Categories::objects(&rare)?;
        if rare.kind() != InputKind::Text {
            return Err(Error::unsupported(view.path(), "rare numbers", "rare texts"));
        }
        build.demand(loader, at, InputKind::Text);
        loader.hold(rare.bytes());
        build.act(run::Grouped { at, rare, stands: stands.clone() });
    }
    Ok(())
}

/// What several columns of a row say together.
fn statistics(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let drops = flag(view, "drop_groups", false)?;
    for (name, columns) in view.attr("group_features")?.pairs()? {
        let name = text(&name)?;
        // Columns that were left out before are passed over.
        let columns: Vec<usize> = texts(&columns)?.iter().filter_map(|column| build.at(view, column).ok()).collect();
        if columns.is_empty() {
            continue;
        }
        columns.iter().for_each(|at| build.demand(loader, *at, InputKind::Number));
        let first = build.len();
        for what in ["min", "max", "mean", "std", "median", "mode"] {
            build.add(format!("{what}({name})"));
        }
        if drops {
            columns.iter().for_each(|at| build.drop(*at));
        }
        build.act(run::Statistics { columns, first });
    }
    Ok(())
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::{Float32Array, StringArray};

    use crate::categories::{Categories, texts};
    use crate::families::shared::acts::{Act, Columns};
    use crate::math::scores::pairwise_sum;
    use crate::matrix::round;
    use crate::step::Run;

    /// The least, the most, the mean, the deviation, the middle and the most frequent of some columns, row by row.
    #[derive(Debug)]
    pub(super) struct Statistics {
        pub(super) columns: Vec<usize>,
        /// Where the first of the six goes.
        pub(super) first: usize,
    }

    /// As pandas, numpy and scipy have them of one row: the first four pass over what is missing.
    fn of_row(row: &[f64], narrow: bool) -> [f64; 6] {
        let there: Vec<f64> = row.iter().copied().filter(|x| !x.is_nan()).collect();
        let count = there.len() as f64;
        let sum = if narrow { there.iter().fold(0.0, |sum, x| round(sum + x, true)) } else { pairwise_sum(&there) };
        let wide_mean = pairwise_sum(&there) / count;
        let squares: Vec<f64> = there.iter().map(|x| (wide_mean - x) * (wide_mean - x)).collect();
        let deviation = round(round(pairwise_sum(&squares) / count, narrow).sqrt(), narrow);
        let mut sorted = row.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (mut middle, mut mode) = (f64::NAN, f64::NAN);
        if there.len() == row.len() {
            let half = row.len() / 2;
            middle = match row.len() % 2 {
                1 => sorted[half],
                _ => round(round(sorted[half - 1] + sorted[half], narrow) / 2.0, narrow),
            };
            let times = |x: f64| row.iter().filter(|other| **other == x).count();
            // The least of those that are there most often.
            let mut most = 0;
            for x in &sorted {
                if times(*x) > most {
                    (most, mode) = (times(*x), *x);
                }
            }
        }
        let least = there.iter().copied().reduce(f64::min).unwrap_or(f64::NAN);
        let largest = there.iter().copied().reduce(f64::max).unwrap_or(f64::NAN);
        let mean = if count == 0.0 { f64::NAN } else { round(sum / count, narrow) };
        [least, largest, mean, deviation, middle, mode]
    }

    impl Act for Statistics {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let narrow = self.columns.iter().all(|at| table.is_narrow(*at));
            let columns: Vec<Vec<f64>> = self.columns.iter().map(|at| table.numbers(*at, run)).collect();
            let mut out: [Vec<f64>; 6] = Default::default();
            let mut row = vec![0.0; columns.len()];
            for at in 0..table.rows {
                row.iter_mut().zip(&columns).for_each(|(value, column)| *value = column[at]);
                out.iter_mut().zip(of_row(&row, narrow)).for_each(|(column, value)| column.push(value));
            }
            for (at, column) in out.into_iter().enumerate() {
                if narrow && at == 5 {
                    let column = Float32Array::from_iter_values(column.into_iter().map(|x| x as f32));
                    table.place(self.first + at, Arc::new(column));
                } else {
                    table.put(self.first + at, column);
                }
            }
        }
    }

    /// Some categories become one.
    #[derive(Debug)]
    pub(super) struct Grouped {
        pub(super) at: usize,
        pub(super) rare: Categories,
        pub(super) stands: String,
    }

    impl Act for Grouped {
        fn act(&self, table: &mut Columns<'_>, _run: &mut Run) {
            let column = table.all[self.at].clone();
            let mut out: Vec<Option<&str>> = vec![None; table.rows];
            texts(&column, |row, text| {
                let is_rare = |text: &str| self.rare.text_code(text).is_some();
                out[row] = text.map(|text| if is_rare(text) { self.stands.as_str() } else { text });
            });
            table.place(self.at, Arc::new(StringArray::from(out)));
        }
    }
}
