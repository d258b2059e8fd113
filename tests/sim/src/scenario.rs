//! One run: lives of workers under faults, edits of the pipeline between them, and the end, at which all must be well.

mod crashes;
mod edits;
mod lives;
mod remedies;
mod themes;
mod trouble;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use foretell_flow::testing::break_step;
use foretell_flow::*;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::log::{LogPartition, SECRET, SESSION, SimSource, known_topics};
use crate::mutants::Mutant;
use crate::query::{COLUMNS, Edition, Factory, Input, SinkEntry};
use crate::sinks::{Entry, KINDS, Kind, PIPELINE, SimSink, Target};
use crate::world::{Context, Faults, Life, MachineClock, Sim, World};
pub(crate) use themes::Theme;

/// How long all may take to be stored once nothing fails any more.
const RECOVERY: Duration = Duration::from_secs(15 * 60);

/// How long a worker that is told to stop may take.
const STOPPING: Duration = Duration::from_secs(120);

/// What a run is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) mutant: Option<Mutant>,
    /// Two workers, two sinks of each kind, three batches, no fault but crashes at these points.
    pub(crate) crash_at: Option<Vec<u64>>,
    /// What it is about, where that is one interleaving.
    pub(crate) theme: Option<Theme>,
}

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) violation: Option<String>,
    pub(crate) history: Vec<String>,
    pub(crate) points: u64,
    pub(crate) kills: u64,
    pub(crate) commits: u64,
    pub(crate) rows: u64,
    /// The most bytes that were under way in a worker.
    pub(crate) most: usize,
    /// What happened, and how often: edits, and stops that asked a person.
    pub(crate) happened: BTreeMap<&'static str, u32>,
}

/// Runs it on a clock that no other run sees.
pub(crate) fn run(run: &Run) -> Report {
    break_step(run.mutant.and_then(Mutant::step));
    crate::logs::watch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let report: Report = runtime.expect("a runtime").block_on(async {
        let mut driver = Driver::new(run);
        match (&run.crash_at, run.theme) {
            (Some(_), _) => driver.crash_points().await,
            (None, Some(theme)) => driver.themed(theme).await,
            (None, None) => driver.lives().await,
        }
        driver.report()
    });
    let mut report = report;
    if crate::logs::a_value_was_told() && report.violation.is_none() {
        report.violation = Some("13: the log tells a record's value".into());
    }
    break_step(None);
    report
}

/// A worker that runs.
struct Running {
    life: usize,
    task: JoinHandle<Option<Result<(), StageError>>>,
    shutdown: CancellationToken,
    stats: Arc<Stats>,
}

/// What a start must ask a person, and the remedy.
enum Expected {
    Renamed { target: usize, old: String, new: String },
    Deleted { target: usize, name: String, entries: BTreeMap<i32, Entry> },
    Truncated,
}

/// Why an era ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    After(Duration),
    /// Every sink has everything.
    Level,
}

struct Driver {
    sim: Sim,
    random: Rng,
    edition: Edition,
    /// The columns, the scope and the recipe of before, where plans of it may be left over.
    before: Option<Edition>,
    removed: Vec<SinkEntry>,
    expected: Vec<Expected>,
    backups: VecDeque<(usize, Target)>,
    names: u32,
    workers: usize,
    sliced: bool,
    limits: Limits,
    happened: BTreeMap<&'static str, u32>,
    exhaustive: bool,
    /// Whether a person said that sinks without positions are new ones.
    all_new: bool,
    /// Whether a person gave records up.
    gave_up: bool,
    /// Whether sinks have different histories: one was out, or lost what it had.
    differ: bool,
    /// Whether nothing is edited but which sinks there are.
    churn: bool,
    /// Whether a query over whole batches is followed by one that workers share, while sinks lag.
    narrows: bool,
    /// Whether workers often go on with partitions that they lost.
    zombies: bool,
    /// The most bytes that were under way.
    most: usize,
    /// How often the file of before was run because of batches that today's cannot make.
    going_back: u32,
    /// Whether that is what runs.
    is_back: bool,
    /// Whether it met a batch that it cannot make either.
    turned: bool,
}

impl Driver {
    fn new(run: &Run) -> Driver {
        let mut world = World::new(run.seed, run.mutant);
        world.crash_at = run.crash_at.iter().flatten().copied().collect();
        let (exhaustive, themed) = (run.crash_at.is_some(), run.theme.is_some());
        world.steady |= themed;
        let mut random = Rng::with_seed(run.seed ^ 0x5851_f42d_4c95_7f2d);
        let partitions = if exhaustive { 2 } else { random.usize(1..4) };
        world.log.partitions = vec![LogPartition::default(); partitions];
        world.log.budget = if exhaustive { 24 } else { random.i64(30..90) };
        world.log.latest = !exhaustive && !themed && random.u8(..4) == 0;
        for index in 0..partitions {
            let records = if exhaustive { 12 } else { random.i64(0..10) };
            world.log.append(index, records);
        }
        // What is rare by itself is what some seeds are about.
        let of_seed = |rest| !exhaustive && !themed && run.seed % 16 == rest;
        let (narrows, zombies) = (of_seed(5), of_seed(12));
        let scope = match random.u8(..6) {
            _ if exhaustive || zombies || themed => Scope::Record,
            _ if narrows => Scope::Batch,
            0 => Scope::Batch,
            1 => Scope::Partition,
            _ => Scope::Record,
        };
        let limits = Limits {
            rows: if exhaustive { 8 } else { random.usize(4..14) },
            bytes: 1 << 20,
            window: random.usize(3_000..30_000),
            slice: random.usize(2..5),
        };
        let churn = !exhaustive && scope == Scope::Record && random.u8(..4) == 0;
        let mut driver = Driver {
            sim: Sim::new(world),
            edition: Edition { recipe: "q0".into(), columns: COLUMNS.to_vec(), scope, model: 0, sinks: Vec::new() },
            before: None,
            removed: Vec::new(),
            expected: Vec::new(),
            backups: VecDeque::new(),
            names: 0,
            workers: if exhaustive { 2 } else { random.usize(1..4) },
            narrows,
            zombies,
            sliced: !exhaustive && !themed && random.u8(..5) == 0,
            limits,
            happened: BTreeMap::new(),
            exhaustive,
            all_new: false,
            gave_up: false,
            differ: false,
            churn,
            most: 0,
            going_back: 0,
            is_back: false,
            turned: false,
            random,
        };
        if narrows || zombies {
            driver.workers = driver.workers.max(2);
        }
        if themed {
            return driver;
        }
        let kinds = match exhaustive {
            true => vec![Kind::Compare, Kind::Fence, Kind::Log],
            false if zombies => vec![Kind::Compare, Kind::Compare, Kind::Log],
            false if narrows => vec![Kind::Compare, Kind::Log, Kind::Fence],
            false if churn => (0..4).map(|_| driver.kind()).collect(),
            false => (0..driver.random.usize(1..4)).map(|_| driver.kind()).collect(),
        };
        for kind in kinds {
            let sink = driver.sink(kind, Input::Result, false);
            driver.edition.sinks.push(sink);
        }
        if exhaustive || driver.random.u8(..6) > 0 {
            let kind = if exhaustive { Kind::Compare } else { driver.kind() };
            let letters = driver.sink(kind, Input::DeadLetters, false);
            driver.edition.sinks.push(letters);
        }
        driver.recipe();
        driver
    }

    fn kind(&mut self) -> Kind {
        // A single writer leaves one worker: most runs have several.
        if self.random.u8(..8) == 0 { Kind::Single } else { KINDS[self.random.usize(..3)] }
    }

    fn sink(&mut self, kind: Kind, input: Input, backfill: bool) -> SinkEntry {
        self.names += 1;
        let target = self.sim.with(|world| {
            world.targets.push(Target::new(kind, input));
            world.targets.len() - 1
        });
        SinkEntry {
            name: format!("{}{}", ["a", "b", "c", "d"][kind as usize], self.names),
            target,
            kind,
            input,
            backfill,
        }
    }

    /// The edition of today is kept where plans find it again.
    fn recipe(&mut self) {
        let edition = self.edition.clone();
        self.sim.with(|world| {
            world.editions.entry(edition.recipe.clone()).or_insert_with(|| edition.clone());
            world.checker.other_scopes |= edition.scope != Scope::Record;
            world.checker.whole_batches |= edition.scope == Scope::Batch;
            world.checker.sinks = edition.sinks.iter().map(|sink| (sink.target, sink.name.clone())).collect();
            world.checker.backfill =
                edition.sinks.iter().filter(|sink| sink.backfill).map(|sink| sink.name.clone()).collect();
            let names: Vec<&str> = edition.sinks.iter().map(|sink| sink.name.as_str()).collect();
            world.note(format!(
                "edition {} {:?} model {}: {}",
                edition.recipe,
                edition.scope,
                edition.model,
                names.join(" ")
            ));
        });
    }

    fn new_recipe(&mut self) {
        self.names += 1;
        self.edition.recipe = format!("q{}", self.names);
        self.recipe();
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
        self.sim.with(|world| world.note(format!("== {what}")));
    }

    fn failed(&self) -> bool {
        self.sim.with(|world| world.violation.is_some())
    }

    fn violated(&self, what: String) {
        self.sim.with(|world| world.violated(what));
    }

    fn report(self) -> Report {
        self.sim.with(|world| Report {
            violation: world.violation.clone(),
            history: world.history.drain(..).collect(),
            points: world.points,
            kills: world.kills,
            commits: world.checker.commits,
            rows: world.checker.rows,
            most: self.most,
            happened: self.happened,
        })
    }

    // -------------------------------------------------------------- workers

    /// Whether one worker must have all partitions.
    fn one_worker(&self) -> bool {
        let many = self.sim.with(|world| world.is(Mutant::SingleWritersAreMany));
        self.edition.scope == Scope::Batch || (!many && self.edition.sinks.iter().any(|sink| sink.kind == Kind::Single))
    }

    fn start(&mut self, slot: usize, faults: bool) -> Running {
        let killed = Arc::new(Notify::new());
        let (life, topics) = self.sim.with(|world| {
            let partitions = world.log.partitions.len();
            let topics = known_topics(world);
            let first = topics.is_empty();
            // Until a position is stored, each start is the first.
            if world.log.at_first.is_none() || first {
                world.log.at_first = Some(partitions);
            }
            world.lives.push(Life { slot, alive: true, first, killed: killed.clone() });
            (world.lives.len() - 1, topics)
        });
        let context = Context { sim: self.sim.clone(), life };
        let exclusive = self.edition.scope == Scope::Batch;
        let trigger = match self.random.u8(..5) {
            _ if !faults => Trigger::Continuous,
            0 => Trigger::AvailableNow,
            1 => Trigger::Every(Duration::from_millis(self.random.u64(50..500))),
            _ => Trigger::Continuous,
        };
        let sliced = self.sliced && self.edition.scope == Scope::Record;
        let many = self.sim.with(|world| world.is(Mutant::SingleWritersAreMany));
        let stage = |sink: &SinkEntry| {
            let schema = self.edition.schema_of(sink.input);
            let atomic = exclusive || sliced || sink.kind != Kind::Fence;
            let single = sink.kind == Kind::Single && !many;
            SinkStage {
                name: sink.name.clone(),
                inner: Box::new(SimSink::new(context.clone(), sink.target, sink.name.clone(), schema.clone(), atomic)),
                traits: SinkTraits {
                    keeps_positions: true,
                    sharing: if single { Sharing::Single } else { Sharing::Shared },
                    atomic,
                    slices: sliced,
                },
                input: if sink.input == Input::DeadLetters { SinkInput::DeadLetters } else { SinkInput::Results },
                schema,
                chosen: false,
                backfill: sink.backfill,
                new: self.all_new,
                home: String::new(),
            }
        };
        let stats = Arc::new(Stats::default());
        let worker = Worker {
            source: Box::new(SimSource::new(context.clone())),
            sinks: self.edition.sinks.iter().map(stage).collect(),
            factory: Arc::new(Factory { sim: self.sim.clone(), today: self.edition.clone() }),
            settings: Settings {
                pipeline: PIPELINE.into(),
                worker: slot.to_string(),
                trigger,
                limits: self.limits,
                on_bad_record: OnBadRecord::Continue,
                known_topics: topics,
                exclusive,
                sliced,
                state: String::new(),
            },
            clock: Arc::new(MachineClock { sim: self.sim.clone(), ahead: slot as i64 * 3_000_000 }),
            stats: stats.clone(),
        };
        self.sim.with(|world| world.note(format!("life {life} starts as worker {slot}, {trigger:?}")));
        let shutdown = CancellationToken::new();
        let told = shutdown.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = killed.notified() => None,
                ended = worker.run(told) => Some(ended),
            }
        });
        Running { life, task, shutdown, stats }
    }

    /// Nothing of a life goes on.
    fn bury(&self, life: usize) {
        self.sim.with(|world| {
            world.lives[life].alive = false;
            world.leave(life);
        });
    }

    /// Stops workers, by a signal or by force.
    async fn stop(&mut self, running: Vec<Option<Running>>, gently: bool) {
        for worker in running.into_iter().flatten() {
            if gently {
                worker.shutdown.cancel();
                match tokio::time::timeout(STOPPING, worker.task).await {
                    Err(_) => self.violated(format!("10: life {} does not stop when it is told to", worker.life)),
                    Ok(Err(_)) => self.violated(format!("12: life {} panicked", worker.life)),
                    Ok(Ok(Some(Err(error)))) if matches!(error.fault, Fault::Defect | Fault::Data) => {
                        self.violated(format!("12: life {}: {error}", worker.life));
                    }
                    Ok(Ok(_)) => {}
                }
            } else {
                self.sim.with(|world| world.kill(worker.life, "at the end"));
            }
            self.bury(worker.life);
        }
    }

    // -------------------------------------------------------------- eras

    /// Lives of one edition. Returns what a person is asked, if anything.
    async fn era(&mut self, until: Until, faults: Faults) -> Option<StageError> {
        // While what was renamed or deleted is not what is stored, a start asks.
        let asks = |expected: &Expected| match expected {
            Expected::Renamed { target, .. } | Expected::Deleted { target, .. } => {
                self.edition.sinks.iter().any(|sink| sink.target == *target)
            }
            Expected::Truncated => false,
        };
        let asks = self.expected.iter().any(asks);
        self.sim.with(|world| {
            world.faults = faults;
            world.era = world.lives.len();
            if !asks {
                world.mark_anew();
            }
        });
        let failing = faults.errors > 0;
        let intruder = failing && self.random.u8(..10) == 0;
        let count = if self.one_worker() { 1 + usize::from(intruder) } else { self.workers };
        let mut running: Vec<Option<Running>> = (0..count).map(|_| None).collect();
        let mut due = vec![Instant::now(); count];
        let begun = Instant::now();
        let mut level_since = None;
        let asked = loop {
            for slot in 0..count {
                if running[slot].is_none() && due[slot] <= Instant::now() {
                    running[slot] = Some(self.start(slot, failing));
                }
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(10..300))).await;
            if self.failed() {
                break None;
            }
            let mut asked = None;
            for slot in 0..count {
                if running[slot].as_ref().is_none_or(|worker| !worker.task.is_finished()) {
                    continue;
                }
                let worker = running[slot].take().expect("it is there");
                let wait = self.random.u64(0..4_000);
                due[slot] = Instant::now() + Duration::from_millis(wait);
                match worker.task.await {
                    Ok(None) => {
                        let life = worker.life;
                        self.sim.later(SESSION, move |world| world.leave(life));
                        continue;
                    }
                    Ok(Some(Ok(()))) => {}
                    Ok(Some(Err(error))) => match error.fault {
                        _ if error.to_string().contains(SECRET) => self.violated(format!("13: {error}")),
                        Fault::State => asked = Some(error),
                        Fault::Settings if error.message.contains("another worker runs the same pipeline") => {
                            *self.happened.entry("a second worker is refused").or_default() += 1;
                        }
                        _ => self.violated(format!("10: life {} ends: {:?}: {error}", worker.life, error.fault)),
                    },
                    Err(_) => self.violated(format!("12: life {} panicked", worker.life)),
                }
                self.bury(worker.life);
            }
            if asked.is_some() {
                break asked;
            }
            match until {
                Until::After(time) if begun.elapsed() > time => break None,
                Until::After(_) => {}
                Until::Level => {
                    self.sim.with(|world| {
                        let index = world.random.usize(..world.log.partitions.len());
                        world.log.append(index, 3);
                    });
                    let level = self.is_level();
                    if level && level_since.is_none() {
                        level_since = Some(Instant::now());
                    }
                    // Whoever measures the lag has looked by then.
                    if level_since.is_some_and(|since: Instant| since.elapsed() > Duration::from_secs(6)) {
                        for worker in running.iter().flatten().filter(|worker| !worker.task.is_finished()) {
                            let lag = worker.stats.snapshot().lag;
                            if lag.is_some_and(|lag| lag != 0) {
                                self.violated(format!(
                                    "10: all is stored, and life {} tells a lag of {lag:?}",
                                    worker.life
                                ));
                            }
                        }
                        break None;
                    }
                    if begun.elapsed() > RECOVERY {
                        self.violated(format!(
                            "10: nothing fails any more, and sinks still lack records: {}",
                            self.positions()
                        ));
                        break None;
                    }
                }
            }
            self.check_bounds(&running);
            if failing {
                self.trouble(&mut running);
            }
        };
        let gently = asked.is_none() && (until == Until::Level || self.random.bool());
        self.stop(running, gently).await;
        self.all_new = false;
        asked
    }

    /// What is under way fits into the window, but for one batch that is larger.
    fn check_bounds(&mut self, running: &[Option<Running>]) {
        for worker in running.iter().flatten() {
            let report = worker.stats.monitor.report();
            self.most = self.most.max(report.bytes);
            if report.bytes > self.limits.window {
                self.violated(format!(
                    "11: {} bytes of {} batches are under way, and the window has {}",
                    report.bytes, report.batches, self.limits.window
                ));
            }
        }
    }

    fn is_level(&self) -> bool {
        self.sim.with(|world| {
            world.log.budget == 0
                && self.edition.sinks.iter().all(|sink| {
                    let entries = world.targets[sink.target].progress.get(&sink.name);
                    world.log.partitions.iter().enumerate().all(|(index, log)| {
                        entries.and_then(|e| e.get(&(index as i32))).is_some_and(|entry| entry.next == log.end)
                    })
                })
        })
    }

    fn positions(&self) -> String {
        self.sim.with(|world| {
            let of = |sink: &SinkEntry| {
                let entries = world.targets[sink.target].progress.get(&sink.name).into_iter().flatten();
                let entries: Vec<String> = entries.map(|(index, entry)| format!("{index}:{}", entry.next)).collect();
                format!("{} {}", sink.name, entries.join(","))
            };
            let sinks: Vec<String> = self.edition.sinks.iter().map(of).collect();
            let ends: Vec<i64> = world.log.partitions.iter().map(|log| log.end).collect();
            format!("{}; ends {ends:?}", sinks.join("; "))
        })
    }
}
