//! `foretell completions`: what a shell needs to complete commands and options.

use std::io::Write;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell completions bash > ~/.local/share/bash-completion/completions/foretell
  foretell completions zsh > \"${fpath[1]}/_foretell\"
  foretell completions fish > ~/.config/fish/completions/foretell.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command; `program` is what is to be completed.
pub(crate) fn run(args: &CompletionsArgs, mut program: Command) -> Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut program, "foretell", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
