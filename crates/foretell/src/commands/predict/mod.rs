//! `foretell predict`: scores a file, row by row, in constant memory.

mod output;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_model::{Columns, Method, Model};

use super::data::input::{Chunk, Format};
use super::data::layout::{self, Layout, Request};
use super::data::parse::{RowLocator, parse};
use super::data::work::{self, Work};
use super::data::{DataArgs, Opened, load_to, open, tell, why};
use crate::levels::Unseen;
use output::{Encoded, Output, Writing};

/// Score a CSV, JSON Lines, Parquet or Avro file
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell predict model.joblib data.csv -o predictions.csv
  foretell predict model.joblib data.csv --keep PNO --proba
  foretell predict model.joblib day1.csv.gz day2.csv.gz -o both.csv
  foretell predict model.joblib 's3://bucket/2026/*.parquet' -o 2026.parquet
  foretell predict model.joblib data.csv --keep PNO --contribs
  foretell predict forest.joblib data.csv --leaf -o leaves.parquet
  cat data.jsonl | foretell predict model.pickle - --format jsonl > predictions.jsonl
  foretell predict xgb.json data.parquet -o predictions.parquet --columns ITEM_n,AGE

The output has one row a data row, in the same order: the kept columns, `prediction` (`prediction_0`, … where the model \
has several outputs) and, with --proba, `proba_<class>`. A CSV's fields that pandas takes for missing (empty, NA, NaN, \
None, null, …) are missing, unless they are levels of the model; in JSON, Parquet and Avro a text is a value. Values that are \
no level of training are counted and told, by column, where the model lets them pass. A row that the model refuses, as Python would, stops it \
with the line and the reason.")]
pub(crate) struct PredictArgs {
    /// Where predictions go; its extension says how they are written. Default: standard output, as CSV (JSON Lines for
    /// JSON Lines)
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Also write the probability of each class
    #[arg(long)]
    proba: bool,
    /// Also write what each column adds to the model's raw answer, and `bias`, the mean answer (of trees; Shapley values
    /// as XGBoost's `pred_contribs`, LightGBM's `pred_contrib` and the package shap give them)
    #[arg(long)]
    contribs: bool,
    /// Also write in which leaf of each tree the row ends: `leaf_0`, `leaf_1`, … (as XGBoost's and LightGBM's `pred_leaf` and
    /// scikit-learn's `apply` number them)
    #[arg(long)]
    leaf: bool,
    /// Columns of the data to put before the predictions, as they are (a CSV's are text in Parquet)
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    keep: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs the command.
pub(crate) fn run(args: &PredictArgs) -> Result<()> {
    super::data::file::not_over(args.output.as_deref(), args.data.data.iter().chain([&args.data.model]))?;
    let model = load_to(&args.data, args.contribs || args.leaf)?;
    let mut wants = vec![Method::Predict];
    wants.extend(args.proba.then_some(Method::Proba));
    wants.extend(args.leaf.then_some(Method::Leaves));
    wants.extend(args.contribs.then_some(Method::Contribs));
    let signature = model.signature();
    if signature.predict.is_empty() {
        let class = &model.describe().root.class;
        let model = args.data.model.display();
        if signature.transform.is_empty() {
            bail!("{model}: a `{class}` gives no predictions but scores, `NAME_score_samples(…)` in SQL");
        }
        bail!("{model}: a `{class}` transforms and does not predict; name the model with `--at`");
    }
    if args.proba && signature.proba.is_empty() {
        bail!("{}: the model has no probabilities; leave `--proba` out", args.data.model.display());
    }
    if args.contribs && signature.contribs.is_empty() {
        bail!(
            "{}: the model has no contributions: they are there for trees whose file tells how many rows took each way, and \
             for linear models, alone or at the end of a Pipeline; leave `--contribs` out",
            args.data.model.display()
        );
    }
    if args.leaf && signature.leaves.is_empty() {
        bail!(
            "{}: the model has no numbered leaves: trees of XGBoost, LightGBM, CatBoost and scikit-learn have them, alone or at \
             the end of a Pipeline; leave `--leaf` out",
            args.data.model.display()
        );
    }
    let request = Request { columns: args.data.columns.as_deref(), keep: &args.keep, ..Request::default() };
    let Opened { input, layout, first } = open(&args.data, &model, &request)?;
    let format = output_format(args.output.as_deref(), input.options.format)?;
    let mut columns: Vec<_> =
        layout.keep.iter().map(|column| (column.name.clone(), layout::kept_type(&input, column))).collect();
    let outputs = wants.iter().flat_map(|want| signature.outputs(*want));
    columns.extend(outputs.map(|output| (output.name.clone(), output.data_type.clone())));
    // A column that is kept has its name already.
    let contribs = columns.len().saturating_sub(signature.outputs(Method::Contribs).len());
    if args.contribs {
        columns.iter_mut().skip(contribs).for_each(|(name, _)| *name = format!("contrib_{name}"));
    }
    let writing = Writing::new(format, columns)?;
    let names: Vec<String> = layout.features.iter().map(|column| column.name.clone()).collect();
    let mut output = Output::open(args.output.as_deref(), &writing)?;
    let job = Job { model, layout, writing, wants };
    let mut unseen = Unseen::default();
    work::run(job, input, first, |made| {
        unseen.add(made.rows, &made.unseen);
        output.write(&made.encoded)
    })?;
    output.finish()?;
    tell(&unseen, &names);
    Ok(())
}

fn output_format(path: Option<&Path>, data: Format) -> Result<Format> {
    match path.filter(|path| *path != Path::new("-") && !path.starts_with("/dev")) {
        Some(path) => Format::of(path).filter(|format| *format != Format::Avro).with_context(|| {
            format!(
                "`{}`: its name does not tell how to write it; end it with .csv, .jsonl or .parquet",
                path.display()
            )
        }),
        None if data == Format::Jsonl => Ok(Format::Jsonl),
        None => Ok(Format::Csv),
    }
}

/// What every thread needs.
struct Job {
    model: Model,
    layout: Layout,
    writing: Writing,
    wants: Vec<Method>,
}

/// What becomes of a chunk.
struct Predicted {
    encoded: Encoded,
    rows: usize,
    unseen: Vec<(String, usize)>,
}

impl Work for Job {
    type Output = Predicted;

    /// Parses, scores and encodes one chunk.
    fn make(&self, chunk: &Chunk) -> Result<(Predicted, usize)> {
        let table = parse(chunk, &self.layout)?;
        let columns = Columns::new(&table.features, table.rows);
        let (mut outputs, mut unseen) = (Vec::new(), Vec::new());
        for want in &self.wants {
            let scored = self.model.score(&columns, *want);
            if let Some(refusal) = scored.refusals.first() {
                let at = RowLocator { chunk }.locate(refusal.row as usize);
                bail!("{at}: the model refuses this row: {}", why(refusal));
            }
            outputs.extend(scored.columns);
            if *want == Method::Predict {
                unseen = scored.unseen;
            }
        }
        let encoded = self.writing.encode(&table.keep, &outputs, table.rows)?;
        Ok((Predicted { encoded, rows: table.rows, unseen }, table.rows))
    }
}
