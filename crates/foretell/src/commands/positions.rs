//! `foretell positions`: what each sink holds, and the remedy of every loud stop.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use foretell_flow::{Partition, Position, Reset};

use super::pipeline::PipelineArgs;
use crate::pipeline::Pipeline;
use crate::pipeline_file::list;
use crate::terminal::println;

/// Show or change how far each sink has got
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell positions show pipeline.yaml
  foretell positions set pipeline.yaml --partition Pdata[2] --offset 5000
  foretell positions set pipeline.yaml --sink hdfs --partition Pdata[2] --offset 5000
  foretell positions forget pipeline.yaml --sink db
  foretell positions adopt pipeline.yaml utime minutes       # sink `utime` is called `minutes` now
  foretell positions adopt pipeline.yaml old/utime utime     # the pipeline was called `old`
  foretell positions forget pipeline.yaml --yes     # asks nothing, for scripts

Stop the pipeline first: a running one does not look again.")]
pub(crate) struct PositionsArgs {
    #[command(subcommand)]
    command: PositionsCommand,
}

#[derive(Debug, Subcommand)]
enum PositionsCommand {
    /// What each sink holds, beside what the log has
    #[command(after_help = "Example:\n  foretell positions show pipeline.yaml")]
    Show {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Move a partition's position: what is before it counts as done, what is after it comes (again)
    #[command(
        after_help = "Examples:\n  foretell positions set pipeline.yaml --partition Pdata[2] --offset 5000\n  foretell positions set pipeline.yaml --sink hdfs --partition Pdata[2] --offset 5000"
    )]
    Set {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// The partition, e.g. `Pdata[2]`
        #[arg(long, value_parser = partition)]
        partition: Partition,
        /// The next offset to read
        #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..))]
        offset: i64,
        /// Only in this sink; by default in all
        #[arg(long)]
        sink: Option<String>,
    },
    /// Forget positions: the next start begins as a new pipeline would, so that rows which are stored come again
    #[command(
        after_help = "Examples:\n  foretell positions forget pipeline.yaml --sink db\n  foretell positions forget pipeline.yaml --partition Pdata[2] --yes"
    )]
    Forget {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Only this partition, e.g. `Pdata[2]`
        #[arg(long, value_parser = partition)]
        partition: Option<Partition>,
        /// Only in this sink; in all where it is not given
        #[arg(long)]
        sink: Option<String>,
        /// Do not ask before forgetting
        #[arg(long)]
        yes: bool,
    },
    /// After a renaming: what is stored for a sink of the old name becomes that of the new one
    #[command(
        after_help = "Examples:\n  foretell positions adopt pipeline.yaml utime minutes       # sink `utime` is called `minutes` now\n  foretell positions adopt pipeline.yaml old/utime utime     # the pipeline was called `old`"
    )]
    Adopt {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// The sink's name before; `PIPELINE/SINK` where the pipeline was renamed
        old: String,
        /// The sink's name in the file
        new: String,
    },
}

fn partition(text: &str) -> Result<Partition, String> {
    let parsed = text.strip_suffix(']').and_then(|text| text.rsplit_once('['));
    let parsed = parsed.and_then(|(topic, index)| Some((topic, index.parse::<i32>().ok()?)));
    match parsed {
        Some((topic, index)) if !topic.is_empty() && index >= 0 => Ok(Partition { topic: topic.into(), index }),
        _ => Err("a partition is written `topic[number]`, e.g. `Pdata[2]`".to_string()),
    }
}

pub(crate) async fn run(args: PositionsArgs) -> Result<()> {
    match args.command {
        PositionsCommand::Show { pipeline } => show(pipeline.prepare().await?).await,
        PositionsCommand::Set { pipeline, partition, offset, sink } => {
            let pipeline = pipeline.prepare().await?;
            let mut source = pipeline.look_at_source("positions").await?;
            let bounds = source.bounds(std::slice::from_ref(&partition)).await?;
            let Some(bound) = bounds.into_iter().next() else { bail!("the source has no partition {partition}") };
            if offset < bound.first || offset > bound.end {
                bail!("{partition} has offsets {} to {}: {offset} is outside", bound.first, bound.end);
            }
            let position = Position { partition, next: offset };
            reset(&pipeline, sink.as_deref(), &Reset::Set { position, identity: bound.identity }).await
        }
        PositionsCommand::Forget { pipeline, partition, sink, yes } => {
            let pipeline = pipeline.prepare().await?;
            let sinks = chosen(&pipeline, sink.as_deref())?;
            if !yes {
                confirm(&pipeline.file.name, partition.as_ref(), &sinks)?;
            }
            reset(&pipeline, sink.as_deref(), &Reset::Forget(partition)).await
        }
        PositionsCommand::Adopt { pipeline, old, new } => adopt(&pipeline.prepare().await?, &old, &new).await,
    }
}

async fn show(pipeline: Pipeline) -> Result<()> {
    let mut rows: Vec<(String, Partition, i64, usize)> = Vec::new();
    for index in 0..pipeline.sinks().len() {
        let mut sink = pipeline.open_sink(index, "positions").await?;
        if sink.traits.keeps_positions {
            for holding in sink.inner.positions().await? {
                rows.push((sink.name.clone(), holding.partition, holding.next, holding.plans.len()));
            }
        }
    }
    if rows.is_empty() {
        println!("no positions: pipeline `{}` has not run yet", pipeline.file.name);
        return Ok(());
    }
    let mut partitions: Vec<Partition> = rows.iter().map(|row| row.1.clone()).collect();
    partitions.sort();
    partitions.dedup();
    let mut source = pipeline.look_at_source("positions").await?;
    let bounds = source.bounds(&partitions).await?;
    println!(
        "{:<16} {:<20} {:>12} {:>12} {:>12} {:>10} {:>6}",
        "SINK", "PARTITION", "POSITION", "LOG BEGINS", "LOG ENDS", "LAG", "PLANS"
    );
    for (sink, partition, next, plans) in rows {
        let position = Position { partition: partition.clone(), next };
        let behind = source.housekeeping().behind(std::slice::from_ref(&position)).await?.into_iter().sum::<i64>();
        let bound = bounds.iter().find(|bound| bound.partition == partition);
        let cell = |value: Option<i64>| value.map_or_else(|| "-".to_string(), |value| value.to_string());
        println!(
            "{sink:<16} {:<20} {next:>12} {:>12} {:>12} {:>10} {plans:>6}",
            partition.to_string(),
            cell(bound.map(|bound| bound.first)),
            cell(bound.map(|bound| bound.end)),
            cell(bound.map(|_| behind)),
        );
    }
    Ok(())
}

async fn adopt(pipeline: &Pipeline, old: &str, new: &str) -> Result<()> {
    let sinks = pipeline.sinks();
    let index = find(pipeline, new)?;
    let (of, sink) = old.rsplit_once('/').unwrap_or((&pipeline.file.name, old));
    if of == pipeline.file.name && sinks.iter().any(|one| one.name == sink) {
        bail!("sink `{sink}` is in the pipeline file: its positions are its own");
    }
    let mut before = pipeline.open_sink_of(index, of, sink).await?;
    let held = before.positions().await?;
    if held.is_empty() {
        bail!("nothing is stored for sink `{sink}` of pipeline `{of}` where `{new}` keeps its positions");
    }
    // A file that is appended to belongs to the old name alone, and does not open under the new one.
    if let Ok(mut now) = pipeline.open_sink(index, "positions").await
        && !now.inner.positions().await?.is_empty()
    {
        bail!("`{new}` has positions of its own; `foretell positions forget` drops them");
    }
    before.hand_over(&pipeline.file.name, new).await?;
    println!("{new}: has the positions of `{old}`, of {} partitions", held.len());
    Ok(())
}

fn find(pipeline: &Pipeline, sink: &str) -> Result<usize> {
    let sinks = pipeline.sinks();
    match sinks.iter().position(|one| one.name == sink) {
        Some(index) => Ok(index),
        None => bail!("no sink `{sink}`; there are {}", list(sinks.iter().map(|sink| sink.name))),
    }
}

/// The sinks that are meant: this one, or all that keep positions.
fn chosen(pipeline: &Pipeline, sink: Option<&str>) -> Result<Vec<String>> {
    let sinks = pipeline.sinks();
    if let Some(sink) = sink {
        find(pipeline, sink)?;
    }
    let meant = sinks.iter().filter(|one| sink.is_none_or(|sink| sink == one.name));
    Ok(meant.filter(|one| one.settings.traits().keeps_positions).map(|sink| sink.name.to_string()).collect())
}

/// Asks at the terminal; without one, `--yes` is needed.
fn confirm(pipeline: &str, partition: Option<&Partition>, sinks: &[String]) -> Result<()> {
    let what =
        partition.map_or_else(|| "all positions".to_string(), |partition| format!("the position of {partition}"));
    let sinks = list(sinks.iter().map(String::as_str));
    let question = format!(
        "forgets {what} of pipeline `{pipeline}` in {sinks}: the next start reads from the beginning again, and rows that \
         are stored already come a second time"
    );
    if !std::io::stdin().is_terminal() {
        bail!("this {question}; `--yes` does it");
    }
    eprint!("This {question}.\nForget? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        bail!("nothing was forgotten");
    }
    Ok(())
}

async fn reset(pipeline: &Pipeline, sink: Option<&str>, reset: &Reset) -> Result<()> {
    let sinks = pipeline.sinks();
    chosen(pipeline, sink)?;
    for (index, spec) in sinks.iter().enumerate().filter(|(_, one)| sink.is_none_or(|sink| sink == one.name)) {
        let mut sink = pipeline.open_sink(index, "positions").await?;
        if !sink.traits.keeps_positions {
            continue;
        }
        sink.inner.reset(reset).await?;
        if *reset == Reset::Forget(None) {
            pipeline.forget(spec.name).await?;
        }
        match reset {
            Reset::Set { position, .. } => println!("{}: {} is at {}", spec.name, position.partition, position.next),
            Reset::Forget(Some(partition)) => println!("{}: {partition} is forgotten", spec.name),
            Reset::Forget(None) => println!("{}: all positions are forgotten", spec.name),
        }
    }
    Ok(())
}
