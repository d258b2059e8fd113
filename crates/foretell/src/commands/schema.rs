//! `foretell schema`: the JSON Schema of pipeline files, for editors.

use std::io::Write;

use anyhow::Result;
use clap::Args;

use crate::pipeline_file::{REGISTRY, editor_schema};

/// Print the JSON Schema of pipeline files
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell schema > pipeline.schema.json

An editor with a YAML language server then completes and checks a pipeline file that begins with:
  # yaml-language-server: $schema=pipeline.schema.json")]
pub(crate) struct SchemaArgs {}

/// Runs the command.
pub(crate) fn run(_: &SchemaArgs) -> Result<()> {
    let schema = editor_schema(REGISTRY);
    writeln!(std::io::stdout(), "{schema:#}")?;
    Ok(())
}
