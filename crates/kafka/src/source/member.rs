//! A worker's place in its group, once the group says that another member has its id.
//!
//! That may be a second process, or a memory: a coordinator writes down who has an id only when a rebalance is over, so
//! one that takes over from another that died may know an earlier life of this worker, and sends the living one away.
//! Two living processes must not take the id from each other for ever, and a memory must end nobody. An id that the
//! group had before this process joined, or gave to this process, is a memory: it joins again at once. Of any other it
//! looks whether it works, which its commits [tell](super::signature), and ends where it does. One that has committed
//! nothing may have died as soon as it had joined: it is waited for until the group has removed it, which it does with a
//! member that says nothing for its session.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_flow::{Event, StageError, Topics};
use parking_lot::Mutex;

use super::elsewhere;
use super::group::notes;
use super::reader::{Membership, Options, Reader, SESSION};
use super::signature::Signature;
use super::topics::named;
use crate::inspect::{Inspector, ask};
use crate::settings::Connection;

/// Between looks.
const EVERY: Duration = Duration::from_secs(1);
/// From the end of a session until the group has removed the member.
const MARGIN: Duration = Duration::from_secs(5);
/// A group whose members nobody tells is joined again after this time.
const UNSEEN: Duration = Duration::from_secs(20);
/// It joins again so often within the time below; then two processes take the id from each other after all.
const JOINS: usize = 5;
const WITHIN: Duration = Duration::from_secs(300);

/// A member of a group by a name of its own, and how to join as it.
pub(super) struct StaticMember {
    connection: Connection,
    options: Options,
    /// Its name in the group, and this process under it.
    signature: Signature,
    fence: Fence,
    /// Whether it was told that another one has the id, and has not joined again since.
    out: bool,
}

impl StaticMember {
    /// `None` for who joins no group.
    pub(super) fn new(connection: &Connection, options: &Options) -> Option<StaticMember> {
        let Membership::Static { name, .. } = &options.membership else { return None };
        let session = connection.options.get("session.timeout.ms").unwrap_or_else(|| SESSION.into());
        let session = session.parse().map_or(Duration::from_secs(60), Duration::from_millis);
        Some(StaticMember {
            connection: connection.clone(),
            options: options.clone(),
            signature: Signature::new(name),
            fence: Fence::new(session),
            out: false,
        })
    }

    /// What stands in the notes of its commits.
    pub(super) fn signature(&self) -> Signature {
        self.signature.clone()
    }

    /// Who has the id before it joins is an earlier life, and so is who has committed under it. Blocks.
    pub(super) fn look(&mut self, inspector: &Inspector, topics: &Topics) {
        let name = &self.signature.member;
        if let Holder::Member(id) = holder(inspector, &self.options.group, name) {
            self.fence.earlier.insert(id);
        }
        self.fence.lives = lives(inspector, topics, name);
    }

    /// How many members of the group live and keep [elsewhere](super::elsewhere) what earlier batches were made with.
    pub(super) async fn elsewhere(&self, inspector: &Arc<Inspector>) -> Result<usize, StageError> {
        let begun = Instant::now();
        loop {
            let (group, own) = (self.options.group.clone(), self.options.client.clone());
            let found = ask(inspector, move |inspector| {
                // A group that may not be read is no reason to stop.
                Ok(inspector.members(&group).map_or(0, |members| elsewhere::count(&members, &own)))
            });
            let found = found.await?;
            // Of those that are gone the group has removed all by then.
            if found == 0 || begun.elapsed() > self.fence.session.saturating_add(MARGIN) {
                return Ok(found);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// A client that joins.
    pub(super) fn join(&self, topics: &Arc<Mutex<Topics>>, inspector: &Arc<Inspector>) -> Result<Reader, StageError> {
        Reader::start(&self.connection, topics.clone(), self.options.clone(), inspector.clone())
    }

    /// Another member has the id; `own` is the one that this had. What the pipeline hears; `None`: it is to join again.
    pub(super) async fn fenced(
        &mut self,
        topics: &Topics,
        inspector: &Arc<Inspector>,
        own: Option<String>,
        wait: Duration,
    ) -> Result<Option<Event>, StageError> {
        let (read, group, name) = (topics.clone(), self.options.group.clone(), self.signature.member.clone());
        let topics = named(topics);
        if !self.out {
            self.out = true;
            self.fence.earlier.extend(own);
            tracing::warn!(
                "{topics}: another member of the group `{group}` has the id `{name}`: looking whether it lives"
            );
            return Ok(Some(Event::Revoked));
        }
        let (asked, of) = (group.clone(), name.clone());
        let found = ask(inspector, move |inspector| Ok((lives(inspector, &read, &of), holder(inspector, &asked, &of))));
        let (working, holder) = found.await?;
        let works = working.is_some_and(|working| self.fence.is_new(&working, &self.signature.life));
        let found = if works { Holder::Works } else { holder };
        match self.fence.judge(found, Instant::now()) {
            Verdict::Wait => {
                tokio::time::sleep(wait.min(EVERY)).await;
                Ok(Some(Event::Idle))
            }
            Verdict::Join => {
                self.out = false;
                tracing::info!(
                    "{topics}: no living process has the id `{name}` in the group `{group}`: joining it again"
                );
                Ok(None)
            }
            Verdict::Taken => {
                let error = StageError::settings(format!("{topics}: another process joined the group as `{name}`"));
                Err(error
                    .remedy("each worker needs an id of its own: `--worker-id`; or this is an old process: let it end"))
            }
        }
    }
}

fn holder(inspector: &Inspector, group: &str, name: &str) -> Holder {
    let Some(members) = inspector.members(group) else { return Holder::Unknown };
    let member = members.into_iter().find(|member| is_of(&member.id, name));
    member.map_or(Holder::Nobody, |member| Holder::Member(member.id))
}

/// The lives of a member of this name that have committed last; `None` where the group does not answer.
fn lives(inspector: &Inspector, topics: &Topics, name: &str) -> Option<HashSet<String>> {
    let signatures = notes(inspector, topics).ok()?.into_iter().filter_map(|note| Signature::of(&note));
    Some(signatures.filter(|signature| signature.member == name).map(|signature| signature.life).collect())
}

/// Whether a group gave this id to a member of this name: it is the name, `-`, and a UUID.
fn is_of(id: &str, name: &str) -> bool {
    let uuid = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    uuid.is_some_and(|uuid| uuid.len() == 36 && uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()))
}

/// Who has the name in the group.
#[derive(Debug, Clone)]
enum Holder {
    /// The group did not answer.
    Unknown,
    Nobody,
    Member(String),
    /// Another process, which has committed since this one began.
    Works,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wait,
    Join,
    /// A living process has it.
    Taken,
}

/// Remembers earlier looks. Pure.
#[derive(Debug)]
struct Fence {
    session: Duration,
    /// Ids that the group had under this name before this process joined, or gave to this process.
    earlier: HashSet<String>,
    /// Processes that had committed under this name before this one; where that is not known, commits tell nothing.
    lives: Option<HashSet<String>>,
    /// Another one, and since when.
    seen: Option<(String, Instant)>,
    /// Since when the group does not answer.
    unseen: Option<Instant>,
    /// When it joined again.
    joins: VecDeque<Instant>,
}

impl Fence {
    fn new(session: Duration) -> Fence {
        let (earlier, joins) = (HashSet::new(), VecDeque::new());
        Fence { session, earlier, lives: None, seen: None, unseen: None, joins }
    }

    /// Whether one of these processes began to work after `own` did.
    fn is_new(&self, working: &HashSet<String>, own: &str) -> bool {
        let new = |life: &String| life != own && self.lives.as_ref().is_some_and(|known| !known.contains(life));
        working.iter().any(new)
    }

    fn judge(&mut self, holder: Holder, now: Instant) -> Verdict {
        let Holder::Unknown = holder else {
            self.unseen = None;
            return match holder {
                Holder::Works => Verdict::Taken,
                Holder::Member(id) if !self.earlier.contains(&id) => self.another(id, now),
                _ => self.join(now),
            };
        };
        // The next coordinator counts the session anew.
        self.seen = None;
        let since = *self.unseen.get_or_insert(now);
        if now.duration_since(since) < UNSEEN { Verdict::Wait } else { self.join(now) }
    }

    fn another(&mut self, id: String, now: Instant) -> Verdict {
        match &self.seen {
            Some((known, since)) if *known == id => {
                let lives = now.duration_since(*since) > self.session.saturating_add(MARGIN);
                if lives { Verdict::Taken } else { Verdict::Wait }
            }
            _ => {
                self.seen = Some((id, now));
                Verdict::Wait
            }
        }
    }

    fn join(&mut self, now: Instant) -> Verdict {
        self.joins.retain(|joined| now.duration_since(*joined) < WITHIN);
        if self.joins.len() >= JOINS {
            return Verdict::Taken;
        }
        self.joins.push_back(now);
        (self.seen, self.unseen) = (None, None);
        Verdict::Join
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every second, from when it was sent away; the first verdict that is not to wait, and its second.
    fn course(fence: &mut Fence, mut look: impl FnMut(u64) -> Holder) -> Option<(u64, Verdict)> {
        let begin = Instant::now();
        (0..300).find_map(|second| match fence.judge(look(second), begin + Duration::from_secs(second)) {
            Verdict::Wait => None,
            verdict => Some((second, verdict)),
        })
    }

    fn fence() -> Fence {
        let mut fence = Fence::new(Duration::from_secs(20));
        fence.earlier.extend(["w-before".into(), "w-own".into()]);
        fence
    }

    fn member(id: &str) -> Holder {
        Holder::Member(id.into())
    }

    #[test]
    fn a_memory_of_the_coordinator_is_not_waited_for() {
        for holder in [member("w-before"), member("w-own"), Holder::Nobody] {
            assert_eq!(course(&mut fence(), |_| holder.clone()), Some((0, Verdict::Join)), "{holder:?}");
        }
    }

    #[test]
    fn a_name_that_begins_with_another_one_is_another_member() {
        let id = "orders-1-9f3c6a1e-0a4b-4c55-8a7e-0d5f4a2b1c3d";
        assert!(is_of(id, "orders-1"));
        for name in ["orders", "orders-", "orders-1-9f3c6a1e", "rders-1", "", id] {
            assert!(!is_of(id, name), "{name}");
        }
    }

    #[test]
    fn another_member_is_waited_for_and_ends_this_one_if_it_lives() {
        assert_eq!(course(&mut fence(), |_| member("w-other")), Some((26, Verdict::Taken)));
        let dies = |second| if second < 21 { member("w-other") } else { Holder::Nobody };
        assert_eq!(course(&mut fence(), dies), Some((21, Verdict::Join)));
    }

    #[test]
    fn another_process_that_works_ends_this_one_at_once() {
        let works = |second| if second < 2 { member("w-other") } else { Holder::Works };
        assert_eq!(course(&mut fence(), works), Some((2, Verdict::Taken)));
    }

    #[test]
    fn an_earlier_life_is_no_other_process_and_nor_is_what_is_not_known() {
        let lives = |lives: &[&str]| lives.iter().map(|life| (*life).to_string()).collect::<HashSet<String>>();
        let mut fence = fence();
        assert!(!fence.is_new(&lives(&["before", "own", "other"]), "own"), "the group did not answer at first");
        fence.lives = Some(lives(&["before"]));
        assert!(!fence.is_new(&lives(&["before", "own"]), "own"));
        assert!(fence.is_new(&lives(&["before", "other"]), "own"));
    }

    #[test]
    fn a_coordinator_that_goes_meanwhile_begins_the_session_anew() {
        let goes = |second| match second {
            20..28 => Holder::Unknown,
            ..48 => member("w-other"),
            _ => Holder::Nobody,
        };
        assert_eq!(course(&mut fence(), goes), Some((48, Verdict::Join)));
        assert_eq!(course(&mut fence(), |_| Holder::Unknown), Some((20, Verdict::Join)));
    }

    #[test]
    fn two_that_take_it_from_each_other_do_so_a_few_times() {
        let (mut fence, now) = (fence(), Instant::now());
        let mut verdicts = (0..6).map(|_| fence.judge(Holder::Nobody, now));
        assert!(verdicts.by_ref().take(JOINS).all(|verdict| verdict == Verdict::Join));
        assert_eq!(verdicts.next(), Some(Verdict::Taken));
        assert_eq!(fence.judge(Holder::Nobody, now + WITHIN), Verdict::Join);
    }
}
