//! One epoch: from an assignment to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::batches::Batches;
use super::compute::{Kitchen, LaneShape};
use super::lane::{Item, Lane, Runner, Shared};
use super::progress::{Positions, Stats};
use super::reader::{End, Reader};
use super::sliced::SLICES;
use super::{DRAIN, Settings, start};
use crate::{Bounds, Claim, Fault, Holding, Partition, Plan, Position, Source, StageError};

/// What an epoch works with.
pub(super) struct Epoch<'a> {
    pub(super) source: &'a mut dyn Source,
    pub(super) kitchen: &'a dyn Kitchen,
    pub(super) settings: &'a Settings,
    pub(super) stats: &'a Arc<Stats>,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) partitions: &'a [Partition],
    /// Whether this worker has claimed nothing yet.
    pub(super) fresh: &'a mut bool,
}

/// Where everyone stands after the claim.
struct Standing {
    bounds: Vec<Bounds>,
    claims: Vec<Vec<Claim>>,
    /// By lane.
    next: Vec<HashMap<Partition, i64>>,
    leader: Option<usize>,
    leftover: Vec<Plan>,
}

impl Epoch<'_> {
    /// Runs the epoch; the lanes come back whatever happens (but for those that a drain had to abandon).
    pub(super) async fn run(mut self, mut lanes: Vec<Lane>) -> (Vec<Lane>, Result<End, StageError>) {
        let standing = match self.claim(&mut lanes).await {
            Ok(standing) => standing,
            Err(error) => return (lanes, Err(error)),
        };
        let shapes: Vec<LaneShape> = lanes.iter().map(LaneShape::of).collect();
        let dead_letters = shapes.iter().any(LaneShape::takes_dead_letters);
        let shared = Arc::new(Shared {
            positions: Positions::new(standing.next.clone()),
            stats: self.stats.clone(),
            stop: CancellationToken::new(),
        });
        let (tasks, feed) = launch(lanes, &standing, &shared);
        let mut batches = Batches {
            reader: Reader::new(self.source),
            kitchen: self.kitchen,
            settings: self.settings,
            shutdown: self.shutdown,
            at: lowest(&standing.next),
            next: standing.next,
            ends: standing.bounds.iter().map(|bound| (bound.partition.clone(), bound.end)).collect(),
            window: Arc::new(Semaphore::new(self.settings.limits.window)),
            turns: Arc::new(Semaphore::new(2)),
            room: Arc::new(Semaphore::new(SLICES)),
            cooks: HashMap::new(),
            shapes,
            dead_letters,
            shared: shared.clone(),
            feed,
            last_time: 0,
            housekeeping: Instant::now(),
        };
        let outcome = batches.run(standing.leftover).await;
        let lowest = |shared: &Shared| shared.positions.lowest(None);
        let Batches { mut reader, feed, .. } = batches;
        drop(feed);
        if !matches!(outcome, Ok(End::Finished) | Err(_)) {
            shared.stop.cancel();
        }
        let (lanes, joined) = join(tasks, &shared.stop, self.shutdown).await;
        let committed = lowest(&shared);
        if let Err(error) = reader.source().commit(&committed).await {
            debug!("the group's offset is not committed, which only lag tools notice: {error}");
        }
        let ended = match (joined, outcome) {
            // The assignment is void: a sink that was cut short, or fenced by the next owner, is no news.
            (Err(error), Ok(end @ (End::Revoked | End::Assigned(_))))
                if matches!(error.fault, Fault::Unavailable | Fault::Fenced) =>
            {
                Ok(end)
            }
            (joined, outcome) => joined.and(outcome),
        };
        (lanes, ended)
    }

    /// Claims every sink and finds out what is left over.
    async fn claim(&mut self, lanes: &mut [Lane]) -> Result<Standing, StageError> {
        if self.settings.exclusive {
            let (ours, all) = (self.partitions.len(), self.source.partitions().await?);
            if ours < all {
                return Err(StageError::settings(format!(
                    "the query takes a batch as a whole, but this worker has {ours} of {all} partitions: another worker \
                     runs the same pipeline"
                ))
                .remedy("run one worker: `--workers 1`, and no second process"));
            }
        }
        let bounds = self.source.bounds(self.partitions).await?;
        let claims = start::claims(lanes, &bounds, &self.settings.known_topics, *self.fresh).await?;
        let mut held = try_join_all(lanes.iter_mut().zip(&claims).map(|(lane, claims)| claim(lane, claims))).await?;
        if *self.fresh {
            for index in start::renew(lanes, &bounds, &held).await? {
                held[index] = claim(&mut lanes[index], &claims[index]).await?;
            }
        }
        for (lane, holdings) in lanes.iter().zip(&held) {
            for (holding, bound) in holdings.iter().filter_map(|h| Some((h, find(&bounds, &h.partition)?))) {
                start::check(&lane.name, holding, bound)?;
            }
        }
        let leader = lanes.iter().position(|lane| lane.traits.keeps_positions);
        let pieces: Vec<_> =
            leader.map(|leader| held[leader].iter().flat_map(|h| h.plans.clone()).collect()).unwrap_or_default();
        let mut next: Vec<HashMap<Partition, i64>> = held.iter().map(|holdings| positions(holdings)).collect();
        let kept = lowest(&next);
        for (index, lane) in lanes.iter().enumerate().filter(|(_, lane)| !lane.traits.keeps_positions) {
            next[index] = without_positions(&claims[index], leader.is_some().then_some(&kept), &pieces);
            debug!(sink = lane.name, "keeps no positions: at least once");
        }
        let lowest = lowest(&next);
        let leads = leader.map(|leader| next[leader].clone()).unwrap_or_default();
        let leftover = start::leftover(pieces, &lowest, &leads);
        let seek: Vec<Position> =
            lowest.iter().map(|(partition, next)| Position { partition: partition.clone(), next: *next }).collect();
        self.source.seek(&seek).await?;
        *self.fresh = false;
        info!(worker = self.settings.worker, partitions = self.partitions.len(), leftover = leftover.len(), "claimed");
        Ok(Standing { bounds, claims, next, leader, leftover })
    }
}

async fn claim(lane: &mut Lane, claims: &[Claim]) -> Result<Vec<Holding>, StageError> {
    if !lane.traits.keeps_positions {
        return Ok(Vec::new());
    }
    lane.sink.claim(claims).await.map_err(|error| lane.named(error))
}

fn find<'b>(bounds: &'b [Bounds], partition: &Partition) -> Option<&'b Bounds> {
    bounds.iter().find(|bound| bound.partition == *partition)
}

fn positions(holdings: &[Holding]) -> HashMap<Partition, i64> {
    holdings.iter().map(|holding| (holding.partition.clone(), holding.next)).collect()
}

fn lowest(next: &[HashMap<Partition, i64>]) -> HashMap<Partition, i64> {
    let mut lowest: HashMap<Partition, i64> = HashMap::new();
    for (partition, next) in next.iter().flatten() {
        lowest.entry(partition.clone()).and_modify(|low| *low = (*low).min(*next)).or_insert(*next);
    }
    lowest
}

/// Where a sink without positions begins: at the oldest plan that the leader keeps, since the leader keeps a plan until
/// every sink has it; else where the others are; else where the group is.
fn without_positions(
    claims: &[Claim],
    kept: Option<&HashMap<Partition, i64>>,
    pieces: &[crate::Piece],
) -> HashMap<Partition, i64> {
    let begin = |claim: &Claim| {
        let oldest = pieces.iter().filter(|p| p.range.partition == claim.partition).map(|p| p.range.from).min();
        let kept = kept.and_then(|kept| kept.get(&claim.partition).copied());
        oldest.into_iter().chain(kept).min().unwrap_or(claim.start)
    };
    claims.iter().map(|claim| (claim.partition.clone(), begin(claim))).collect()
}

type Task = JoinHandle<(Lane, Result<(), StageError>)>;

/// Starts a task for each lane. The leader is fed, and feeds the others; where nobody leads, all are fed.
fn launch(lanes: Vec<Lane>, standing: &Standing, shared: &Arc<Shared>) -> (Vec<Task>, Vec<UnboundedSender<Item>>) {
    let (senders, receivers): (Vec<_>, Vec<_>) = lanes.iter().map(|_| unbounded_channel()).unzip();
    let mut feed = Vec::new();
    let mut followers = Vec::new();
    for (index, sender) in senders.into_iter().enumerate() {
        match standing.leader {
            Some(leader) if leader != index => followers.push(sender),
            _ => feed.push(sender),
        }
    }
    let mut tasks = Vec::with_capacity(lanes.len());
    for ((index, lane), receiver) in lanes.into_iter().enumerate().zip(receivers) {
        let leads = standing.leader == Some(index);
        let runner = Runner {
            lane,
            index,
            leads,
            counts: standing.leader.unwrap_or(0) == index,
            claims: standing.claims[index].clone(),
            shared: shared.clone(),
            followers: if leads { std::mem::take(&mut followers) } else { Vec::new() },
            aside: 0,
        };
        tasks.push(tokio::spawn(runner.run(receiver)));
    }
    (tasks, feed)
}

/// Waits for the lanes. While the worker is told to stop, no longer than a drain may take.
async fn join(
    tasks: Vec<Task>,
    stop: &CancellationToken,
    shutdown: &CancellationToken,
) -> (Vec<Lane>, Result<(), StageError>) {
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
        warn!("not everything could be stored in time; what is left is replayed at the next start");
        stop.cancel();
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
    let all = futures::future::join_all(tasks);
    tokio::pin!(all);
    let joined = tokio::select! {
        joined = &mut all => joined,
        () = overdue => {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
            all.await
        }
    };
    let mut lanes = Vec::new();
    let mut worst: Option<StageError> = None;
    for task in joined {
        match task {
            Ok((lane, outcome)) => {
                lanes.push(lane);
                if let Err(error) = outcome
                    && worst.as_ref().is_none_or(|worst| severity(&error) > severity(worst))
                {
                    worst = Some(error);
                }
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    (lanes, worst.map_or(Ok(()), Err))
}

fn severity(error: &StageError) -> u8 {
    match error.fault {
        Fault::Unavailable => 0,
        Fault::Fenced => 1,
        Fault::State => 2,
        Fault::Settings => 3,
    }
}
