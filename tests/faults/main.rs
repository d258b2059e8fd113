//! Does what was promised hold when real services fail? Pipelines over one topic, whose workers are killed all the time,
//! while one fault after the other comes and goes; all sinks are read during the run and after it.
//!
//! `FORETELL_FAULTS=whole` runs all faults, each by itself as long as the time allows (`FORETELL_FAULTS_MINUTES`, 60; where
//! it is set, the time ends the run whatever is left), then several at once until it is over; without it some of them run,
//! three at once, on fewer services: `make test` has this, on those that it has started (`FORETELL_FAULTS_SERVICES`, a
//! folder of `dev/services`). `FORETELL_FAULTS_SEED` chooses order, victims and moments, `FORETELL_FAULTS_ONLY` faults by
//! (a part of) their names, `FORETELL_FAULTS_AT_ONCE` how many come together. Logs and the report stay in `target/faults` (`FORETELL_FAULTS_DIR`).

#![forbid(unsafe_code)]

mod checker;
mod fleet;
mod pipelines;
mod proxy;
mod read;
mod records;
mod replicas;
mod report;
mod schedule;
mod services;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use checker::{Landed, SinkCheck};
use fleet::Worker;
use foretell_flow::testing::CRASH_POINTS;
use pipelines::World;
use records::Records;
use report::{Outcome, Report};
use schedule::{BACK_WITHIN, Fault, HAPPENS_WITHIN, STILL};

/// In URLs of databases; no log may have it.
const PASSWORD: &str = "hush0815";

/// No worker may ever use more (a debug build, KiB).
const MEMORY: u64 = 900 * 1024;

/// How often sinks are read while faults are under way.
const CHECKED_EVERY: Duration = Duration::from_secs(3);

/// How long a sink's reading may take; and while faults are under way, which end no sooner.
const READS: Duration = Duration::from_secs(90);
const READS_UNDER_FAULTS: Duration = Duration::from_secs(4);

/// What a round takes, before one has shown it; and what comes after the last.
const A_ROUND: Duration = Duration::from_secs(45);
const THE_END: Duration = Duration::from_secs(240);

/// How long a worker may take that must end, or say something.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

/// How many descriptors a worker may have open, of so many partitions. librdkafka opens a connection to each broker and
/// two pipes beside it for each client; a sink in Kafka has a client for each partition that the worker has ever had.
fn descriptors(partitions: usize) -> usize {
    150 + partitions * 2 * 32
}

/// Runs a future of a client library to its end.
fn wait<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    RUNTIME.block_on(future)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

struct Run {
    begun: Instant,
    world: World,
    records: Records,
    random: fastrand::Rng,
    report: Report,
    /// When the next worker is killed.
    next_kill: Instant,
    pause: Duration,
    /// When all sinks were read last, and how long that took.
    checked: (Instant, Duration),
}

/// How many faults must come at once, so that all come in the time that there is.
fn fits(faults: usize, round: Duration, time: Duration) -> usize {
    let rounds = (time.as_secs_f64() / round.as_secs_f64()) as usize;
    faults.div_ceil(rounds.max(1)).clamp(1, 4)
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_whatever_fails() {
    let whole = std::env::var("FORETELL_FAULTS").is_ok_and(|what| what == "whole");
    let only = std::env::var("FORETELL_FAULTS_ONLY").ok();
    let minutes = number("FORETELL_FAULTS_MINUTES", 60);
    let seed = number("FORETELL_FAULTS_SEED", fastrand::u64(0..1_000_000));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(minutes * 60);
    let dir = std::env::var_os("FORETELL_FAULTS_DIR").map_or(services::root().join("target/faults"), PathBuf::from);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    println!("seed {seed}, logs in {}", dir.display());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut faults = schedule::faults();
    faults.retain(|fault| match &only {
        Some(names) => names.split(',').any(|name| fault.name.contains(name)),
        None => whole || fault.short,
    });
    faults.retain(|fault| whole || !fault.whole);
    assert!(!faults.is_empty(), "there is no such fault");
    random.shuffle(&mut faults);
    let world = World::begin(&dir, whole, faults.iter().any(|fault| fault.replicas));
    let records =
        Records::begin(&world.brokers, "in", world.partitions as i32, number("FORETELL_FAULTS_RATE", 100) as u32);
    let pause = Duration::from_millis(number("FORETELL_FAULTS_KILL_MS", if whole { 2_000 } else { 3_000 }));
    let (report, now) = (Report::new(seed), Instant::now());
    let mut run = Run { begun, world, records, random, report, next_kill: now, pause, checked: (now, Duration::ZERO) };
    run.begin();
    let asked = std::env::var("FORETELL_FAULTS_AT_ONCE").is_ok().then(|| number("FORETELL_FAULTS_AT_ONCE", 1) as usize);
    let hurries = std::env::var("FORETELL_FAULTS_MINUTES").is_ok();
    let (mut left, mut rounds, from) = (faults.clone(), 0, Instant::now());
    while !left.is_empty() {
        if hurries && Instant::now() > until {
            let names: Vec<&str> = left.iter().map(|fault| fault.name).collect();
            println!("no time is left for {}", names.join(", "));
            break;
        }
        let usual = if rounds == 0 { A_ROUND } else { from.elapsed() / rounds };
        let time = until.saturating_duration_since(Instant::now() + THE_END);
        let at_once = asked.unwrap_or_else(|| if whole { fits(left.len(), usual, time) } else { 3 });
        run.faults(&schedule::round(&mut left, at_once));
        rounds += 1;
    }
    while whole && Instant::now() < until {
        run.random.shuffle(&mut faults);
        let other = faults.iter().find(|fault| fault.area != faults[0].area);
        let some: Vec<Fault> = faults.iter().take(1).chain(other).copied().collect();
        run.faults(&some);
    }
    run.end();
    run.lost();
    if whole {
        run.pooled();
    }
    run.report.write(&dir);
    run.report.judge();
}

impl Run {
    /// Everything runs once, before anything fails.
    fn begin(&mut self) {
        // The third worker of a pipeline comes with a fault.
        self.world.workers.iter_mut().filter(|worker| !worker.name.ends_with("-c")).for_each(Worker::start);
        let outcome = self.caught_up(&[]);
        println!("all is there after {:.0} s", self.begun.elapsed().as_secs_f64());
        self.report.add("the start", &outcome);
        self.report.failed(&outcome.wrong);
        self.next_kill = Instant::now();
    }

    /// Some faults at once, and until all sinks have everything again.
    fn faults(&mut self, faults: &[Fault]) {
        let (begun, before, kills) = (Instant::now(), self.records.total(), self.kills());
        let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
        println!("{:6.0} s {}", self.begun.elapsed().as_secs_f64(), names.join(", "));
        let ends: Vec<&str> = faults.iter().filter_map(|fault| fault.may_end).collect();
        let mut wrong = Vec::new();
        let mut under_way: Vec<(&Fault, u64)> = faults.iter().map(|fault| (fault, 0)).collect();
        for fault in faults {
            fault.start(&mut self.world);
        }
        while !under_way.is_empty() {
            let world = &mut self.world;
            under_way.retain_mut(|(fault, second)| {
                if begun.elapsed() >= Duration::from_secs(*second) && *second < fault.seconds {
                    (fault.step)(world, *second);
                    *second += 1;
                }
                let over = begun.elapsed() >= Duration::from_secs(fault.seconds);
                let happened = fault.happened(world);
                if over && (happened || begun.elapsed() > HAPPENS_WITHIN) {
                    if !happened {
                        wrong.push(format!("{} did not come to pass", fault.name));
                    }
                    fault.finish(world);
                    return false;
                }
                true
            });
            self.tick(&ends, &mut wrong);
            // As tables grow, reading them takes longer; it is not to be all that the services do.
            if self.checked.0.elapsed() > CHECKED_EVERY.max(self.checked.1 * 3) {
                self.check(READS_UNDER_FAULTS, &mut wrong);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut outcome = self.caught_up(&ends);
        outcome.wrong.splice(0..0, wrong);
        outcome.records = self.records.total() - before;
        outcome.kills = self.kills() - kills;
        let back = outcome.back.map_or("never".to_string(), |back| format!("{:.0} s", back.as_secs_f64()));
        println!("         {} records, {} kills, all back in {back}", outcome.records, outcome.kills);
        outcome.wrong.iter().for_each(|wrong| println!("  WRONG {wrong}"));
        for name in names {
            self.report.add(name, &outcome);
        }
        self.report.failed(&outcome.wrong);
    }

    fn kills(&self) -> usize {
        self.world.workers.iter().map(|worker| worker.kills + worker.crashes.values().sum::<usize>()).sum()
    }

    /// Workers that are gone come back; now and then one is killed, or is to die at a point. `ends`: errors that they
    /// may end with.
    fn tick(&mut self, ends: &[&str], wrong: &mut Vec<String>) {
        for worker in &mut self.world.workers {
            let alive = worker.look();
            let ended = worker.ended.drain(..).map(|(_, what)| what);
            wrong.extend(ended.filter(|what| !ends.iter().any(|end| what.contains(end))));
            if worker.wanted && !alive {
                worker.start();
            }
        }
        if Instant::now() < self.next_kill {
            return;
        }
        self.next_kill = Instant::now() + self.pause.mul_f64(0.5 + self.random.f64());
        let victims: Vec<usize> = (0..self.world.workers.len())
            .filter(|at| self.world.workers[*at].wanted && !self.world.workers[*at].frozen)
            .collect();
        let Some(victim) = self.random.choice(victims) else { return };
        // Most are at work by then, however slow the machine is.
        if !self.world.workers[victim].has_claimed() && self.random.u8(..5) > 0 {
            return;
        }
        let worker = &mut self.world.workers[victim];
        if worker.kill() {
            if self.random.bool() {
                let of = |prefix: &str, pipeline: &str| !prefix.starts_with(pipeline);
                let fits = |point: &&&str| match worker.pipeline {
                    "sql" | "copied" => of(point, "file") && of(point, "append"),
                    "files" | "scored" => of(point, "kafka") && of(point, "append"),
                    "single" => of(point, "kafka") && of(point, "file"),
                    _ => of(point, "kafka") && of(point, "file") && of(point, "append"),
                };
                let points: Vec<&&str> = CRASH_POINTS.iter().filter(fits).collect();
                let point = self.random.choice(points).unwrap();
                let most = if point.ends_with("ing") || *point == "claimed" { 2 } else { 12 };
                worker.crash_at = Some(format!("{point}:{}", self.random.u32(1..=most)));
            }
            worker.start();
        }
    }

    /// Reads the sinks that answer within a time; those of a service that is away are read later.
    fn check(&mut self, within: Duration, wrong: &mut Vec<String>) {
        let since = Instant::now();
        let mut away: Vec<String> = Vec::new();
        for sink in &mut self.world.sinks {
            let service = sink.service().map(str::to_string);
            if service.as_ref().is_some_and(|service| away.contains(service)) {
                continue;
            }
            match sink.check(&self.records, within) {
                Ok(found) => wrong.extend(found),
                Err(_) => away.extend(service),
            }
        }
        self.checked = (Instant::now(), since.elapsed());
    }

    /// Until every sink has what there is now; workers die on for two more seconds. `ends`: errors that workers which
    /// were there before may end with.
    fn caught_up(&mut self, ends: &[&str]) -> Outcome {
        let since = Instant::now();
        let mut outcome = Outcome::default();
        std::thread::sleep(Duration::from_millis(500));
        let mut upto = self.records.ends();
        for (_, part, _, to) in self.world.replanned.iter_mut().filter(|(.., to)| *to == i64::MAX) {
            *to = upto.get(part).copied().unwrap_or(*to);
        }
        let (mut calm, mut moved, mut sum) = (false, Instant::now(), 0);
        loop {
            if !calm && since.elapsed() > Duration::from_secs(2) {
                // No kills now: it is measured how long everything takes to be back.
                self.next_kill = since + BACK_WITHIN * 2;
                calm = true;
            }
            self.tick_after(since, ends, &mut outcome.wrong);
            self.check(READS, &mut outcome.wrong);
            if upto.is_empty() {
                upto = self.records.ends();
            }
            let records = &self.records;
            let sinks = &mut self.world.sinks;
            let missing: Vec<String> = sinks
                .iter_mut()
                .filter_map(|sink| (!sink.complete(records, &upto)).then(|| sink.name.clone()))
                .collect();
            if missing.is_empty() && !upto.is_empty() {
                outcome.back = Some(since.elapsed());
                break;
            }
            let now: i64 = sinks.iter().filter(|sink| missing.contains(&sink.name)).map(SinkCheck::progress).sum();
            if now != sum {
                (moved, sum) = (Instant::now(), now);
            }
            if moved.elapsed() > STILL || since.elapsed() > BACK_WITHIN {
                let after = since.elapsed().as_secs();
                outcome.wrong.push(format!("after {after} s these lack records: {}", missing.join(", ")));
                break;
            }
            // Workers that die meanwhile come back at once.
            let next = Instant::now() + self.checked.1.max(Duration::from_millis(100));
            while Instant::now() < next {
                self.tick_after(since, ends, &mut outcome.wrong);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        self.next_kill = Instant::now();
        outcome
    }

    /// What may end a worker is forgiven to those that began before the fault was over.
    fn tick_after(&mut self, over: Instant, ends: &[&str], wrong: &mut Vec<String>) {
        for worker in &mut self.world.workers {
            worker.look();
            let forgiven =
                |(began, what): &(Instant, String)| *began < over && ends.iter().any(|end| what.contains(end));
            worker.ended.retain(|ended| !forgiven(ended));
        }
        self.tick(&[], wrong);
    }

    /// What cannot be ridden out stops with an error that names the remedy, and changes nothing.
    fn lost(&mut self) {
        let brokers = self.world.brokers.clone();
        // Records of every partition that the worker lacks, all of which go.
        let before = self.records.ends();
        self.records.rate.store(200, Ordering::SeqCst);
        let since = Instant::now();
        let more = |records: &Records| {
            let ends = records.ends();
            before.iter().all(|(part, end)| ends.get(part).is_some_and(|now| now > end))
        };
        while !more(&self.records) && since.elapsed() < ENDS_WITHIN {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.records.pause();
        records::delete_below(&brokers, "in", &self.records.ends());
        let outcome = self.stops("single-a", "`foretell positions set");
        self.report.add("retention that overtakes a worker", &outcome);
        self.report.failed(&outcome.wrong);
        records::recreate(&brokers, "in", self.world.partitions as i32);
        let outcome = self.stops("files-a", "it was recreated");
        self.report.add("a topic that is deleted and created again", &outcome);
        self.report.failed(&outcome.wrong);
    }

    /// Sessions that change under a connection cannot be ridden out: one of two workers meets another one's.
    fn pooled(&mut self) {
        self.records.rate.store(100, Ordering::SeqCst);
        let shared = self.world.services.at("FORETELL_PGBOUNCER_SHARED_URL");
        for id in ["a", "b", "c"] {
            let worker = pipelines::pooled(&mut self.world, id, &shared);
            self.world.workers.push(worker);
        }
        let since = Instant::now();
        let mut outcome = Outcome { back: Some(Duration::ZERO), ..Outcome::default() };
        let mut said = Vec::new();
        while said.is_empty() && since.elapsed() < ENDS_WITHIN {
            for worker in self.world.workers.iter_mut().filter(|worker| worker.pipeline == "pooled") {
                worker.start();
                worker.look();
                said.extend(worker.ended.drain(..).map(|(_, what)| what));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        if !said.iter().any(|what| what.contains("pool_mode = session")) {
            outcome.wrong.push(format!("nobody names the remedy: {}", said.join("; ")));
        }
        self.world.workers.retain(|worker| worker.pipeline != "pooled");
        self.report.add("PgBouncer with a session for each transaction", &outcome);
        self.report.failed(&outcome.wrong);
    }

    /// A worker that must end by itself, and say so.
    fn stops(&mut self, name: &str, remedy: &str) -> Outcome {
        let mut outcome = Outcome { back: Some(Duration::ZERO), ..Outcome::default() };
        let worker = self.world.worker(name);
        worker.start();
        let since = Instant::now();
        while worker.look() && since.elapsed() < ENDS_WITHIN {
            std::thread::sleep(Duration::from_millis(100));
        }
        worker.wanted = false;
        match worker.ended.pop() {
            Some((_, ended)) if ended.contains(remedy) => {}
            Some((_, ended)) => outcome.wrong.push(format!("it does not name the remedy: {ended}")),
            None => outcome.wrong.push(format!("{name} does not end")),
        }
        worker.kill();
        self.check(READS, &mut outcome.wrong);
        outcome
    }

    /// Nothing is written any more, all is there, all sinks agree, and no log tells a value.
    fn end(&mut self) {
        self.records.pause();
        let mut outcome = self.caught_up(&[]);
        for worker in &mut self.world.workers {
            if let Some(what) = worker.stop() {
                outcome.wrong.push(what);
            }
        }
        self.world.sinks.iter_mut().for_each(|sink| sink.closed = true);
        let ends = self.records.ends();
        for again in 0..3 {
            self.check(READS, &mut outcome.wrong);
            let records = &self.records;
            let late = self.world.sinks.iter_mut().filter_map(|sink| {
                (!sink.complete(records, &ends)).then(|| (sink.name.clone(), format!("{}-a", sink.pipeline)))
            });
            let late: Vec<(String, String)> = late.collect();
            if again == 2 {
                outcome.wrong.extend(late.iter().map(|(name, _)| format!("{name} lacks records at the end")));
            }
            // A worker that was told to stop in the middle of a claim has committed what the next one puts into the file.
            for (_, name) in late.iter().filter(|_| again < 2) {
                let worker = self.world.worker(name);
                worker.start();
                let since = Instant::now();
                while !worker.has_claimed() && since.elapsed() < STILL {
                    std::thread::sleep(Duration::from_millis(500));
                }
                outcome.wrong.extend(worker.stop());
            }
        }
        // Sinks have the same rows, each with the time of its batch.
        for pipeline in ["sql", "files", "single", "scored", "copied"] {
            let mut first = None;
            for sink in self.world.sinks.iter().filter(|sink| sink.pipeline == pipeline && sink.sink != "bad") {
                let rows = sink.rows();
                let Some((name, other)) = &first else {
                    first = Some((sink.name.clone(), rows));
                    continue;
                };
                let same = |key: &(i32, i64), row: &Landed, other: &Landed| {
                    let at = if self.world.may_differ(pipeline, *key) { other.at } else { row.at };
                    Landed { at, ..*row } == *other
                };
                let differ = rows.iter().filter(|(key, row)| other.get(key).is_none_or(|o| !same(key, row, o))).count();
                if differ > 0 || rows.len() != other.len() {
                    outcome.wrong.push(format!(
                        "{} and {name} have {} and {} rows, of which {differ} differ",
                        sink.name,
                        rows.len(),
                        other.len()
                    ));
                }
            }
        }
        let most = descriptors(self.world.partitions);
        for worker in &self.world.workers {
            let bad = ["panicked", records::HUSH, PASSWORD, "not-a-secret"];
            let mut told = worker.says(&bad);
            told.dedup_by_key(|(at, _)| *at);
            for (at, line) in told.iter().take(3) {
                outcome.wrong.push(format!("the log of {} has `{}`: {line}", worker.name, bad[*at]));
            }
            if worker.memory > MEMORY || worker.descriptors > most {
                let (memory, open) = (worker.memory / 1024, worker.descriptors);
                outcome
                    .wrong
                    .push(format!("{} used {memory} MiB and {open} descriptors: {:?}", worker.name, worker.open));
            }
        }
        outcome.records = self.records.total();
        outcome.wrong.iter().for_each(|wrong| println!("  WRONG {wrong}"));
        self.report.end(&self.world, outcome);
    }
}
