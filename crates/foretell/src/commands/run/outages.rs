//! A service that is away: one line at once, one every 30 seconds, and one when it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foretell_flow::Stats;
use foretell_flow::monitor::WorkerReport;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// Between two lines of one outage.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// The source is asked every two seconds how far its log reaches.
const SILENT: Duration = Duration::from_secs(6);

/// Tells of outages for as long as it runs.
pub(super) async fn tell(workers: Vec<(String, Arc<Stats>)>) {
    let mut known = Known::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let reports = workers.iter().map(|(name, stats)| (name.as_str(), stats.monitor.report())).collect::<Vec<_>>();
        for line in known.lines(&now(&reports), Instant::now()) {
            match line {
                Line::Away { who, seconds: 0, message, waiting } => {
                    warn!(waiting, "{who} is away: {message}; it is tried again until it is back, and nothing is lost");
                }
                Line::Away { who, seconds, message, waiting } => {
                    warn!(seconds, waiting, "{who} has been away for {seconds} s: {message}");
                }
                Line::Back { who, seconds } => info!(seconds, "{who} is back after {seconds} s"),
            }
        }
    }
}

/// Who is away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Who(String);

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An outage as the workers see it.
#[derive(Debug, Clone, PartialEq)]
struct Outage {
    message: String,
    since: Duration,
    waiting: u64,
}

/// What to say.
#[derive(Debug, PartialEq)]
enum Line {
    Away { who: Who, seconds: u64, message: String, waiting: u64 },
    Back { who: Who, seconds: u64 },
}

/// The outages there are, each once, however many workers see it.
fn now(reports: &[(&str, WorkerReport)]) -> BTreeMap<Who, Outage> {
    let mut outages: BTreeMap<Who, Outage> = BTreeMap::new();
    let mut add = |who: String, message: String, since: Duration, waiting: u64| {
        let entry = outages.entry(Who(who)).or_insert_with(|| Outage { message, since, waiting: 0 });
        entry.since = entry.since.max(since);
        entry.waiting += waiting;
    };
    for (_, report) in reports {
        let mut sinks = 0;
        for sink in &report.sinks {
            if let Some(outage) = &sink.outage {
                sinks += 1;
                let own = format!("sink `{}`: ", sink.name);
                let message = outage.message.strip_prefix(&own).unwrap_or(&outage.message).to_string();
                add(format!("sink `{}`", sink.name), message, outage.since, sink.waiting);
            }
        }
        if let Some(outage) = report.outage.as_ref().filter(|_| sinks == 0) {
            // A message that begins with a sink is about it.
            let (who, message) = match outage.message.split_once(": ") {
                Some((who, message)) if who.starts_with("sink `") => (who.to_string(), message.to_string()),
                _ => ("a service".to_string(), outage.message.clone()),
            };
            add(who, message, outage.since, 0);
        } else if let Some(silent) = report.silent.filter(|silent| *silent > SILENT) {
            let message = "it does not say how far its log reaches, so the lag is unknown".to_string();
            add("the source".to_string(), message, silent, 0);
        }
    }
    outages
}

/// What was said.
#[derive(Debug, Default)]
struct Known(BTreeMap<Who, (Instant, Instant)>);

impl Known {
    /// What there is to say of these outages, `at` this moment.
    fn lines(&mut self, outages: &BTreeMap<Who, Outage>, at: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        self.0.retain(|who, (since, _)| {
            let stays = outages.contains_key(who);
            if !stays {
                lines.push(Line::Back { who: who.clone(), seconds: (at - *since).as_secs() });
            }
            stays
        });
        for (who, outage) in outages {
            let (since, said) = match self.0.get(who).copied() {
                Some((since, said)) => (since, Some(said)),
                None => (at.checked_sub(outage.since).unwrap_or(at), None),
            };
            if said.is_some_and(|said| at - said < SAID_EVERY) {
                continue;
            }
            self.0.insert(who.clone(), (since, at));
            let seconds = if said.is_none() { 0 } else { (at - since).as_secs() };
            let Outage { message, waiting, .. } = outage.clone();
            lines.push(Line::Away { who: who.clone(), seconds, message, waiting });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use foretell_flow::monitor::{self, SinkReport};

    use super::*;

    fn report(sink: Option<&str>, source: Option<&str>, silent: u64) -> WorkerReport {
        let outage = |message: &str| monitor::Outage { message: message.to_string(), since: Duration::from_secs(1) };
        let db = SinkReport { name: "db".into(), outage: sink.map(outage), waiting: 7, ..SinkReport::default() };
        WorkerReport {
            sinks: vec![db],
            outage: source.map(outage),
            silent: Some(Duration::from_secs(silent)),
            ..WorkerReport::default()
        }
    }

    #[test]
    fn an_outage_is_told_at_once_then_now_and_then_and_when_it_is_over() {
        let begin = Instant::now() + Duration::from_secs(60);
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let gone = report(Some("sink `db`: refused"), None, 0);
        let two = now(&[("0", gone.clone()), ("1", gone)]);
        let mut known = Known::default();
        let who = || Who("sink `db`".into());
        let away = |seconds| Line::Away { who: who(), seconds, message: "refused".into(), waiting: 14 };
        assert_eq!(known.lines(&two, at(0)), [away(0)], "two workers, one line");
        assert_eq!(known.lines(&two, at(29)), []);
        assert_eq!(known.lines(&two, at(30)), [away(31)]);
        assert_eq!(known.lines(&two, at(59)), []);
        assert_eq!(known.lines(&two, at(61)), [away(62)]);
        assert_eq!(known.lines(&BTreeMap::new(), at(70)), [Line::Back { who: who(), seconds: 71 }]);
        assert_eq!(known.lines(&BTreeMap::new(), at(71)), []);
    }

    #[test]
    fn a_source_is_away_when_it_says_so_or_nothing() {
        let of =
            |report| now(&[("0", report)]).into_iter().map(|(who, outage)| (who.0, outage.message)).collect::<Vec<_>>();
        assert_eq!(of(report(None, None, 2)), []);
        assert!(of(report(None, None, 7))[0].0 == "the source");
        assert_eq!(of(report(None, Some("topic `t`: no answer"), 0))[0].0, "a service");
        assert_eq!(of(report(None, Some("sink `db`: refused"), 0)), [("sink `db`".into(), "refused".into())]);
    }
}
