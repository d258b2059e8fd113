//! The sink itself: claims, writes, positions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use foretell_flow::{
    Checkpoint, Claim, Fault, Partition, PlanPart, PlanRetention, Provenance, Range, Reset, Sink, SinkInput,
    StageError, Trace, Write, Written,
};
use futures::future::join_all;
use rdkafka::Offset;

use super::encode::Encoder;
use super::progress::{Entry, Lane, Ledger, Mark, Open, Owner};
use super::publish::Publisher;
use super::target::Target;
use super::topics::{self, Limits};
use super::writer::{Job, Stop, Writer};
use crate::inspect::{Inspector, ask, blocking};
use crate::settings::Connection;
use foretell_connect::kind::SinkContext;

/// So many rows of several partitions go in one transaction: it costs more than they do.
const TOGETHER: usize = 1000;

pub(super) struct KafkaSink {
    connection: Connection,
    inspector: Arc<Inspector>,
    target: Target,
    encoder: Encoder,
    /// Where the schema of values is registered, before the first are written.
    publisher: Option<Publisher>,
    owner: Owner,
    by_partition: bool,
    input: SinkInput,
    /// What the target accepts, as far as is known.
    limits: Limits,
    /// How long a transaction may stay open, where one has shown that the settings are too short.
    open: Option<Duration>,
    ledger: Ledger,
    /// What is stored for the partitions that are ours.
    claimed: BTreeMap<Partition, Entry>,
    /// Whether no other worker has a partition.
    alone: bool,
    /// One by partition; for batches that cannot be cut the two that are shared, and without positions one of them. Whoever
    /// claims any partition fences these, too: so who is alone writes several partitions with them where that is quicker.
    writers: HashMap<Lane, Arc<Writer>>,
    /// Whose turn it is of these.
    turn: Lane,
}

/// What a write changes of a partition's entry.
struct Change {
    next: i64,
    /// Pieces that are kept from now on, by first offset.
    kept: BTreeMap<i64, PlanPart>,
    /// First offsets of parts that go.
    gone: BTreeSet<i64>,
}

type Changes = Vec<(Partition, Change)>;

/// A write of one writer.
struct Part {
    writer: Lane,
    ranges: Vec<Range>,
    rows: Vec<usize>,
}

impl KafkaSink {
    pub(super) fn new(
        connection: Connection,
        inspector: Arc<Inspector>,
        target: Target,
        encoder: Encoder,
        context: &SinkContext,
        limits: Limits,
    ) -> KafkaSink {
        let owner = Owner { pipeline: context.pipeline.clone(), sink: context.sink.clone() };
        let ledger = Ledger::new(owner.clone(), target.progress.clone());
        KafkaSink {
            connection,
            inspector,
            target,
            encoder,
            publisher: None,
            owner,
            by_partition: context.by_partition,
            input: context.input,
            limits,
            open: None,
            ledger,
            claimed: BTreeMap::new(),
            alone: false,
            writers: HashMap::new(),
            turn: Lane::Odd,
        }
    }

    pub(super) fn publishing(self, publisher: Option<Publisher>) -> KafkaSink {
        KafkaSink { publisher, ..self }
    }

    /// Reads the positions anew.
    async fn refresh(&mut self, open: Open) -> Result<(), StageError> {
        let fresh = Ledger::new(self.owner.clone(), self.target.progress.clone());
        let mut ledger = std::mem::replace(&mut self.ledger, fresh);
        let (connection, inspector) = (self.connection.clone(), self.inspector.clone());
        // What was read before an error need not be read again.
        let read = blocking(move || Ok((ledger.refresh(&connection, &inspector, open), ledger)));
        let (outcome, ledger) = read.await?;
        self.ledger = ledger;
        outcome
    }

    /// What is behind a row that the broker refuses: the topic takes less than when it was looked at last, and the next
    /// try knows that.
    async fn looked_again(&mut self, refused: StageError) -> StageError {
        match topics::examine(&self.connection, &self.inspector, &self.target, self.input).await {
            Ok(limits) if limits != self.limits => {
                self.limits = limits;
                let topic = &self.target.topic;
                StageError::unavailable(format!("{}; the configuration of `{topic}` has changed", refused.message))
            }
            Ok(_) => refused,
            Err(error) => error,
        }
    }

    /// What is behind an error: where it is that the topic is not there any more, it does not pass, and is said so.
    async fn why(&self, error: StageError) -> StageError {
        if !matches!(error.fault, Fault::Unavailable | Fault::State) {
            return error;
        }
        let topics: Vec<String> =
            [Some(&self.target.topic), self.target.rejects.as_ref()].into_iter().flatten().cloned().collect();
        let missing =
            ask(&self.inspector, move |inspector| topics.iter().try_for_each(|topic| inspector.topic(topic).map(drop)));
        match missing.await {
            Err(missing) if missing.fault != Fault::Unavailable => missing,
            _ => error,
        }
    }

    async fn open_writer(&self, id: Option<String>) -> Result<Arc<Writer>, StageError> {
        let (connection, largest, open) = (self.connection.clone(), self.limits.largest, self.open);
        let known = self.target.progress.clone();
        blocking(move || Writer::open(&connection, id, &known, largest, open).map(Arc::new)).await
    }

    /// Ends producers where that may block.
    async fn give_up(&mut self) {
        let writers: Vec<_> = self.writers.drain().collect();
        if !writers.is_empty() {
            let _ = tokio::task::spawn_blocking(move || drop(writers)).await;
        }
    }

    /// The writers of these partitions, each of which has fenced the owner before. The ids that the other kind of query
    /// uses are fenced, too: the query may have changed since.
    async fn fence(&mut self, partitions: &[Partition]) -> Result<(), StageError> {
        self.give_up().await;
        let lanes = partitions.iter().cloned().map(Lane::Of).chain(Lane::SHARED);
        let opened = join_all(lanes.map(|lane| async {
            let opened = self.open_writer(Some(self.owner.id(&lane))).await;
            (lane, opened)
        }));
        let mut unused = Vec::new();
        let mut writers = HashMap::new();
        for (lane, opened) in opened.await {
            let needed = lane.is_shared() != self.by_partition;
            match opened {
                Ok(writer) if needed || lane.is_shared() && self.alone => drop(writers.insert(lane, writer)),
                Ok(writer) => unused.push(writer),
                // Another worker is fencing the same id at this moment: that is as good.
                Err(error) if !needed && error.fault == Fault::Fenced => {}
                Err(error) => return Err(error),
            }
        }
        self.writers = writers;
        let _ = tokio::task::spawn_blocking(move || drop(unused)).await;
        Ok(())
    }

    /// Writes positions alone.
    async fn mark(&self, marks: Vec<(Partition, Vec<Mark>)>) -> Result<(), StageError> {
        let together = self.shares();
        let mut by_writer: BTreeMap<Lane, Vec<Mark>> = BTreeMap::new();
        for (partition, marks) in marks {
            let lane = if together { self.turn.next() } else { Lane::Of(partition) };
            by_writer.entry(lane).or_default().extend(marks);
        }
        let tasks = by_writer.into_iter().filter(|(_, marks)| !marks.is_empty()).map(|(writer, marks)| {
            let writer = self.writers.get(&writer).cloned();
            let topic = self.target.progress.clone();
            blocking(move || match writer {
                Some(writer) => writer.only_marks(&topic, &marks),
                None => Err(StageError::fenced("a partition is not claimed")),
            })
        });
        join_all(tasks).await.into_iter().collect()
    }

    /// Whether there are writers for several partitions together.
    fn shares(&self) -> bool {
        Lane::SHARED.iter().all(|lane| self.writers.contains_key(lane))
    }

    /// Compares each range's start with what is stored.
    fn check(&self, ranges: &[Range]) -> Result<(), StageError> {
        for Range { partition, from, .. } in ranges {
            match self.claimed.get(partition) {
                Some(entry) if entry.next == *from => {}
                Some(entry) => {
                    return Err(StageError::fenced(format!(
                        "topic `{}`: {partition} is at {}, and the rows begin at {from}",
                        self.target.topic, entry.next
                    )));
                }
                None => return Err(StageError::fenced(format!("{partition} is not claimed"))),
            }
        }
        Ok(())
    }

    /// The write cut by writer.
    fn parts(&self, write: &Write) -> Result<Vec<Part>, StageError> {
        let all = || (0..write.rows.num_rows()).collect();
        let few = write.rows.num_rows() <= TOGETHER && write.ranges.len() > 1 && self.shares();
        if !self.by_partition || !self.target.exactly_once || few {
            return Ok(vec![Part { writer: self.turn.clone(), ranges: write.ranges.clone(), rows: all() }]);
        }
        match (&write.provenance, write.ranges.as_slice()) {
            (Some(Provenance { partitions, .. }), ranges) => {
                let mut rows: HashMap<i32, Vec<usize>> = HashMap::new();
                for (row, partition) in partitions.values().iter().enumerate() {
                    rows.entry(*partition).or_default().push(row);
                }
                let part = |range: &Range| Part {
                    writer: Lane::Of(range.partition.clone()),
                    ranges: vec![range.clone()],
                    rows: write
                        .topics
                        .ordinal(&range.partition)
                        .and_then(|ordinal| rows.remove(&ordinal))
                        .unwrap_or_default(),
                };
                let parts: Vec<Part> = ranges.iter().map(part).collect();
                match rows.keys().next() {
                    None => Ok(parts),
                    Some(stray) => {
                        let stray = write.topics.partition(*stray);
                        Err(StageError::state(format!("rows of {stray}, which this write does not cover")))
                    }
                }
            }
            (None, [range]) => {
                Ok(vec![Part { writer: Lane::Of(range.partition.clone()), ranges: vec![range.clone()], rows: all() }])
            }
            (None, _) if write.rows.num_rows() == 0 => {
                let part = |range: &Range| Part {
                    writer: Lane::Of(range.partition.clone()),
                    ranges: vec![range.clone()],
                    rows: Vec::new(),
                };
                Ok(write.ranges.iter().map(part).collect())
            }
            (None, _) => Err(StageError::state("rows of several partitions that do not say which is whose")),
        }
    }

    /// What changes with a part, and the records that say so. Parts lie one behind the other: however many are kept,
    /// only those that change are looked at.
    fn advance(&self, ranges: &[Range], keep: Option<&PlanRetention>) -> Result<(Changes, Vec<Mark>), StageError> {
        let (mut changes, mut marks) = (Vec::with_capacity(ranges.len()), Vec::with_capacity(ranges.len()));
        for Range { partition, to, .. } in ranges {
            let Some(entry) = self.claimed.get(partition) else { continue };
            let mut change = Change { next: *to, kept: BTreeMap::new(), gone: BTreeSet::new() };
            marks.push(self.owner.position(partition, *to, &entry.identity)?);
            if let Some(keep) = keep {
                for part in keep.parts.iter().filter(|part| part.range.partition == *partition) {
                    let begin = part.range.from;
                    let replaced = entry.parts.iter().rev().take_while(|(_, kept)| kept.range.to > begin);
                    change.gone.extend(replaced.map(|(from, _)| *from));
                    change.kept.retain(|_, kept| kept.range.to <= begin);
                    change.kept.insert(begin, part.clone());
                }
                let floor = keep.floor.iter().find(|position| position.partition == *partition).map(|p| p.next);
                if let Some(floor) = floor {
                    let done = entry.parts.iter().take_while(|(_, part)| part.range.to <= floor);
                    change.gone.extend(done.map(|(from, _)| *from));
                    change.kept.retain(|_, part| part.range.to > floor);
                }
            }
            for from in change.gone.iter().filter(|from| !change.kept.contains_key(from)) {
                marks.push(self.owner.erase(partition, Some(*from)));
            }
            for part in change.kept.values() {
                marks.push(self.owner.part(part)?);
            }
            changes.push((partition.clone(), change));
        }
        Ok((changes, marks))
    }

    /// A part is written.
    fn advanced(&mut self, changes: Changes) {
        for (partition, change) in changes {
            let Some(entry) = self.claimed.get_mut(&partition) else { continue };
            entry.next = change.next;
            for from in change.gone {
                entry.parts.remove(&from);
            }
            entry.parts.extend(change.kept);
        }
    }

    async fn write_parts(&mut self, write: &Write) -> Result<Written, StageError> {
        if let Some(publisher) = &self.publisher
            && self.encoder.lacks_number()
        {
            let number = publisher.number(&self.encoder).await?;
            self.encoder.set_number(number);
        }
        let encoded = self.encoder.encode(&write.rows)?;
        let (provenance, topics) = (write.provenance.clone(), write.topics.clone());
        let target = self.target.clone();
        let job = Arc::new(Job { encoded, provenance, topics, target, compacted: self.limits.compacted });
        let mut running = Vec::new();
        for Part { writer: name, ranges, rows } in self.parts(write)? {
            let (changes, marks) = match self.target.exactly_once {
                true => self.advance(&ranges, write.retention.as_ref())?,
                false => (Vec::new(), Vec::new()),
            };
            let Some(writer) = self.writers.get(&name).cloned() else {
                return Err(StageError::fenced("a partition must be claimed again"));
            };
            let job = job.clone();
            let next = self.writers.get(&name.next()).cloned().unwrap_or_else(|| writer.clone());
            if name.is_shared() && self.target.exactly_once {
                self.turn = name.next();
            }
            let outcome = blocking(move || {
                let outcome = writer.write(&job, &rows, &marks);
                next.rest();
                Ok(outcome)
            });
            running.push(async move { (name, changes, outcome.await) });
        }
        let mut written = Written::default();
        let mut failure: Option<StageError> = None;
        let mut refused = None;
        for (name, changes, outcome) in join_all(running).await {
            match outcome.and_then(|written| match written {
                Ok(rejected) => Ok(rejected),
                Err(Stop::Error(error)) => Err(error),
                Err(Stop::Row(error)) => {
                    refused = Some(error.clone());
                    Err(error)
                }
                Err(Stop::Late(error, open)) => {
                    self.open = self.open.max(Some(open));
                    Err(error)
                }
            }) {
                Ok(rejected) => {
                    written.rejected = written.rejected.saturating_add(rejected);
                    self.advanced(changes);
                }
                Err(error) => {
                    // Whether its transaction ended is unknown: only a new claim tells.
                    let spoils = |lane: &Lane| lane.is_shared() || name.is_shared() || *lane == name;
                    let spoiled: Vec<_> = self.writers.extract_if(|lane, _| spoils(lane)).collect();
                    tokio::task::spawn_blocking(move || drop(spoiled));
                    // What a person must mend comes before what passes by itself.
                    if failure.as_ref().is_none_or(|earlier| earlier.fault == Fault::Unavailable) {
                        failure = Some(error);
                    }
                }
            }
        }
        match (failure, refused) {
            (None, _) => Ok(written),
            (Some(error), Some(refused)) if error == refused => Err(self.looked_again(refused).await),
            (Some(error), _) => Err(self.why(error).await),
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn alone(&mut self) -> Option<&mut bool> {
        (self.by_partition && self.target.exactly_once).then_some(&mut self.alone)
    }

    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        if !self.target.exactly_once {
            return Ok(Vec::new());
        }
        self.refresh(Open::LeaveOut).await?;
        Ok(self.ledger.holdings())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        self.claimed.clear();
        if !self.target.exactly_once {
            self.give_up().await;
            let checkpoint = |claim: &Claim| Checkpoint {
                partition: claim.partition.clone(),
                identity: claim.identity.clone(),
                next: claim.start,
                plans: Vec::new(),
            };
            return Ok(claims.iter().map(checkpoint).collect());
        }
        topics::ensure(&self.connection, &self.inspector, &self.target.progress).await?;
        let partitions: Vec<Partition> = claims.iter().map(|claim| claim.partition.clone()).collect();
        // The fence comes first: what is read after it cannot be changed by anyone before us.
        self.fence(&partitions).await?;
        self.refresh(Open::WaitFor).await?;
        let mut new = Vec::new();
        let mut claimed = BTreeMap::new();
        for Claim { partition, identity, start } in claims {
            let entry = match self.ledger.entry(partition) {
                Some(entry) => entry,
                None => {
                    new.push((partition.clone(), vec![self.owner.position(partition, *start, identity)?]));
                    Entry { identity: identity.clone(), next: *start, parts: BTreeMap::new() }
                }
            };
            claimed.insert(partition.clone(), entry);
        }
        self.mark(new).await?;
        self.claimed = claimed;
        let checkpoint = |claim: &Claim| Some(self.claimed.get(&claim.partition)?.holding(claim.partition.clone()));
        Ok(claims.iter().filter_map(checkpoint).collect())
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        if self.target.exactly_once {
            self.check(&write.ranges)?;
        } else if self.writers.is_empty() {
            let writer = self.open_writer(None).await?;
            self.writers.insert(self.turn.clone(), writer);
        }
        self.write_parts(write).await
    }

    async fn traces(&mut self) -> Result<Vec<Trace>, StageError> {
        if !self.target.exactly_once {
            return Ok(Vec::new());
        }
        self.refresh(Open::LeaveOut).await?;
        let topic = self.target.topic.clone();
        let written = ask(&self.inspector, move |inspector| {
            let all: Vec<i32> = (0..inspector.topic(&topic)?.partitions).collect();
            let (first, end) =
                (inspector.offsets(&topic, &all, Offset::Beginning)?, inspector.offsets(&topic, &all, Offset::End)?);
            Ok(first != end)
        });
        let written = written.await?;
        // Pipelines share a topic for their positions; what wrote under this name may have written to the same topic.
        let own = &self.owner;
        let close = |owner: &Owner| owner.pipeline == own.pipeline || written && owner.sink == own.sink;
        let traces = self.ledger.others().filter(|(owner, _)| close(owner)).map(|(owner, logs)| Trace::Sink {
            pipeline: owner.pipeline.clone(),
            sink: owner.sink.clone(),
            logs,
        });
        Ok(traces.collect())
    }

    async fn hand_over(&mut self, pipeline: &str, sink: &str) -> Result<(), StageError> {
        topics::ensure(&self.connection, &self.inspector, &self.target.progress).await?;
        let to = Owner { pipeline: pipeline.into(), sink: sink.into() };
        self.refresh(Open::WaitFor).await?;
        let partitions: Vec<Partition> = self.ledger.holdings().into_iter().map(|holding| holding.partition).collect();
        self.fence(&partitions).await?;
        self.refresh(Open::WaitFor).await?;
        let mut marks = Vec::new();
        for partition in partitions {
            let Some(entry) = self.ledger.entry(&partition) else { continue };
            let mut own = vec![to.position(&partition, entry.next, &entry.identity)?];
            for (from, part) in &entry.parts {
                own.push(to.part(part)?);
                own.push(self.owner.erase(&partition, Some(*from)));
            }
            own.push(self.owner.erase(&partition, None));
            marks.push((partition, own));
        }
        self.mark(marks).await?;
        self.claimed.clear();
        self.give_up().await;
        Ok(())
    }

    async fn reset(&mut self, reset: &Reset) -> Result<(), StageError> {
        if !self.target.exactly_once {
            let error = StageError::settings(format!("topic `{}` is written at least once", self.target.topic));
            return Err(error.remedy("its sink keeps no positions that could be changed"));
        }
        topics::ensure(&self.connection, &self.inspector, &self.target.progress).await?;
        self.refresh(Open::WaitFor).await?;
        let named: BTreeSet<Partition> = match reset {
            Reset::Set { position, .. } => [position.partition.clone()].into(),
            Reset::Forget(Some(partition)) => [partition.clone()].into(),
            Reset::Forget(None) => self.ledger.holdings().into_iter().map(|holding| holding.partition).collect(),
        };
        let named: Vec<Partition> = named.into_iter().collect();
        self.fence(&named).await?;
        self.refresh(Open::WaitFor).await?;
        let mut marks = Vec::new();
        for partition in &named {
            let parts = self.ledger.entry(partition).map(|entry| entry.parts).unwrap_or_default();
            let mut own: Vec<Mark> = parts.keys().map(|from| self.owner.erase(partition, Some(*from))).collect();
            own.push(match reset {
                Reset::Set { position, identity } => self.owner.position(partition, position.next, identity)?,
                Reset::Forget(_) => self.owner.erase(partition, None),
            });
            marks.push((partition.clone(), own));
        }
        self.mark(marks).await?;
        self.claimed.clear();
        self.give_up().await;
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StageError> {
        self.claimed.clear();
        self.give_up().await;
        Ok(())
    }
}
