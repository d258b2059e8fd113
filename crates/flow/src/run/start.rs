//! Where everyone stands when an epoch begins: what each sink must be claimed with, and whether what is stored fits the
//! log.

use std::collections::HashSet;

use tracing::warn;

use super::sink_task::{SinkStage, warn_while_waiting};
use crate::{Bounds, Checkpoint, Claim, EPHEMERAL_LOG, Partition, Position, Reset, Source, StageError};

/// What was known of the log when the run began: partitions that came later begin at their first record.
pub(super) struct KnownLog<'a> {
    /// Topics that had positions before this run.
    pub(super) topics: &'a HashSet<String>,
    /// Whether topics come to the source by themselves.
    pub(super) grows: bool,
    /// How many partitions there were.
    pub(super) partitions: usize,
    /// Whether it ran before with sinks that keep no positions only, and is where the group is.
    pub(super) in_group: bool,
}

impl KnownLog<'_> {
    /// Whether a partition came to a log that was being read.
    fn is_later(&self, partition: &Partition) -> bool {
        self.topics.contains(&*partition.topic)
            || (self.grows && !self.topics.is_empty())
            || usize::try_from(partition.index).is_ok_and(|index| index >= self.partitions)
    }
}

/// By sink, what each sink holds, of any partition; of logs that ended with their process only where this worker
/// has claimed already.
pub(super) async fn held(
    sinks: &mut [SinkStage],
    bounds: &[Bounds],
    fresh: bool,
) -> Result<Vec<Vec<Checkpoint>>, StageError> {
    let mut held = Vec::with_capacity(sinks.len());
    for sink in sinks.iter_mut() {
        let mut checkpoints = match sink.traits.keeps_positions {
            true => {
                let name = sink.name.clone();
                let positions = warn_while_waiting(&name, "reading its positions", String::new, sink.inner.positions());
                positions.await.map_err(|error| sink.named(error))?
            }
            false => Vec::new(),
        };
        if fresh {
            checkpoints.retain(|checkpoint| !bounds.iter().any(|bound| is_past(checkpoint, bound)));
        }
        held.push(checkpoints);
    }
    Ok(held)
}

/// What every sink is claimed with.
pub(super) fn claims(
    sinks: &[SinkStage],
    bounds: &[Bounds],
    held: &[Vec<Checkpoint>],
    known: &KnownLog<'_>,
) -> Vec<Vec<Claim>> {
    let keeping = !known.in_group && sinks.iter().any(|sink| sink.traits.keeps_positions);
    let mut claims = vec![Vec::with_capacity(bounds.len()); sinks.len()];
    for bound in bounds {
        let lowest = held.iter().flatten().filter(|h| h.partition == bound.partition).map(|h| h.next).min();
        let committed = bound.committed.filter(|_| !keeping);
        // Where the group tells where it is, it does so of each partition that was there.
        let later = known.is_later(&bound.partition) || (known.in_group && bound.committed.is_none());
        let new = if later { bound.first } else { bound.start };
        for (sink, claims) in sinks.iter().zip(&mut claims) {
            claims.push(Claim {
                partition: bound.partition.clone(),
                identity: bound.identity.clone(),
                start: if sink.backfill { bound.start } else { lowest.or(committed).unwrap_or(new) },
            });
        }
    }
    claims
}

/// Whether a sink holds the position of a log that ended with its process.
fn is_past(checkpoint: &Checkpoint, bound: &Bounds) -> bool {
    checkpoint.partition == bound.partition
        && checkpoint.identity != bound.identity
        && checkpoint.identity.starts_with(EPHEMERAL_LOG)
}

/// Replaces what claimed sinks hold of logs that ended with their process, and says what can no longer reach them.
/// Returns which sinks must be claimed again.
pub(super) async fn renew(
    sinks: &mut [SinkStage],
    bounds: &[Bounds],
    held: &[Vec<Checkpoint>],
) -> Result<Vec<usize>, StageError> {
    let mut renewed = Vec::new();
    for bound in bounds {
        let past = |sink: &[Checkpoint]| {
            sink.iter().find(|checkpoint| is_past(checkpoint, bound)).map(|checkpoint| checkpoint.next)
        };
        let highest = held.iter().filter_map(|sink| past(sink)).max();
        for (index, (sink, checkpoints)) in sinks.iter_mut().zip(held).enumerate() {
            let (Some(next), Some(highest)) = (past(checkpoints), highest) else { continue };
            if next < highest {
                warn!(
                    sink = sink.name,
                    records = highest - next,
                    "records that another sink has will not come: they ended with the process that read them"
                );
            }
            let position = Position { partition: bound.partition.clone(), next: bound.start };
            let reset = Reset::Set { position, identity: bound.identity.clone() };
            sink.inner.reset(&reset).await.map_err(|error| sink.named(error))?;
            renewed.push(index);
        }
    }
    renewed.dedup();
    Ok(renewed)
}

/// Reads bounds again where a position lies beyond the end of its log: an owner of before may write on until it is
/// fenced, and what it stored may have come since.
pub(super) async fn refresh(
    source: &mut dyn Source,
    bounds: &mut Vec<Bounds>,
    held: &[Vec<Checkpoint>],
) -> Result<(), StageError> {
    let beyond =
        |bound: &Bounds| held.iter().flatten().any(|held| held.partition == bound.partition && held.next > bound.end);
    if bounds.iter().any(beyond) {
        let partitions: Vec<Partition> = bounds.iter().map(|bound| bound.partition.clone()).collect();
        *bounds = source.bounds(&partitions).await?;
    }
    Ok(())
}

/// Stops loudly where what sinks have stored cannot go on with the log that is there.
pub(super) fn check_all(sinks: &[SinkStage], bounds: &[Bounds], held: &[Vec<Checkpoint>]) -> Result<(), StageError> {
    for (sink, held) in sinks.iter().zip(held) {
        for checkpoint in held {
            if let Some(bound) = bounds.iter().find(|bound| bound.partition == checkpoint.partition) {
                check(&sink.name, checkpoint, bound)?;
            }
        }
    }
    Ok(())
}

/// Stops loudly where what a sink has stored cannot go on with the log that is there.
fn check(pipeline_sink: &str, checkpoint: &Checkpoint, bound: &Bounds) -> Result<(), StageError> {
    let remedy = format!(
        "`foretell positions show` tells what is stored, `foretell positions set` or `forget` of partition {} changes it",
        bound.partition
    );
    if checkpoint.identity != bound.identity {
        return Err(StageError::state(format!(
            "sink `{pipeline_sink}`: {} is not the log that its position {} was read from: it was recreated, or it is \
             another cluster's, or (of files) `state` is another folder or was deleted, or (of sockets) the spool is \
             another, or another process runs the same pipeline",
            bound.partition, checkpoint.next
        ))
        .remedy(remedy));
    }
    if checkpoint.next < bound.first {
        return Err(StageError::state(format!(
            "sink `{pipeline_sink}`: {} is read up to {}, but the log begins at {}: {} records are gone",
            bound.partition,
            checkpoint.next,
            bound.first,
            bound.first - checkpoint.next
        ))
        .remedy(remedy));
    }
    if checkpoint.next > bound.end {
        return Err(StageError::state(format!(
            "sink `{pipeline_sink}`: {} is read up to {}, but the log ends at {}",
            bound.partition, checkpoint.next, bound.end
        ))
        .remedy(remedy));
    }
    Ok(())
}
