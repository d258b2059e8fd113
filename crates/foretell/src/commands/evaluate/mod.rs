//! `foretell evaluate`: is the model any good on what really happened?
//!
//! The figures and the report are made by the crate `foretell_evaluate`; here are the command's flags, and its rows and
//! predictions (`rows`).

mod rows;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::datatypes::DataType;
use clap::Args;
use foretell_evaluate::{Evaluation, Figure, Findings, Importance, SampleRows, Scores, Subject, Task, count};
use foretell_model::{Method, Model};

use super::data::file::Destination;
use super::data::input::Input;
use super::data::layout::{ColumnKind, Request};
use super::data::{DataArgs, Opened, load, open, tell, work};
use crate::levels::Unseen;
use crate::{model_file, terminal};
use rows::{Job, Scored, predictions};

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
    #[command(flatten)]
    data: DataArgs,
}

/// Runs the command.
pub(crate) fn run(args: &EvaluateArgs) -> Result<()> {
    let model = Arc::new(load(&args.data)?);
    let task = task(&model).with_context(|| args.data.model.display().to_string())?;
    if let Some(path) = args.output.as_deref() {
        check_name(path)?;
    }
    let kind = if matches!(task, Task::Regression) { ColumnKind::Number } else { ColumnKind::Text };
    let mut more = vec![(args.target.as_str(), kind)];
    more.extend(args.weight.as_deref().map(|weight| (weight, ColumnKind::Number)));
    let request = Request { columns: args.data.columns.as_deref(), more: &more, ..Request::default() };
    let Opened { input, layout, first } = open(&args.data, &model, &request)?;
    for column in layout.more.iter().filter(|column| column.kind == ColumnKind::Number) {
        must_be_number(&input, column.index)?;
    }
    // Opened before the work is done, so that a name that cannot be written to costs no time.
    let report = args.output.as_deref().map(|path| Destination::open(Some(path))).transpose()?;

    let names: Vec<String> = layout.features.iter().map(|column| column.name.clone()).collect();
    let mut evaluation = Evaluation::new(task, names.len());
    let comparer = evaluation.comparer();
    let job = Job { model: model.clone(), comparer: comparer.clone(), layout };
    let mut unseen = Unseen::default();
    work::run(job, input, first, |scored: Scored| {
        unseen.add(scored.rows, &scored.unseen);
        Ok(evaluation.add(scored.compared)?)
    })?;
    evaluation.check(&args.target).with_context(|| args.data.data_name())?;

    tell(&unseen, &names);
    let subject = subject(args, &model);
    let findings = match report {
        None => evaluation.finish(subject)?,
        Some(_) => evaluation
            .finish_with_features(subject, &names, |sample| importance(&model, comparer.task(), sample, &names))?,
    };
    if let Some((destination, mut file)) = report {
        let when = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
        file.write_all(findings.page(&when).as_bytes())?;
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

/// What the model does.
fn task(model: &Model) -> Result<Task> {
    let signature = model.signature();
    let [output] = &signature.predict[..] else {
        if signature.predict.is_empty() {
            let class = &model.describe().root.class;
            bail!("a `{class}` transforms and does not predict; name the model with `--at`");
        }
        bail!("the model predicts {} targets; only models of one can be evaluated", signature.predict.len());
    };
    let names = model.classes(0);
    if names.is_empty() {
        return Ok(Task::Regression);
    }
    let scores = match (&signature.proba[..], &signature.decision[..]) {
        ([_, ..], _) => Some(Scores::Probabilities),
        (_, [_]) if names.len() == 2 => Some(Scores::Decision),
        _ => None,
    };
    let narrow = signature.proba.first().is_some_and(|output| output.data_type == DataType::Float32);
    let clip = if narrow { f64::from(f32::EPSILON) } else { f64::EPSILON };
    Ok(Task::classification(names.to_vec(), output.data_type.clone(), scores, clip)?)
}

/// The response method that gives the scores.
fn method(scores: Scores) -> Method {
    match scores {
        Scores::Probabilities => Method::Proba,
        Scores::Decision => Method::Decision,
    }
}

/// Of the trees, where the model is one ensemble of them, else by shuffling the sample.
fn importance(
    model: &Model,
    task: &Task,
    sample: &SampleRows,
    names: &[String],
) -> Result<Option<Importance>, foretell_evaluate::Error> {
    let steps = model.describe().root.walk();
    let ensembles: Vec<_> = steps.iter().filter_map(|step| step.trees.as_ref()).collect();
    if let [trees] = &ensembles[..]
        && !trees.features.is_empty()
    {
        let uses: Vec<_> = trees.features.iter().map(|one| (one.name.as_str(), one.gain, one.splits)).collect();
        return Ok(Some(Importance::of_splits(&uses)));
    }
    Importance::by_shuffling(task, sample, names, |features, rows| Ok(predictions(model, task, features, rows)?.0))
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
        model: model_file::paths(&args.data.model).iter().map(file).collect::<Vec<_>>().join("+"),
        class: format!("{class} ({}{version})", description.library),
        sha256: description.sha256.clone(),
        data: args
            .data
            .data
            .iter()
            .map(|path| if path.as_os_str() == "-" { "standard input".to_string() } else { file(path) })
            .collect::<Vec<_>>()
            .join(", "),
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
    bail!("{}: column `{}`: has the type {data_type}, and a number is needed", input.options.name, field.name())
}

/// A short table: each figure with what it means.
fn as_text(findings: &Findings) -> String {
    let subject = &findings.subject;
    let mut lines = vec![
        ("model".to_string(), format!("{}: {}", subject.model, subject.class)),
        ("data".to_string(), format!("{}: {}", subject.data, count(findings.rows as f64, "row"))),
        ("target".to_string(), subject.target.clone()),
    ];
    lines.extend(findings.notes().into_iter().map(|note| ("note".to_string(), note)));
    let mut out: String = lines.iter().map(|(name, value)| format!("{name:<8} {value}\n")).collect();
    out.push('\n');
    let figures = findings.figures();
    let width = |of: fn(&Figure) -> usize| figures.iter().map(of).max().unwrap_or(0);
    let (names, values) = (width(|f| f.name.chars().count()), width(|f| f.shown.chars().count()));
    for figure in &figures {
        out += &format!("{:<names$}  {:>values$}  {}\n", figure.name, figure.shown, figure.means);
    }
    out
}
