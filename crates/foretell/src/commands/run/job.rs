//! One pipeline from the moment that its file is read until it ends.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::Result;
use foretell_flow::{Snapshot, StageError, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::patience::Patience;
use super::progress::{report, total};
use super::{notify, outages};
use crate::commands::http;
use crate::pipeline::Pipeline;
use crate::pipeline_file::{OnBadRecord, TriggerMode};

/// A job over what was there that went to its end, and of which too many records were bad.
#[derive(Debug)]
pub(crate) enum TooManyBad {
    /// No result came of it.
    All {
        /// How many there were.
        records: u64,
    },
    /// More than `stop_above` allows.
    Share {
        /// How many were bad.
        bad: u64,
        /// Of how many.
        records: u64,
    },
}

impl std::fmt::Display for TooManyBad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WHERE: &str = "the dead letters (or the log) have the reasons";
        match self {
            TooManyBad::All { records: 1 } => write!(f, "the only record was bad: no result was stored; {WHERE}"),
            TooManyBad::All { records } => write!(f, "all {records} records were bad: no result was stored; {WHERE}"),
            TooManyBad::Share { bad, records } => {
                write!(f, "{bad} of {records} records were bad, which is more than `stop_above` allows; {WHERE}")
            }
        }
    }
}

impl std::error::Error for TooManyBad {}

/// Runs a prepared pipeline until it ends or `shutdown` is cancelled; `ready` is called when everything is open.
pub(crate) async fn run_pipeline(
    pipeline: Pipeline,
    workers: usize,
    id: &str,
    shutdown: CancellationToken,
    started: Instant,
    patience: Patience,
    ready: impl FnOnce(),
) -> Result<()> {
    pipeline.allow_workers(workers)?;
    let server = http::Server::start(&pipeline, &shutdown).await?;
    notify::count(&server.telemetry);
    let opened = patience.wait(&shutdown, async || open(&pipeline, workers, id).await).await;
    let open = match opened {
        Ok(Some(open)) => open,
        Ok(None) => {
            server.end().await;
            return Ok(());
        }
        Err(error) => {
            server.end().await;
            return Err(error);
        }
    };
    for (name, (sha256, model)) in &pipeline.models {
        info!(model = name, class = model.model.describe().root.class, sha256, "loaded");
    }
    let mut tables = pipeline.refresh_tables(true, &shutdown);
    let mut models = pipeline.reload_models(true, &shutdown, server.renews());
    tables.spawn(async move { while models.join_next().await.is_some() {} });
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
            return Err(TooManyBad::All { records: total.records }.into());
        }
        if let OnBadRecord::StopAbove(most) = pipeline.file.on_bad_record
            && u128::from(total.bad) * 1_000_000 > u128::from(total.records) * u128::from(most)
        {
            return Err(TooManyBad::Share { bad: total.bad, records: total.records }.into());
        }
    }
    Ok(())
}

/// Opens the workers of a pipeline, and keeps what a later start may need of it.
async fn open(pipeline: &Pipeline, workers: usize, id: &str) -> Result<Vec<Worker>> {
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
    pipeline.keep(id).await?;
    Ok(open)
}

pub(super) async fn run_workers(
    pipeline: &Pipeline,
    ready: Vec<Worker>,
    mut tables: JoinSet<()>,
    shutdown: CancellationToken,
    started: Instant,
) -> Result<Snapshot> {
    let workers = ready.len();
    let mut tasks = JoinSet::new();
    let mut stats = Vec::new();
    let mut watched = Vec::new();
    for worker in ready {
        stats.push(worker.stats.clone());
        watched.push((worker.settings.worker.clone(), worker.stats.clone()));
        tasks.spawn(worker.run(shutdown.clone()));
    }
    info!(workers, start_ms = started.elapsed().as_millis() as u64, "running");
    let every = match pipeline.file.trigger.mode {
        TriggerMode::Every(every) => Some(every),
        TriggerMode::Continuous | TriggerMode::AvailableNow => None,
    };
    let progress = tokio::spawn(report(stats.clone(), pipeline.file.progress, every));
    let outages = tokio::spawn(outages::tell(watched));

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
    outages.abort();
    pipeline.models.values().for_each(|(_, model)| model.tell());
    let watch = pipeline.watch.clone();
    let _ = tokio::task::spawn_blocking(move || watch.finish()).await;
    let total = total(&stats);
    info!(
        records = total.records,
        batches = total.batches,
        bad = total.bad,
        rejected = total.rejected,
        seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        "ended"
    );
    outcome.map(|()| total)
}
