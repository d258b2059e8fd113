//! `foretell demo`: the whole job with nothing installed and nothing left running.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_kafka::mock::{Feed, Mock};
use tokio_util::sync::CancellationToken;

use super::run::{LEAVE_WITHIN, Patience, run_pipeline, signals};
use crate::pipeline::Pipeline;
use crate::pipeline_file::{PipelineFile, REGISTRY};

const PIPELINE: &str = include_str!("pipeline.yaml");
const MODEL: &[u8] = include_bytes!("../../../../../examples/mri/models/mri_xgb.joblib");
const ORDERS: &str = include_str!("../../../../../examples/mri/orders.csv");

/// Marks a folder as the demo's own, so that it may be written anew.
const PIPELINE_FILE: &str = "pipeline.yaml";
/// The orders that arrive, to score them once more.
const ORDERS_FILE: &str = "orders.csv";

/// Orders that no scanner room ever sent: they end in the dead letters, with their reasons.
const BAD_ORDERS: [(&str, &[u8]); 3] =
    [("9100001", b"0,197,22"), ("9100002", b"0,66,4,0,seventy,2,1"), ("9100003", b"0,72,\xff,0,22,0,1")];

/// Watch the main job with nothing installed: Kafka in this process, SQLite, local files
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell demo
  foretell demo --dir /tmp/mri --seconds 30")]
pub(crate) struct DemoArgs {
    /// Where the demo's files go
    #[arg(long, default_value = "foretell-demo")]
    dir: PathBuf,
    /// How long orders arrive
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

pub(crate) async fn run(args: DemoArgs) -> Result<()> {
    let started = Instant::now();
    let dir = args.dir;
    prepare(&dir)?;
    // It ends with the process: a client that outlives the run by a moment would complain of a broker that is gone.
    let mock = ManuallyDrop::new(Mock::start()?);
    mock.topic("Pdata", 3)?;
    mock.topic("utime", 1)?;
    let brokers = mock.brokers();

    let env = |name: &str| match name {
        "DEMO_BROKERS" => Ok(brokers.clone()),
        other => std::env::var(other),
    };
    let file = PipelineFile::parse(&dir.join(PIPELINE_FILE), PIPELINE, &[], REGISTRY, &env)?;
    let pipeline = Pipeline::prepare(file).await?;
    println!(
        "Exam orders arrive on the Kafka topic `Pdata` for {} s. Every 3 s the model says how long each patient needs\n\
         the MRI scanner, and the answers go to a database, a file, a Kafka topic and this screen.\n",
        args.seconds
    );
    let shutdown = CancellationToken::new();
    tokio::spawn(signals(shutdown.clone(), LEAVE_WITHIN, false));
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let orders = tokio::task::spawn_blocking({
        let (feed, shutdown) = (mock.feed()?, shutdown.clone());
        let pause = Duration::from_secs(args.seconds) / u32::try_from(ORDERS.lines().count())?;
        move || {
            // The first order comes when everything is open.
            let _ = begun.recv();
            send_orders(&feed, pause, &shutdown)
        }
    });
    let stop = shutdown.clone();
    let last_batch = tokio::spawn(async move {
        let sent = orders.await;
        // The batch that begins within the next 3 s takes what is left.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(5)) => stop.cancel(),
            () = stop.cancelled() => {}
        }
        sent
    });
    run_pipeline(pipeline, 1, "0", shutdown, started, Patience::default(), move || drop(begin)).await?;
    last_batch.await?.context("orders")??;
    farewell(&dir)
}

/// Writes the demo's files into a fresh folder.
fn prepare(dir: &Path) -> Result<()> {
    if dir.exists() {
        let empty = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        if !empty && !dir.join(PIPELINE_FILE).exists() {
            bail!("{}: there is something else in this folder; give another by `--dir`", dir.display());
        }
        std::fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let files = [(PIPELINE_FILE, PIPELINE.as_bytes()), ("mri_xgb.joblib", MODEL), (ORDERS_FILE, ORDERS.as_bytes())];
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Sends the example's orders, one after the other; key = patient number, value = the encoded features.
fn send_orders(feed: &Feed, pause: Duration, shutdown: &CancellationToken) -> Result<()> {
    let orders = ORDERS.lines().skip(1).filter_map(|line| line.split_once(','));
    let mut bad = BAD_ORDERS.into_iter();
    for (index, (patient, order)) in orders.enumerate() {
        if shutdown.is_cancelled() {
            break;
        }
        feed.produce("Pdata", None, [(Some(patient.as_bytes()), order.as_bytes())])?;
        if index % 60 == 30
            && let Some((patient, order)) = bad.next()
        {
            feed.produce("Pdata", None, [(Some(patient.as_bytes()), order)])?;
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// This program as it was called, so that what is printed can be typed; it may be in no search path.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "foretell".to_string(), |called| shown(Path::new(&called)))
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn farewell(dir: &Path) -> Result<()> {
    let lines = |name: &str| -> Result<usize> {
        let path = dir.join(name);
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(text.iter().filter(|byte| **byte == b'\n').count())
    };
    let orders = dir.join(ORDERS_FILE);
    let (program, dir, orders) = (program(), shown(dir), shown(&orders));
    println!(
        "\nThat was it. What is left in {dir}/:\n  \
         result.db            table `result`: PNO, PRETIME, Time (SQLite)\n  \
         utime.csv            {} lines `PNO,PRETIME`\n  \
         dead_letters.jsonl   {} orders that were not orders, each with its reason\n  \
         pipeline.yaml        what you just saw, in 20 lines; {} messages went to the topic `utime`\n\n\
         Next:\n  \
         {program} inspect {dir}/mri_xgb.joblib\n  \
         {program} predict {dir}/mri_xgb.joblib {orders}   # any CSV with the model's columns\n  \
         {program} run --help   # {dir}/pipeline.yaml with your brokers, your database, your HDFS",
        lines("utime.csv")?,
        lines("dead_letters.jsonl")?,
        lines("utime.csv")?,
    );
    Ok(())
}
