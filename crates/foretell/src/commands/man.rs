//! `foretell man`: manual pages, one for the program and one for each command.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};

/// Write manual pages into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell man ~/.local/share/man/man1 && man foretell-run")]
pub(crate) struct ManArgs {
    /// The folder
    folder: PathBuf,
}

/// Runs the command for this program.
pub(crate) fn run(args: &ManArgs, program: Command) -> Result<()> {
    std::fs::create_dir_all(&args.folder).with_context(|| args.folder.display().to_string())?;
    clap_mangen::generate_to(program, &args.folder).with_context(|| args.folder.display().to_string())
}
