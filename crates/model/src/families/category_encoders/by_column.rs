//! Encoders that look each category of a column up, and so find a number or a row of them.

use foretell_pickle::View;

use super::{dropped, input_names, lumped, name_of, names_of, place_of, sources};
use crate::attributes::{flag, some_attr, word};
use crate::categories::Categories;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::pandas::Table;
use crate::step::Step;
use crate::{Error, InputKind};

/// The codes that the encoders give to what they do not know and to what is missing.
const UNKNOWN_CODE: f64 = -1.0;
const MISSING_CODE: f64 = -2.0;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    // Until 2.5 one encoder had all that it learned in another.
    let inner = some_attr(view, "base_n_encoder")?;
    let view = inner.as_ref().unwrap_or(view);
    let columns = names_of(&view.attr("cols")?)?;
    let maps = maps(view, &class, &columns)?;
    let mut names = input_names(loader, view, &columns, || names_from_outputs(view, &columns, &maps))?;
    let mut sources = sources(loader, view, given, &names)?;
    let mut dropped = dropped(view)?;
    let mut joined = Vec::new();
    for (name, members) in composites(view)? {
        joined.push(members.iter().map(|member| place_of(view, &names, member)).collect::<Result<Vec<_>, _>>()?);
        sources.push(Source::made(name.clone()));
        names.push(name);
        if !flag(view, "keep_components", false)? {
            dropped.extend(members);
        }
    }
    let mut encoded = columns
        .iter()
        .map(|column| place_of(view, &names, column))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .zip(maps)
        .collect::<Vec<(usize, Map)>>();

    let mut parts = Vec::with_capacity(sources.len());
    let mut out = Vec::new();
    // Until 2.6 a column of ones stood before contrasts.
    let intercept =
        outputs(view)?.first().is_some_and(|name| name == INTERCEPT) && !names.iter().any(|name| name == INTERCEPT);
    out.extend(intercept.then(|| Source::made(INTERCEPT.to_string())));
    for (index, source) in sources.iter().enumerate() {
        let name = names.get(index).map(String::as_str).unwrap_or_default();
        let Some(at) = encoded.iter().position(|(place, _)| *place == index) else {
            let kept = !dropped.iter().any(|dropped| dropped == name);
            parts.push(run::EncodedColumn { label: source.label.clone(), how: run::ColumnEncoding::Pass(kept) });
            out.extend(kept.then(|| source.clone()));
            continue;
        };
        let (_, map) = encoded.swap_remove(at);
        loader.demand(source, if class == "CountEncoder" { InputKind::Any } else { map.categories.kind() });
        loader.hold(map.categories.bytes());
        let mut kept = Vec::new();
        for (place, label) in map.labels.iter().enumerate() {
            let label = label.as_deref().unwrap_or(name);
            if !dropped.iter().any(|dropped| dropped == label) {
                kept.push(place);
                out.push(Source::made(label.to_string()));
            }
        }
        let groups = groups(view, name, &map.categories)?;
        let Map { categories, rows, unknown, missing, .. } = map;
        let how =
            run::ColumnEncoding::Encode(Box::new(run::Encode { categories, groups, rows, unknown, missing, kept }));
        parts.push(run::EncodedColumn { label: source.label.clone(), how });
    }
    let step = run::Encoder { class, parts, intercept, joined };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// The columns that are encoded as one, by the name of what they become.
fn composites(view: &View<'_>) -> Result<Vec<(String, Vec<String>)>, Error> {
    let Some(members) = some_attr(view, "composite_members_")? else { return Ok(Vec::new()) };
    members.pairs()?.iter().map(|(name, members)| Ok((name_of(name)?, names_of(members)?))).collect()
}

/// What old versions put before contrasts.
const INTERCEPT: &str = "intercept";

/// The names of the outputs, where the file tells them.
fn outputs(view: &View<'_>) -> Result<Vec<String>, Error> {
    for name in ["feature_names_out_", "feature_names"] {
        if let Some(outputs) = some_attr(view, name)?
            && let Ok(outputs) = outputs.items()
        {
            return outputs.iter().map(name_of).collect();
        }
    }
    Ok(Vec::new())
}

/// The names of the inputs from those of the outputs, which is all that versions before 2.6 tell: what a column became
/// stands where the column stood.
fn names_from_outputs(view: &View<'_>, columns: &[String], maps: &[Map]) -> Result<Vec<String>, Error> {
    let unknown = || {
        let supported = "files of category_encoders 2.6 and later";
        Error::unsupported(view.path(), "columns that pass through without names", supported)
    };
    if flag(view, "drop_invariant", false)? {
        return Err(unknown());
    }
    let mut names = outputs(view)?;
    if names.first().is_some_and(|name| name == INTERCEPT) {
        names.remove(0);
    }
    for (column, map) in columns.iter().zip(maps) {
        let became: Vec<&str> = map.labels.iter().map(|label| label.as_deref().unwrap_or(column)).collect();
        let at = names.windows(became.len().max(1)).position(|window| window == became).ok_or_else(unknown)?;
        names.splice(at..at.saturating_add(became.len()), [column.clone()]);
    }
    if names.len() == view.attr("_dim")?.as_usize()? { Ok(names) } else { Err(unknown()) }
}

/// What becomes of the categories of one column.
struct Map {
    categories: Categories,
    /// The numbers of each category.
    rows: Vec<Vec<f64>>,
    /// The numbers of what is not a category; `None` where it is refused.
    unknown: Option<Vec<f64>>,
    /// The numbers of a missing value; `None` where it is refused.
    missing: Option<Vec<f64>>,
    /// The names of the outputs; `None` where it is the column's own.
    labels: Vec<Option<String>>,
}

fn maps(view: &View<'_>, class: &str, columns: &[String]) -> Result<Vec<Map>, Error> {
    let unknown_how = word(view, "handle_unknown", "value").unwrap_or("value");
    let refuses_missing = word(view, "handle_missing", "value").is_ok_and(|how| how == "error");
    let mut maps = Vec::with_capacity(columns.len());
    for column in columns {
        let mut map = match class {
            "CountEncoder" => counts(view, column)?,
            "OrdinalEncoder" => ordinals(view, column)?,
            "CatBoostEncoder" | "LeaveOneOutEncoder" => levels(view, class, column)?,
            _ => by_code(view, class, column, unknown_how == "error")?,
        };
        if refuses_missing {
            map.missing = None;
        }
        maps.push(map);
    }
    Ok(maps)
}

/// The entry for a column in a list of `{"col": …, "mapping": …}`, or in a dict by column.
fn mapping<'a>(view: &View<'a>, column: &str) -> Result<View<'a>, Error> {
    let all = view.attr("mapping")?;
    let missing = || Error::state(view.path(), format!("there is no mapping of `{column}`"));
    if let Ok(pairs) = all.pairs() {
        for (key, value) in pairs {
            if name_of(&key)? == column {
                return Ok(value);
            }
        }
        return Err(missing());
    }
    for entry in all.items()? {
        if name_of(&entry.get("col")?.ok_or_else(missing)?)? == column {
            return entry.get("mapping")?.ok_or_else(missing);
        }
    }
    Err(missing())
}

/// The rare categories of a column, and for each the code of the category that stands for it.
fn groups(view: &View<'_>, column: &str, all: &Categories) -> Result<Option<run::Groups>, Error> {
    let Some((rare, names)) = lumped(view, column)? else { return Ok(None) };
    let code = |name: &String| {
        all.text_code(name)
            .ok_or_else(|| Error::state(view.path(), format!("there is no group `{name}` of `{column}`")))
    };
    let codes = names.iter().map(code).collect::<Result<_, _>>()?;
    Ok(Some(run::Groups { rare, codes }))
}

/// The only column of a Series.
fn series(view: &View<'_>, column: &str) -> Result<(Categories, Vec<f64>), Error> {
    let mapping = mapping(view, column)?;
    let mut table = Table::read(&mapping)?;
    match (table.names.is_empty(), table.columns.pop()) {
        (true, Some(values)) => Ok((table.index, values)),
        _ => Err(mapping.expected("a series").into()),
    }
}

/// What is made of a value that is missing or unknown.
enum How<'a> {
    Word(&'a str),
    Number(f64),
}

fn how<'a>(view: &View<'a>, name: &str) -> Result<How<'a>, Error> {
    let Some(value) = some_attr(view, name)? else { return Ok(How::Word("value")) };
    if let Ok(word) = value.as_str() {
        return Ok(How::Word(word));
    }
    let told = "value, return_nan, error, a number";
    value.as_f64().map(How::Number).map_err(|_| Error::unsupported(value.path(), format!("{name} by a function"), told))
}

fn ordinals(view: &View<'_>, column: &str) -> Result<Map, Error> {
    let (categories, codes) = series(view, column)?;
    let unknown = match how(view, "handle_unknown")? {
        How::Number(number) => Some(number),
        How::Word("value") => Some(UNKNOWN_CODE),
        How::Word("error") => None,
        How::Word(_) => Some(f64::NAN),
    };
    let missing = match how(view, "handle_missing")? {
        How::Number(number) => number,
        How::Word("return_nan") => f64::NAN,
        How::Word(_) => MISSING_CODE,
    };
    let code = |code: f64| if code == MISSING_CODE { missing } else { code };
    let rows: Vec<Vec<f64>> = codes.into_iter().map(|one| vec![code(one)]).collect();
    let missing = missing_row(&categories, &rows).or(unknown.map(|unknown| vec![unknown]));
    Ok(Map { categories, rows, unknown: unknown.map(|unknown| vec![unknown]), missing, labels: vec![None] })
}

fn missing_row(categories: &Categories, rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    rows.get(categories.missing()? as usize).cloned()
}

fn counts(view: &View<'_>, column: &str) -> Result<Map, Error> {
    let (categories, values) = series(view, column)?;
    let setting = |name: &str| -> Result<Option<View<'_>>, Error> {
        match some_attr(view, &format!("_{name}"))? {
            Some(each) if each.pairs().is_ok() => Ok(each.get(column)?.and_then(View::some)),
            _ => some_attr(view, name),
        }
    };
    let returns_nan = setting("handle_missing")?.is_some_and(|how| how.as_str() == Ok("return_nan"));
    let unknown = match setting("handle_unknown")? {
        Some(how) => match how.as_str() {
            Ok("value") => Some(if returns_nan { f64::NAN } else { 0.0 }),
            Ok("error") => None,
            Ok(_) => Some(f64::NAN),
            Err(_) => Some(how.as_f64()?),
        },
        None => Some(f64::NAN),
    };
    // A count that is not there counts as unknown, whatever it stands for.
    let known = |value: f64| if value.is_nan() { unknown } else { Some(value) };
    let missing = match categories.missing().and_then(|code| values.get(code as usize)) {
        Some(value) => known(*value),
        None => unknown,
    };
    let rows = values.iter().map(|value| vec![known(*value).unwrap_or(f64::NAN)]).collect();
    let (unknown, missing) = (unknown.map(|unknown| vec![unknown]), missing.map(|missing| vec![missing]));
    Ok(Map { categories, rows, unknown, missing, labels: vec![None] })
}

/// Encoders that keep the sum of the targets of each category, and how many they are.
fn levels(view: &View<'_>, class: &str, column: &str) -> Result<Map, Error> {
    let found = mapping(view, column)?;
    let table = Table::read(&found)?;
    let of = |name: &str| {
        let at = table.names.iter().position(|one| one == name);
        at.and_then(|at| table.columns.get(at))
            .ok_or_else(|| Error::state(found.path(), format!("`{name}` is missing")))
    };
    let (sums, counts) = (of("sum")?, of("count")?);
    let mean = view.attr("_mean")?.as_f64()?;
    let weight = if class == "CatBoostEncoder" { some_attr(view, "a")?.map_or(Ok(1.0), |a| a.as_f64())? } else { 0.0 };
    let prior = if class == "CatBoostEncoder" { mean * weight } else { 0.0 };
    // What was there once tells nothing of its own.
    let value = |(sum, count): (&f64, &f64)| if *count > 1.0 { (sum + prior) / (count + weight) } else { mean };
    let rows: Vec<Vec<f64>> = sums.iter().zip(counts).map(|both| vec![value(both)]).collect();
    let told = |name: &str| -> Result<Option<Vec<f64>>, Error> {
        match how(view, name)? {
            How::Word("value") => Ok(Some(vec![mean])),
            // A number is taken and not used.
            How::Word("return_nan") | How::Number(_) => Ok(Some(vec![f64::NAN])),
            How::Word("error") => Ok(None),
            How::Word(other) => {
                Err(Error::unsupported(view.path(), format!("{name}={other}"), "value, return_nan, error"))
            }
        }
    };
    let (unknown, missing) = (told("handle_unknown")?, told("handle_missing")?);
    let learned = missing_row(&table.index, &rows)
        .filter(|_| how(view, "handle_missing").is_ok_and(|how| matches!(how, How::Word("value") | How::Number(_))));
    Ok(Map { categories: table.index, rows, unknown, missing: learned.or(missing), labels: vec![None] })
}

/// Encoders that look up what an ordinal encoder inside gives.
fn by_code(view: &View<'_>, class: &str, column: &str, refuses_unknown: bool) -> Result<Map, Error> {
    let (categories, codes) = series(&view.attr("ordinal_encoder")?, column)?;
    let table = Table::read(&mapping(view, column)?)?;
    let width = table.columns.len();
    // Ranks of what is not known are zeros.
    let default = (class == "RankHotEncoder").then(|| {
        let returns_nan = word(view, "handle_unknown", "value").is_ok_and(|how| how == "return_nan");
        vec![if returns_nan { f64::NAN } else { 0.0 }; width]
    });
    let look_up = |code: f64| -> Vec<f64> {
        let code = if code.is_nan() && class == "OneHotEncoder" { MISSING_CODE } else { code };
        let at = table.index.number_code(code);
        if at.is_none()
            && let Some(default) = &default
        {
            return default.clone();
        }
        let value = |values: &Vec<f64>| at.and_then(|at| values.get(at as usize)).copied().unwrap_or(f64::NAN);
        table.columns.iter().map(value).collect()
    };
    let rows: Vec<Vec<f64>> = codes.into_iter().map(&look_up).collect();
    let unknown = look_up(UNKNOWN_CODE);
    let mut missing = missing_row(&categories, &rows).or(Some(unknown.clone())).filter(|row| row.len() == width);
    if default.is_some() && word(view, "handle_missing", "value").is_ok_and(|how| how == "return_nan") {
        missing = Some(vec![f64::NAN; width]);
    }
    let names = table.names.iter().cloned().map(Some);
    let labels = if table.names.is_empty() { vec![None] } else { names.collect() };
    Ok(Map { categories, rows, unknown: (!refuses_unknown).then_some(unknown), missing, labels })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
pub(super) mod run {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, StringArray};

    use crate::categories::{self, Categories, MISSING};
    use crate::families::shared::written::{As, column};
    use crate::matrix::{ArrayRule, Frame, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct EncodedColumn {
        pub(super) label: String,
        pub(super) how: ColumnEncoding,
    }

    #[derive(Debug)]
    pub(super) enum ColumnEncoding {
        /// Goes on as it is, or is left out.
        Pass(bool),
        Encode(Box<Encode>),
    }

    #[derive(Debug)]
    pub(super) struct Groups {
        pub(super) rare: Categories,
        pub(super) codes: Vec<u32>,
    }

    #[derive(Debug)]
    pub(super) struct Encode {
        pub(super) categories: Categories,
        pub(super) groups: Option<Groups>,
        pub(super) rows: Vec<Vec<f64>>,
        pub(super) unknown: Option<Vec<f64>>,
        pub(super) missing: Option<Vec<f64>>,
        /// Which of the numbers of a row are outputs.
        pub(super) kept: Vec<usize>,
    }

    #[derive(Debug)]
    pub(super) struct Encoder {
        pub(super) class: String,
        pub(super) parts: Vec<EncodedColumn>,
        /// Whether a column of ones comes first.
        pub(super) intercept: bool,
        /// The columns that are encoded as one, behind the others.
        pub(super) joined: Vec<Vec<usize>>,
    }

    /// The texts of some columns as one; missing where one of them is.
    fn join(columns: &[ArrayRef], members: &[usize]) -> ArrayRef {
        let texts: Vec<Vec<Option<String>>> = members.iter().filter_map(|at| column(&columns[*at], As::Own)).collect();
        let rows = columns.first().map_or(0, |column| column.len());
        let row = |row: usize| -> Option<String> {
            let parts: Option<Vec<&str>> = texts.iter().map(|column| column[row].as_deref()).collect();
            Some(parts?.join("|"))
        };
        Arc::new((0..rows).map(row).collect::<StringArray>())
    }

    /// The columns of a table.
    pub(in super::super) fn columns(x: &Matrix) -> Vec<ArrayRef> {
        let number = |at: usize| Arc::new(Float64Array::from(x.numbers(at).unwrap_or_default())) as ArrayRef;
        match x {
            Matrix::Frame(frame) => frame.columns.clone(),
            other => (0..other.cols()).map(number).collect(),
        }
    }

    /// Columns as a table: of numbers where they all are.
    pub(in super::super) fn table(columns: Vec<ArrayRef>, rows: usize) -> Matrix {
        let frame = Matrix::Frame(Frame { columns, rows, rule: ArrayRule::default() });
        frame.clone().into_dense().map_or(frame, Matrix::Dense)
    }

    impl Transform for Encoder {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let count = x.rows();
            let mut out: Vec<ArrayRef> = Vec::new();
            out.extend(self.intercept.then(|| Arc::new(Float64Array::from(vec![1.0; count])) as ArrayRef));
            let mut all = columns(&x);
            for members in &self.joined {
                let joined = join(&all, members);
                all.push(joined);
            }
            for (part, column) in self.parts.iter().zip(all) {
                let Encode { categories, groups, rows, unknown, missing, kept } = match &part.how {
                    ColumnEncoding::Pass(kept) => {
                        out.extend(kept.then_some(column));
                        continue;
                    }
                    ColumnEncoding::Encode(encode) => &**encode,
                };
                let mut values = vec![vec![f64::NAN; count]; kept.len()];
                let learned = categories.missing();
                let mut codes = categories.codes(&column);
                if let Some(Groups { rare, codes: groups }) = groups {
                    for (code, rare) in codes.iter_mut().zip(rare.codes(&column)) {
                        *code = groups.get(rare as usize).copied().unwrap_or(*code);
                    }
                }
                if unknown.is_some() {
                    run.unseen(&part.label, categories::unseen(&codes));
                }
                for (row, code) in codes.into_iter().enumerate() {
                    let (numbers, reason) = if code == MISSING || Some(code) == learned {
                        (missing.as_ref(), "missing value")
                    } else {
                        (rows.get(code as usize).or(unknown.as_ref()), "unseen category")
                    };
                    let Some(numbers) = numbers else {
                        run.refuse(row, &self.class, Some(&part.label), reason);
                        continue;
                    };
                    values.iter_mut().zip(kept).for_each(|(column, place)| column[row] = numbers[*place]);
                }
                out.extend(values.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef));
            }
            table(out, count)
        }
    }
}
