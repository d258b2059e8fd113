//! `foretell predict`: scores a file, row by row, in constant memory.
//!
//! One thread reads chunks of whole records, some threads parse, score and encode them, and the caller's writes them in
//! the order of the file. A chunk begins only when there is room for it, so that memory does not grow with the file.

mod input;
mod layout;
mod output;
mod parse;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_model::{Columns, LoadOptions, Model, Scratch, Want};
use indicatif::{ProgressBar, ProgressStyle};

use input::{Chunk, Format, Input};
use layout::Layout;
use output::{Encoded, Output, Writing};
use parse::{Place, parse};

/// Score a CSV, JSON Lines or Parquet file
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell predict model.joblib data.csv -o predictions.csv
  foretell predict model.joblib data.csv --keep PNO --proba
  cat data.jsonl | foretell predict model.pickle - --format jsonl > predictions.jsonl
  foretell predict xgb.json data.parquet -o predictions.parquet --columns ITEM_n,AGE

The output has one row a data row, in the same order: the kept columns, `prediction` (`prediction_0`, … where the model \
has several outputs) and, with --proba, `proba_<class>`. Empty fields, NA, N/A, NaN and null are missing values. A row \
that the model refuses, as Python would, stops it with the line and the reason.")]
pub(crate) struct PredictArgs {
    /// The model file
    model: PathBuf,
    /// The data: .csv (with a header), .jsonl or .parquet; `-` is standard input
    data: PathBuf,
    /// Where predictions go; its extension says how they are written. Default: standard output, as CSV (JSON Lines for
    /// JSON Lines)
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Also write the probability of each class
    #[arg(long)]
    proba: bool,
    /// Columns of the data to put before the predictions, as they are (a CSV's are text in Parquet)
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    keep: Vec<String>,
    /// The model's inputs, in its order. Default: by the names that the model knows, or all columns in order where it
    /// knows none
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// The format of the data, where its name does not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where the model is in a file that holds several things: `model`, `models[2].best`
    #[arg(long, value_name = "PATH")]
    at: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &PredictArgs) -> Result<()> {
    let model = load(&args.model, args.at.as_deref())?;
    let wants: &[Want] = if args.proba { &[Want::Predict, Want::Proba] } else { &[Want::Predict] };
    let signature = model.signature();
    if signature.predict.is_empty() {
        let class = &model.describe().root.class;
        bail!("{}: a `{class}` transforms and does not predict; name the model with `--at`", args.model.display());
    }
    if args.proba && signature.proba.is_empty() {
        bail!("{}: the model has no probabilities; leave `--proba` out", args.model.display());
    }
    let mut input = Input::open(&args.data, args.format)?;
    let format = output_format(args.output.as_deref(), input.format)?;

    // JSON Lines name their columns in the rows; and which type a column has may show in the rows alone.
    let mut first = if input.format == Format::Parquet { None } else { input.next_chunk()? };
    if let (Format::Jsonl, Some(chunk), None) = (input.format, &first, signature.names()) {
        input.columns = parse::first_keys(chunk, &input.name)?;
    }
    let mut layout = layout::layout(signature, &input, args.columns.as_deref(), &args.keep)?;
    let mut columns: Vec<_> =
        layout.keep.iter().map(|column| (column.name.clone(), layout::kept_type(&input, column))).collect();
    let outputs = wants.iter().flat_map(|want| signature.outputs(*want));
    columns.extend(outputs.map(|output| (output.name.clone(), output.data_type.clone())));
    let writing = Writing::new(format, columns)?;
    if let Some(chunk) = &first {
        parse::settle(&mut layout, chunk, input.format, &input.name)?;
    }
    let used: Vec<usize> = layout.features.iter().chain(&layout.keep).map(|column| column.index).collect();
    input.select(&used)?;
    if first.is_none() {
        first = input.next_chunk()?;
    }

    let output = Output::open(args.output.as_deref(), &writing)?;
    let size = input.size;
    let job = Job { model, layout, writing, wants, format: input.format, name: input.name.clone() };
    work(Arc::new(job), input, first, output, size)
}

/// Reads a model file.
fn load(path: &Path, at: Option<&str>) -> Result<Model> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let options = LoadOptions { at: at.map(String::from), ..LoadOptions::default() };
    Model::load(&bytes, &options).with_context(|| path.display().to_string())
}

fn output_format(path: Option<&Path>, data: Format) -> Result<Format> {
    match path.filter(|path| *path != Path::new("-") && !path.starts_with("/dev")) {
        Some(path) => Format::of(path).with_context(|| {
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
    wants: &'static [Want],
    format: Format,
    name: String,
}

impl Job {
    /// Parses, scores and encodes one chunk.
    fn score(&self, chunk: &Chunk, scratch: &mut Scratch) -> Result<(Encoded, usize)> {
        let table = parse(chunk, self.format, &self.layout, &self.name)?;
        let columns = Columns::new(&table.features, table.rows);
        let mut outputs = Vec::new();
        for want in self.wants {
            let scored = self.model.score(&columns, *want, scratch);
            if let Some(refusal) = scored.refusals.first() {
                let at = Place { name: &self.name, chunk }.of(refusal.row as usize, self.format);
                let column = refusal.column.as_deref().map(|name| format!(": column {name}")).unwrap_or_default();
                bail!("{at}: the model refuses this row: {}{column}: {}", refusal.step, refusal.reason);
            }
            outputs.extend(scored.columns);
        }
        Ok((self.writing.encode(&table.keep, &outputs, table.rows)?, table.rows))
    }
}

/// What the writer hears of.
enum Done {
    /// A chunk: its number, its bytes in the file, its rows.
    Chunk(u64, u64, Result<(Encoded, usize)>),
    /// The file has so many chunks.
    End(u64),
}

/// Reads, scores and writes everything.
fn work(job: Arc<Job>, input: Input, first: Option<Chunk>, mut output: Output, size: Option<u64>) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // Enough chunks to keep everyone busy; no more than these are in memory at once.
    let room = workers * 2 + 2;
    let (leave, enter) = sync_channel(room);
    (0..room).for_each(|_| {
        let _ = leave.send(());
    });
    let (give, take) = sync_channel::<Chunk>(room);
    let (tell, hear) = channel();
    let take = Arc::new(Mutex::new(take));
    for _ in 0..workers {
        let (job, take, tell) = (job.clone(), take.clone(), tell.clone());
        std::thread::spawn(move || worker(&job, &take, &tell));
    }
    // Not joined: a reader that waits for standard input must not keep an error from being told.
    std::thread::spawn(move || reader(input, first, &enter, &give, &tell));
    writer(&hear, &leave, &mut output, size)?;
    output.finish()
}

fn reader(mut input: Input, first: Option<Chunk>, enter: &Receiver<()>, give: &SyncSender<Chunk>, tell: &Sender<Done>) {
    let mut next = Ok(first);
    let mut number = 0;
    loop {
        if enter.recv().is_err() {
            return;
        }
        match next {
            Ok(Some(chunk)) => {
                number = chunk.number + 1;
                if give.send(chunk).is_err() {
                    return;
                }
            }
            Ok(None) => {
                let _ = tell.send(Done::End(number));
                return;
            }
            Err(error) => {
                let _ = tell.send(Done::Chunk(number, 0, Err(error)));
                return;
            }
        }
        next = input.next_chunk();
    }
}

fn worker(job: &Job, take: &Mutex<Receiver<Chunk>>, tell: &Sender<Done>) {
    let mut scratch = Scratch::default();
    loop {
        let chunk = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = chunk else { return };
        let scored = job.score(&chunk, &mut scratch);
        if tell.send(Done::Chunk(chunk.number, chunk.bytes, scored)).is_err() {
            return;
        }
    }
}

/// Writes chunks in order, so that the first error told is the first in the file.
fn writer(hear: &Receiver<Done>, leave: &SyncSender<()>, output: &mut Output, size: Option<u64>) -> Result<()> {
    let mut progress = Progress::new(size);
    let mut early = BTreeMap::new();
    let (mut next, mut total) = (0, None);
    while total != Some(next) {
        match hear.recv() {
            Ok(Done::End(count)) => total = Some(count),
            Ok(Done::Chunk(number, bytes, scored)) => {
                early.insert(number, (bytes, scored));
            }
            Err(_) => bail!("a thread ended before its work was done"),
        }
        while let Some((bytes, scored)) = early.remove(&next) {
            let (encoded, rows) = scored?;
            output.write(&encoded)?;
            progress.advance(bytes, rows);
            next += 1;
            let _ = leave.send(());
        }
    }
    progress.end();
    Ok(())
}

/// A bar on a terminal, once it has taken longer than a second.
struct Progress {
    started: Instant,
    size: Option<u64>,
    bytes: u64,
    rows: u64,
    bar: Option<ProgressBar>,
    terminal: bool,
}

const PATIENCE: Duration = Duration::from_secs(1);

impl Progress {
    fn new(size: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Progress { started: Instant::now(), size, bytes: 0, rows: 0, bar: None, terminal }
    }

    fn advance(&mut self, bytes: u64, rows: usize) {
        self.bytes += bytes;
        self.rows += rows as u64;
        if !self.terminal || self.started.elapsed() < PATIENCE {
            return;
        }
        // The bytes read are known of text alone.
        let size = self.size.filter(|_| self.bytes > 0);
        let bar = self.bar.get_or_insert_with(|| match size {
            Some(size) => ProgressBar::new(size).with_style(style("{bar:30} {percent}%  {msg}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {msg}  {elapsed}")),
        });
        bar.set_position(self.bytes);
        let elapsed = self.started.elapsed().as_secs_f64();
        let mut message = format!("{} rows, {:.0} rows/s", self.rows, self.rows as f64 / elapsed);
        if let Some(size) = size {
            let left = elapsed * (size.saturating_sub(self.bytes)) as f64 / self.bytes as f64;
            message += &format!(", {left:.0} s left");
        }
        bar.set_message(message);
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
