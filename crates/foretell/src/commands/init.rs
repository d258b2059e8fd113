//! `foretell init`: a pipeline file to begin with, from what a model says of itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_model::{Input, InputKind, LoadOptions, Model, Signature, paths};

use crate::pipeline::Pipeline;
use crate::pipeline_file::{PipelineFile, REGISTRY};
use crate::{model_file, terminal};

/// Write a pipeline file to begin with: the model's columns, their types, and a query that calls it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell init readmit.joblib -o pipeline.yaml
  foretell init readmit.joblib --data patients.csv -o pipeline.yaml && foretell run pipeline.yaml
  foretell init models.pickle --at 'stores[\"St. Gallen\"].best'

Without --data the source is a Kafka topic whose name you fill in; with it, the file, and its header says the columns. \
What is written is checked before: the model is read, and the query is planned.")]
pub(crate) struct InitArgs {
    /// The model file
    model: PathBuf,
    /// Where the model is in a file that holds several things: `model`, `models[2].best`
    #[arg(long, value_name = "PATH")]
    at: Option<String>,
    /// The names of the model's inputs, in its order, where the file does not tell them
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// A data file to read instead of a Kafka topic: CSV, JSON Lines or Parquet
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Where to write it; by default standard output. A file that is there stays
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(args: InitArgs) -> Result<()> {
    if let Some(output) = args.output.as_ref().filter(|output| output.exists()) {
        bail!("`{}` is there already: name another file, or remove it", output.display());
    }
    let read = model_file::read(&model_file::paths(&args.model))?;
    let options = LoadOptions {
        at: args.at.as_deref().map(paths).unwrap_or_default(),
        columns: if args.columns.is_empty() { read.columns } else { args.columns.clone() },
        ..LoadOptions::default()
    };
    let model = foretell_package::load(&read.bytes, &options)
        .map_err(|error| anyhow::anyhow!("{}: {:#}", args.model.display(), super::data::unnamed(error)))?;
    let stem = args.model.file_stem().unwrap_or_default().to_string_lossy();
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from("pipeline.yaml"));
    // A word of SQL cannot be a function's name: then the model is called `model`.
    let text = match planned(&args, &path, &model, &word(&stem)).await {
        Ok(text) => text,
        Err(error) => planned(&args, &path, &model, "model").await.map_err(|_| error)?,
    };
    match &args.output {
        Some(output) => {
            std::fs::write(output, text).with_context(|| format!("cannot write `{}`", output.display()))?;
            println!("{}: `foretell check {0}` says what is left to do", output.display());
        }
        None => std::io::stdout().write_all(terminal::lines(&text).as_bytes())?,
    }
    Ok(())
}

/// The text of a pipeline file that reads, and whose query can be planned.
async fn planned(args: &InitArgs, path: &Path, model: &Model, name: &str) -> Result<String> {
    let text = text(args, path, model.signature(), name)?;
    let file = PipelineFile::parse(path, &text, &[], REGISTRY, &|name| std::env::var(name))?;
    Pipeline::prepare(file).await?;
    Ok(text)
}

fn text(args: &InitArgs, path: &Path, signature: &Signature, name: &str) -> Result<String> {
    let mut out = String::new();
    let _ = writeln!(out, "pipeline: {name}");
    match &args.data {
        Some(data) => {
            let _ = writeln!(out, "source:\n  file: {{ path: {} }}", quoted(&from(path, data)?));
        }
        None => {
            let _ = writeln!(
                out,
                "source:\n  # Where are the records? Or `socket: {{ listen: \"127.0.0.1:9999\" }}`, or `file: {{ path: in/ \
                 }}`.\n  kafka: {{ brokers: \"localhost:9092\", topic: records }}\ndecode:\n  # Or `json`, with the same \
                 columns.\n  csv:\n    columns:"
            );
            for (at, input) in signature.inputs.iter().enumerate() {
                let _ = writeln!(out, "      - {}: {}", scalar(&column(at, input)), data_type(&input.kind));
            }
        }
    }
    let listed = |all: Vec<String>| format!("[{}]", all.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", "));
    let at = args.at.as_deref().map(paths).unwrap_or_default();
    let more = match at.as_slice() {
        [] => String::new(),
        [one] => format!(", at: {}", quoted(one)),
        _ => format!(", at: {}", listed(at)),
    };
    let files = model_file::paths(&args.model).iter().map(|file| from(path, file)).collect::<Result<Vec<_>>>()?;
    let files = match files.as_slice() {
        [file] => format!("file: {}", quoted(file)),
        _ => format!("files: {}", listed(files)),
    };
    let columns = if args.columns.is_empty() {
        String::new()
    } else {
        format!(", columns: [{}]", args.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", "))
    };
    let _ = writeln!(out, "models:\n  {name}: {{ {files}{more}{columns} }}");
    let _ = writeln!(out, "query: |\n  SELECT {} FROM {}", answers(signature, name), records(signature));
    let _ = writeln!(
        out,
        "sinks:\n  # Where are the results to land? Or `sql: {{ url: {{ env: DATABASE_URL }}, table: results, create: true \
         }}`, `kafka`, `file`.\n  out: {{ console: {{}} }}"
    );
    if args.data.is_some() {
        let _ = writeln!(out, "trigger: available_now");
    }
    Ok(out)
}

/// What the query selects.
fn answers(signature: &Signature, name: &str) -> String {
    let first = match (signature.predict.is_empty(), signature.transform.is_empty()) {
        (false, _) => format!("{name}(*) AS prediction"),
        (true, false) => format!("{name}(*) AS transformed"),
        // A density, for one.
        (true, true) => format!("{name}_score_samples(*) AS score"),
    };
    let mut answers = vec!["_partition, _offset".to_string(), first];
    if !signature.proba.is_empty() {
        answers.push(format!("{name}_proba(*) AS probabilities"));
    }
    answers.join(", ")
}

/// What the query reads: lists are made of texts, in which spaces separate the words.
fn records(signature: &Signature) -> String {
    let lists = signature.inputs.iter().enumerate().filter(|(_, input)| input.kind == InputKind::List);
    let lists: Vec<String> = lists
        .map(|(at, input)| column(at, input).replace('"', "\"\""))
        .map(|name| format!("string_to_array(\"{name}\", ' ') AS \"{name}\""))
        .collect();
    if lists.is_empty() {
        return "records".to_string();
    }
    format!("(SELECT * REPLACE ({}) FROM records)", lists.join(", "))
}

/// The name of an input's column; a model that knows none takes columns in their order.
fn column(at: usize, input: &Input) -> String {
    input.name.clone().unwrap_or_else(|| format!("x{at}"))
}

/// Any of them may be missing; the model says what it makes of that.
fn data_type(kind: &InputKind) -> &'static str {
    match kind {
        InputKind::Number => "float64?",
        InputKind::Bool => "bool?",
        InputKind::Text | InputKind::Category(_) | InputKind::List | InputKind::Any => "utf8?",
    }
}

/// A path as the pipeline file names it: from its own folder.
fn from(pipeline: &Path, path: &Path) -> Result<String> {
    let beside = pipeline.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let path = if beside || path.is_absolute() {
        path.to_path_buf()
    } else {
        std::path::absolute(path).with_context(|| path.display().to_string())?
    };
    Ok(path.display().to_string())
}

/// A name that SQL takes as it is.
fn word(name: &str) -> String {
    let letters = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
    let word: String = letters.collect::<String>().to_ascii_lowercase();
    if word.starts_with(|first: char| first.is_ascii_alphabetic()) { word } else { format!("model_{word}") }
}

/// A text that YAML takes for nothing else.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn scalar(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let means_more = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if plain && !means_more.contains(&text.to_ascii_lowercase().as_str()) { text.to_string() } else { quoted(text) }
}
