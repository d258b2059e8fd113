//! One epoch: from an assignment to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::batches::BatchLoop;
use super::collector::Collector;
use super::compute::{SinkShape, StageFactory};
use super::dispatcher::Dispatcher;
use super::housekeeping;
use super::known_sinks::{KnownSinks, note};
use super::leftover::Leftover;
use super::operators::Operators;
use super::planner::Planner;
use super::progress::{Positions, Stats};
use super::reader::{EpochEnd, Reader};
use super::sink_task::{Item, Shared, SinkStage, SinkTask, warn_while_waiting};
use super::start::{self, KnownLog};
use super::{DRAIN, Settings};
use crate::monitor::Phase;
use crate::testing::crash_point;
use crate::{Bounds, Checkpoint, Claim, Clock, Fault, Partition, Position, Recipe, Sharing, Source, StageError};

/// What an epoch works with.
pub(super) struct Epoch<'a> {
    pub(super) source: &'a mut dyn Source,
    pub(super) factory: &'a dyn StageFactory,
    pub(super) settings: &'a Settings,
    pub(super) clock: &'a dyn Clock,
    pub(super) stats: &'a Arc<Stats>,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) partitions: &'a [Partition],
    /// How many partitions the log had when the run began.
    pub(super) at_begin: usize,
    /// Whether this worker has claimed nothing yet.
    pub(super) fresh: &'a mut bool,
}

/// What a claim comes to.
#[expect(clippy::large_enum_variant, reason = "one at a time, never kept in numbers")]
enum ClaimOutcome {
    Claimed(EpochStart),
    /// Another worker has a part of what must be in one hand: what comes next is another assignment.
    Shared,
}

/// Where everyone stands after the claim.
struct EpochStart {
    bounds: Vec<Bounds>,
    claims: Vec<Vec<Claim>>,
    /// By sink.
    next: Vec<BTreeMap<Partition, i64>>,
    leader: Option<usize>,
    /// By sink, by partition: where the plans that are stored there end.
    plans: Vec<BTreeMap<Partition, i64>>,
    leftover: Leftover,
    /// When what sinks keep in this epoch is kept.
    kept_at: i64,
}

impl Epoch<'_> {
    /// Runs the epoch; the sinks come back whatever happens (except those that a drain had to abandon).
    pub(super) async fn run(mut self, mut sinks: Vec<SinkStage>) -> (Vec<SinkStage>, Result<EpochEnd, StageError>) {
        self.stats.monitor.phase(Phase::Claiming);
        let start = match self.claim(&mut sinks).await {
            Ok(ClaimOutcome::Claimed(start)) => start,
            Ok(ClaimOutcome::Shared) => return (sinks, Ok(EpochEnd::Revoked)),
            Err(error) => return (sinks, Err(error)),
        };
        let named = sinks.iter().map(|sink| sink.name.as_str()).zip(start.next.iter().cloned());
        self.stats.monitor.claimed(named, start.leftover.len());
        let note = note(&sinks, &self.settings.state);
        let shapes: Vec<SinkShape> = sinks.iter().map(SinkShape::of).collect();
        let shared = Arc::new(Shared {
            positions: Positions::new(start.next.clone()),
            stats: self.stats.clone(),
            waiting: sinks.iter().map(|_| AtomicU64::new(0)).collect(),
            under_way: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        let housekeeping = self.source.housekeeping();
        // It ends with the epoch.
        let house = housekeeping::start(housekeeping.clone(), shared.clone(), note.clone());
        let (tasks, feed) = launch(sinks, &start, &shared);
        let dispatcher = Dispatcher::new(self.settings.limits.window, feed, shared.clone(), self.shutdown);
        let mut batches = BatchLoop {
            collector: Collector {
                reader: Reader::new(self.source, lowest(&start.next)),
                settings: self.settings,
                shutdown: self.shutdown,
                turns: dispatcher.turns.clone(),
                full: false,
                shared: shared.clone(),
            },
            planner: Planner {
                factory: self.factory,
                settings: self.settings,
                clock: self.clock,
                begun: self.clock.now(),
                at: lowest(&start.next),
                next: start.next,
                ends: start.bounds.iter().map(|bound| (bound.partition.clone(), bound.end)).collect(),
                last_time: start.leftover.last_time().unwrap_or_default(),
                leftover: start.leftover,
            },
            operators: Operators::new(self.factory, self.settings, shapes, self.stats.clone()),
            dispatcher,
            settings: self.settings,
            shutdown: self.shutdown,
            shared: shared.clone(),
        };
        let outcome = batches.run().await;
        drop(batches);
        if !matches!(outcome, Ok(EpochEnd::Finished) | Err(_)) {
            shared.stop.cancel();
        }
        let (sinks, joined) = join(tasks, &shared.stop, self.shutdown).await;
        let kept = house.end().await;
        self.stats.forget_lag();
        housekeeping::commit(&*housekeeping, &shared, &note).await;
        let outcome = kept.and(outcome);
        let ended = match (joined, outcome) {
            // The assignment is void: a sink that was cut short, or fenced by the next owner, need not be told.
            (Err(error), Ok(end @ (EpochEnd::Revoked | EpochEnd::Assigned(_))))
                if matches!(error.fault, Fault::Unavailable | Fault::Fenced) =>
            {
                Ok(end)
            }
            (joined, outcome) => joined.and(outcome),
        };
        (sinks, ended)
    }

    /// Claims every sink and finds out what is left over.
    async fn claim(&mut self, sinks: &mut [SinkStage]) -> Result<ClaimOutcome, StageError> {
        if let Some(why) = needs_one_worker(self.settings, sinks) {
            let (ours, all) = (self.partitions.len(), self.source.partitions().await?);
            // Partitions that came since the run began are given out a moment later.
            if ours < all && all <= self.at_begin && *self.fresh {
                return Err(StageError::settings(format!(
                    "{why}, but this worker has {ours} of {all} partitions: another worker runs the same pipeline"
                ))
                .remedy("run one worker: `--workers 1`, and no second process"));
            }
            if ours < all {
                warn!(
                    worker = self.settings.worker,
                    "another worker has {} of {all} partitions, and {why}: waiting until it is gone",
                    all - ours
                );
                return Ok(ClaimOutcome::Shared);
            }
        }
        let told: Vec<&mut bool> = sinks.iter_mut().filter_map(|sink| sink.inner.alone()).collect();
        if !told.is_empty() {
            let alone = self.partitions.len() >= self.source.partitions().await?;
            told.into_iter().for_each(|told| *told = alone);
        }
        let known_sinks = KnownSinks::read(&self.source.notes().await?);
        if *self.fresh && !self.settings.state.is_empty() {
            let others = tokio::select! {
                biased;
                others = self.source.elsewhere() => others?,
                () = self.shutdown.cancelled() => return Ok(ClaimOutcome::Shared),
            };
            if let Some(told) = known_sinks.states_apart(&self.settings.state, others)? {
                warn!("{told}");
            }
        }
        let mut bounds = self.source.bounds(self.partitions).await?;
        let stored = start::held(sinks, &bounds, *self.fresh).await?;
        start::refresh(&mut *self.source, &mut bounds, &stored).await?;
        start::check_all(sinks, &bounds, &stored)?;
        known_sinks.check_homes(sinks, &bounds, &stored)?;
        known_sinks.check_lost(sinks, &self.settings.pipeline, (&mut *self.source, &bounds), &stored).await?;
        let known = KnownLog {
            topics: &self.settings.known_topics,
            grows: self.source.grows(),
            partitions: self.at_begin,
            in_group: known_sinks.without_positions(),
        };
        let claims = start::claims(sinks, &bounds, &stored, &known);
        crash_point("claiming");
        // All of them end before the next try begins: what a claim that is given up goes on with (a client that waits for
        // a broker) would pile up while another sink is away.
        let claiming = join_all(sinks.iter_mut().zip(&claims).map(|(sink, claims)| claim(sink, claims)));
        let claimed = tokio::select! {
            biased;
            claimed = claiming => claimed,
            () = self.shutdown.cancelled() => return Ok(ClaimOutcome::Shared),
        };
        let mut held = claimed.into_iter().collect::<Result<Vec<_>, _>>()?;
        if *self.fresh {
            for index in start::renew(sinks, &bounds, &held).await? {
                held[index] = claim(&mut sinks[index], &claims[index]).await?;
            }
        }
        start::refresh(&mut *self.source, &mut bounds, &held).await?;
        start::check_all(sinks, &bounds, &held)?;
        let leader = sinks.iter().position(|sink| sink.traits.keeps_positions);
        let mut next: Vec<BTreeMap<Partition, i64>> = held.iter().map(|checkpoints| positions(checkpoints)).collect();
        let kept = lowest(&next);
        let first = leader.and_then(|leader| held.get(leader)).map(Vec::as_slice).unwrap_or_default();
        for (index, sink) in sinks.iter().enumerate().filter(|(_, sink)| !sink.traits.keeps_positions) {
            next[index] = without_positions(&claims[index], leader.is_some().then_some(&kept), first);
            debug!(sink = sink.name, "keeps no positions: at least once");
        }
        if self.settings.exclusive {
            in_step(sinks, &next)?;
        }
        let lowest = lowest(&next);
        let leftover = Leftover::new(&held, &lowest, &stored);
        let kept_at = Leftover::kept_at(self.clock.now(), &held);
        let seek: Vec<Position> =
            lowest.iter().map(|(partition, next)| Position { partition: partition.clone(), next: *next }).collect();
        self.source.seek(&seek).await?;
        let kept: BTreeSet<&Recipe> =
            stored.iter().chain(&held).flatten().flat_map(|held| &held.plans).map(|part| &part.recipe).collect();
        self.factory.begins(&self.settings.worker, kept.into_iter().cloned().collect());
        *self.fresh = false;
        crash_point("claimed");
        info!(worker = self.settings.worker, partitions = self.partitions.len(), leftover = leftover.len(), "claimed");
        let plans = held.iter().map(|checkpoints| plans(checkpoints)).collect();
        Ok(ClaimOutcome::Claimed(EpochStart { bounds, claims, next, leader, plans, leftover, kept_at }))
    }
}

/// Why one worker must have all partitions, where it must.
fn needs_one_worker(settings: &Settings, sinks: &[SinkStage]) -> Option<String> {
    if settings.exclusive {
        return Some("the query takes a batch as a whole".into());
    }
    let single = sinks.iter().find(|sink| sink.traits.keeps_positions && sink.traits.sharing == Sharing::Single)?;
    Some(format!("sink `{}` takes one writer", single.name))
}

/// Batches that are taken as a whole move sinks from one of them to the next: of two sinks, one has all that the other
/// has.
fn in_step(sinks: &[SinkStage], next: &[BTreeMap<Partition, i64>]) -> Result<(), StageError> {
    let ahead = |a: &BTreeMap<Partition, i64>, b: &BTreeMap<Partition, i64>| {
        a.iter().find(|(partition, next)| b.get(*partition).is_some_and(|other| other < *next)).map(|(p, _)| p.clone())
    };
    for (index, (one, a)) in sinks.iter().zip(next).enumerate() {
        for (other, b) in sinks.iter().zip(next).skip(index + 1) {
            if let (Some(here), Some(there)) = (ahead(a, b), ahead(b, a)) {
                return Err(StageError::state(format!(
                    "the query takes a batch as a whole, and no batch leads from where one sink is to where the other is: `{}` is ahead of `{}` in {here} and behind it in {there}",
                    one.name, other.name
                ))
                .remedy(
                    "`foretell positions show` tells where they are, `foretell positions set` moves one of them to where the other is",
                ));
            }
        }
    }
    Ok(())
}

async fn claim(sink: &mut SinkStage, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
    if !sink.traits.keeps_positions {
        return Ok(Vec::new());
    }
    let name = sink.name.clone();
    let claimed = warn_while_waiting(&name, "claiming", String::new, sink.inner.claim(claims)).await;
    claimed.map_err(|error| sink.named(error))
}

fn positions(checkpoints: &[Checkpoint]) -> BTreeMap<Partition, i64> {
    checkpoints.iter().map(|checkpoint| (checkpoint.partition.clone(), checkpoint.next)).collect()
}

fn plans(checkpoints: &[Checkpoint]) -> BTreeMap<Partition, i64> {
    let end = |checkpoint: &Checkpoint| {
        let end = checkpoint.plans.iter().map(|part| part.range.to).max()?;
        Some((checkpoint.partition.clone(), end))
    };
    checkpoints.iter().filter_map(end).collect()
}

fn lowest(next: &[BTreeMap<Partition, i64>]) -> BTreeMap<Partition, i64> {
    let mut lowest: BTreeMap<Partition, i64> = BTreeMap::new();
    for (partition, next) in next.iter().flatten() {
        lowest.entry(partition.clone()).and_modify(|low| *low = (*low).min(*next)).or_insert(*next);
    }
    lowest
}

/// Where a sink without positions begins: at the oldest plan that the leader keeps, since the leader keeps a plan until
/// every sink has it; else where the others are; else where the group is.
fn without_positions(
    claims: &[Claim],
    kept: Option<&BTreeMap<Partition, i64>>,
    leader: &[Checkpoint],
) -> BTreeMap<Partition, i64> {
    let begin = |claim: &Claim| {
        let held = leader.iter().filter(|checkpoint| checkpoint.partition == claim.partition);
        let oldest = held.flat_map(|checkpoint| &checkpoint.plans).map(|part| part.range.from).min();
        let kept = kept.and_then(|kept| kept.get(&claim.partition).copied());
        oldest.into_iter().chain(kept).min().unwrap_or(claim.start)
    };
    claims.iter().map(|claim| (claim.partition.clone(), begin(claim))).collect()
}

/// A sink at work, and its name.
type Task = (String, JoinHandle<(SinkStage, Result<(), StageError>)>);

/// Starts a task for each sink. The leader is fed, and feeds the others; where nobody leads, all are fed.
fn launch(sinks: Vec<SinkStage>, start: &EpochStart, shared: &Arc<Shared>) -> (Vec<Task>, Vec<UnboundedSender<Item>>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = sinks.iter().map(|_| unbounded_channel()).unzip();
    let mut feed = Vec::new();
    let mut followers = Vec::new();
    for (index, sender) in senders.into_iter().enumerate() {
        match start.leader {
            Some(leader) if leader != index => followers.push(sender),
            _ => feed.push(sender),
        }
    }
    let mut tasks = Vec::with_capacity(sinks.len());
    let others = sinks.len() > 1;
    for ((index, sink), receiver) in sinks.into_iter().enumerate().zip(receivers) {
        let leads = start.leader == Some(index);
        let name = sink.name.clone();
        let task = SinkTask {
            sink,
            index,
            leads,
            plans: start.plans[index].clone(),
            kept_at: start.kept_at,
            others,
            counts: start.leader.unwrap_or(0) == index,
            claims: start.claims[index].clone(),
            shared: shared.clone(),
            followers: if leads { std::mem::take(&mut followers) } else { Vec::new() },
            aside: 0,
        };
        tasks.push((name, tokio::spawn(task.run(receiver))));
    }
    (tasks, feed)
}

/// Waits for the sinks. While the worker is told to stop, no longer than a drain may take.
async fn join(
    tasks: Vec<Task>,
    stop: &CancellationToken,
    shutdown: &CancellationToken,
) -> (Vec<SinkStage>, Result<(), StageError>) {
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
        warn!("not everything could be stored in time; what is left is replayed at the next start");
        stop.cancel();
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let (names, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
    let all = join_all(tasks);
    tokio::pin!(all);
    let joined = tokio::select! {
        biased;
        joined = &mut all => joined,
        () = overdue => {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
            all.await
        }
    };
    let mut sinks = Vec::new();
    let mut worst: Option<StageError> = None;
    for (name, task) in names.into_iter().zip(joined) {
        let outcome = match task {
            Ok((sink, outcome)) => {
                sinks.push(sink);
                outcome
            }
            Err(error) if error.is_panic() => Err(StageError::panicked(&format!("sink `{name}`"))),
            Err(_) => Ok(()),
        };
        if let Err(error) = outcome
            && worst.as_ref().is_none_or(|worst| severity(&error) > severity(worst))
        {
            worst = Some(error);
        }
    }
    (sinks, worst.map_or(Ok(()), Err))
}

fn severity(error: &StageError) -> u8 {
    match error.fault {
        Fault::Unavailable => 0,
        Fault::Fenced => 1,
        Fault::Data => 2,
        Fault::State => 3,
        Fault::Settings => 4,
        Fault::Defect => 5,
    }
}
