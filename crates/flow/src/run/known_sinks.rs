//! Which sinks a pipeline has, noted beside the group's offsets, and what follows where that and the sinks do not agree:
//! a sink without positions is either a new one or one that lost them, and only a person knows which.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::sink_task::SinkStage;
use crate::{Bounds, Checkpoint, Source, StageError, Trace};

/// A note of more bytes than this is not kept by Kafka (`offset.metadata.max.bytes` is 4096).
const LONGEST: usize = 4000;

/// What is noted with a commit.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Sinks that keep positions → where they are, of those that one machine or one worker may write to.
    sinks: BTreeMap<String, String>,
    /// Where the worker keeps what earlier batches were made with, where that is its machine's own and changes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
}

/// The note of a pipeline with these sinks, of a worker with this state.
pub(super) fn note(sinks: &[SinkStage], state: &str) -> String {
    let keeping = sinks.iter().filter(|sink| sink.traits.keeps_positions);
    let sinks = keeping.map(|sink| (sink.name.clone(), sink.home.clone())).collect();
    let note = serde_json::to_string(&Note { sinks, state: state.to_owned() }).unwrap_or_default();
    if note.len() <= LONGEST { note } else { String::new() }
}

/// What earlier notes say.
pub(super) struct KnownSinks {
    names: BTreeSet<String>,
    homes: BTreeMap<String, BTreeSet<String>>,
    states: BTreeSet<String>,
    /// Whether there is a note at all.
    any: bool,
}

impl KnownSinks {
    /// Whether the pipeline has run with sinks that keep no positions only: where the group is, these are.
    pub(super) fn without_positions(&self) -> bool {
        self.any && self.names.is_empty()
    }
}

impl KnownSinks {
    /// What this program did not write counts as no note.
    pub(super) fn read(notes: &[String]) -> KnownSinks {
        let (names, homes, states) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let mut known_sinks = KnownSinks { names, homes, states, any: false };
        for note in notes.iter().filter_map(|note| serde_json::from_str::<Note>(note).ok()) {
            known_sinks.any = true;
            known_sinks.states.insert(note.state);
            for (name, home) in note.sinks {
                if !home.is_empty() {
                    known_sinks.homes.entry(name.clone()).or_default().insert(home);
                }
                known_sinks.names.insert(name);
            }
        }
        known_sinks
    }

    /// What is to be told where workers on several machines keep for themselves what earlier batches were made with. A
    /// machine may take the place of one that is gone.
    ///
    /// # Errors
    /// `working` others run and keep theirs elsewhere: whoever takes a partition over could not make its leftover batches
    /// again.
    pub(super) fn states_apart(&self, own: &str, working: usize) -> Result<Option<String>, StageError> {
        let others = self.states.iter().filter(|state| !state.is_empty() && *state != own);
        let others: Vec<&str> = others.map(|state| readable(state)).collect();
        let here = format!("what earlier batches were made with (models, tables) is kept at `{}`", readable(own));
        let there = if others.is_empty() { String::new() } else { format!(" at `{}`", others.join("`, `")) };
        if working > 0 {
            let workers = if working == 1 { "another worker keeps its own" } else { "other workers keep their own" };
            return Err(StageError::settings(format!(
                "{here}, and {workers} elsewhere{there}: what is planned there with a version that is then replaced could \
                 not be made again here"
            ))
            .remedy("name a `state:` that all machines share (`s3://…`, `hdfs://…`)"));
        }
        Ok((!others.is_empty()).then(|| {
            format!(
                "{here}, and workers of this pipeline kept theirs{there}: what one of them planned with a version that \
                 has been replaced can only be made again there; name a `state:` that all machines share"
            )
        }))
    }

    /// Stops where a sink of one machine or one worker is at another place than it was, and has no position here for
    /// what it is to take over.
    pub(super) fn check_homes(
        &self,
        sinks: &[SinkStage],
        bounds: &[Bounds],
        held: &[Vec<Checkpoint>],
    ) -> Result<(), StageError> {
        for (sink, held) in sinks.iter().zip(held) {
            let lacks = |bound: &Bounds| !held.iter().any(|checkpoint| checkpoint.partition == bound.partition);
            let elsewhere = self.homes.get(&sink.name).filter(|homes| !homes.contains(&sink.home));
            let (Some(homes), Some(bound)) = (elsewhere, bounds.iter().find(|bound| lacks(bound))) else { continue };
            if sink.new || !sink.traits.keeps_positions {
                continue;
            }
            let there: Vec<&str> = homes.iter().map(|home| readable(home)).collect();
            return Err(StageError::state(format!(
                "sink `{}`: this pipeline writes it at `{}`, and here it is `{}`, which has no position of {}: what is \
                 written here would be there, too, or would be lacking there",
                sink.name,
                there.join("`, `"),
                readable(&sink.home),
                bound.partition
            ))
            .remedy(format!(
                "run it there, or write to a place that all machines share; where that place is gone for good, \
                 `foretell positions set` says where `{0}` goes on, and `new: true` at it that it begins anew",
                sink.name
            )));
        }
        Ok(())
    }

    /// Stops where nothing is stored for a sink and there are signs that it, or its pipeline, ran before.
    pub(super) async fn check_lost(
        &self,
        sinks: &mut [SinkStage],
        pipeline: &str,
        (source, bounds): (&mut dyn Source, &[Bounds]),
        held: &[Vec<Checkpoint>],
    ) -> Result<(), StageError> {
        let keeping = sinks.iter().zip(held).filter(|(sink, _)| sink.traits.keeps_positions && !sink.new);
        if !keeping.into_iter().any(|(sink, held)| held.is_empty() && !sink.backfill) {
            return Ok(());
        }
        let aliases = source.aliases().await?;
        let same = |log: &String| bounds.iter().any(|bound| bound.identity == *log);
        let names: BTreeSet<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
        let first = held.iter().all(Vec::is_empty);
        let beyond = bounds.iter().find(|bound| bound.committed.is_some_and(|committed| committed != bound.start));
        for (sink, held) in sinks.iter_mut().zip(held) {
            if !held.is_empty() || sink.new || sink.backfill || !sink.traits.keeps_positions {
                continue;
            }
            let traces = sink.inner.traces().await.map_err(|error| sink.named(error))?;
            let (sink, begin) = (&sink.name, begin_anew(&sink.name));
            let stop = |what: String, remedy: String| Err(StageError::state(what).remedy(remedy));
            for trace in &traces {
                match trace {
                    Trace::Sink { pipeline: other, sink: old, .. } if other == pipeline && !names.contains(old) => {
                        return stop(
                            format!(
                                "sink `{sink}` has no positions, and in the same place are those of sink `{old}`, which \
                                 the pipeline file does not have: was it renamed?"
                            ),
                            format!("`foretell positions adopt PIPELINE {old} {sink}` takes them over; {begin}"),
                        );
                    }
                    Trace::Sink { pipeline: other, sink: old, logs }
                        if other != pipeline && logs.iter().any(|log| same(log) || aliases.contains(log)) =>
                    {
                        // A log that belongs to the pipeline's name stays behind with it.
                        let remedy = match logs.iter().any(same) {
                            true => format!(
                                "`foretell positions adopt PIPELINE {other}/{old} {sink}` takes them over; {begin}"
                            ),
                            false => format!("call the pipeline `{other}` again; {begin}"),
                        };
                        return stop(
                            format!(
                                "sink `{sink}` has no positions, and in the same place are those of sink `{old}` of \
                                 pipeline `{other}`, which read the same records: was the pipeline renamed?"
                            ),
                            remedy,
                        );
                    }
                    Trace::Sink { .. } => {}
                    Trace::Rows(rows) => {
                        return stop(
                            format!("sink `{sink}` has no positions, and there are {rows}: were they deleted?"),
                            format!("put them back; {begin}"),
                        );
                    }
                }
            }
            if self.names.contains(sink) {
                return stop(
                    format!(
                        "sink `{sink}` of this pipeline had positions, and has none here: they were deleted, or it is \
                         another database, schema, folder or `progress_topic` than before"
                    ),
                    format!("put them back, or name the place of before; {begin}"),
                );
            }
            if self.without_positions() {
                continue;
            }
            if let (true, Some(bound)) = (first, beyond) {
                return stop(
                    format!(
                        "no sink has a position, but the consumer group has read {} up to {}, and a new pipeline begins \
                         at {}: the pipeline or its sinks were renamed or moved, or the group is another's",
                        bound.partition,
                        bound.committed.unwrap_or_default(),
                        bound.start
                    ),
                    format!(
                        "another `group`; `foretell positions adopt PIPELINE OLD {sink}` after a renaming; {begin}"
                    ),
                );
            }
            if first && self.any {
                return stop(
                    "no sink has a position, but this pipeline ran before, with sinks of other names or in other places"
                        .to_string(),
                    format!("`foretell positions adopt PIPELINE OLD {sink}` after a renaming; {begin}"),
                );
            }
        }
        Ok(())
    }
}

fn begin_anew(sink: &str) -> String {
    format!(
        "`foretell positions set` says where `{sink}` goes on; `new: true` at the sink, or `foretell positions forget \
         PIPELINE --sink {sink}`, says that it begins as a new one"
    )
}

/// A home for people: without what tells machines of one name apart.
fn readable(home: &str) -> &str {
    match home {
        "" => "a place that all machines share",
        home => home.split_once(' ').map_or(home, |(_, readable)| readable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_several_machines_are_told() {
        let of = |states: &[&str]| KnownSinks::read(&states.iter().map(|state| note(&[], state)).collect::<Vec<_>>());
        assert_eq!(note(&[], ""), r#"{"sinks":{}}"#, "a note says what it always said");
        let known = of(&["12ab host-a:/state", "12ab host-a:/state", ""]);
        assert_eq!(known.states_apart("12ab host-a:/state", 0).unwrap(), None);
        let told = known.states_apart("34cd host-b:/state", 0).unwrap().unwrap();
        assert!(told.contains("at `host-b:/state`") && told.contains("at `host-a:/state`"), "{told}");
        assert_eq!(of(&[]).states_apart("34cd host-b:/state", 0).unwrap(), None);
        let refused = known.states_apart("34cd host-b:/state", 2).unwrap_err().to_string();
        assert!(
            refused.contains("other workers keep their own") && refused.contains("at `host-a:/state`"),
            "{refused}"
        );
        let refused = of(&[]).states_apart("34cd host-b:/state", 1).unwrap_err().to_string();
        assert!(
            refused.contains("another worker keeps its own elsewhere: ") && refused.contains("name a `state:`"),
            "{refused}"
        );
    }
}
