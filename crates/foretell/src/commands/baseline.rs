//! `foretell baseline`: how the rows of training are distributed, for `drift` in a pipeline file.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use clap::Args;
use foretell_evaluate::drift::Builder;
use foretell_model::{Columns, Method, Model};

use super::data::input::{Chunk, ReadOptions};
use super::data::layout::{Layout, Request};
use super::data::parse::parse;
use super::data::work::{self, Work};
use super::data::{DataArgs, Opened, load, open};
use crate::pipeline::watch::input_names;

/// Keep how a model's rows are distributed, to tell later whether they still are
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell baseline model.joblib training.csv -o model.baseline.json
  foretell baseline readmit.pickle visits.parquet > readmit.baseline.json

In a pipeline file `models: { NAME: { file: model.joblib, drift: { baseline: model.baseline.json } } }` then compares the \
latest rows with these. The file holds for each input of the model, and for its answers, percentiles of numbers and the 50 \
most frequent texts with their counts; no row. Of more than 100,000 rows (fewer, where there are many columns) an even part \
is taken for the percentiles.")]
pub(crate) struct BaselineArgs {
    /// Where the baseline goes. Default: standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs the command.
pub(crate) fn run(args: &BaselineArgs) -> Result<()> {
    let model = load(&args.data)?;
    let signature = model.signature();
    let mut names = input_names(signature);
    let mut wants = Vec::new();
    for want in [Method::Predict, Method::Proba] {
        let outputs = signature.outputs(want);
        if !outputs.is_empty() {
            wants.push(want);
            names.extend(outputs.iter().map(|output| output.name.clone()));
        }
    }
    let Opened { input, layout, first } = open(&args.data, &model, &Request::default())?;
    let mut builder = Builder::new(&names);
    let job = Job { inputs: input_names(signature).len(), model, layout, wants, options: input.options.clone() };
    let mut refused = 0;
    work::run(job, input, first, |(columns, refusals)| {
        builder.add(&columns);
        refused += refusals;
        Ok(())
    })?;
    if refused > 0 {
        eprintln!("note: {refused} rows that the model refuses are left out");
    }
    if builder.rows() == 0 {
        bail!("{}: there are no rows to make a baseline of", args.data.data.display());
    }
    let rows = builder.rows();
    let text = builder.finish().json().to_string() + "\n";
    match &args.output {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
            eprintln!("baseline of {rows} rows: {}", crate::terminal::lines(&path.display().to_string()));
        }
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}

/// What every thread needs.
struct Job {
    model: Model,
    inputs: usize,
    layout: Layout,
    wants: Vec<Method>,
    options: Arc<ReadOptions>,
}

impl Work for Job {
    type Output = (Vec<ArrayRef>, usize);

    /// The inputs of a chunk and the answers, without the rows that the model refuses, and how many these are.
    fn make(&self, chunk: &Chunk) -> Result<((Vec<ArrayRef>, usize), usize)> {
        let table = parse(chunk, &self.options, &self.layout)?;
        let mut refused: HashSet<usize> = HashSet::new();
        let mut columns: Vec<ArrayRef> = table.features.iter().take(self.inputs).cloned().collect();
        for want in &self.wants {
            let scored = self.model.score(&Columns::new(&table.features, table.rows), *want);
            refused.extend(scored.refusals.iter().map(|refusal| refusal.row as usize));
            columns.extend(scored.columns);
        }
        if !refused.is_empty() {
            let stays: BooleanArray = (0..table.rows).map(|row| Some(!refused.contains(&row))).collect();
            columns = columns.iter().map(|column| filter(column, &stays)).collect::<Result<_, _>>()?;
        }
        Ok(((columns, refused.len()), table.rows))
    }
}
