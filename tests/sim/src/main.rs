//! The run loop of production on model services, with a virtual clock and one seed a run: whatever fails, dies or changes
//! in between, every record's row lands once in every sink. See docs/reliability.md.

mod agree;
#[cfg(test)]
mod behind;
mod check;
#[cfg(test)]
mod held;
mod log;
mod logs;
mod mutants;
#[cfg(test)]
mod pace;
mod query;
mod scenario;
mod sinks;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use scenario::{Report, Run, Theme};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn failure(run: &Run, report: &Report) -> String {
    let replay = match &run.crash_at {
        None => format!("FORETELL_SIM_SEED={}", run.seed),
        Some(points) => format!("FORETELL_SIM_CRASH={points:?}"),
    };
    let history = report.history.join("\n  ");
    let violation = report.violation.as_deref().unwrap_or("none");
    format!("seed {} ({replay} replays it): {violation}\n  {history}", run.seed)
}

/// Runs them on all processors; stops at the first violation.
fn all(runs: impl Iterator<Item = Run> + Send) -> Result<Vec<Report>, String> {
    let runs = Mutex::new(runs);
    let (reports, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = runs.lock().expect("no panic").next();
                    let Some(run) = next.filter(|_| failed.lock().expect("no panic").is_none()) else { return };
                    let mut report = scenario::run(&run);
                    if report.violation.is_some() {
                        *failed.lock().expect("no panic") = Some(failure(&run, &report));
                        return;
                    }
                    report.history.clear();
                    reports.lock().expect("no panic").push(report);
                }
            });
        }
    });
    match failed.into_inner().expect("no panic") {
        Some(failure) => Err(failure),
        None => Ok(reports.into_inner().expect("no panic")),
    }
}

fn sum(reports: &[Report]) -> String {
    let mut happened: BTreeMap<&str, u32> = BTreeMap::new();
    for (what, times) in reports.iter().flat_map(|report| &report.happened) {
        *happened.entry(what).or_default() += times;
    }
    let total = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    format!(
        "{} runs, {} kills, {} commits, {} rows checked, at most {} bytes under way, {happened:#?}",
        reports.len(),
        total(|report| report.kills),
        total(|report| report.commits),
        total(|report| report.rows),
        reports.iter().map(|report| report.most).max().unwrap_or_default()
    )
}

#[test]
fn whatever_fails_every_record_lands_once() {
    if let Some(seed) = number("FORETELL_SIM_SEED") {
        let run = Run { seed, ..Run::default() };
        let report = scenario::run(&run);
        println!("{}", failure(&run, &report));
        assert!(report.violation.is_none(), "seed {seed}");
        return;
    }
    let seeds = number("FORETELL_SIM_SEEDS").unwrap_or(1_000);
    let first = number("FORETELL_SIM_FIRST").unwrap_or(1);
    let done = AtomicU64::new(0);
    let runs = (first..first + seeds).map(|seed| {
        let before = done.fetch_add(1, Relaxed);
        if before > 0 && before.is_multiple_of(10_000) {
            eprintln!("{before} seeds");
        }
        Run { seed, ..Run::default() }
    });
    let reports = all(runs).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{}", sum(&reports));
    assert!(reports.iter().map(|report| report.kills).sum::<u64>() > seeds, "workers are killed");
}

#[test]
fn what_random_runs_meet_too_rarely_loses_and_doubles_nothing() {
    for theme in [Theme::Turns, Theme::Zombies] {
        let about = |seed| Run { seed, theme: Some(theme), ..Run::default() };
        if let Some(seed) = number("FORETELL_SIM_SEED") {
            let report = scenario::run(&about(seed));
            println!("{}", failure(&about(seed), &report));
            assert!(report.violation.is_none(), "{theme:?}, seed {seed}");
            continue;
        }
        let reports = all((1..=200).map(about)).unwrap_or_else(|failure| panic!("{theme:?}: {failure}"));
        println!("{theme:?}: {}", sum(&reports));
    }
}

#[test]
fn every_broken_step_is_noticed() {
    let most = number("FORETELL_SIM_MUTANT_SEEDS").unwrap_or(4_000);
    let only = std::env::var("FORETELL_SIM_MUTANT").ok();
    let (next, lines) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((mutant, what)) = mutants::MUTANTS.get(next.fetch_add(1, Relaxed) as usize) {
                    if only.as_ref().is_some_and(|only| *only != format!("{mutant:?}")) {
                        continue;
                    }
                    let run = |seed| Run { seed, mutant: Some(*mutant), theme: mutant.theme(), ..Run::default() };
                    let caught = (1..=most).find_map(|seed| Some((seed, scenario::run(&run(seed)).violation?)));
                    lines.lock().expect("no panic").insert(format!("{mutant:?}: {what}"), caught);
                }
            });
        }
    });
    let lines = lines.into_inner().expect("no panic");
    for (mutant, caught) in &lines {
        match caught {
            Some((seed, violation)) => println!("{mutant}\n    seed {seed}: {violation}"),
            None => println!("{mutant}\n    NOT NOTICED"),
        }
    }
    assert!(lines.values().all(Option::is_some), "a broken step is not noticed in {most} seeds");
    assert!(only.is_some() || lines.len() >= 15);
}

/// Two workers, three batches of two partitions, sinks that compare, fence and number: a crash at each point.
#[test]
fn a_crash_at_any_point_loses_and_doubles_nothing() {
    let at = |points: Vec<u64>| Run { seed: 1, crash_at: Some(points), ..Run::default() };
    if let Ok(points) = std::env::var("FORETELL_SIM_CRASH") {
        let points = points.trim_matches(['[', ']']).split(',').filter_map(|n| n.trim().parse().ok()).collect();
        let run = at(points);
        let report = scenario::run(&run);
        println!("{}", failure(&run, &report));
        assert!(report.violation.is_none());
        return;
    }
    let calm = scenario::run(&at(Vec::new()));
    assert!(calm.violation.is_none(), "{}", failure(&at(Vec::new()), &calm));
    assert!(calm.points > 100 && calm.kills == 2, "two workers that are stopped: {} {}", calm.points, calm.kills);
    let single = all((1..=calm.points).map(|point| at(vec![point]))).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(single.iter().all(|report| report.kills >= 2));
    // Of the pairs, one in so many; all of them where there is time.
    let one_in = number("FORETELL_SIM_PAIRS").unwrap_or(17).max(1);
    let pairs =
        (1..=calm.points).flat_map(|first| (first + 1..=first + calm.points).map(move |second| (first, second)));
    let pairs = pairs.enumerate().filter(|(n, _)| (*n as u64).is_multiple_of(one_in)).map(|(_, (a, b))| at(vec![a, b]));
    let pairs = all(pairs).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{} points, {} pairs: {}", single.len(), pairs.len(), sum(&pairs));
}
