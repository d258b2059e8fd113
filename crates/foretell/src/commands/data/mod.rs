//! Data files and the models that they are fed to: what `predict` and `evaluate` share.
//!
//! `input` reads whole records, `layout` matches columns to the model's features, `parse` turns text into columns,
//! `work` does all that on every core in the order of the file, and `file` is where results go.

mod elements;
pub(crate) mod file;
pub(crate) mod input;
pub(crate) mod layout;
pub(crate) mod parse;
pub(crate) mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_model::{LoadOptions, Model, Refusal, paths};

use input::{Chunk, Format, Input, ReadArgs};
use layout::{Layout, Request};

use crate::levels::{self, Unseen};
use crate::{model_file, terminal};

/// A model and the data that it is used on: the flags of every command that reads both.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The model file; several that are one model stand with a plus between them: `scaler.pkl+model.pkl`
    pub(crate) model: PathBuf,
    /// The data: .csv or .tsv (with a header), .jsonl, .parquet or .avro, also packed (.gz, .zst); files, folders, globs, or
    /// URLs (hdfs://, s3://) of them; `-` is standard input
    #[arg(required = true)]
    pub(crate) data: Vec<PathBuf>,
    /// The model's inputs, in its order. Default: by the names that the model knows, or all other columns in order
    /// where it knows none
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) columns: Option<Vec<String>>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Where the model is in a file that holds several things: `model`, `models[2].best`; a chain is `scaler+model`
    #[arg(long, value_name = "PATH")]
    pub(crate) at: Option<String>,
    /// The levels of a text column that the file does not name, in the order of their codes: `DEPT=a,b,c`
    #[arg(long, value_name = "COLUMN=LEVELS")]
    pub(crate) categories: Vec<String>,
}

impl DataArgs {
    /// What the data is called.
    pub(crate) fn data_name(&self) -> String {
        let name = |path: &PathBuf| match path.as_os_str() == "-" {
            true => "standard input".to_string(),
            false => path.display().to_string(),
        };
        self.data.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

/// Reads the model file.
pub(crate) fn load(args: &DataArgs) -> Result<Model> {
    load_to(args, false)
}

/// The same for a model that is also to say why, where `explain`.
pub(crate) fn load_to(args: &DataArgs, explain: bool) -> Result<Model> {
    let (path, data) = (args.model.as_path(), args.data.first().map_or(Path::new("-"), PathBuf::as_path));
    // A model may be called `.json`, too.
    let is_data =
        |path: &Path| Format::of_data(path).is_some() && path.extension().is_none_or(|ending| ending != "json");
    if is_data(path) && !is_data(data) && data.extension().is_some() {
        bail!("`{}` is data by its name, and `{}` is not: the model comes first", path.display(), data.display());
    }
    let options = LoadOptions {
        explain,
        at: args.at.as_deref().map(paths).unwrap_or_default(),
        columns: args.columns.clone().unwrap_or_default(),
        categories: categories(&args.categories)?,
        ..LoadOptions::default()
    };
    read_model(path, options)
}

/// Reads a model from a file, a folder or several files, and says what is to be known of it.
pub(crate) fn read_model(path: &Path, mut options: LoadOptions) -> Result<Model> {
    let read = model_file::read(&model_file::paths(path))?;
    if options.columns.is_empty() {
        options.columns = read.columns;
    }
    let loaded = foretell_package::load(&read.bytes, &options);
    let model = loaded.map_err(unnamed).with_context(|| path.display().to_string())?;
    for note in &model.describe().notes {
        eprintln!("note: {}: {}", terminal::lines(&path.display().to_string()), terminal::lines(note));
    }
    Ok(model)
}

/// Columns with their levels.
fn categories(all: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let one = |text: &String| {
        let (column, levels) =
            text.split_once('=').context("`--categories` needs a column and its levels: `DEPT=a,b,c`")?;
        Ok((column.to_string(), levels.split(',').map(str::to_string).collect()))
    };
    all.iter().map(one).collect()
}

/// The error of a model file, and what a command can do about it.
pub(crate) fn unnamed(error: foretell_package::Error) -> anyhow::Error {
    match &error {
        foretell_package::Error::Model(foretell_model::Error::UnknownWidth { .. }) => {
            anyhow::anyhow!("{error}: name them with `--columns`")
        }
        _ => error.into(),
    }
}

/// A data file whose columns are matched with a model's.
pub(crate) struct Opened {
    pub(crate) input: Input,
    pub(crate) layout: Layout,
    /// What had to be read of it already; none where it is empty.
    pub(crate) first: Option<Chunk>,
}

/// Opens the data for the model.
pub(crate) fn open(args: &DataArgs, model: &Model, request: &Request<'_>) -> Result<Opened> {
    let signature = model.signature();
    let mut input = Input::open(&args.data, &args.read)?;
    // JSON Lines name their columns in the rows; and which type a column has may show in the rows alone.
    let mut first = if input.options.format.is_typed() { None } else { input.next_chunk()? };
    let mut members = Vec::new();
    if let (Format::Jsonl, Some(chunk)) = (input.options.format, &first) {
        members = parse::members(chunk);
        input.columns = members.iter().map(|(name, _)| name.clone()).collect();
    }
    let mut layout = layout::layout(signature, &input, request)?;
    if input.options.format == Format::Csv && args.read.missing.is_none() {
        layout.keep_levels(&levels::words(model));
    }
    if let Some(chunk) = &first {
        parse::settle(&mut layout, chunk, &members);
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
