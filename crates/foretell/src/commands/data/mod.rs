//! Data files and the models that they are fed to: what `predict` and `evaluate` share.
//!
//! `input` reads whole records, `layout` matches columns to the model's features, `parse` turns text into columns,
//! `work` does all that on every core in the order of the file, and `file` is where results go.

pub(crate) mod file;
pub(crate) mod input;
pub(crate) mod layout;
pub(crate) mod parse;
pub(crate) mod work;

use std::path::Path;

use anyhow::{Context, Result, bail};
use foretell_model::{LoadOptions, Model, Refusal};

use input::{Chunk, Format, Input, ReadArgs};
use layout::{Layout, Request};

use crate::levels::{self, Unseen};
use crate::terminal;

/// Reads a model file; `columns` names the inputs of one that does not. `data` is what it is to be used on.
pub(crate) fn load(path: &Path, at: Option<&str>, columns: Option<&[String]>, data: &Path) -> Result<Model> {
    // A model may be called `.json`, too.
    let is_data = |path: &Path| Format::of(path).is_some() && path.extension().is_none_or(|ending| ending != "json");
    if is_data(path) && !is_data(data) && data.extension().is_some() {
        bail!("`{}` is data by its name, and `{}` is not: the model comes first", path.display(), data.display());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let options = LoadOptions {
        at: at.map(String::from),
        columns: columns.unwrap_or_default().to_vec(),
        ..LoadOptions::default()
    };
    Model::load(&bytes, &options).with_context(|| path.display().to_string())
}

/// A data file whose columns are matched with a model's.
pub(crate) struct Opened {
    pub(crate) input: Input,
    pub(crate) layout: Layout,
    /// What had to be read of it already; none where it is empty.
    pub(crate) first: Option<Chunk>,
}

/// Opens a data file for a model.
pub(crate) fn open(path: &Path, args: &ReadArgs, model: &Model, request: &Request<'_>) -> Result<Opened> {
    let signature = model.signature();
    let mut input = Input::open(path, args)?;
    // JSON Lines name their columns in the rows; and which type a column has may show in the rows alone.
    let mut first = if input.how.format == Format::Parquet { None } else { input.next_chunk()? };
    let mut members = Vec::new();
    if let (Format::Jsonl, Some(chunk)) = (input.how.format, &first) {
        members = parse::members(chunk);
        input.columns = members.iter().map(|(name, _)| name.clone()).collect();
    }
    let mut layout = layout::layout(signature, &input, request)?;
    if input.how.format == Format::Csv && args.missing.is_none() {
        layout.keep_levels(&levels::words(model));
    }
    if let Some(chunk) = &first {
        parse::settle(&mut layout, chunk, &input.how, &members);
        layout.check(signature, &input)?;
    }
    input.select(&layout.used())?;
    if first.is_none() {
        first = input.next_chunk()?;
    }
    Ok(Opened { input, layout, first })
}

/// Says on standard error which columns hold values that the model does not know.
pub(crate) fn tell(unseen: &Unseen, names: &[String]) {
    unseen.told(names).iter().for_each(|what| eprintln!("warning: {}", terminal::lines(what)));
}

/// Why the model refuses a row: `OneHotEncoder: column DEPT: unseen category`.
pub(crate) fn why(refusal: &Refusal) -> String {
    let column = refusal.column.as_deref().map(|name| format!(": column {name}")).unwrap_or_default();
    format!("{}{column}: {}", refusal.step, refusal.reason)
}
