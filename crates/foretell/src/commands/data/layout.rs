//! Which columns of the data feed the model, and which are kept.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use arrow::datatypes::DataType;
use foretell_decode::{Guess, JsonGuess, JsonKind, MISSING, Missing, Type, is_record};
use foretell_model::{InputKind, Signature};

use super::input::{Format, Input};
use crate::pipeline_file::{list, nearest};

/// The columns that are used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    /// In the model's order.
    pub(crate) features: Vec<Column>,
    /// What else is read as values: those of [`Request::more`].
    pub(crate) more: Vec<Column>,
    /// In the order that was asked for.
    pub(crate) keep: Vec<Column>,
    /// How many fields a CSV record has.
    pub(crate) width: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Which field of the data it is.
    pub(crate) index: usize,
    pub(crate) kind: ColumnKind,
    /// What a text's values are read as, as the first rows tell it.
    pub(crate) data_type: Type,
    /// CSV: the fields that mean a missing value, where they are not those of every column.
    pub(crate) missing: Option<Missing>,
}

/// What a column of text or JSON is wanted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// A number.
    Number,
    /// Text.
    Text,
    /// Whichever the first rows are.
    Either,
}

impl ColumnKind {
    /// What a CSV column with such fields is read as: text may be read as anything.
    pub(crate) fn of_text(self, guess: &Guess) -> Type {
        match (self, guess.fits()) {
            (ColumnKind::Text, _) => Type::Utf8,
            (ColumnKind::Number | ColumnKind::Either, Type::Bool) => Type::Bool,
            (ColumnKind::Number, _) => Type::Float64,
            (ColumnKind::Either, Type::Int64 | Type::Float64) => Type::Float64,
            (ColumnKind::Either, _) if !guess.seen() => Type::Float64,
            (ColumnKind::Either, _) => Type::Utf8,
        }
    }

    /// What a JSON column is read as: a value has its own type.
    pub(crate) fn of_json(self, guess: &JsonGuess) -> Type {
        match (self, guess.kind()) {
            (_, Some(_)) if guess.mixed() && self == ColumnKind::Text => Type::Utf8,
            (_, Some(JsonKind::Bool)) => Type::Bool,
            (ColumnKind::Text, Some(JsonKind::Number)) => guess.fits().unwrap_or(Type::Float64),
            (_, Some(JsonKind::Number)) if guess.is_float() => Type::Float64,
            // With more digits than a float has.
            (_, Some(JsonKind::Number)) => guess.fits().unwrap_or(Type::Float64),
            (ColumnKind::Number, _) | (ColumnKind::Either, None) => Type::Float64,
            (ColumnKind::Text | ColumnKind::Either, _) => Type::Utf8,
        }
    }
}

impl From<&InputKind> for ColumnKind {
    fn from(kind: &InputKind) -> Self {
        match kind {
            InputKind::Number | InputKind::Bool => ColumnKind::Number,
            InputKind::Text | InputKind::Category(_) => ColumnKind::Text,
            InputKind::Any | InputKind::List => ColumnKind::Either,
        }
    }
}

/// Which columns are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    /// The model's inputs by name, in its order, whether or not it knows their names.
    pub(crate) columns: Option<&'a [String]>,
    /// Columns that are read as values and are not inputs of the model.
    pub(crate) more: &'a [(&'a str, ColumnKind)],
    /// Columns that go to the output as they are.
    pub(crate) keep: &'a [String],
}

/// Matches the model's features to the columns: by name where the model knows names, else all that are not asked for
/// otherwise, in order.
pub(crate) fn layout(signature: &Signature, input: &Input, request: &Request<'_>) -> Result<Layout> {
    let Request { columns, more, keep } = *request;
    let is_more = |name: &str| more.iter().any(|(more, _)| *more == name);
    let in_order: Vec<usize> = (0..input.columns.len()).filter(|at| !is_more(&input.columns[*at])).collect();
    let names: Vec<&str> = match (columns, signature.names()) {
        (Some(columns), _) => columns.iter().map(String::as_str).collect(),
        (None, Some(names)) => names,
        (None, None) => in_order.iter().map(|at| input.columns[*at].as_str()).collect(),
    };
    if let Some(name) = names.iter().find(|name| is_more(name)) {
        bail!("{}: column `{name}` is an input of the model: it cannot tell how good the model is", input.options.name);
    }
    if names.len() != signature.inputs.len() {
        let needs = signature.inputs.len();
        let remedy = match columns {
            Some(_) => format!(", `--columns` names {}", names.len()),
            None => format!(
                " and knows no names for them; the file has {}: choose them in order with `--columns a,b,…`",
                names.len()
            ),
        };
        bail!("{}: the model takes {needs} columns{remedy}", input.options.name);
    }
    check_header(input, &names, columns.is_some() || signature.names().is_some())?;
    let mut features = Vec::with_capacity(names.len());
    for (feature, name) in names.iter().enumerate() {
        let index = match in_order.get(feature) {
            Some(at) if columns.is_none() && signature.names().is_none() => *at,
            _ => match signature.column(name, input.columns.iter().map(String::as_str)) {
                Some(at) if columns.is_none() && input.columns[at] != *name => at,
                _ => find(input, name)?,
            },
        };
        if let Some(field) = input.fields.get(index) {
            refuse(input, signature.accepts(feature, field.data_type()))?;
        }
        let kind = signature.inputs.get(feature).map_or(ColumnKind::Either, |input| ColumnKind::from(&input.kind));
        features.push(Column::new(name, index, kind));
    }
    let mut kept: Vec<Column> = Vec::new();
    for name in keep {
        if kept.iter().any(|column| column.name == *name) {
            bail!("`--keep` names `{name}` twice");
        }
        kept.push(Column::new(name, find(input, name)?, ColumnKind::Text));
    }
    let more = more.iter().map(|(name, kind)| Ok(Column::new(name, find(input, name)?, *kind)));
    Ok(Layout { features, more: more.collect::<Result<_>>()?, keep: kept, width: input.columns.len() })
}

impl Column {
    fn new(name: &str, index: usize, kind: ColumnKind) -> Column {
        let data_type = if kind == ColumnKind::Number { Type::Float64 } else { Type::Utf8 };
        Column { name: name.to_string(), index, kind, data_type, missing: None }
    }
}

/// A CSV whose first line is not a header, or is written in another way, is told apart from one that lacks a column: what
/// stands in its first line may be a record, and is not repeated. `named`: the names that are looked for are not the
/// file's own.
fn check_header(input: &Input, names: &[&str], named: bool) -> Result<()> {
    let (file, found) = (&input.options.name, &input.columns);
    let is_there = |name: &&&str| found.iter().any(|column| column == **name);
    if input.options.format != Format::Csv || (named && names.iter().any(|name| is_there(&name))) {
        return Ok(());
    }
    if let [line] = &found[..]
        && let Some((delimiter, shown)) = [(';', ";"), ('\t', "tab"), ('|', "|")].iter().find(|d| line.contains(d.0))
        && input.options.dialect.delimiter != *delimiter as u8
    {
        bail!("{file}: the first line is one field: give `--delimiter '{shown}'`");
    }
    if is_record(found) {
        let remedy = if named { "" } else { ", or name the inputs by `--columns`" };
        bail!(
            "{file}: the first line holds values, not the names of columns: write the names in a line before{remedy}"
        );
    }
    let near = names.iter().any(|name| nearest(name, found.iter().map(String::as_str)).is_some());
    if named && !near && !names.is_empty() {
        let (shown, more) = (names.iter().take(8), names.len().saturating_sub(8));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        bail!(
            "{file}: none of the model's columns is in the first line, which has {} fields: {}{more} are needed; has the \
             file a line with the names of its columns?",
            found.len(),
            list(shown.copied()),
        );
    }
    Ok(())
}

impl Layout {
    /// Words that are levels of the model, by feature, are values.
    pub(crate) fn keep_levels(&mut self, words: &BTreeMap<usize, Vec<&'static str>>) {
        for (feature, known) in words {
            let missing: Vec<&str> = MISSING.into_iter().filter(|word| !known.contains(word)).collect();
            if let Some(column) = self.features.get_mut(*feature) {
                column.missing = Some(Missing::new(&missing));
            }
        }
    }

    /// Whether the model takes what the values of JSON are: a text is not a number, and a number is not a text.
    pub(crate) fn check(&self, signature: &Signature, input: &Input) -> Result<()> {
        for (feature, column) in self.features.iter().enumerate() {
            refuse(input, signature.accepts(feature, &column.data_type.arrow()))?;
        }
        Ok(())
    }

    /// The fields that are read, in the order in which a batch holds them.
    pub(crate) fn used(&self) -> Vec<usize> {
        self.features.iter().chain(&self.more).chain(&self.keep).map(|column| column.index).collect()
    }
}

fn refuse(input: &Input, accepted: Result<(), foretell_model::Error>) -> Result<()> {
    accepted.map_err(|error| anyhow::anyhow!("{}: {error}", input.options.name))
}

/// The field of a name; an empty file of JSON Lines has none, and any name will do.
fn find(input: &Input, name: &str) -> Result<usize> {
    if input.columns.is_empty() {
        return Ok(0);
    }
    let mut found = input.columns.iter().enumerate().filter(|(_, column)| *column == name).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => bail!("{}: column `{name}` is there twice", input.options.name),
        (None, _) => {
            let columns = || input.columns.iter().map(String::as_str);
            let near = nearest(name, columns()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let there = if input.options.format == Format::Jsonl { "the first rows have" } else { "there are" };
            bail!("{}: column `{name}` is missing{near} ({there} {})", input.options.name, list(columns()))
        }
    }
}

/// The type of a kept column in a Parquet output.
pub(crate) fn kept_type(input: &Input, column: &Column) -> DataType {
    input.fields.get(column.index).map_or(DataType::Utf8, |field| field.data_type().clone())
}
