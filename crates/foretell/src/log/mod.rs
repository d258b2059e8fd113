//! Logs go to standard error, as text or as JSON, one event a line, each with the pipeline that it is of.

mod named;

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use named::{NamedFields, NamedJson};
pub(crate) use named::{name, name_thread};

/// How much is logged, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// How log lines are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a filter such as `info,foretell_flow=debug`; the
    /// environment variable RUST_LOG says the same
    #[arg(long, global = true, value_name = "LEVEL", value_parser = filter)]
    log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For machines: one JSON object a line
    Json,
}

/// Libraries that log much that is of no interest, one whose lines may hold what was sent, and one that warns of files
/// which were not closed: what is in them is synced, and the storage recovers them.
const DEFAULT: &str = "info,librdkafka=warn,rdkafka=warn,sqlx=warn,hdfs_native=warn,hdfs_native::file=error,\
                       object_store=warn,datafusion=warn,sqlparser=warn";

fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_string()).map_err(|error| error.to_string())
}

/// Whether the environment allows colour: `NO_COLOR` (<https://no-color.org>), `CLICOLOR=0` and a terminal that has
/// none.
fn colour() -> bool {
    wants_colour(|name| std::env::var_os(name))
}

fn wants_colour(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    let is = |name: &str, value: &str| env(name).is_some_and(|found| found == value);
    env("NO_COLOR").is_none_or(|value| value.is_empty()) && !is("CLICOLOR", "0") && !is("TERM", "dumb")
}

/// Starts logging, once.
pub(crate) fn start(args: &LogArgs) {
    let from_env = || std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = args.log_level.clone().or_else(from_env);
    // A word alone, such as `debug`, is about foretell; the libraries stay quiet.
    let text = match text {
        Some(level) if level.chars().all(char::is_alphabetic) => DEFAULT.replacen("info", &level, 1),
        Some(filter) => filter,
        None => DEFAULT.to_string(),
    };
    let filter = EnvFilter::try_new(text).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    // A reader of the log that has gone (`2>&1 | head`) stops nothing: errors of writing the log are dropped.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => builder
            .fmt_fields(NamedFields::default())
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal() && colour())
            .init(),
        LogFormat::Json => {
            let json = tracing_subscriber::fmt::format().json().flatten_event(true);
            builder.json().event_format(NamedJson(json)).init();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_what_the_environment_wants() {
        let wants = |set: &'static [(&str, &str)]| {
            wants_colour(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
        };
        assert!(wants(&[]) && wants(&[("NO_COLOR", ""), ("CLICOLOR", "1"), ("TERM", "xterm")]));
        for set in [&[("NO_COLOR", "1")][..], &[("CLICOLOR", "0")], &[("TERM", "dumb")]] {
            assert!(!wants(set), "{set:?}");
        }
    }
}
