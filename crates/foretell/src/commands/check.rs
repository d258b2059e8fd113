//! `foretell check`: everything that can be wrong, found before any record moves.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use foretell_flow::Sharing;

use crate::pipeline::{EncodingFacts, Pipeline};
use crate::pipeline_file::PipelineFile;
use crate::terminal::println;

/// Check a pipeline: its file, models, queries and every service it needs; move nothing
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell check pipeline.yaml
  DATABASE_URL=mysql://… foretell check pipeline.yaml && foretell run pipeline.yaml")]
pub(crate) struct CheckArgs {
    /// The pipeline file
    pipeline: PathBuf,
}

pub(crate) async fn run(args: CheckArgs) -> Result<()> {
    let pipeline = Pipeline::prepare(PipelineFile::load(&args.pipeline)?).await?;
    let file = &pipeline.file;
    println!("pipeline  {}", file.name);
    for entry in &file.models {
        if let Some((sha256, model)) = pipeline.models.get(&entry.name) {
            let signature = model.model.signature();
            let names = signature.names().map_or_else(|| "by position".to_string(), |names| names.join(", "));
            println!("model     {}: {} ({})", entry.name, model.model.describe().root.class, &sha256[..12]);
            println!("          {} features: {names}", signature.inputs.len());
        }
    }
    for (entry, EncodingFacts { class, labels, sha256 }) in file.encodings.iter().zip(&pipeline.encodings) {
        let sha256 = sha256.as_ref().map_or_else(|| "in this file".to_string(), |sha256| sha256[..12].to_string());
        println!("encoding  {}: {class}, {labels} labels ({sha256})", entry.name);
    }
    for entry in &file.tables {
        let Some(version) = pipeline.table(&entry.name) else { continue };
        let schema = version.batch.schema();
        let columns: Vec<String> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let key =
            if entry.key.is_empty() { "none: a record may match several rows".into() } else { entry.key.join(", ") };
        println!("table     {}: {} rows ({})", entry.name, version.batch.num_rows(), &version.sha256[..12]);
        println!("          {} columns: {}; key {key}", columns.len(), columns.join(", "));
    }
    let columns: Vec<String> =
        pipeline.planned.result.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    println!("query     {}: {}", pipeline.planned.kind, columns.join(", "));
    let mut source = pipeline.look_at_source("check").await?;
    println!("source    {}", file.source.settings.describe());
    for line in pipeline.report().await? {
        println!("          {line}");
    }
    for line in pipeline.try_out().await? {
        println!("          {line}");
    }
    if let Some(from) = &pipeline.inferred {
        println!("decode    {}: {} (from {from})", pipeline.decode.kind, columns_of(&pipeline.decode.settings));
    }
    let mut lanes = Vec::new();
    for (index, sink) in pipeline.sinks().iter().enumerate() {
        lanes.push(pipeline.open_sink(index, "check").await?);
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
        println!("sink      {}: {} ({promise}{sharing})", sink.name, sink.settings.describe());
    }
    pipeline.check_state().await?;
    pipeline.recall(&mut lanes).await?;
    foretell_flow::check_positions(&file.name, &mut *source, &mut lanes).await?;
    println!("ok        nothing moved; `foretell run {}` runs it", args.pipeline.display());
    Ok(())
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
