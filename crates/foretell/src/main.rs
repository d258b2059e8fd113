//! The binary: commands, and pipelines from their files. The only crate with clap and anyhow.
//!
//! Exit codes: 0 done, 1 an error (one line on standard error, of a pipeline file one for each mistake), 2 wrong usage, 3 a
//! batch job of which every record was bad, or more than it allows.

mod cli;
mod commands;
mod components;
mod levels;
mod log;
mod memory;
mod model_file;
mod pipeline;
mod pipeline_file;
mod serving;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    memory::few_arenas();
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    log::start(&cli.log);
    match cli.run().await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough, as with `| head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            if error.is::<commands::run::TooManyBad>() { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Says an error on standard error: one line, or one for each mistake in a file.
fn tell(error: &anyhow::Error) {
    match error.downcast_ref::<pipeline_file::FileErrors>() {
        Some(errors) => errors.0.iter().for_each(|error| eprintln!("error: {}", terminal::lines(&error.to_string()))),
        None => eprintln!("error: {}", one_line(error)),
    }
}

/// An error and its causes in one line; a cause that the line before already tells is left out.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    terminal::lines(&line.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let error = anyhow::anyhow!("disk full").context("out.csv: disk full").context("cannot\nwrite");
        assert_eq!(one_line(&error), "cannot write: out.csv: disk full");
        assert_eq!(one_line(&anyhow::anyhow!("no column `\u{1b}[31m`")), "no column `\\u{1b}[31m`");
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(pipe()).context("writing")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("writing")));
    }
}
