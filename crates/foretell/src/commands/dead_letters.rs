//! `foretell dead-letters`: what was set aside, by reason; and its records once more, after what was wrong is mended.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use foretell_flow::{Demand, Event, Header, Position, Records};

use super::pipeline::PipelineArgs;
use super::run::{ReplayArgs, replay};
use crate::pipeline::Pipeline;
use crate::terminal::println;

/// Show the records that were set aside, or read them once more
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell dead-letters list pipeline.yaml
  foretell dead-letters replay pipeline.yaml             # after the query or the model was mended
  foretell dead-letters replay pipeline.yaml --console   # what would come of them; nothing moves

Both read the Kafka topic that `dead_letters` names, the files of JSON Lines in its folder, or its table. A replay is a pipeline of its own, called NAME.dead_letters, with the \
query, the models and the sinks of the file: each letter is stored exactly once, whether or not the pipeline itself is \
running, and a letter that is bad again goes to the end of the topic, into a file of its own, or into the table as one of `TOPIC (dead \
letters)`, for the next replay. It ends when all that was there \
is read. Its place in the source before stays in the headers (`__connect.errors.topic`, `partition`, `offset`).")]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How many there are by reason, and where the latest of each was read
    #[command(after_help = "Example:\n  foretell dead-letters list pipeline.yaml")]
    List {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Read them once more, and store what comes of them
    #[command(
        after_help = "Examples:\n  foretell dead-letters replay pipeline.yaml --console --rows 5\n  foretell dead-letters replay pipeline.yaml"
    )]
    Replay {
        #[command(flatten)]
        pipeline: PipelineArgs,
        #[command(flatten)]
        how: ReplayArgs,
    },
}

/// Runs the command.
pub(crate) async fn run(args: DeadLettersArgs) -> Result<()> {
    match args.command {
        Command::List { pipeline } => list(&Pipeline::prepare(pipeline.load_replay()?).await?).await,
        Command::Replay { pipeline, how } => replay(&pipeline, how).await,
    }
}

/// Letters of one reason.
#[derive(Debug, Default)]
struct Kind {
    letters: u64,
    /// Where the latest one was read.
    place: String,
}

/// A topic that gives nothing for so long has no more.
const QUIET: Duration = Duration::from_secs(5);

async fn list(pipeline: &Pipeline) -> Result<()> {
    let mut source = pipeline.watch_source("dead-letters").await?;
    let mut kinds: BTreeMap<(String, String), Kind> = BTreeMap::new();
    let mut total = 0;
    let mut ends: BTreeMap<_, i64> = BTreeMap::new();
    loop {
        let demand = Demand { rows: 10_000, bytes: 32 << 20, wait: QUIET };
        match source.next(demand).await? {
            Event::Assigned(partitions) => {
                let bounds = source.bounds(&partitions).await?;
                let begin = bounds.iter().map(|one| Position { partition: one.partition.clone(), next: one.first });
                source.seek(&begin.collect::<Vec<_>>()).await?;
                ends =
                    bounds.into_iter().filter(|one| one.first < one.end).map(|one| (one.partition, one.end)).collect();
            }
            Event::Records(chunk) => {
                for row in 0..chunk.records.len() {
                    add(&mut kinds, &chunk.records, row);
                    total += 1;
                }
                for reached in &chunk.reached {
                    if ends.get(&reached.partition).is_some_and(|end| reached.next >= *end) {
                        ends.remove(&reached.partition);
                    }
                }
            }
            Event::Idle | Event::Ended | Event::Revoked => break,
        }
        if ends.is_empty() {
            break;
        }
    }
    println!("{total} dead letters");
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.letters));
    for ((stage, reason), kind) in kinds {
        println!("{:>8}  {stage}: {reason}; the latest {}", kind.letters, kind.place);
    }
    Ok(())
}

fn add(kinds: &mut BTreeMap<(String, String), Kind>, records: &Records, row: usize) {
    let headers = records.headers_of(row);
    let text = |name: &str| header(headers, name).unwrap_or_else(|| "unknown".to_string());
    let kind = kinds.entry((text("stage"), text("exception.message"))).or_default();
    kind.letters += 1;
    kind.place = format!("{}[{}] offset {}", text("topic"), text("partition"), text("offset"));
}

/// What a header of a dead letter says; the last of its name is ours.
fn header(headers: &[Header], name: &str) -> Option<String> {
    let name = format!("__connect.errors.{name}");
    let found = headers.iter().rfind(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value.as_deref()?).into_owned())
}
