//! Where everyone stands when an epoch begins: what each sink must be claimed with, whether what is stored fits the
//! log, and which plans are left over.

use std::collections::HashMap;

use tracing::warn;

use super::lane::Lane;
use crate::{Bounds, Claim, Holding, PASSING, Partition, Piece, Plan, Position, Reset, StageError};

/// What every lane is claimed with. `fresh`: this worker has claimed nothing yet.
pub(super) async fn claims(
    lanes: &mut [Lane],
    bounds: &[Bounds],
    known_topics: &std::collections::HashSet<String>,
    fresh: bool,
) -> Result<Vec<Vec<Claim>>, StageError> {
    let mut held: Vec<HashMap<Partition, Holding>> = Vec::with_capacity(lanes.len());
    for lane in lanes.iter_mut() {
        let mut holdings = match lane.traits.keeps_positions {
            true => lane.sink.positions().await.map_err(|error| lane.named(error))?,
            false => Vec::new(),
        };
        if fresh {
            holdings.retain(|holding| !bounds.iter().any(|bound| is_past(holding, bound)));
        }
        for holding in &holdings {
            if let Some(bound) = bounds.iter().find(|bound| bound.partition == holding.partition) {
                check(&lane.name, holding, bound)?;
            }
        }
        held.push(holdings.into_iter().map(|holding| (holding.partition.clone(), holding)).collect());
    }
    let keeping = |lanes: &[Lane]| lanes.iter().any(|lane| lane.traits.keeps_positions);
    let mut claims = vec![Vec::with_capacity(bounds.len()); lanes.len()];
    for bound in bounds {
        let lowest = held.iter().filter_map(|holdings| holdings.get(&bound.partition)).map(|h| h.next).min();
        let begin = match lowest {
            Some(next) => next,
            None if known_topics.contains(&*bound.partition.topic) => bound.first,
            None if !keeping(lanes) => bound.committed.unwrap_or(bound.start),
            None => bound.start,
        };
        for (lane, claims) in lanes.iter().zip(&mut claims) {
            claims.push(Claim {
                partition: bound.partition.clone(),
                identity: bound.identity.clone(),
                start: if lane.backfill { bound.start } else { begin },
            });
        }
    }
    Ok(claims)
}

/// Whether a sink holds the position of a log that ended with its process.
fn is_past(holding: &Holding, bound: &Bounds) -> bool {
    holding.partition == bound.partition && holding.identity != bound.identity && holding.identity.starts_with(PASSING)
}

/// Replaces what claimed sinks hold of logs that ended with their process, and says what can no longer reach them.
/// Returns which lanes must be claimed again.
pub(super) async fn renew(
    lanes: &mut [Lane],
    bounds: &[Bounds],
    held: &[Vec<Holding>],
) -> Result<Vec<usize>, StageError> {
    let mut renewed = Vec::new();
    for bound in bounds {
        let past = |lane: &[Holding]| lane.iter().find(|holding| is_past(holding, bound)).map(|holding| holding.next);
        let highest = held.iter().filter_map(|lane| past(lane)).max();
        for (index, (lane, holdings)) in lanes.iter_mut().zip(held).enumerate() {
            let (Some(next), Some(highest)) = (past(holdings), highest) else { continue };
            if next < highest {
                warn!(
                    sink = lane.name,
                    records = highest - next,
                    "records that another sink has will not come: they ended with the process that read them"
                );
            }
            let position = Position { partition: bound.partition.clone(), next: bound.start };
            let reset = Reset::Set { position, identity: bound.identity.clone() };
            lane.sink.reset(&reset).await.map_err(|error| lane.named(error))?;
            renewed.push(index);
        }
    }
    renewed.dedup();
    Ok(renewed)
}

/// Stops loudly where what a sink has stored cannot go on with the log that is there.
pub(super) fn check(pipeline_sink: &str, holding: &Holding, bound: &Bounds) -> Result<(), StageError> {
    let remedy = format!(
        "`foretell positions show` tells what is stored, `foretell positions set` or `forget` of partition {} changes it",
        bound.partition
    );
    if holding.identity != bound.identity {
        return Err(StageError::state(format!(
            "sink `{pipeline_sink}`: {} is not the log that its position {} was read from: it was recreated, or it is \
             another cluster's, or (of files) `state` is another folder or was deleted, or (of sockets) the spool is \
             another, or another process runs the same pipeline",
            bound.partition, holding.next
        ))
        .remedy(remedy));
    }
    if holding.next < bound.first {
        return Err(StageError::state(format!(
            "sink `{pipeline_sink}`: {} is read up to {}, but the log begins at {}: {} records are gone",
            bound.partition,
            holding.next,
            bound.first,
            bound.first - holding.next
        ))
        .remedy(remedy));
    }
    if holding.next > bound.end {
        return Err(StageError::state(format!(
            "sink `{pipeline_sink}`: {} is read up to {}, but the log ends at {}",
            bound.partition, holding.next, bound.end
        ))
        .remedy(remedy));
    }
    Ok(())
}

/// The plans to replay, in order: those that some sink still lacks. Where the leader's plans do not reach down to the
/// lowest sink (an added sink with `backfill`, a position set by hand), there is no plan to keep to: none is returned,
/// and the records are taken as new ones by the sinks that lack them.
pub(super) fn leftover(
    pieces: Vec<Piece>,
    lowest: &HashMap<Partition, i64>,
    highest: &HashMap<Partition, i64>,
) -> Vec<Plan> {
    let mut wanted: HashMap<Partition, Vec<Piece>> = HashMap::new();
    for piece in pieces {
        if lowest.get(&piece.range.partition).is_some_and(|low| piece.range.to > *low) {
            wanted.entry(piece.range.partition.clone()).or_default().push(piece);
        }
    }
    for (partition, low) in lowest {
        let high = highest.get(partition).copied().unwrap_or(*low);
        let mut at = *low;
        let mut pieces: Vec<&Piece> = wanted.get(partition).into_iter().flatten().collect();
        pieces.sort_by_key(|piece| piece.range.from);
        for piece in pieces {
            if piece.range.from > at {
                return Vec::new();
            }
            at = at.max(piece.range.to);
        }
        if at < high {
            return Vec::new();
        }
    }
    Plan::assemble(wanted.into_values().flatten())
}
