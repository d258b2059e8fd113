//! What a run showed: printed, kept beside its logs, and as the table of docs/reliability.md.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::pipelines::World;
use super::services::root;

/// What became of one fault.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: usize,
    pub(crate) kills: usize,
    pub(crate) wrong: Vec<String>,
    /// How long after its end all sinks had everything.
    pub(crate) back: Option<Duration>,
}

#[derive(Debug, Default)]
struct Line {
    runs: usize,
    records: usize,
    kills: usize,
    failures: usize,
    back: Duration,
}

pub(crate) struct Report {
    wrong: Vec<String>,
    /// Of the process that had most.
    open: String,
    seed: u64,
    lines: BTreeMap<String, Line>,
    crashes: BTreeMap<String, usize>,
    kills: usize,
    records: usize,
    memory: u64,
    descriptors: usize,
    last: Vec<String>,
}

const BEGIN: &str = "<!-- written by `make test-faults` -->\n";
const END: &str = "<!-- until here -->\n";

impl Report {
    pub(crate) fn new(seed: u64) -> Report {
        let (lines, crashes, last) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (wrong, open) = (Vec::new(), String::new());
        Report { wrong, open, seed, lines, crashes, kills: 0, records: 0, memory: 0, descriptors: 0, last }
    }

    pub(crate) fn failed(&mut self, wrong: &[String]) {
        self.wrong.extend(wrong.iter().cloned());
    }

    /// One run of one fault.
    pub(crate) fn add(&mut self, name: &str, outcome: &Outcome) {
        let line = self.lines.entry(name.to_string()).or_default();
        line.runs += 1;
        line.records += outcome.records;
        line.kills += outcome.kills;
        line.failures += outcome.wrong.len();
        line.back = line.back.max(outcome.back.unwrap_or(super::BACK_WITHIN));
    }

    pub(crate) fn end(&mut self, world: &World, outcome: Outcome) {
        self.records = outcome.records;
        self.last = outcome.wrong;
        for worker in &world.workers {
            self.kills += worker.kills;
            self.memory = self.memory.max(worker.memory);
            if worker.descriptors > self.descriptors {
                self.descriptors = worker.descriptors;
                self.open = format!("{}: {:?}", worker.name, worker.open);
            }
            for (point, times) in &worker.crashes {
                *self.crashes.entry(point.clone()).or_default() += times;
            }
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let at_points: usize = self.crashes.values().sum();
        let failures = self.wrong.len() + self.last.len();
        let (runs, memory) = (self.lines.values().map(|line| line.runs).sum::<usize>(), self.memory / 1024);
        writeln!(
            text,
            "Seed {}: {runs} runs of faults, {} records, {} kills at random moments and {at_points} at named points, {failures} failures. \
             The largest process had {memory} MiB and {} descriptors.\n",
            self.seed, self.records, self.kills, self.descriptors
        )
        .unwrap();
        text.push_str(
            "| fault | runs | records meanwhile | kills meanwhile | all sinks complete again within | failures |\n",
        );
        text.push_str("|---|---|---|---|---|---|\n");
        for (name, line) in &self.lines {
            let back = line.back.as_secs_f64().ceil();
            let Line { runs, records, kills, failures, .. } = line;
            writeln!(text, "| {name} | {runs} | {records} | {kills} | {back} s | {failures} |").unwrap();
        }
        text.push_str("\nDeaths at named points: ");
        let points: Vec<String> = self.crashes.iter().map(|(point, times)| format!("`{point}` {times}")).collect();
        writeln!(text, "{}.", points.join(", ")).unwrap();
        text
    }

    /// Beside the logs; with `UPDATE=1` into docs/reliability.md, too.
    pub(crate) fn write(&self, dir: &Path) {
        let table = self.table();
        println!("{table}");
        std::fs::write(dir.join("report.md"), &table).unwrap();
        if std::env::var("UPDATE").is_ok() {
            let path = root().join("docs/reliability.md");
            let page = std::fs::read_to_string(&path).unwrap();
            let (before, rest) = page.split_once(BEGIN).expect("the page has a place for it");
            let (_, after) = rest.split_once(END).unwrap();
            std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        }
    }

    pub(crate) fn judge(&self) {
        println!("most descriptors: {}", self.open);
        let mut wrong = self.wrong.clone();
        wrong.extend(self.last.iter().map(|wrong| format!("at the end: {wrong}")));
        assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
    }
}
