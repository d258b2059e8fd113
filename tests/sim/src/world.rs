//! What all lives share: the services as they are, the virtual clock, the faults, and the one source of randomness.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use foretell_flow::{Clock, Fault, StageError};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::check::Checker;
use crate::log::{Group, Log};
use crate::mutants::Mutant;
use crate::query::Edition;
use crate::sinks::{Target, Transaction};

/// Lines of history that a failure shows.
const HISTORY: usize = 70;

/// One process, from its start to its end.
#[derive(Debug)]
pub(crate) struct Life {
    /// The worker's stable name: its place in the group.
    pub(crate) slot: usize,
    pub(crate) alive: bool,
    /// Whether no position was stored when it began.
    pub(crate) first: bool,
    pub(crate) killed: Arc<Notify>,
}

/// How calls fail.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// One call in so many fails; 0 for none.
    pub(crate) errors: u32,
    /// One crash point in so many kills; 0 for none.
    pub(crate) kills: u32,
    /// One call in so many takes seconds; 0 for none.
    pub(crate) slow: u32,
    /// Whether calls take a random time at all.
    pub(crate) jitter: bool,
}

/// Where and when a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// Nothing happened, and the caller is told so.
    Before,
    /// It happened, and the caller does not know.
    After,
    /// It may happen later, and the caller does not know.
    Later,
}

pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) faults: Faults,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) lives: Vec<Life>,
    /// Crash points passed so far.
    pub(crate) points: u64,
    /// Crash points that kill, ascending.
    pub(crate) crash_at: VecDeque<u64>,
    pub(crate) kills: u64,
    pub(crate) log: Log,
    pub(crate) group: Group,
    pub(crate) targets: Vec<Target>,
    pub(crate) transactions: BTreeMap<u64, Transaction>,
    /// Services that are away, until when; `None` is the source.
    pub(crate) away: BTreeMap<Option<usize>, Instant>,
    /// Services that one life alone does not reach, until when.
    pub(crate) cut: BTreeMap<(usize, Option<usize>), Instant>,
    /// Every edition that there was, by the name of its recipe.
    pub(crate) editions: BTreeMap<String, Edition>,
    pub(crate) checker: Checker,
    pub(crate) history: VecDeque<String>,
    /// How many lines of history are kept.
    lines: usize,
    pub(crate) violation: Option<String>,
    pub(crate) alarm: Arc<Notify>,
    pub(crate) begun: Instant,
    /// The first life of the pipeline file as it is.
    pub(crate) era: usize,
    /// Whether clocks tell the time: else they differ, and jump.
    pub(crate) steady: bool,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>) -> World {
        World {
            random: Rng::with_seed(seed),
            faults: Faults::default(),
            mutant,
            lives: Vec::new(),
            points: 0,
            crash_at: VecDeque::new(),
            kills: 0,
            log: Log::default(),
            group: Group::default(),
            targets: Vec::new(),
            transactions: BTreeMap::new(),
            away: BTreeMap::new(),
            cut: BTreeMap::new(),
            editions: BTreeMap::new(),
            checker: Checker::default(),
            history: VecDeque::new(),
            lines: std::env::var("FORETELL_SIM_HISTORY").ok().and_then(|n| n.parse().ok()).unwrap_or(HISTORY),
            violation: None,
            alarm: Arc::new(Notify::new()),
            begun: Instant::now(),
            era: 0,
            steady: seed.is_multiple_of(2),
        }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether something that happens once in so many times happens now.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        times > 0 && self.random.u32(..times) == 0
    }

    pub(crate) fn note(&mut self, line: impl Into<String>) {
        if self.history.len() >= self.lines {
            self.history.pop_front();
        }
        let at = self.begun.elapsed();
        self.history.push_back(format!("{:9.3} {}", at.as_secs_f64(), line.into()));
    }

    /// An invariant does not hold. The first one counts.
    pub(crate) fn violated(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(format!("VIOLATION {what}"));
        if self.violation.is_none() {
            self.violation = Some(what);
        }
        self.alarm.notify_one();
    }

    pub(crate) fn kill(&mut self, life: usize, why: &str) {
        if !std::mem::replace(&mut self.lives[life].alive, false) {
            return;
        }
        self.kills += 1;
        self.note(format!("life {life} is killed {why}"));
        // Its connections break: what was not yet sent to be committed is rolled back.
        self.transactions.retain(|_, transaction| transaction.life != life || transaction.sent);
        self.lives[life].killed.notify_one();
    }

    fn is_away(&self, life: usize, service: Option<usize>) -> bool {
        let away = [self.away.get(&service), self.cut.get(&(life, service))];
        away.into_iter().flatten().any(|until| *until > Instant::now())
    }
}

/// The world, shared by everything that runs in it.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

impl Sim {
    pub(crate) fn new(world: World) -> Sim {
        Sim(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.0.lock().expect("no check panics"))
    }

    /// Does something after a while, whoever is dead by then.
    pub(crate) fn later(&self, after: Duration, work: impl FnOnce(&mut World) + Send + 'static) {
        let sim = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            sim.with(work);
        });
    }
}

/// The world as one life meets it.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) sim: Sim,
    pub(crate) life: usize,
}

impl Context {
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        self.sim.with(work)
    }

    /// A crash point: nothing of a life goes on behind the one at which it ends.
    async fn point(&self, what: &str) {
        let dead = self.with(|world| {
            if world.lives[self.life].alive {
                world.points += 1;
                let kills = world.faults.kills;
                let due = world.crash_at.front() == Some(&world.points);
                if due {
                    world.crash_at.pop_front();
                }
                if due || world.once_in(kills) {
                    world.kill(self.life, &format!("at {what}"));
                }
            }
            !world.lives[self.life].alive
        });
        if dead {
            pending::<()>().await;
        }
    }

    /// Time passes, with a crash point before and behind.
    pub(crate) async fn pause(&self, what: &str) {
        self.point(what).await;
        let delay = self.with(|world| {
            if !world.faults.jitter {
                return 1;
            }
            let slow = world.faults.slow;
            if world.once_in(slow) {
                world.random.u64(500..12_000)
            } else if world.random.u8(..4) == 0 {
                world.random.u64(1..150)
            } else {
                world.random.u64(0..4)
            }
        });
        tokio::time::sleep(Duration::from_millis(delay)).await;
        self.point(what).await;
    }

    /// Fails as the service does at this moment.
    pub(crate) fn answer(&self, service: Option<usize>, what: &str) -> Result<(), StageError> {
        self.with(|world| {
            let errors = world.faults.errors;
            if world.is_away(self.life, service) || world.once_in(errors) {
                world.note(format!("life {} {what}: away", self.life));
                return Err(StageError::unavailable(format!("{what}: away")));
            }
            Ok(())
        })
    }

    /// What becomes of a commit.
    pub(crate) fn fate(&self, service: Option<usize>) -> Fate {
        self.with(|world| {
            let errors = world.faults.errors;
            if world.is_away(self.life, service) {
                return Fate::Before;
            }
            if !world.once_in(errors / 2) {
                return Fate::Done;
            }
            [Fate::Before, Fate::After, Fate::Later][world.random.usize(..3)]
        })
    }
}

/// The clock of a machine: some are ahead, and some jump.
pub(crate) struct MachineClock {
    pub(crate) sim: Sim,
    pub(crate) ahead: i64,
}

impl Clock for MachineClock {
    fn now(&self) -> i64 {
        self.sim.with(|world| {
            let jumps = world.faults.errors > 0 && !world.steady;
            let jump = if jumps && world.once_in(50) { 86_400_000_000 } else { 0 };
            1_700_000_000_000_000
                + world.begun.elapsed().as_micros() as i64
                + if world.steady { 0 } else { self.ahead }
                + jump
        })
    }
}

pub(crate) fn unknown() -> StageError {
    StageError::new(Fault::Unavailable, "the outcome is unknown")
}
