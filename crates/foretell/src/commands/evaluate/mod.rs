//! `foretell evaluate`: is the model any good on what really happened?
//!
//! `rows` compares a chunk, on any thread; what it finds is counted in the order of the file (`metrics`), and some rows
//! are kept with their features (`sample`) to see where the model is wrong (`groups`) and what it looks at
//! (`importance`). `findings` says it in words, `report` draws it.

mod findings;
mod format;
mod groups;
mod importance;
mod metrics;
mod plots;
mod report;
mod rows;
mod sample;
mod task;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_model::Model;

use super::data::file::Destination;
use super::data::input::{Input, ReadArgs};
use super::data::layout::{ColumnKind, Request};
use super::data::{Opened, load, open, tell, work};
use crate::levels::Unseen;
use crate::terminal;
use findings::{Findings, Outcome, Subject};
use metrics::classification::Tally;
use metrics::regression::Pairs;
use rows::{Answers, Job, LeftOut, Scored};
use sample::Sample;
use task::Task;

/// Compare a model's predictions with what happened
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell evaluate model.joblib orders.csv --target seconds
  foretell evaluate model.joblib orders.csv --target seconds -o report.html
  foretell evaluate classifier.pickle visits.parquet --target ill --weight visits --json
  zcat orders.jsonl.gz | foretell evaluate xgb.json - --format jsonl --target seconds

The figures equal those of scikit-learn's metrics. Regressions: MAPE, MAE, median and largest error, RMSE, R², bias. \
Classifications: accuracy, balanced accuracy, ROC AUC, average precision, F1, log loss, Brier and calibration error. \
Rows without a target, and rows that the model refuses, are left out and counted. The report is one HTML page that \
loads nothing; it holds sums over rows and no row.")]
pub(crate) struct EvaluateArgs {
    /// The model file
    model: PathBuf,
    /// The data: .csv or .tsv (with a header), .jsonl or .parquet; `-` is standard input
    data: PathBuf,
    /// The column that holds what happened
    #[arg(long, value_name = "COLUMN")]
    target: String,
    /// Write a report with plots to this HTML file
    #[arg(short, long, value_name = "REPORT.html")]
    output: Option<PathBuf>,
    /// A column that says how much each row counts
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The model's inputs, in its order. Default: by the names that the model knows, or all other columns in order
    /// where it knows none
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    #[command(flatten)]
    read: ReadArgs,
    /// Where the model is in a file that holds several things: `model`, `models[2].best`
    #[arg(long, value_name = "PATH")]
    at: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let model = Arc::new(load(&args.model, args.at.as_deref(), args.columns.as_deref(), &args.data)?);
    let task = Arc::new(Task::of(&model).with_context(|| args.model.display().to_string())?);
    if let Some(path) = args.output.as_deref() {
        check_name(path)?;
    }
    let kind = if matches!(*task, Task::Numbers) { ColumnKind::Number } else { ColumnKind::Text };
    let mut more = vec![(args.target.as_str(), kind)];
    more.extend(args.weight.as_deref().map(|weight| (weight, ColumnKind::Number)));
    let request = Request { columns: args.columns.as_deref(), more: &more, ..Request::default() };
    let Opened { input, layout, first } = open(&args.data, &args.read, &model, &request)?;
    for column in layout.more.iter().filter(|column| column.kind == ColumnKind::Number) {
        must_be_number(&input, column.index)?;
    }
    // Opened before the work is done, so that a name that cannot be written to costs no time.
    let report = args.output.as_deref().map(|path| Destination::open(Some(path))).transpose()?;

    let names: Vec<String> = layout.features.iter().map(|column| column.name.clone()).collect();
    let rarity = Arc::new(AtomicU32::new(0));
    let mut collected = Collected::new(&task, names.len(), rarity.clone());
    let how = input.how.clone();
    let job = Job { model: model.clone(), task: task.clone(), layout, how: how.clone(), rarity };
    work::run(job, input, first, |scored| collected.add(scored))?;
    collected.check(&how.name, &args.target)?;

    tell(&collected.unseen, &names);
    let with_plots = report.is_some();
    let findings = collected.finish(subject(args, &model), &model, &task, &names, with_plots)?;
    if let Some((destination, mut file)) = report {
        let when = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
        file.write_all(report::page(&findings, &when).as_bytes())?;
        file.flush()?;
        destination.finish()?;
    }
    let text = if args.json { format!("{:#}\n", findings.json()) } else { terminal::lines(&as_text(&findings)) };
    // A report that went to standard output stands there alone.
    if args.output.as_deref().is_none_or(|path| path.as_os_str() != "-") {
        std::io::stdout().write_all(text.as_bytes())?;
    }
    // Beside the figures, which may be JSON.
    if let Some(path) = args.output.as_deref().filter(|path| path.as_os_str() != "-") {
        eprintln!("report: {}", terminal::lines(&path.display().to_string()));
    }
    Ok(())
}

/// A report under a name that promises something else would open nowhere.
fn check_name(path: &Path) -> Result<()> {
    let device = path == Path::new("-") || path.metadata().is_ok_and(|metadata| !metadata.is_file());
    let html = |ending: &std::ffi::OsStr| ["html", "htm"].iter().any(|known| ending.eq_ignore_ascii_case(known));
    if device || path.extension().is_none_or(html) {
        return Ok(());
    }
    bail!("`{}`: the report is an HTML page: end its name with .html (a browser prints it as PDF)", path.display());
}

fn subject(args: &EvaluateArgs, model: &Model) -> Subject {
    let file = |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let description = model.describe();
    let class = description.root.class.rsplit('.').next().unwrap_or_default();
    let version = description.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    Subject {
        model: file(&args.model),
        class: format!("{class} ({}{version})", description.library),
        sha256: description.sha256.clone(),
        data: if args.data.as_os_str() == "-" { "standard input".to_string() } else { file(&args.data) },
        target: args.target.clone(),
        weight: args.weight.clone(),
    }
}

/// A Parquet file tells the types of its columns.
fn must_be_number(input: &Input, index: usize) -> Result<()> {
    let Some(field) = input.fields.get(index) else { return Ok(()) };
    let data_type = field.data_type();
    if data_type.is_numeric() || matches!(data_type, arrow::datatypes::DataType::Boolean) {
        return Ok(());
    }
    bail!("{}: column `{}`: has the type {data_type}, and a number is needed", input.how.name, field.name())
}

/// What has been counted so far.
struct Collected {
    rows: u64,
    left_out: LeftOut,
    unseen: Unseen,
    counts: Counts,
    sample: Sample,
}

enum Counts {
    Numbers(Pairs),
    Classes(Vec<String>, Box<Tally>),
}

impl Collected {
    fn new(task: &Task, features: usize, rarity: Arc<AtomicU32>) -> Self {
        let counts = match task {
            Task::Numbers => Counts::Numbers(Pairs::default()),
            Task::Classes(classes) => {
                let tally = Tally::new(classes.names.len(), classes.clip);
                Counts::Classes(classes.names.clone(), Box::new(tally))
            }
        };
        Collected {
            rows: 0,
            left_out: LeftOut::default(),
            unseen: Unseen::default(),
            counts,
            sample: Sample::new(features, rarity),
        }
    }

    fn add(&mut self, scored: Scored) -> Result<()> {
        self.rows += scored.rows;
        self.unseen.add(scored.rows as usize, &scored.unseen);
        self.left_out.add(scored.left_out);
        match (&mut self.counts, scored.answers) {
            (Counts::Numbers(all), Answers::Numbers(mut pairs)) => {
                all.actual.append(&mut pairs.actual);
                all.predicted.append(&mut pairs.predicted);
                all.weight.append(&mut pairs.weight);
            }
            (Counts::Classes(_, tally), Answers::Classes(votes)) => tally.add(&votes),
            _ => {}
        }
        self.sample.add(scored.sample)
    }

    fn compared(&self) -> u64 {
        self.rows - self.left_out.sentences("").iter().map(|(rows, _)| rows).sum::<u64>()
    }

    /// Without a row that counts there is nothing to say of the model.
    fn check(&self, name: &str, target: &str) -> Result<()> {
        if self.rows == 0 {
            bail!("{name}: there is no row");
        }
        if self.compared() == 0 {
            let why: Vec<String> =
                self.left_out.sentences(target).into_iter().map(|(rows, why)| format!("{rows} rows: {why}")).collect();
            bail!("{name}: no row can be compared ({})", why.join("; "));
        }
        let weight = match &self.counts {
            Counts::Numbers(pairs) if pairs.weight.is_empty() => 1.0,
            Counts::Numbers(pairs) => pairs.weight.iter().sum(),
            Counts::Classes(_, tally) => tally.weight(),
        };
        if weight <= 0.0 {
            bail!("{name}: every row has the weight 0");
        }
        Ok(())
    }

    fn finish(
        self,
        subject: Subject,
        model: &Model,
        task: &Task,
        names: &[String],
        with_plots: bool,
    ) -> Result<Findings> {
        let compared = self.compared();
        let outcome = match self.counts {
            Counts::Numbers(pairs) => {
                let figures = pairs.figures();
                Outcome::Numbers(pairs, figures)
            }
            Counts::Classes(names, tally) => Outcome::Classes(names, Box::new(tally.figures())),
        };
        let (mut features, mut importance, mut sampled) = (Vec::new(), None, 0);
        if with_plots {
            let sample = self.sample.finish()?;
            sampled = sample.len();
            features = groups::by_feature(&sample, names, matches!(task, Task::Classes(_)))?;
            importance = importance::importance(model, task, &sample, names)?;
        }
        let (rows, left_out) = (self.rows, self.left_out);
        Ok(Findings { subject, rows, compared, left_out, outcome, features, sampled, importance })
    }
}

/// A short table: each figure with what it means.
fn as_text(findings: &Findings) -> String {
    let subject = &findings.subject;
    let mut lines = vec![
        ("model".to_string(), format!("{}: {}", subject.model, subject.class)),
        ("data".to_string(), format!("{}: {}", subject.data, format::count(findings.rows as f64, "row"))),
        ("target".to_string(), subject.target.clone()),
    ];
    lines.extend(findings.notes().into_iter().map(|note| ("note".to_string(), note)));
    let mut out: String = lines.iter().map(|(name, value)| format!("{name:<8} {value}\n")).collect();
    out.push('\n');
    let figures = findings.figures();
    let width = |of: fn(&findings::Figure) -> usize| figures.iter().map(of).max().unwrap_or(0);
    let (names, values) = (width(|f| f.name.chars().count()), width(|f| f.shown.chars().count()));
    for figure in &figures {
        out += &format!("{:<names$}  {:>values$}  {}\n", figure.name, figure.shown, figure.means);
    }
    out
}
