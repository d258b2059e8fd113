//! Which columns of the data feed the model, and which are kept.

use anyhow::{Result, bail};
use arrow::datatypes::DataType;
use foretell_model::{InputKind, Signature};

use super::input::Input;
use crate::pipeline_file::{list, nearest};

/// The columns that are used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// In the model's order.
    pub(super) features: Vec<Column>,
    /// In the order that was asked for.
    pub(super) keep: Vec<Column>,
    /// How many fields a CSV record has.
    pub(super) width: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Which field of the data it is.
    pub(super) index: usize,
    pub(super) kind: ColumnKind,
}

/// How a column of text or JSON is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
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
            InputKind::Any => ColumnKind::Either,
        }
    }
}

/// Matches the model's features to the columns: by name where the model knows names, else all in order; `columns`
/// names them in order instead.
pub(super) fn layout(
    signature: &Signature,
    input: &Input,
    columns: Option<&[String]>,
    keep: &[String],
) -> Result<Layout> {
    let names: Vec<&str> = match (columns, signature.names()) {
        (Some(columns), _) => columns.iter().map(String::as_str).collect(),
        (None, Some(names)) => names,
        (None, None) => input.columns.iter().map(String::as_str).collect(),
    };
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
        let index = find(input, name, columns.is_none() && signature.names().is_none(), feature)?;
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
        kept.push(Column { name: name.clone(), index: find(input, name, false, 0)?, kind: ColumnKind::Text });
    }
    Ok(Layout { features, keep: kept, width: input.columns.len() })
}

/// The field of a name; JSON Lines have no fields, and any name will do.
fn find(input: &Input, name: &str, by_position: bool, position: usize) -> Result<usize> {
    if by_position {
        return Ok(position);
    }
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
pub(super) fn kept_type(input: &Input, column: &Column) -> DataType {
    input.fields.get(column.index).map_or(DataType::Utf8, |field| field.data_type().clone())
}
