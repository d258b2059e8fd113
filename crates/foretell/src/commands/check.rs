//! `foretell check`: everything that can be wrong, found before any record moves.

use std::fmt::Display;
use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use foretell_connect::human;
use foretell_connect::kind::Proof;
use foretell_flow::{Sharing, Source};
use serde_json::{Map, Value, json};

use super::pipeline::PipelineArgs;
use crate::pipeline::{EncodingFacts, Pipeline};
use crate::pipeline_file::{FileError, FileErrors, Wrong};
use crate::terminal::println;

/// Check a pipeline: its file, models, queries and every service it needs; move nothing
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell check pipeline.yaml
  DATABASE_URL=mysql://… foretell check pipeline.yaml && foretell run pipeline.yaml
  foretell check --offline --json pipeline.yaml
  foretell check --prove pipeline.yaml
  foretell check pipeline.yaml --set source.kafka.topic=orders

All mistakes are told at once, a line each: those of the file first, and those of the services where the file has none.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Reach no service: only the file, the models, tables in files and the query are checked. A file source without
    /// `decode` is still looked at
    #[arg(long)]
    offline: bool,
    /// Try on each SQL database itself whether it keeps what is promised: transactions, two writers at once, connections that
    /// are cut, rows that are refused, values. In tables of its own (`foretell_proof…`), which it removes; it takes a minute
    #[arg(long, conflicts_with = "offline")]
    prove: bool,
    /// Print JSON: what was found, or the errors with their lines
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(args: CheckArgs) -> Result<()> {
    let mut report = Report { json: args.json, members: Map::new() };
    let outcome = check(&args, &mut report).await;
    if args.json {
        report.members.insert("ok".to_string(), Value::from(outcome.is_ok()));
        if let Err(error) = &outcome {
            let errors = described(error);
            report.members.insert("error".to_string(), errors.first().cloned().unwrap_or_default());
            report.members.insert("errors".to_string(), Value::from(errors));
        }
        std::io::stdout().write_all(format!("{:#}\n", Value::Object(report.members)).as_bytes())?;
    }
    outcome
}

/// Errors by their parts, where they are those of the pipeline file.
fn described(error: &anyhow::Error) -> Vec<Value> {
    let parts = |error: &FileError| {
        let FileError { file, line, column, path, message, remedy, away: _ } = error;
        let column = (*column > 0).then_some(*column);
        json!({ "file": file, "line": line, "column": column, "path": path, "message": message, "remedy": remedy })
    };
    if let Some(errors) = error.downcast_ref::<FileErrors>() {
        return errors.0.iter().map(parts).collect();
    }
    let one = error.downcast_ref::<FileError>().map(parts);
    vec![one.unwrap_or_else(|| json!({ "message": format!("{error:#}") }))]
}

/// What was found so far: printed as it is found, or kept as JSON.
struct Report {
    json: bool,
    members: Map<String, Value>,
}

impl Report {
    /// A line; without a name it belongs to the one before.
    fn line(&self, name: &str, text: impl Display) {
        if !self.json {
            println!("{name:<10}{text}");
        }
    }

    fn member(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_string(), value);
    }
}

async fn check(args: &CheckArgs, report: &mut Report) -> Result<()> {
    let file = args.pipeline.load()?;
    if let Some(table) = file.tables.iter().find(|table| args.offline && table.kind != "file") {
        let remedy = "leave `--offline` out, or try the query with a file in its place";
        return Err(file.error(&["tables", &table.name], "`--offline` does not reach a database", remedy).into());
    }
    let pipeline = Pipeline::prepare(file).await?;
    let file = &pipeline.file;
    report.line("pipeline", &file.name);
    report.member("pipeline", Value::from(file.name.as_str()));
    let mut models = Vec::new();
    for entry in &file.models {
        if let Some((sha256, model)) = pipeline.models.get(&entry.name) {
            let signature = model.model.signature();
            let names = signature.names().map_or_else(|| "by position".to_string(), |names| names.join(", "));
            let class = model.model.describe().root.class.clone();
            report.line("model", format!("{}: {class} ({})", entry.name, &sha256[..12]));
            report.line("", format!("{} features: {names}", signature.inputs.len()));
            model.model.describe().notes.iter().for_each(|note| report.line("", format!("note: {note}")));
            models.push(json!({
                "name": entry.name, "class": class, "sha256": sha256, "inputs": signature.inputs.len(),
                "names": signature.names(),
            }));
        }
    }
    report.member("models", Value::from(models));
    for (entry, EncodingFacts { class, labels, sha256 }) in file.encodings.iter().zip(&pipeline.encodings) {
        let sha256 = sha256.as_ref().map_or_else(|| "in this file".to_string(), |sha256| sha256[..12].to_string());
        report.line("encoding", format!("{}: {class}, {labels} labels ({sha256})", entry.name));
    }
    for entry in &file.tables {
        let Some(version) = pipeline.table(&entry.name) else { continue };
        let schema = version.batch.schema();
        let columns: Vec<String> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let key =
            if entry.key.is_empty() { "none: a record may match several rows".into() } else { entry.key.join(", ") };
        report.line("table", format!("{}: {} rows ({})", entry.name, version.batch.num_rows(), &version.sha256[..12]));
        report.line("", format!("{} columns: {}; key {key}", columns.len(), columns.join(", ")));
    }
    let columns: Vec<String> =
        pipeline.planned.result.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    report.line("query", format!("{}: {}", pipeline.planned.kind, columns.join(", ")));
    let columns: Vec<Value> = (pipeline.planned.result.fields().iter())
        .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
        .collect();
    report.member("query", json!({ "scope": pipeline.planned.kind, "columns": columns }));
    if args.offline {
        report.line("ok", "as far as can be said without reaching a service");
        return Ok(());
    }
    let mut wrong = Wrong::default();
    let source = wrong.keep_any(source(&pipeline, report).await)?;
    let mut sinks = Vec::new();
    let mut told = Vec::new();
    for (index, sink) in pipeline.sinks().iter().enumerate() {
        let Some(open) = wrong.keep_any(pipeline.open_sink(index, "check").await)? else { continue };
        sinks.push(open);
        let traits = sink.settings.traits();
        let promise = match (traits.keeps_positions, file.source.settings.replays()) {
            (true, true) => "exactly once",
            (true, false) => "at most once",
            (false, true) => "at least once",
            (false, false) => "nothing is promised",
        };
        let sharing = match traits.sharing {
            Sharing::Single => ", one worker",
            Sharing::Machine => ", one machine",
            Sharing::Shared => "",
        };
        told.push(json!({ "name": sink.name, "description": sink.settings.describe(), "promise": promise }));
        report.line("sink", format!("{}: {} ({promise}{sharing})", sink.name, sink.settings.describe()));
    }
    report.member("sinks", Value::from(told));
    wrong.none()?;
    pipeline.check_state().await?;
    pipeline.recall(&mut sinks).await?;
    if let Some(mut source) = source {
        foretell_flow::check_positions(&file.name, &mut *source, &mut sinks).await?;
    }
    if args.prove {
        prove(&pipeline, report).await?;
    }
    report.line("ok", format!("nothing moved; `foretell run {}` runs it", args.pipeline.pipeline.display()));
    Ok(())
}

/// Has each sink's service tried for what is promised.
async fn prove(pipeline: &Pipeline, report: &mut Report) -> Result<()> {
    let (mut told, mut failed) = (Vec::new(), 0);
    for (index, sink) in pipeline.sinks().iter().enumerate() {
        // What does not hold ends a check by a panic, which is told below.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let proofs = pipeline.prove_sink(index).await;
        std::panic::set_hook(hook);
        let proofs = proofs?;
        if proofs.is_empty() {
            report.line("prove", format!("{}: nothing that differs from service to service", sink.name));
        }
        for Proof { what, outcome } in &proofs {
            match outcome {
                Ok(()) => report.line("prove", format!("{}: holds: {what}", sink.name)),
                Err(why) => {
                    failed += 1;
                    report.line("prove", format!("{}: DOES NOT HOLD: {what}", sink.name));
                    report.line("", human::printable(why));
                }
            }
            let why = outcome.as_ref().err();
            told.push(json!({ "sink": sink.name, "what": what, "holds": why.is_none(), "why": why }));
        }
    }
    report.member("proofs", Value::from(told));
    anyhow::ensure!(failed == 0, "{failed} of the promises do not hold on these services; see docs/databases.md");
    Ok(())
}

/// Looks at the source, and at the first records that it has.
async fn source(pipeline: &Pipeline, report: &mut Report) -> Result<Box<dyn Source>> {
    let file = &pipeline.file;
    let source = pipeline.look_at_source("check").await?;
    report.line("source", file.source.settings.describe());
    report.member("source", json!({ "kind": file.source.kind, "description": file.source.settings.describe() }));
    for line in pipeline.report().await? {
        report.line("", line);
    }
    for line in pipeline.try_out().await? {
        report.line("", line);
    }
    if let Some(from) = &pipeline.inferred {
        report.line(
            "decode",
            format!("{}: {} (from {from})", pipeline.decode.kind, columns_of(&pipeline.decode.settings)),
        );
    }
    Ok(source)
}

/// A column's type, alone or among its details.
fn type_of(spec: &serde_json::Value) -> &str {
    spec.as_str().or_else(|| spec["type"].as_str()).unwrap_or_default()
}

/// Columns as the pipeline file writes them.
fn columns_of(settings: &serde_json::Value) -> String {
    let columns =
        settings["columns"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_object).flatten();
    let columns: Vec<String> = columns.map(|(name, kind)| format!("{name} {}", type_of(kind))).collect();
    if columns.is_empty() { "no columns to choose".to_string() } else { columns.join(", ") }
}
