//! `foretell check`: everything that can be wrong, found before any record moves.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use foretell_flow::Sharing;

use crate::pipeline::Pipeline;
use crate::pipeline_file::PipelineFile;

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
            let signature = model.0.signature();
            let names = signature.names().map_or_else(|| "by position".to_string(), |names| names.join(", "));
            println!("model     {}: {} ({})", entry.name, model.0.describe().root.class, &sha256[..12]);
            println!("          {} features: {names}", signature.inputs.len());
        }
    }
    let columns: Vec<String> =
        pipeline.planned.result.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    println!("query     {}: {}", pipeline.planned.kind, columns.join(", "));
    pipeline.open_source("check", 1, true).await?;
    println!("source    {}", file.source.settings.describe());
    for (index, lane) in pipeline.lanes().iter().enumerate() {
        pipeline.open_sink(index, "check").await?;
        let traits = lane.settings.traits();
        let promise = match (traits.keeps_positions, file.source.settings.replays()) {
            (true, true) => "exactly once",
            (true, false) => "at most once",
            (false, true) => "at least once",
            (false, false) => "nothing is promised",
        };
        let sharing = if traits.sharing == Sharing::Single { ", one worker" } else { "" };
        println!("sink      {}: {} ({promise}{sharing})", lane.name, lane.settings.describe());
    }
    pipeline.check_state().await?;
    println!("ok        nothing moved; `foretell run {}` runs it", args.pipeline.display());
    Ok(())
}
