//! Does what was promised hold when real services fail? Pipelines over one topic, whose workers are killed all the time,
//! while one fault after the other comes and goes; all sinks are read during the run and after it.
//!
//! `FORETELL_FAULTS=whole` runs every fault until its time is over (`FORETELL_FAULTS_MINUTES`, 60); without it a few
//! minutes of them run. `FORETELL_FAULTS_SEED` chooses order, victims and moments, `FORETELL_FAULTS_ONLY` one fault by
//! (a part of) its name. Logs and the report stay in `target/faults`.

#![forbid(unsafe_code)]

mod checker;
mod fleet;
mod pipelines;
mod proxy;
mod records;
mod report;
mod schedule;
mod services;

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foretell_flow::testing::CRASH_POINTS;
use pipelines::World;
use records::Records;
use report::{Outcome, Report};
use schedule::{BACK_WITHIN, FAULTS, Fault};

/// In URLs of databases; no log may have it.
const PASSWORD: &str = "hush0815";

/// No worker may ever use more (a debug build, KiB), or keep more descriptors open.
const MEMORY: u64 = 900 * 1024;
const DESCRIPTORS: usize = 400;

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
    world: World,
    records: Records,
    random: fastrand::Rng,
    report: Report,
    /// When the next worker is killed.
    next_kill: Instant,
    pause: Duration,
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_whatever_fails() {
    let whole = std::env::var("FORETELL_FAULTS").is_ok_and(|what| what == "whole");
    let only = std::env::var("FORETELL_FAULTS_ONLY").ok();
    let minutes = number("FORETELL_FAULTS_MINUTES", if whole { 60 } else { 3 });
    let seed = number("FORETELL_FAULTS_SEED", fastrand::u64(0..1_000_000));
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let dir = services::root().join("target/faults");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    println!("seed {seed}, {minutes} minutes, logs in {}", dir.display());
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::begin(&dir, whole);
    let records =
        Records::begin(&world.brokers, "in", world.partitions as i32, number("FORETELL_FAULTS_RATE", 100) as u32);
    let mut faults: Vec<Fault> = FAULTS.to_vec();
    faults.retain(|fault| match &only {
        Some(name) => fault.name.contains(name.as_str()),
        None => whole || fault.short,
    });
    faults.retain(|fault| whole || !fault.whole);
    assert!(!faults.is_empty(), "there is no such fault");
    random.shuffle(&mut faults);
    let pause = Duration::from_millis(number("FORETELL_FAULTS_KILL_MS", if whole { 2_500 } else { 3_000 }));
    let mut run = Run { world, records, random, report: Report::new(seed), next_kill: Instant::now(), pause };
    run.begin();
    'all: loop {
        for fault in &faults {
            run.fault(fault);
            if Instant::now() > until {
                break 'all;
            }
        }
        if !whole {
            break;
        }
    }
    run.end();
    run.lost();
    run.report.write(&dir);
    run.report.judge();
}

impl Run {
    /// Everything runs once, before anything fails.
    fn begin(&mut self) {
        for name in ["sql-a", "sql-b", "files-a", "files-b", "single-a", "sums-a", "sums-b"] {
            if self.world.workers.iter().any(|worker| worker.name == name) {
                self.world.worker(name).start();
            }
        }
        let outcome = self.caught_up("the start", false);
        self.report.add("the start", outcome);
        self.next_kill = Instant::now();
    }

    fn fault(&mut self, fault: &Fault) {
        let (begun, before) = (Instant::now(), self.records.total());
        let kills = self.kills();
        (fault.begin)(&mut self.world);
        let mut wrong = Vec::new();
        let mut second = 0;
        let mut checked = Instant::now();
        while begun.elapsed() < Duration::from_secs(fault.seconds) {
            if begun.elapsed() >= Duration::from_secs(second) {
                (fault.step)(&mut self.world, second);
                second += 1;
            }
            self.tick(fault.may_end, &mut wrong);
            if checked.elapsed() > Duration::from_secs(3) {
                self.check(&mut wrong);
                checked = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        (fault.end)(&mut self.world);
        let mut outcome = self.caught_up(fault.name, fault.may_end);
        outcome.wrong.splice(0..0, wrong);
        outcome.records = self.records.total() - before;
        outcome.kills = self.kills() - kills;
        let back = outcome.back.map_or("never".to_string(), |back| format!("{:.0} s", back.as_secs_f64()));
        println!("{}: {} records, {} kills, all back in {back}", fault.name, outcome.records, outcome.kills);
        outcome.wrong.iter().for_each(|wrong| println!("  WRONG {wrong}"));
        self.report.add(fault.name, outcome);
    }

    fn kills(&self) -> usize {
        self.world.workers.iter().map(|worker| worker.kills + worker.crashes.values().sum::<usize>()).sum()
    }

    /// Workers that are gone come back; now and then one is killed, or is to die at a point.
    fn tick(&mut self, may_end: bool, wrong: &mut Vec<String>) {
        for worker in &mut self.world.workers {
            let alive = worker.look();
            for ended in worker.ended.drain(..) {
                if !may_end {
                    wrong.push(ended);
                }
            }
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
        let worker = &mut self.world.workers[victim];
        if worker.kill() {
            if self.random.bool() {
                let of = |prefix: &str, pipeline: &str| !prefix.starts_with(pipeline);
                let fits = |point: &&&str| match worker.pipeline {
                    "sql" => of(point, "file") && of(point, "append"),
                    "files" => of(point, "kafka") && of(point, "append"),
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

    fn check(&mut self, wrong: &mut Vec<String>) {
        for sink in &mut self.world.sinks {
            // One that is away is read later.
            if let Ok(found) = sink.check(&self.records) {
                wrong.extend(found);
            }
        }
    }

    /// Until every sink has what there is now, while workers die on.
    fn caught_up(&mut self, _name: &str, may_end: bool) -> Outcome {
        let since = Instant::now();
        let mut outcome = Outcome::default();
        std::thread::sleep(Duration::from_millis(500));
        let mut ends = self.records.ends();
        let mut calm = false;
        while since.elapsed() < BACK_WITHIN {
            if !calm && since.elapsed() > Duration::from_secs(2) {
                // No kills now: it is measured how long everything takes to be back.
                self.next_kill = since + BACK_WITHIN * 2;
                calm = true;
            }
            self.tick(may_end && since.elapsed() < Duration::from_secs(3), &mut outcome.wrong);
            self.check(&mut outcome.wrong);
            if ends.is_empty() {
                ends = self.records.ends();
            }
            let missing: Vec<String> = {
                let records = &self.records;
                let late = self
                    .world
                    .sinks
                    .iter_mut()
                    .filter_map(|sink| (!sink.complete(records, &ends)).then(|| sink.name.clone()));
                late.collect()
            };
            if missing.is_empty() && !ends.is_empty() {
                outcome.back = Some(since.elapsed());
                self.next_kill = Instant::now();
                return outcome;
            }
            outcome.missing = missing;
            std::thread::sleep(Duration::from_millis(100));
        }
        self.next_kill = Instant::now();
        outcome.wrong.push(format!(
            "after {} s these lack records: {}",
            BACK_WITHIN.as_secs(),
            outcome.missing.join(", ")
        ));
        outcome
    }

    /// What cannot be ridden out stops with an error that names the remedy, and changes nothing.
    fn lost(&mut self) {
        let brokers = self.world.brokers.clone();
        self.records.rate.store(200, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(2));
        self.records.pause();
        std::thread::sleep(Duration::from_secs(1));
        records::delete_below(&brokers, "in", &self.records.ends());
        let outcome = self.stops("single-a", "`foretell positions set");
        self.report.add("retention that overtakes a worker", outcome);
        records::recreate(&brokers, "in", self.world.partitions as i32);
        let outcome = self.stops("files-a", "it was recreated");
        self.report.add("a topic that is deleted and created again", outcome);
    }

    /// A worker that must end by itself, and say so.
    fn stops(&mut self, name: &str, remedy: &str) -> Outcome {
        let mut outcome = Outcome { back: Some(Duration::ZERO), ..Outcome::default() };
        let worker = self.world.worker(name);
        worker.start();
        let since = Instant::now();
        while worker.look() && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(100));
        }
        worker.wanted = false;
        match worker.ended.pop() {
            Some(ended) if ended.contains(remedy) => {}
            Some(ended) => outcome.wrong.push(format!("it does not name the remedy: {ended}")),
            None => outcome.wrong.push(format!("{name} does not end")),
        }
        worker.kill();
        self.check(&mut outcome.wrong);
        outcome
    }

    /// Nothing is written any more, all is there, all sinks agree, and no log tells a value.
    fn end(&mut self) {
        self.records.pause();
        let mut outcome = self.caught_up("the end", false);
        for worker in &mut self.world.workers {
            if let Some(what) = worker.stop() {
                outcome.wrong.push(what);
            }
        }
        self.world.sinks.iter_mut().for_each(|sink| sink.closed = true);
        self.check(&mut outcome.wrong);
        let ends = self.records.ends();
        for sink in &mut self.world.sinks {
            if !sink.complete(&self.records, &ends) {
                outcome.wrong.push(format!("{} lacks records at the end", sink.name));
            }
        }
        // Sinks have the same rows, each with the time of its batch.
        for pipeline in ["sql", "files", "single"] {
            let mut first = None;
            for sink in self.world.sinks.iter_mut().filter(|sink| sink.pipeline == pipeline && sink.sink != "bad") {
                let rows = sink.rows();
                let Some((name, other)) = &first else {
                    first = Some((sink.name.clone(), rows));
                    continue;
                };
                let differ = rows.iter().filter(|(key, row)| other.get(key) != Some(row)).count();
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
        for worker in &self.world.workers {
            let log = worker.text();
            for bad in ["panicked", records::HUSH, PASSWORD] {
                if let Some(line) = log.lines().find(|line| line.contains(bad)) {
                    let line: String = line.chars().take(300).collect();
                    outcome.wrong.push(format!("the log of {} has `{bad}`: {line}", worker.name));
                }
            }
            if worker.memory > MEMORY || worker.descriptors > DESCRIPTORS {
                let (memory, open) = (worker.memory / 1024, worker.descriptors);
                outcome.wrong.push(format!("{} used {memory} MiB and {open} descriptors", worker.name));
            }
        }
        outcome.records = self.records.total();
        outcome.wrong.iter().for_each(|wrong| println!("  WRONG {wrong}"));
        self.report.end(&self.world, outcome);
    }
}
