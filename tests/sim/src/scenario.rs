//! One run: lives of workers under faults, edits of the pipeline between them, and the end, at which all must be well.

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
        if run.crash_at.is_some() {
            driver.crash_points().await
        } else {
            driver.lives().await
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
        let exhaustive = run.crash_at.is_some();
        let mut random = Rng::with_seed(run.seed ^ 0x5851_f42d_4c95_7f2d);
        let partitions = if exhaustive { 2 } else { random.usize(1..4) };
        world.log.partitions = vec![LogPartition::default(); partitions];
        world.log.budget = if exhaustive { 24 } else { random.i64(30..90) };
        world.log.latest = !exhaustive && random.u8(..4) == 0;
        for index in 0..partitions {
            let records = if exhaustive { 12 } else { random.i64(0..10) };
            world.log.append(index, records);
        }
        // What is rare by itself is what some seeds are about.
        let (narrows, zombies) = (!exhaustive && run.seed % 16 == 5, !exhaustive && run.seed % 16 == 10);
        let scope = match random.u8(..6) {
            _ if exhaustive || zombies => Scope::Record,
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
            sliced: !exhaustive && random.u8(..5) == 0,
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

    /// What happens to workers and services while they run.
    fn trouble(&mut self, running: &mut [Option<Running>]) {
        let what = self.random.u8(..40);
        let slot = self.random.usize(..running.len());
        let seconds = self.random.u64(1..20);
        let long = self.random.u64(5..70);
        match what {
            0..2 => {
                if let Some(worker) = &running[slot] {
                    self.sim.with(|world| world.kill(worker.life, "from outside"));
                }
            }
            2 => {
                if let Some(worker) = &running[slot] {
                    worker.shutdown.cancel();
                }
            }
            3..6 => self.sim.with(World::rebalance),
            6..8 => self.sim.with(|world| {
                let seconds = seconds.min(8);
                let until = Instant::now() + Duration::from_secs(seconds);
                if let Some(member) = world.group.members.get_mut(&slot) {
                    member.deaf_until = until;
                }
                world.note(format!("worker {slot} hears nothing of the group for {seconds} s"));
                world.rebalance();
            }),
            8..10 => {
                let service = self.random.usize(..self.edition.sinks.len() + 1);
                let service = self.edition.sinks.get(service).map(|sink| sink.target);
                self.sim.with(|world| {
                    world.away.insert(service, Instant::now() + Duration::from_secs(seconds));
                    world.note(format!("{service:?} is away for {seconds} s"));
                });
            }
            10..16 => self.sim.with(|world| {
                let index = world.random.usize(..world.log.partitions.len());
                let records = world.random.i64(1..8);
                world.log.append(index, records);
            }),
            16 if self.sim.with(|world| world.log.partitions.len()) < 4 => {
                self.count("a partition is added");
                self.sim.with(|world| {
                    world.log.partitions.push(LogPartition::default());
                    let index = world.log.partitions.len() - 1;
                    world.log.append(index, 4);
                    world.rebalance();
                });
            }
            17..20 => {
                let target = self.edition.sinks[self.random.usize(..self.edition.sinks.len())].target;
                let backup = self.sim.with(|world| world.targets[target].clone());
                if self.backups.len() == 6 {
                    self.backups.pop_front();
                }
                self.backups.push_back((target, backup));
            }
            // Who compares sees it; a topic's or a folder's own lost writes are outside the promise.
            21..23 => {
                let service = self.edition.sinks[self.random.usize(..self.edition.sinks.len())].target;
                if let Some(worker) = &running[slot] {
                    self.sim.with(|world| {
                        world.cut.insert((worker.life, Some(service)), Instant::now() + Duration::from_secs(long));
                        world.note(format!("life {} does not reach {service} for {long} s", worker.life));
                        world.rebalance();
                    });
                }
            }
            // Where plans are to be left over, sinks are away for long; where workers are to be zombies, they hear nothing.
            23 | 24 if self.churn || self.narrows => {
                let results = self.edition.sinks.iter().filter(|sink| sink.input != Input::DeadLetters);
                let targets: Vec<usize> = results.map(|sink| sink.target).collect();
                let target = targets[self.random.usize(..targets.len())];
                self.sim.with(|world| {
                    world.away.insert(Some(target), Instant::now() + Duration::from_secs(long));
                    world.note(format!("{target} is away for {long} s"));
                });
            }
            23..28 if self.zombies => self.sim.with(|world| {
                if let Some(member) = world.group.members.get_mut(&slot) {
                    member.deaf_until = Instant::now() + Duration::from_secs(8);
                }
                world.note(format!("worker {slot} hears nothing of the group for 8 s"));
                world.rebalance();
                let index = world.random.usize(..world.log.partitions.len());
                let records = world.random.i64(1..4);
                world.log.append(index, records);
            }),
            20 if self.backups.front().is_some_and(|(_, backup)| backup.kind == Kind::Compare) => self.lose_commits(),
            _ => {}
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

    // -------------------------------------------------------------- edits

    /// A database fails over to a copy that lags, or a backup is put back.
    fn lose_commits(&mut self) {
        let Some((target, backup)) = self.backups.pop_front() else { return };
        let Some(sink) = self.edition.sinks.iter().find(|sink| sink.target == target).cloned() else { return };
        let lost = self.sim.with(|world| {
            let Some(then) = backup.progress.get(&sink.name).filter(|entries| !entries.is_empty()) else {
                return false;
            };
            let now = world.targets[target].progress.get(&sink.name).cloned().unwrap_or_default();
            // A backup from before a partition was claimed lacks its position: see docs/reliability.md.
            let lacks = now.keys().any(|index| !then.contains_key(index));
            if lacks || backup.progress.len() != 1 || world.targets[target].progress.len() != 1 {
                return false;
            }
            for (index, entry) in &now {
                let from = then.get(index).map_or(entry.begin, |then| then.next);
                world.checker.replanned(*index, from, entry.next);
                world.anew(*index, from, entry.next);
                world.checker.forget(target, *index, from);
                world.checker.losses.push((world.lives.len(), *index, entry.next));
            }
            world.checker.lost.insert(target, world.lives.len());
            // Whoever is about to commit there does it no more.
            world.transactions.retain(|_, transaction| transaction.target != target);
            world.targets[target].restore(&backup);
            world.note(format!("{} loses commits", sink.name));
            true
        });
        if lost {
            self.count("a sink loses commits");
            self.differ = true;
        }
    }

    fn edit(&mut self) {
        let results: Vec<usize> =
            (0..self.edition.sinks.len()).filter(|at| self.edition.sinks[*at].input != Input::DeadLetters).collect();
        let one = results[self.random.usize(..results.len())];
        let what = match self.churn {
            _ if self.narrows && self.edition.scope == Scope::Batch && self.before.is_none() => 8,
            true => [0, 3, 3, 4, 4, 4][self.random.usize(..6)],
            false => self.random.u8(..13),
        };
        match what {
            0 | 1 => {
                self.count("sinks are reordered");
                self.random.shuffle(&mut self.edition.sinks);
                self.edition.sinks.sort_by_key(|sink| sink.input == Input::DeadLetters);
                self.recipe();
            }
            2 if self.edition.sinks.len() < 5 => {
                self.count("a sink is added");
                let kind = self.kind();
                let input = if self.random.bool() { Input::View } else { Input::Result };
                let backfill = self.random.u8(..3) == 0 && !self.sim.with(|world| world.log.latest);
                let sink = self.sink(kind, input, backfill);
                let at = self.random.usize(..results.len() + 1);
                self.edition.sinks.insert(at, sink);
                self.new_recipe();
            }
            3 if results.len() > 1 => {
                self.count("a sink is removed");
                let sink = self.edition.sinks.remove(one);
                self.take_out(&sink);
                self.removed.push(sink);
                self.recipe();
            }
            4 if !self.removed.is_empty() => {
                self.count("a sink comes again");
                let sink = self.removed.remove(self.random.usize(..self.removed.len()));
                self.come_again(&sink);
                self.differ = true;
                let at = self.random.usize(..results.len() + 1);
                self.edition.sinks.insert(at, sink);
                self.recipe();
            }
            5 => {
                let (target, old) = (self.edition.sinks[one].target, self.edition.sinks[one].name.clone());
                let stored =
                    self.sim.with(|world| world.targets[target].progress.get(&old).is_some_and(|e| !e.is_empty()));
                if !stored {
                    return;
                }
                self.count("a sink is renamed");
                self.names += 1;
                let new = format!("{old}r{}", self.names);
                self.edition.sinks[one].name.clone_from(&new);
                self.edition.sinks[one].backfill = false;
                self.expected.push(Expected::Renamed { target, old, new });
                self.recipe();
            }
            6 => {
                self.count("columns in another order");
                self.random.shuffle(&mut self.edition.columns);
                self.new_recipe();
            }
            7 if self.before.is_none() => {
                self.count("other columns");
                self.before = Some(self.edition.clone());
                match self.edition.columns.iter().position(|column| *column == "prediction") {
                    Some(at) => drop(self.edition.columns.remove(at)),
                    None => self.edition.columns.push("prediction"),
                }
                self.new_recipe();
            }
            8 if self.before.is_none() => {
                self.count("another scope");
                self.before = Some(self.edition.clone());
                let most = if self.narrows { 2 } else { 3 };
                self.edition.scope = [Scope::Record, Scope::Partition, Scope::Batch][self.random.usize(..most)];
                self.new_recipe();
            }
            9 => {
                self.count("another model");
                self.edition.model += 1;
                self.recipe();
            }
            10 => self.lose_commits(),
            11 => {
                let sink = self.edition.sinks[one].clone();
                let entries = self.sim.with(|world| {
                    // Who deletes them in a database waits for the locks of transactions that were sent.
                    if world.transactions.values().any(|held| held.sent && held.target == sink.target) {
                        return None;
                    }
                    let target = &mut world.targets[sink.target];
                    let rows = target.rows.values().any(|rows| !rows.is_empty());
                    if !rows || sink.backfill {
                        return None;
                    }
                    // A topic's transactions are those of producers that nobody knows any more.
                    target.forget_producers();
                    target.progress.remove(&sink.name)
                });
                if let Some(entries) = entries.filter(|entries| !entries.is_empty()) {
                    self.count("positions are deleted");
                    self.expected.push(Expected::Deleted { target: sink.target, name: sink.name, entries });
                }
            }
            12 => {
                self.count("the log is truncated");
                self.expected.push(Expected::Truncated);
                // Batches may lack their beginning from now on.
                self.gave_up = true;
                self.sim.with(|world| {
                    let index = world.random.usize(..world.log.partitions.len());
                    let log = &mut world.log.partitions[index];
                    log.first = world.random.i64(log.first..log.end + 1);
                    let first = log.first;
                    world.note(format!("partition {index} begins at {first}"));
                });
            }
            _ => {}
        }
    }

    /// Plans that only a sink keeps that is taken out go with it: the others get new ones.
    fn take_out(&self, sink: &SinkEntry) {
        self.sim.with(|world| {
            let next = |target: usize, name: &str, index: i32| {
                world.targets[target].progress.get(name).and_then(|entries| entries.get(&index)).map_or(0, |e| e.next)
            };
            let lost: Vec<(i32, i64, i64)> = (0..world.log.partitions.len() as i32)
                .map(|index| {
                    let rest = self.edition.sinks.iter().map(|rest| next(rest.target, &rest.name, index)).min();
                    // It may have been renamed, or have lost its positions, and nobody was asked yet.
                    let rows = world.targets[sink.target].rows.get(&index).and_then(|rows| rows.last());
                    let names = world.targets[sink.target].progress.keys();
                    let to =
                        names.map(|name| next(sink.target, name, index)).chain(rows.map(|row| row.offset + 1)).max();
                    (index, rest.unwrap_or_default(), to.unwrap_or_default())
                })
                .collect();
            for (index, from, to) in lost {
                world.checker.replanned(index, from, to);
            }
        });
    }

    /// What was planned while a sink was out is planned again for it.
    fn come_again(&self, sink: &SinkEntry) {
        self.sim.with(|world| {
            let now = world.targets[sink.target].progress.get(&sink.name).cloned().unwrap_or_default();
            for index in 0..world.log.partitions.len() as i32 {
                let from = now.get(&index).map_or(0, |entry| entry.next);
                world.checker.replanned(index, from, i64::MAX / 2);
            }
        });
    }

    /// What a person does when a start asks. Returns whether it was to be expected.
    async fn remedy(&mut self, error: &StageError) -> bool {
        let text = error.message.as_str();
        self.sim.with(|world| world.note(format!("a person is asked: {text}")));
        let none = text.contains("no sink has a position");
        if none || text.contains("had positions, and has none") || text.contains("has no positions, and") {
            let at = self.expected.iter().position(|e| match e {
                Expected::Renamed { target, .. } | Expected::Deleted { target, .. } if none => {
                    self.edition.sinks.iter().any(|sink| sink.target == *target)
                }
                Expected::Renamed { new, .. } => text.contains(&format!("`{new}`")),
                Expected::Deleted { name, .. } => text.contains(&format!("`{name}`")),
                Expected::Truncated => false,
            });
            if none && at.is_none() && self.removed.len() + self.expected.len() > 0 {
                *self.happened.entry("asked: only new sinks are left").or_default() += 1;
                self.all_new = true;
                return true;
            }
            let Some(at) = at else { return false };
            match self.expected.remove(at) {
                Expected::Renamed { target, old, new } => {
                    *self.happened.entry("asked: a sink was renamed").or_default() += 1;
                    self.sim.with(|world| {
                        // It waits for what is on its way, and fences it.
                        world.transactions.retain(|_, transaction| transaction.target != target);
                        world.targets[target].fence();
                        let progress = &mut world.targets[target].progress;
                        if let Some(entries) = progress.remove(&old) {
                            progress.insert(new, entries);
                        }
                    });
                }
                Expected::Deleted { target, name, entries } => {
                    *self.happened.entry("asked: positions were deleted").or_default() += 1;
                    self.sim.with(|world| world.targets[target].progress.insert(name, entries));
                }
                Expected::Truncated => {}
            }
            return true;
        }
        if text.contains("records are gone") || text.contains("is out of range") {
            if !self.expected.iter().any(|expected| matches!(expected, Expected::Truncated)) {
                return false;
            }
            *self.happened.entry("asked: records are gone").or_default() += 1;
            self.give_up();
            return true;
        }
        if self.gave_up && text.contains("only a part of the partitions") {
            *self.happened.entry("asked: a batch cannot be made again").or_default() += 1;
            self.give_batch_up(text);
            return true;
        }
        if (self.gave_up || self.differ) && text.contains("no batch leads from") {
            *self.happened.entry("asked: no batch leads on").or_default() += 1;
            self.move_to_one_place();
            return true;
        }
        if self.gave_up && text.contains("in the middle of a batch") {
            *self.happened.entry("asked: a batch is cut").or_default() += 1;
            self.move_to_the_end(text);
            return true;
        }
        let cannot = ["lacks a batch", "in the middle of a batch", "no batch leads from", "takes it as a whole"];
        if cannot.iter().any(|what| text.contains(what)) {
            if self.is_back {
                // Batches of both files are lacking: they are run in turn.
                self.turned = true;
                return true;
            }
            let Some(before) = self.before.clone().filter(|_| self.going_back < 30) else { return false };
            self.going_back += 1;
            self.is_back = true;
            *self.happened.entry("asked: back to the file of before").or_default() += 1;
            let today = self.edition.clone();
            self.edition = Edition { sinks: today.sinks.clone(), ..before };
            self.recipe();
            self.turned = false;
            let asked = self.settle().await;
            self.edition = today;
            self.recipe();
            self.is_back = false;
            self.turned = false;
            return asked;
        }
        false
    }

    /// Whoever sets positions waits for what is on its way, and fences it.
    fn fence_all(&self) {
        self.sim.with(|world| {
            for sink in &self.edition.sinks {
                world.transactions.retain(|_, transaction| transaction.target != sink.target);
                world.targets[sink.target].fence();
            }
        });
    }

    /// Positions below the ends of a batch are set to these.
    fn give_batch_up(&self, text: &str) {
        self.fence_all();
        let list = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(list, _)| list);
        let mut ranges = Vec::new();
        for range in list.split(", ") {
            let numbers: Vec<i64> = range.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            if let [index, _, to] = numbers[..] {
                ranges.push((index as i32, to));
            }
        }
        self.sim.with(|world| {
            for sink in &self.edition.sinks {
                let Target { progress, gaps, .. } = &mut world.targets[sink.target];
                for (index, to) in &ranges {
                    let entry = progress.get_mut(&sink.name).and_then(|entries| entries.get_mut(index));
                    let Some(entry) = entry.filter(|entry| entry.next < *to) else { continue };
                    gaps.entry(*index).or_default().extend(entry.next..*to);
                    entry.next = *to;
                    entry.plans.clear();
                    world.checker.replanned(*index, 0, i64::MAX / 2);
                }
            }
        });
    }

    /// All sinks are set to where the first of them is.
    fn move_to_one_place(&self) {
        self.fence_all();
        self.sim.with(|world| {
            for index in 0..world.log.partitions.len() as i32 {
                let next =
                    |sink: &SinkEntry| world.targets[sink.target].progress.get(&sink.name)?.get(&index).map(|e| e.next);
                let Some(to) = self.edition.sinks.iter().filter_map(next).max() else { continue };
                world.checker.replanned(index, 0, i64::MAX / 2);
                for sink in &self.edition.sinks {
                    let Target { progress, gaps, .. } = &mut world.targets[sink.target];
                    let Some(entry) = progress.get_mut(&sink.name).and_then(|entries| entries.get_mut(&index)) else {
                        continue;
                    };
                    gaps.entry(index).or_default().extend(entry.next..to);
                    entry.next = to;
                    entry.plans.clear();
                }
            }
        });
    }

    /// A position in the middle of a batch is set to the batch's end, as the remedy says.
    fn move_to_the_end(&self, text: &str) {
        self.fence_all();
        let after = |what: &str| text.split_once(what).map(|(_, rest)| rest).unwrap_or_default();
        let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<i64>().ok());
        let name = after("sink `").split('`').next().unwrap_or_default().to_string();
        let (index, to) =
            (number(after("orders[")).unwrap_or_default() as i32, number(after(" to ")).unwrap_or_default());
        self.sim.with(|world| {
            for sink in self.edition.sinks.iter().filter(|sink| sink.name == name) {
                let Some(entry) = world.targets[sink.target].progress.get_mut(&name).and_then(|e| e.get_mut(&index))
                else {
                    continue;
                };
                let gap = entry.next..to;
                entry.next = to;
                entry.plans.clear();
                world.targets[sink.target].gaps.entry(index).or_default().extend(gap);
                world.checker.replanned(index, 0, i64::MAX / 2);
            }
        });
    }

    /// Positions below the log's first record are set to it.
    fn give_up(&mut self) {
        self.fence_all();
        self.gave_up = true;
        self.sim.with(|world| {
            world.checker.gave_up = true;
            for sink in &self.edition.sinks {
                let target = sink.target;
                let Target { progress, gaps, .. } = &mut world.targets[target];
                let Some(entries) = progress.get_mut(&sink.name) else { continue };
                for (index, entry) in entries {
                    let first = world.log.partitions[*index as usize].first;
                    if entry.next < first {
                        gaps.entry(*index).or_default().extend(entry.next..first);
                        entry.next = first;
                        entry.plans.clear();
                        world.checker.replanned(*index, 0, i64::MAX / 2);
                    }
                }
            }
        });
    }

    /// Runs until every sink has everything, where nothing fails. Returns whether what was asked was expected.
    async fn settle(&mut self) -> bool {
        let calm = Faults { jitter: true, ..Faults::default() };
        for _ in 0..40 {
            self.sim.with(|world| {
                world.away.clear();
                world.cut.clear();
            });
            match Box::pin(self.era(Until::Level, calm)).await {
                None => return true,
                Some(error) if Box::pin(self.remedy(&error)).await => {
                    if self.turned {
                        return true;
                    }
                }
                Some(error) => {
                    self.violated(format!("10: it stops, and nobody knows why: {error}"));
                    return true;
                }
            }
        }
        self.violated("10: it stops again and again".into());
        true
    }

    async fn lives(&mut self) {
        for _ in 0..self.random.usize(if self.churn { 4..9 } else { 2..6 }) {
            let faults = Faults {
                errors: if self.zombies { self.random.u32(6..20) } else { self.random.u32(12..80) },
                kills: self.random.u32(150..800),
                slow: self.random.u32(20..200),
                jitter: true,
            };
            let longest = if self.random.u8(..6) == 0 { 150 } else { 25 };
            let mut time = Duration::from_secs(self.random.u64(1..longest));
            for _ in 0..6 {
                match self.era(Until::After(time), faults).await {
                    None => break,
                    Some(error) if self.remedy(&error).await => time /= 2,
                    Some(error) => self.violated(format!("10: it stops, and nobody knows why: {error}")),
                }
            }
            if self.failed() {
                return;
            }
            for _ in 0..self.random.usize(1..3) {
                self.edit();
            }
        }
        self.settle().await;
    }

    /// Two workers and three batches, with nothing random but where they crash.
    async fn crash_points(&mut self) {
        debug_assert!(self.exhaustive);
        let begun = Instant::now();
        let mut running: Vec<Option<Running>> = vec![None, None];
        let mut due = [Instant::now(); 2];
        while begun.elapsed() < RECOVERY && !self.failed() {
            for slot in 0..2 {
                if running[slot].is_none() && due[slot] <= Instant::now() {
                    running[slot] = Some(self.start(slot, false));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            for slot in 0..2 {
                if running[slot].as_ref().is_some_and(|worker| worker.task.is_finished()) {
                    let worker = running[slot].take().expect("it is there");
                    match worker.task.await {
                        Ok(None) => {}
                        ended => self.violated(format!("10: life {} ends: {ended:?}", worker.life)),
                    }
                    due[slot] = Instant::now() + Duration::from_millis(500);
                    let life = worker.life;
                    self.sim.later(SESSION, move |world| world.leave(life));
                }
            }
            if self.is_level() {
                let calm = self.sim.with(|world| world.crash_at.is_empty() || world.points > 100_000);
                if calm || begun.elapsed() > Duration::from_secs(30) {
                    break;
                }
            }
        }
        if !self.is_level() {
            self.violated(format!("10: sinks still lack records: {}", self.positions()));
        }
        self.stop(running, false).await;
    }
}
