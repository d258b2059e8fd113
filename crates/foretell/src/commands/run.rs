//! `foretell run`: the pipeline until it is told to stop.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use foretell_flow::{Snapshot, StageError, Stats, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::http;
use crate::pipeline::{Begin, Pipeline};
use crate::pipeline_file::{PipelineFile, TriggerMode};

/// A drain that takes longer is ended: what is not stored by then is replayed at the next start.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_millis(9_500);

/// In a dry run nothing needs to be stored; the table that is being printed may end.
const LEAVE_DRY_RUN_WITHIN: Duration = Duration::from_millis(500);

/// A job over what was there, of which no record was good: it went to its end, but no result came of it.
#[derive(Debug)]
pub(crate) struct AllBad {
    records: u64,
}

impl std::fmt::Display for AllBad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let records = match self.records {
            1 => "the only record was".to_string(),
            records => format!("all {records} records were"),
        };
        write!(f, "{records} bad: no result was stored; the dead letters (or the log) have the reasons")
    }
}

impl std::error::Error for AllBad {}

/// Run a pipeline: read, predict, and land every result exactly once
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell run pipeline.yaml
  foretell run pipeline.yaml --workers 4
  foretell run pipeline.yaml --worker-id host-b     # a second machine on the same pipeline
  foretell run pipeline.yaml --console              # what would land in each sink, and nothing moves
  foretell run pipeline.yaml --console --from latest

With `trigger: available_now` it ends when all that was there is stored; exit code 3 says that every record was bad.
SIGINT or SIGTERM: finish what is under way, commit, leave within 10 seconds. A second one: leave at once; nothing is
lost, the next start goes on from what the sinks have stored.")]
pub(crate) struct RunArgs {
    /// The pipeline file
    pipeline: PathBuf,
    /// Workers in this process, each with its own share of the source and its own sinks; by default 1, for files as many
    /// as there are cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// This process's stable name among those of one pipeline; after a crash, start again under the same one
    #[arg(long, default_value = "0")]
    worker_id: String,
    /// A dry run: print what each sink would get. No sink is opened, no group joined, no position moved, nothing stored
    #[arg(long, conflicts_with_all = ["workers", "worker_id"])]
    console: bool,
    /// Where a dry run begins
    #[arg(long, value_enum, default_value_t = Begin::Start, requires = "console", value_name = "WHERE")]
    from: Begin,
    /// How many rows of each batch a dry run prints
    #[arg(long, default_value_t = 20, requires = "console", value_name = "N")]
    rows: usize,
}

pub(crate) async fn run(args: RunArgs) -> Result<()> {
    let started = Instant::now();
    let pipeline = Pipeline::prepare(PipelineFile::load(&args.pipeline)?).await?;
    pipeline.models.values().for_each(|(_, model)| model.notes());
    let shutdown = CancellationToken::new();
    if args.console {
        let worker = pipeline.observer(args.from, args.rows).await?;
        tokio::spawn(signals(shutdown.clone(), LEAVE_DRY_RUN_WITHIN));
        let tables = pipeline.refresh_tables(false, &shutdown);
        return run_workers(&pipeline, vec![worker], tables, shutdown, started).await.map(drop);
    }
    tokio::spawn(signals(shutdown.clone(), LEAVE_WITHIN));
    let workers = args.workers.map_or_else(|| pipeline.usual_workers(), usize::from);
    run_pipeline(pipeline, workers, &args.worker_id, shutdown, started, || ()).await
}

/// Runs a prepared pipeline until it ends or `shutdown` is cancelled; `ready` is called when everything is open.
pub(crate) async fn run_pipeline(
    pipeline: Pipeline,
    workers: usize,
    id: &str,
    shutdown: CancellationToken,
    started: Instant,
    ready: impl FnOnce(),
) -> Result<()> {
    pipeline.allow_workers(workers)?;
    let server = http::Server::start(&pipeline, &shutdown).await?;
    let mut known = HashSet::new();
    let mut open = Vec::new();
    for index in 0..workers {
        let name = if workers == 1 { id.to_string() } else { format!("{id}-{index}") };
        let worker = pipeline.worker(&name, (index, workers), &known).await?;
        known.extend(worker.settings.known_topics.iter().cloned());
        open.push(worker);
    }
    // The first worker saw what was stored before any of them ran.
    let known = open.first().map(|worker| worker.settings.known_topics.clone()).unwrap_or_default();
    open.iter_mut().for_each(|worker| worker.settings.known_topics.clone_from(&known));
    pipeline.keep().await?;
    let tables = pipeline.refresh_tables(true, &shutdown);
    ready();
    let seen = pipeline.file.source.settings.seen_before().await;
    open.iter().for_each(|worker| server.telemetry.watch(&worker.settings.worker, worker.stats.clone()));
    let total = run_workers(&pipeline, open, tables, shutdown.clone(), started).await;
    server.end().await;
    let total = total?;
    // A run that was told to stop may have left something.
    if pipeline.file.trigger.mode == TriggerMode::AvailableNow && !shutdown.is_cancelled() {
        pipeline.complete().await?;
        if total.records == 0 && seen > 0 {
            let files = if seen == 1 { "1 file was".to_string() } else { format!("{seen} files were") };
            info!("nothing new: {files} read before; `foretell positions show` tells what each sink has");
        }
        if total.records > 0 && total.bad >= total.records {
            return Err(AllBad { records: total.records }.into());
        }
    }
    Ok(())
}

async fn run_workers(
    pipeline: &Pipeline,
    ready: Vec<Worker>,
    mut tables: JoinSet<()>,
    shutdown: CancellationToken,
    started: Instant,
) -> Result<Snapshot> {
    let workers = ready.len();
    let mut tasks = JoinSet::new();
    let mut stats = Vec::new();
    for worker in ready {
        stats.push(worker.stats.clone());
        tasks.spawn(worker.run(shutdown.clone()));
    }
    info!(pipeline = pipeline.file.name, workers, start_ms = started.elapsed().as_millis() as u64, "running");
    let every = match pipeline.file.trigger.mode {
        TriggerMode::Every(every) => Some(every),
        TriggerMode::Continuous | TriggerMode::AvailableNow => None,
    };
    let progress = tokio::spawn(report(stats.clone(), pipeline.file.progress, every));

    let mut outcome = Ok(());
    loop {
        let ended = tokio::select! {
            joined = tasks.join_next() => match joined {
                None => break,
                Some(Ok(ended)) => ended.map_err(anyhow::Error::from),
                Some(Err(_)) => Err(StageError::panicked("a worker").into()),
            },
            Some(joined) = tables.join_next() => joined.map_err(|_| StageError::panicked("reading a table again").into()),
        };
        if let Err(error) = ended {
            // One worker that needs a person stops all of them.
            shutdown.cancel();
            if outcome.is_ok() {
                outcome = Err(error);
            }
        }
    }
    progress.abort();
    pipeline.models.values().for_each(|(_, model)| model.tell());
    let total = total(&stats);
    info!(
        records = total.records,
        batches = total.batches,
        bad = total.bad,
        rejected = total.rejected,
        seconds = format!("{:.1}", started.elapsed().as_secs_f64()),
        "ended"
    );
    outcome.map(|()| total)
}

/// The first signal drains, for at most `leave_within`; the second leaves at once.
pub(crate) async fn signals(shutdown: CancellationToken, leave_within: Duration) {
    let _ = signal().await;
    info!("stopping: finishing what is under way");
    shutdown.cancel();
    tokio::select! {
        _ = signal() => warn!("leaving at once; nothing is lost, the next start goes on from what the sinks hold"),
        () = tokio::time::sleep(leave_within) => {
            warn!("a service takes too long; leaving: nothing is lost, the next start goes on from what the sinks hold");
        }
    }
    std::process::exit(0);
}

/// Resolves with the number of the signal that tells the program to stop. A terminal that goes away says so by a hangup.
pub(crate) async fn signal() -> i32 {
    tokio::select! {
        () = one(libc::SIGTERM) => libc::SIGTERM,
        () = one(libc::SIGINT) => libc::SIGINT,
        () = one(libc::SIGHUP), if !is_ignored(libc::SIGHUP) => libc::SIGHUP,
    }
}

async fn one(number: libc::c_int) {
    match tokio::signal::unix::signal(number.into()) {
        Ok(mut signals) => _ = signals.recv().await,
        Err(_) => std::future::pending().await,
    }
}

/// Whether the program was started with this signal ignored, as by `nohup`.
#[expect(unsafe_code, reason = "the system is asked through C")]
fn is_ignored(number: libc::c_int) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only, into a place of the right size; zeros are a valid value of it.
    unsafe {
        libc::sigaction(number, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// A progress line each interval. `trigger`: how often batches are to begin.
async fn report(stats: Vec<Arc<Stats>>, interval: Duration, trigger: Option<Duration>) {
    let mut last = Snapshot::default();
    let mut at = Instant::now();
    loop {
        tokio::time::sleep(interval).await;
        let now = total(&stats);
        let seconds = at.elapsed().as_secs_f64();
        at = Instant::now();
        let batches = now.batches - last.batches;
        let late = now.late - last.late;
        let longest = stats.iter().map(|stats| stats.longest()).max().unwrap_or_default();
        let batch_ms = (now.busy_micros - last.busy_micros).checked_div(batches.max(1)).unwrap_or_default() / 1000;
        info!(
            rows_per_s = ((now.records - last.records) as f64 / seconds).round() as u64,
            records = now.records,
            lag = %now.lag.map_or_else(|| "unknown".to_string(), |lag| lag.to_string()),
            batches,
            batch_ms,
            bad = now.bad,
            rejected = now.rejected,
            late,
            "progress{}",
            overlong(longest, late, trigger).unwrap_or_default()
        );
        last = now;
    }
}

/// What is said of batches that take longer than the trigger's interval: the longest, and how many batches began late.
fn overlong(longest: Duration, late: u64, trigger: Option<Duration>) -> Option<String> {
    let every = trigger.filter(|every| longest > *every)?;
    let seconds = |duration: Duration| (duration.as_secs_f64() * 10.0).round() / 10.0;
    let late = if late > 0 { format!(" ({late} late)") } else { String::new() };
    Some(format!(": batch {:.1} s, longer than every {} s{late}", longest.as_secs_f64(), seconds(every)))
}

fn total(stats: &[Arc<Stats>]) -> Snapshot {
    stats.iter().map(|stats| stats.snapshot()).fold(Snapshot { lag: Some(0), ..Snapshot::default() }, |a, b| Snapshot {
        records: a.records + b.records,
        bad: a.bad + b.bad,
        rejected: a.rejected + b.rejected,
        batches: a.batches + b.batches,
        late: a.late + b.late,
        busy_micros: a.busy_micros + b.busy_micros,
        lag: a.lag.zip(b.lag).map(|(a, b)| a + b),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_longer_than_the_interval_is_told() {
        let (long, every) = (Duration::from_millis(4240), Some(Duration::from_secs(3)));
        let told = |late| overlong(long, late, every).unwrap();
        assert_eq!(told(2), ": batch 4.2 s, longer than every 3 s (2 late)");
        assert_eq!(told(0), ": batch 4.2 s, longer than every 3 s");
        let half = Some(Duration::from_millis(500));
        assert_eq!(overlong(long, 1, half).unwrap(), ": batch 4.2 s, longer than every 0.5 s (1 late)");
        assert_eq!(overlong(Duration::from_secs(2), 0, every), None, "within the interval");
        assert_eq!(overlong(long, 9, None), None, "no interval, nothing to say");
    }
}
