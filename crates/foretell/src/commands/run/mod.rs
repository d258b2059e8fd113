//! `foretell run`: pipelines until they are told to stop.

mod again;
mod job;
mod notify;
mod outages;
mod patience;
mod progress;
mod several;
mod signals;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use foretell_connect::human::HumanDuration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::pipeline::{PipelineArgs, SetArgs};
use crate::log;
use crate::pipeline::{Begin, Pipeline};
use crate::pipeline_file::PipelineFile;
use again::Restarts;
pub(crate) use job::{TooManyBad, run_pipeline};
pub(crate) use patience::Patience;
pub(crate) use signals::{signal, signals};

/// A drain that takes longer is ended: what is not stored by then is replayed at the next start.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_millis(9_500);

/// In a dry run nothing needs to be stored; the table that is being printed may end.
const LEAVE_DRY_RUN_WITHIN: Duration = Duration::from_millis(500);

/// Run pipelines: read, predict, and land every result exactly once
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell run pipeline.yaml
  foretell run pipeline.yaml --workers 4
  foretell run pipeline.yaml --worker-id host-b     # a second machine on the same pipeline
  foretell run pipelines/                           # every pipeline file of a folder, in one process
  foretell run pipeline.yaml --wait 5m              # until the broker and the database are up
  foretell run pipeline.yaml --set trigger.every=1s --set sinks.db.sql.table=trial
  foretell run pipeline.yaml --console              # what would land in each sink, and nothing moves
  foretell run pipeline.yaml --console --from latest

With `trigger: available_now` it ends when all that was there is stored; exit code 3 says that every record was bad, or
more of them than `on_bad_record: { stop_above: … }` allows.

SIGINT or SIGTERM: finish what is under way, commit, leave within 10 seconds. A second one: leave at once; nothing is
lost, the next start goes on from what the sinks have stored.
SIGHUP, without a terminal: read the pipeline file, its secrets, certificates and models again, and go on with them; a
file that does not check is refused, and the pipeline goes on as it was.

Of several pipelines, all are checked before any starts. One that fails later ends alone; the exit code is 1.")]
pub(crate) struct RunArgs {
    /// The pipeline files, or folders of them (`*.yaml`, `*.yml`, without `*.tests.yaml`)
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    #[command(flatten)]
    set: SetArgs,
    /// Workers in this process, each with its own share of the source and its own sinks; by default 1, for files as many
    /// as there are cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// This process's stable name among those of one pipeline; after a crash, start again under the same one
    #[arg(long, default_value = "0")]
    worker_id: String,
    /// How long to wait at the start for services that are away, e.g. `5m`; by default not at all
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
    /// A dry run: print what each sink would get. No sink is opened, no group joined, no position moved, nothing stored
    #[arg(long, conflicts_with_all = ["workers", "worker_id", "wait"])]
    console: bool,
    /// Where a dry run begins
    #[arg(long, value_enum, default_value_t = Begin::Start, requires = "console", value_name = "WHERE")]
    from: Begin,
    /// How many rows of each batch a dry run prints
    #[arg(long, default_value_t = 20, requires = "console", value_name = "N")]
    rows: usize,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<HumanDuration, _> = serde_json::from_value(text.into());
    parsed.map(|duration| duration.0).map_err(|_| "a time such as `30s` or `5m`".to_string())
}

/// One pipeline file, and how it is run.
#[derive(Debug, Clone)]
struct Job {
    path: PathBuf,
    set: SetArgs,
    workers: Option<usize>,
    id: String,
    patience: Patience,
}

impl Job {
    /// Reads the file and all that it names.
    async fn prepare(&self) -> Result<Pipeline> {
        let pipeline = Pipeline::prepare(PipelineFile::load(&self.path, &self.set.set)?).await?;
        pipeline.models.values().for_each(|(_, model)| model.notes());
        Ok(pipeline)
    }

    /// Runs the pipeline, again and again where a hangup gives it another file, or a file was replaced while it started.
    async fn run(
        &self,
        mut pipeline: Pipeline,
        shutdown: CancellationToken,
        mut hangups: watch::Receiver<u64>,
    ) -> Result<()> {
        let mut restarts = Restarts::default();
        loop {
            let started = Instant::now();
            let stop = shutdown.child_token();
            let workers = self.workers.unwrap_or_else(|| pipeline.usual_workers());
            let running = run_pipeline(pipeline, workers, &self.id, stop.clone(), started, self.patience, || ());
            let (ended, next) = tokio::join!(
                async {
                    let ended = running.await;
                    stop.cancel();
                    ended
                },
                self.reload(&stop, &mut hangups),
            );
            let next = match restarts.after(ended)? {
                true if next.is_none() => self.patience.wait(&shutdown, async || self.prepare().await).await?,
                _ => next,
            };
            match next {
                Some(next) if !shutdown.is_cancelled() => pipeline = next,
                _ => return Ok(()),
            }
        }
    }

    /// At a hangup, another pipeline from the file, for which the running one is to stop; nothing where that ends first.
    async fn reload(&self, stop: &CancellationToken, hangups: &mut watch::Receiver<u64>) -> Option<Pipeline> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                changed = hangups.changed() => if changed.is_err() {
                    stop.cancelled().await;
                    return None;
                },
            }
            match self.prepare().await {
                Ok(next) => {
                    info!("the pipeline file was read again: going on with it from what the sinks have stored");
                    stop.cancel();
                    return Some(next);
                }
                Err(error) => {
                    error!("the pipeline file was read again and is refused: {}", crate::one_line(&error));
                    info!("the pipeline goes on as it was");
                }
            }
        }
    }
}

pub(crate) async fn run(args: RunArgs) -> Result<()> {
    crate::memory::give_back();
    let started = Instant::now();
    let paths = several::files(&args.pipelines)?;
    let shutdown = CancellationToken::new();
    let job = |path: &PathBuf| Job {
        path: path.clone(),
        set: args.set.clone(),
        workers: args.workers.map(usize::from),
        id: args.worker_id.clone(),
        patience: Patience(args.wait.unwrap_or_default()),
    };
    let jobs: Vec<Job> = paths.iter().map(job).collect();
    let (count, hangups) = watch::channel(0);
    if !args.console {
        tokio::spawn(notify::tell(jobs.len(), shutdown.clone()));
    }
    if let [job] = jobs.as_slice() {
        if args.console {
            let pipeline = job.prepare().await?;
            log::name(&pipeline.file.name);
            return dry_run(&pipeline, args.from, args.rows, shutdown, started).await;
        }
        listen(&shutdown, count);
        let Some(pipeline) = job.patience.wait(&shutdown, async || job.prepare().await).await? else { return Ok(()) };
        log::name(&pipeline.file.name);
        return job.run(pipeline, shutdown, hangups).await;
    }
    if args.console {
        bail!("`--console` shows one pipeline, and {} are named", jobs.len());
    }
    listen(&shutdown, count);
    several::run(jobs, shutdown, hangups).await
}

/// How dead letters are read once more.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A dry run: print what would come of them. No position is moved, nothing stored
    #[arg(long)]
    console: bool,
    /// How many rows of each batch a dry run prints
    #[arg(long, default_value_t = 20, requires = "console", value_name = "N")]
    rows: usize,
}

/// Runs the pipeline that reads the dead letters of another one, until all that were there are read.
pub(crate) async fn replay(args: &PipelineArgs, how: ReplayArgs) -> Result<()> {
    let started = Instant::now();
    let shutdown = CancellationToken::new();
    let mut pipeline = Pipeline::prepare(args.load_replay()?).await?;
    log::name(&pipeline.file.name);
    if how.console {
        return dry_run(&pipeline, Begin::Positions, how.rows, shutdown, started).await;
    }
    tokio::spawn(signals(shutdown.clone(), LEAVE_WITHIN, false));
    let mut restarts = Restarts::default();
    while restarts.after(run_pipeline(pipeline, 1, "0", shutdown.clone(), started, Patience::default(), || ()).await)? {
        pipeline = Pipeline::prepare(args.load_replay()?).await?;
    }
    Ok(())
}

/// Prints what each sink would get.
async fn dry_run(
    pipeline: &Pipeline,
    from: Begin,
    rows: usize,
    shutdown: CancellationToken,
    started: Instant,
) -> Result<()> {
    let worker = pipeline.observer(from, rows).await?;
    tokio::spawn(signals(shutdown.clone(), LEAVE_DRY_RUN_WITHIN, false));
    let tables = pipeline.refresh_tables(false, &shutdown);
    job::run_workers(pipeline, vec![worker], tables, shutdown, started).await.map(drop)
}

/// Hears signals from now on.
fn listen(shutdown: &CancellationToken, count: watch::Sender<u64>) {
    let reloads = signals::reloads_on_hangup();
    tokio::spawn(signals(shutdown.clone(), LEAVE_WITHIN, reloads));
    if reloads {
        tokio::spawn(signals::hangups(count));
    }
}
