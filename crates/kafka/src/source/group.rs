//! The group as housekeeping sees it: the lag, and the offsets that lag tools read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use foretell_flow::{Fault, Housekeeping, Position, StageError, Topics};
use parking_lot::Mutex;
use rdkafka::Offset;
use tokio::time::Instant;

use super::reader::{Committer, Reader};
use super::signature::Signature;
use crate::inspect::{Inspector, ask};

/// A commit whose answer nobody waits for is sent again after this time: a rebalance may have refused it.
const COMMIT_AGAIN: Duration = Duration::from_secs(20);

/// The notes that were committed with offsets of these topics.
pub(super) fn notes(inspector: &Inspector, topics: &Topics) -> Result<Vec<String>, StageError> {
    let mut notes = Vec::new();
    for topic in topics.names() {
        let all: Vec<i32> = (0..inspector.topic(topic)?.partitions).collect();
        match inspector.committed(topic, &all) {
            Ok(committed) => notes.extend(committed.into_iter().flatten().map(|(_, note)| note)),
            Err(error) if error.fault == Fault::Unavailable => return Err(error),
            // A group that may not be read is no reason to stop.
            Err(error) => tracing::debug!(topic = &**topic, %error, "the group's notes are not known"),
        }
    }
    Ok(notes)
}

/// The group as housekeeping sees it.
pub(super) struct GroupHousekeeping {
    topics: Arc<Mutex<Topics>>,
    inspector: Arc<Inspector>,
    /// `None` where the source was opened only to look.
    committer: Option<Committer>,
    /// Stands in each note. `None` for who is in no group.
    signature: Option<Signature>,
    /// What was committed last, by ordinal: up to where, with which note, when.
    committed: Mutex<HashMap<i32, (i64, String, Instant)>>,
}

impl GroupHousekeeping {
    pub(super) fn new(
        topics: Arc<Mutex<Topics>>,
        inspector: Arc<Inspector>,
        reader: Option<&Reader>,
        signature: Option<Signature>,
    ) -> Arc<GroupHousekeeping> {
        let committer = reader.map(Reader::committer);
        Arc::new(GroupHousekeeping { topics, inspector, committer, signature, committed: Mutex::default() })
    }
}

#[async_trait]
impl Housekeeping for GroupHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        let positions = positions.to_vec();
        ask(&self.inspector, move |inspector| {
            let mut behind = vec![0; positions.len()];
            let mut by_topic: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (at, position) in positions.iter().enumerate() {
                by_topic.entry(&position.partition.topic).or_default().push(at);
            }
            for (topic, places) in by_topic {
                let of = |at: &usize| positions.get(*at);
                let partitions: Vec<i32> = places.iter().filter_map(of).map(|at| at.partition.index).collect();
                let ends = inspector.offsets(topic, &partitions, Offset::End)?;
                for (at, end) in places.iter().zip(ends) {
                    if let (Some(behind), Some(position)) = (behind.get_mut(*at), of(at)) {
                        *behind = end.saturating_sub(position.next).max(0);
                    }
                }
            }
            Ok(behind)
        })
        .await
    }

    async fn commit(&self, positions: &[Position], note: &str) -> Result<(), StageError> {
        let Some(committer) = &self.committer else { return Ok(()) };
        let mut committed = self.committed.lock();
        let topics = self.topics.lock().clone();
        let due = |(ordinal, next): &(i32, i64)| match committed.get(ordinal) {
            Some((last, _, _)) if next < last => false,
            Some((last, noted, at)) => next > last || noted != note || at.elapsed() > COMMIT_AGAIN,
            None => true,
        };
        let ordinals =
            positions.iter().filter_map(|position| Some((topics.ordinal(&position.partition)?, position.next)));
        let due: Vec<(i32, i64)> = ordinals.filter(due).collect();
        match &self.signature {
            Some(signature) => committer.commit(&due, &signature.sign(note))?,
            None => committer.commit(&due, note)?,
        }
        committed.extend(due.into_iter().map(|(ordinal, next)| (ordinal, (next, note.to_owned(), Instant::now()))));
        Ok(())
    }
}
