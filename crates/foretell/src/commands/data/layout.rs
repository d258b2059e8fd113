//! Which columns of the data feed the model, and which are kept.

use anyhow::{Result, bail};
use arrow::datatypes::DataType;
use foretell_model::{InputKind, Signature};

use super::input::Input;
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
}

/// How a column of text or JSON is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// As float64.
    Number,
    /// As text.
    Text,
    /// As whichever the first rows are.
    Either,
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
    /// The model's inputs by name, in its order, whatever names it knows.
    pub(crate) columns: Option<&'a [String]>,
    /// Columns that are read as values and are no input of the model.
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
        bail!("{}: column `{name}` is an input of the model: it cannot tell how good the model is", input.name);
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
        bail!("{}: the model takes {needs} columns{remedy}", input.name);
    }
    let mut features = Vec::with_capacity(names.len());
    for (feature, name) in names.iter().enumerate() {
        let index = match in_order.get(feature) {
            Some(at) if columns.is_none() && signature.names().is_none() => *at,
            _ => find(input, name)?,
        };
        if let Some(field) = input.fields.get(index) {
            signature.accepts(feature, field.data_type()).map_err(|error| {
                // The query that the model's error speaks of is a pipeline's.
                let text = error.to_string();
                anyhow::anyhow!("{}: {}", input.name, text.split("; cast it").next().unwrap_or_default())
            })?;
        }
        let kind = signature.inputs.get(feature).map_or(ColumnKind::Either, |input| ColumnKind::from(&input.kind));
        features.push(Column { name: (*name).to_string(), index, kind });
    }
    let mut kept: Vec<Column> = Vec::new();
    for name in keep {
        if kept.iter().any(|column| column.name == *name) {
            bail!("`--keep` names `{name}` twice");
        }
        kept.push(Column { name: name.clone(), index: find(input, name)?, kind: ColumnKind::Text });
    }
    let more = more
        .iter()
        .map(|(name, kind)| Ok(Column { name: (*name).to_string(), index: find(input, name)?, kind: *kind }));
    Ok(Layout { features, more: more.collect::<Result<_>>()?, keep: kept, width: input.columns.len() })
}

impl Layout {
    /// The fields that are read, in the order in which a batch holds them.
    pub(crate) fn used(&self) -> Vec<usize> {
        self.features.iter().chain(&self.more).chain(&self.keep).map(|column| column.index).collect()
    }
}

/// The field of a name; JSON Lines have no fields, and any name will do.
fn find(input: &Input, name: &str) -> Result<usize> {
    if input.columns.is_empty() {
        return Ok(0);
    }
    let mut found = input.columns.iter().enumerate().filter(|(_, column)| *column == name).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => bail!("{}: column `{name}` is there twice", input.name),
        (None, _) => {
            let columns = || input.columns.iter().map(String::as_str);
            let near = nearest(name, columns()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            bail!("{}: column `{name}` is missing{near} (there are {})", input.name, list(columns()))
        }
    }
}

/// The type of a kept column in a Parquet output.
pub(crate) fn kept_type(input: &Input, column: &Column) -> DataType {
    input.fields.get(column.index).map_or(DataType::Utf8, |field| field.data_type().clone())
}
