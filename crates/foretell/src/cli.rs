//! The command line: what there is to say, and which command hears it.

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::task::block_in_place;

use crate::commands;
use crate::log::LogArgs;

/// Put the model you already trained on your stream, without Python.
#[derive(Debug, Parser)]
#[command(
    name = "foretell",
    version,
    max_term_width = 110,
    after_help = "Examples:
  foretell demo
  foretell inspect model.joblib
  foretell predict model.joblib data.csv -o predictions.csv
  foretell evaluate model.joblib data.csv --target seconds -o report.html
  foretell init model.joblib -o pipeline.yaml
  foretell check pipeline.yaml && foretell run pipeline.yaml

`foretell COMMAND --help` says more about a command."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(commands::run::RunArgs),
    Check(commands::check::CheckArgs),
    Test(commands::test::TestArgs),
    Init(commands::init::InitArgs),
    Demo(commands::demo::DemoArgs),
    Positions(commands::positions::PositionsArgs),
    DeadLetters(commands::dead_letters::DeadLettersArgs),
    Predict(commands::predict::PredictArgs),
    Serve(commands::serve::ServeArgs),
    Evaluate(commands::evaluate::EvaluateArgs),
    Baseline(commands::baseline::BaselineArgs),
    Inspect(commands::inspect::InspectArgs),
    Schema(commands::schema::SchemaArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
}

impl Cli {
    /// Does what was asked.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::Run(args) => commands::run::run(args).await,
            Command::Check(args) => commands::check::run(args).await,
            Command::Test(args) => commands::test::run(args).await,
            Command::Init(args) => commands::init::run(args).await,
            Command::Demo(args) => commands::demo::run(args).await,
            Command::Positions(args) => commands::positions::run(args).await,
            Command::DeadLetters(args) => commands::dead_letters::run(args).await,
            // These wait for files wherever they are.
            Command::Predict(args) => block_in_place(|| commands::predict::run(&args)),
            Command::Serve(args) => commands::serve::run(args).await,
            Command::Baseline(args) => block_in_place(|| commands::baseline::run(&args)),
            Command::Evaluate(args) => block_in_place(|| commands::evaluate::run(&args)),
            Command::Inspect(args) => commands::inspect::run(&args),
            Command::Schema(args) => commands::schema::run(&args),
            Command::Completions(args) => commands::completions::run(&args, Cli::command()),
            Command::Man(args) => commands::man::run(&args, Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_shows_examples() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            assert!(command.get_about().is_some(), "{} says what it does", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("foretell"), "{} shows an example", command.get_name());
        }
    }
}
