//! Looks at the topics beside the reading, for what the client tells late or never: a log whose beginning has overtaken
//! the reader while the buffer is full, another topic under the old name, and a partition of which nothing comes though
//! there is more of it (a batch that does not parse gives no error).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_flow::{StageError, Topics};
use rdkafka::Offset;
use tokio::task::JoinHandle;

use super::below_start;
use super::reader::{Reader, Shared, list};
use super::topics::Interest;
use crate::inspect::{Inspector, ask};
use crate::raw::Handle;

/// The time between looks.
const EVERY: Duration = Duration::from_secs(2);
/// Of so many looks one is for new topics.
const FIND: u64 = 3;
/// A topic that is not there this long is gone: brokers do not all know at once.
const GONE: Duration = Duration::from_secs(15);
/// A partition has more, but nothing comes: reported after this long, and then each time it has doubled.
const STILL: Duration = Duration::from_secs(10);
/// After this long the pipeline ends.
const STUCK: Duration = Duration::from_secs(180);

/// The task that looks; it ends with this.
pub(super) struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// With an interest, topics that come to match it are read, too.
    pub(super) fn start(reader: &Reader, interest: Option<Interest>, inspector: Arc<Inspector>) -> Watch {
        let (shared, handle) = reader.shared();
        Watch(tokio::spawn(watch(shared, handle, interest, inspector)))
    }
}

/// What the brokers say.
#[derive(Debug)]
struct Seen {
    identity: String,
    /// By partition where it begins and ends.
    bounds: HashMap<i32, (i64, i64)>,
}

async fn watch(shared: Arc<Shared>, handle: Arc<Handle>, interest: Option<Interest>, inspector: Arc<Inspector>) {
    let mut judges: HashMap<Arc<str>, Judge> = HashMap::new();
    for number in 0_u64.. {
        tokio::time::sleep(EVERY).await;
        if let Some(interest) = interest.as_ref().filter(|_| number.is_multiple_of(FIND)) {
            find(&shared, &handle, interest, &inspector).await;
        }
        for topic in shared.topics().names() {
            let judge = judges.entry(topic.clone()).or_default();
            let before = Reading::of(&shared, topic);
            let (name, partitions) = (topic.clone(), before.at.iter().map(|(index, _)| *index).collect());
            let seen = ask(&inspector, move |inspector| look(inspector, &name, partitions)).await;
            let mut now = Reading::of(&shared, topic);
            if now.epoch != before.epoch {
                *judge = Judge::default();
                continue;
            }
            if let Err(error) = &seen {
                tracing::debug!(topic = &**topic, %error, "the topic was not looked at");
            }
            // Markers and records of aborted transactions move the client and give no message.
            let one = Topics::one(topic.clone());
            for (partition, position) in handle.positions(&list(&one, now.at.iter().copied())) {
                let at = now.at.iter_mut().filter(|(index, _)| *index == partition.index);
                at.for_each(|(_, at)| *at = position.max(*at));
            }
            let verdict = judge.judge(topic, &now, seen.as_ref().ok().map(Option::as_ref), Instant::now());
            for warning in verdict.warnings {
                tracing::warn!("{warning}");
            }
            if let Some(failure) = verdict.failure {
                shared.fail_in(now.epoch, failure);
            }
        }
    }
}

/// Has topics read that match since the last look.
async fn find(shared: &Shared, handle: &Handle, interest: &Interest, inspector: &Arc<Inspector>) {
    let interest = interest.clone();
    match ask(inspector, move |inspector| interest.names(inspector)).await {
        Ok(mut names) => {
            let topics = shared.topics();
            names.retain(|name| !topics.names().iter().any(|known| **known == **name));
            if topics.names().len().saturating_add(names.len()) >= Topics::MOST {
                let error = StageError::settings("the pattern matches more topics than one pipeline reads");
                return shared.fail(error.remedy(format!("narrow it to fewer than {} topics", Topics::MOST)));
            }
            if !names.is_empty() {
                tracing::info!("topics that match the pattern now: `{}`", names.join("`, `"));
                shared.add(&names, handle);
            }
        }
        Err(error) => tracing::debug!(%error, "new topics were not looked for"),
    }
}

/// What is being read of one topic at a moment.
struct Reading {
    epoch: u64,
    identity: Option<String>,
    /// Whether it is fetched: not while the buffer is full.
    fetching: bool,
    /// By partition the next offset to fetch.
    at: Vec<(i32, i64)>,
}

impl Reading {
    fn of(shared: &Shared, topic: &Arc<str>) -> Reading {
        let reading = shared.reading();
        let topics = shared.topics();
        let ours = reading.at.iter().filter(|(ordinal, _)| topics.topic(*ordinal) == *topic);
        Reading {
            epoch: reading.epoch,
            identity: reading.identities.get(topic).cloned(),
            fetching: reading.fetching,
            at: ours.map(|(ordinal, at)| (topics.index(*ordinal), *at)).collect(),
        }
    }
}

/// The topic now; `None` where it is not there.
fn look(inspector: &Inspector, topic: &str, partitions: Vec<i32>) -> Result<Option<Seen>, StageError> {
    let Some(found) = inspector.find(topic)? else { return Ok(None) };
    let mut bounds = HashMap::new();
    if !partitions.is_empty() {
        let first = inspector.offsets(topic, &partitions, Offset::Beginning)?;
        let end = inspector.offsets(topic, &partitions, Offset::End)?;
        bounds.extend(partitions.into_iter().zip(first.into_iter().zip(end)));
    }
    Ok(Some(Seen { identity: found.identity, bounds }))
}

/// What follows from a look.
#[derive(Debug, Default)]
struct Verdict {
    warnings: Vec<String>,
    failure: Option<StageError>,
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy)]
struct Still {
    at: i64,
    since: Instant,
    /// When to tell next, from `since`.
    tell: Duration,
}

/// Remembers earlier looks. Pure.
#[derive(Debug, Default)]
struct Judge {
    last: Option<Instant>,
    missing: Option<Instant>,
    still: HashMap<i32, Still>,
}

impl Judge {
    /// `seen`: `None` where the brokers did not answer, `Some(None)` where they have no such topic.
    fn judge(&mut self, topic: &str, reading: &Reading, seen: Option<Option<&Seen>>, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        // This process slept, or the brokers were slow: what stood still meanwhile says nothing.
        if self.last.replace(now).is_some_and(|last| now.duration_since(last) > EVERY.saturating_mul(6)) {
            self.still.clear();
        }
        let Some(seen) = seen else {
            // A broker that does not answer is another matter: it comes back, or the client says that it is away.
            *self = Judge::default();
            return verdict;
        };
        let Some(seen) = seen else {
            let since = *self.missing.get_or_insert(now);
            if now.duration_since(since) >= GONE {
                let error = StageError::state(format!("topic `{topic}` is gone"));
                let remedy = "create it again and `foretell positions forget` what is stored for the old one";
                verdict.failure = Some(error.remedy(remedy));
            }
            return verdict;
        };
        self.missing = None;
        if let Some(identity) = reading.identity.as_ref().filter(|identity| **identity != seen.identity) {
            let error = StageError::state(format!(
                "topic `{topic}` was deleted and created again while it was read (it was {identity}, and is {})",
                seen.identity
            ));
            verdict.failure = Some(error.remedy("`foretell positions forget` drops what is stored for the old one"));
            return verdict;
        }
        let mut still = HashMap::new();
        for (index, at) in &reading.at {
            let Some((first, end)) = seen.bounds.get(index) else { continue };
            let earlier = self.still.get(index).filter(|still| still.at == *at);
            // Seen twice: what was just fetched may not have been taken over yet.
            if first > at && earlier.is_some() {
                verdict.failure = Some(below_start(topic, *index, *at, *first));
                return verdict;
            }
            let fresh = Still { at: *at, since: now, tell: STILL };
            let mut stands = earlier.copied().filter(|_| reading.fetching && end > at).unwrap_or(fresh);
            let stood = now.duration_since(stands.since);
            if stood >= STUCK {
                verdict.failure = Some(stuck(topic, *index, *at, *end, stood));
                return verdict;
            }
            if stood >= stands.tell {
                stands.tell = stood.saturating_mul(2);
                verdict.warnings.push(format!(
                    "{topic}[{index}]: nothing has come from offset {at} for {} s, though the log goes on to {end}: it \
                     cannot be read there, or its broker is slow",
                    stood.as_secs()
                ));
            }
            still.insert(*index, stands);
        }
        self.still = still;
        verdict
    }
}

fn stuck(topic: &str, partition: i32, at: i64, end: i64, stood: Duration) -> StageError {
    let error = StageError::state(format!(
        "{topic}[{partition}]: nothing has come from offset {at} for {} s, though the log goes on to {end} and the broker \
         answers: a batch there cannot be read",
        stood.as_secs()
    ));
    error.remedy(
        "`kafka-dump-log.sh` on the broker shows it; `foretell positions set` to an offset behind it goes on without its \
         records",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: i64, fetching: bool) -> Reading {
        Reading { epoch: 1, identity: Some("c/1".into()), fetching, at: vec![(3, at)] }
    }

    fn seen(first: i64, end: i64) -> Seen {
        Seen { identity: "c/1".into(), bounds: [(3, (first, end))].into() }
    }

    /// Looks every two seconds; at which of them there was a warning, and at which the end.
    fn course(
        looks: usize,
        mut look: impl FnMut(usize) -> (Reading, Option<Option<Seen>>),
    ) -> (Vec<usize>, Option<(usize, String)>) {
        let (mut judge, begin) = (Judge::default(), Instant::now());
        let mut warned = Vec::new();
        for number in 0..looks {
            let (reading, seen) = look(number);
            let seen = seen.as_ref().map(Option::as_ref);
            let verdict = judge.judge("t", &reading, seen, begin + EVERY * u32::try_from(number).unwrap());
            if !verdict.warnings.is_empty() {
                warned.push(number);
            }
            if let Some(failure) = verdict.failure {
                return (warned, Some((number, failure.message)));
            }
        }
        (warned, None)
    }

    #[test]
    fn a_partition_that_stands_still_though_it_has_more_is_told_and_then_ends() {
        let (warned, end) = course(200, |_| (reading(7, true), Some(Some(seen(0, 20)))));
        assert_eq!(warned, [5, 10, 20, 40, 80]);
        let (number, text) = end.unwrap();
        assert_eq!(number, 90);
        assert!(
            text.starts_with("t[3]: nothing has come from offset 7 for 180 s, though the log goes on to 20"),
            "{text}"
        );
    }

    #[test]
    fn one_that_moves_or_is_at_its_end_or_waits_for_us_or_whose_broker_is_away_is_left_alone() {
        let moving = |number: usize| (reading(number as i64, true), Some(Some(seen(0, 1000))));
        assert_eq!(course(200, moving), (vec![], None));
        assert_eq!(course(200, |_| (reading(20, true), Some(Some(seen(0, 20))))), (vec![], None));
        assert_eq!(course(200, |_| (reading(7, false), Some(Some(seen(0, 20))))), (vec![], None));
        let away = |number: usize| (reading(7, true), (!number.is_multiple_of(4)).then(|| Some(seen(0, 20))));
        assert_eq!(course(200, away), (vec![], None));
    }

    #[test]
    fn a_process_that_slept_blames_nobody() {
        let (mut judge, begin) = (Judge::default(), Instant::now());
        for after in [0, 2, 400, 402] {
            let (reading, seen) = (reading(7, true), seen(0, 20));
            let verdict = judge.judge("t", &reading, Some(Some(&seen)), begin + Duration::from_secs(after));
            assert!(verdict.warnings.is_empty() && verdict.failure.is_none(), "{after}: {verdict:?}");
        }
    }

    #[test]
    fn a_log_that_begins_behind_the_reader_ends_it_even_when_the_buffer_is_full() {
        let (_, end) = course(9, |number| (reading(7, false), Some(Some(seen(if number > 3 { 10 } else { 0 }, 20)))));
        assert_eq!(end.unwrap(), (4, "t[3]: position 7 is below the log's start, 10: 3 offsets are gone".into()));
        // One look alone may be older than what was fetched.
        assert_eq!(course(9, |number| (reading(number as i64, true), Some(Some(seen(4, 20))))), (vec![], None));
    }

    #[test]
    fn another_topic_under_the_name_and_none_at_all_end_it() {
        let other = || Seen { identity: "c/2".into(), bounds: HashMap::new() };
        let (_, end) = course(9, |_| (reading(7, true), Some(Some(other()))));
        assert!(end.unwrap().1.contains("was deleted and created again"));
        let (_, end) = course(20, |number| (reading(7, true), Some((number < 2).then(|| seen(0, 7)))));
        assert_eq!(end.unwrap(), (10, "topic `t` is gone".into()));
        let flickering = |number: usize| (reading(7, true), Some((!number.is_multiple_of(3)).then(|| seen(0, 7))));
        assert_eq!(course(50, flickering), (vec![], None));
    }
}
