//! What Prometheus gets: one list of metrics, each with how it is read from what the workers tell.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foretell_flow::monitor::{BUCKETS, Histogram, SinkReport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::insight::{ColumnReport, DriftReport, ShadowReport};
use crate::process::{self, Process};
use crate::telemetry::Telemetry;
use crate::worker::Worker;

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows. In what Prometheus gets, its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something took how long.
    Histogram,
}

/// One metric.
pub struct Metric {
    /// Its name, of a counter without `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// Its labels, beside `pipeline`, which all have.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    read: fn(&View<'_>) -> Vec<Sample>,
}

impl Metric {
    /// The name by which queries know it; a histogram's is followed by `_bucket`, `_sum` and `_count`.
    pub fn exposed(&self) -> String {
        match self.kind {
            MetricKind::Counter => format!("{}_total", self.name),
            MetricKind::Gauge | MetricKind::Histogram => self.name.to_string(),
        }
    }
}

/// What metrics are read from.
struct View<'a> {
    telemetry: &'a Telemetry,
    workers: &'a [Worker],
    process: Option<Process>,
}

/// A value under its labels.
struct Sample {
    labels: Vec<String>,
    value: Number,
}

enum Number {
    Count(u64),
    Real(f64),
    Histogram(Histogram),
}

fn one(value: Number) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value }]
}

fn count(value: u64) -> Vec<Sample> {
    one(Number::Count(value))
}

fn sample<'l>(labels: impl IntoIterator<Item = &'l str>, value: Number) -> Sample {
    Sample { labels: labels.into_iter().map(str::to_string).collect(), value }
}

impl View<'_> {
    fn sum(&self, value: impl Fn(&Worker) -> u64) -> u64 {
        self.workers.iter().map(value).sum()
    }

    fn histogram(&self, of: impl Fn(&Worker) -> &Histogram) -> Number {
        let mut all = Histogram::default();
        self.workers.iter().for_each(|worker| all.merge(of(worker)));
        Number::Histogram(all)
    }

    /// What all workers' parts of each sink come to.
    fn sinks<T: Default>(&self, mut add: impl FnMut(&mut T, &SinkReport)) -> Vec<(String, T)> {
        let mut all: Vec<(String, T)> = Vec::new();
        for sink in self.workers.iter().flat_map(|worker| &worker.report.sinks) {
            let at = all.iter().position(|(name, _)| *name == sink.name).unwrap_or_else(|| {
                all.push((sink.name.clone(), T::default()));
                all.len() - 1
            });
            if let Some((_, total)) = all.get_mut(at) {
                add(total, sink);
            }
        }
        all
    }

    fn shadows(&self) -> Vec<ShadowReport> {
        self.telemetry.insight().map(|insight| insight.shadows()).unwrap_or_default()
    }

    /// Of each column of each model whose rows are compared with a baseline.
    fn drift(&self, value: impl Fn(&ColumnReport) -> Option<Number>) -> Vec<Sample> {
        let drifts = self.telemetry.insight().map(|insight| insight.drifts()).unwrap_or_default();
        let of = |drift: &DriftReport| -> Vec<Sample> {
            let columns = drift.columns.iter();
            columns.filter_map(|column| Some(sample([&*drift.model, &*column.name], value(column)?))).collect()
        };
        drifts.iter().flat_map(of).collect()
    }

    fn process(&self, value: impl Fn(&Process) -> Number) -> Vec<Sample> {
        self.process.iter().flat_map(|process| one(value(process))).collect()
    }
}

/// Every metric there is.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "foretell_build_info",
        kind: MetricKind::Gauge,
        labels: &["version"],
        help: "The program's version; always 1",
        read: |view| vec![sample([&*view.telemetry.facts.version], Number::Count(1))],
    },
    Metric {
        name: "foretell_model_info",
        kind: MetricKind::Gauge,
        labels: &["model", "class", "sha256"],
        help: "A model of the pipeline: its name, its class, and the SHA-256 of its file; always 1",
        read: |view| {
            let models = view.telemetry.models();
            models.iter().map(|model| sample([&*model.name, &*model.class, &*model.sha256], Number::Count(1))).collect()
        },
    },
    Metric {
        name: "foretell_records",
        kind: MetricKind::Counter,
        labels: &[],
        help: "Records that the first sink has stored",
        read: |view| count(view.sum(|worker| worker.counts.records)),
    },
    Metric {
        name: "foretell_bad_records",
        kind: MetricKind::Counter,
        labels: &["stage", "reason"],
        help: "Records that did not decode, or that a model or the query refused; beyond 64 reasons a worker, the reason \
            is `other`",
        read: |view| {
            let mut all: BTreeMap<(&str, &str), u64> = BTreeMap::new();
            for bad in view.workers.iter().flat_map(|worker| &worker.report.bad) {
                *all.entry((&bad.stage, &bad.reason)).or_default() += bad.records;
            }
            all.into_iter().map(|((stage, why), records)| sample([stage, why], Number::Count(records))).collect()
        },
    },
    Metric {
        name: "foretell_rejected_rows",
        kind: MetricKind::Counter,
        labels: &["sink"],
        help: "Rows that one sink alone refused",
        read: |view| {
            let sinks = view.sinks(|rows: &mut u64, sink| *rows += sink.rejected);
            sinks.into_iter().map(|(name, rows)| sample([&*name], Number::Count(rows))).collect()
        },
    },
    Metric {
        name: "foretell_late_batches",
        kind: MetricKind::Counter,
        labels: &[],
        help: "Batches that began late, because the one before took longer than the trigger's interval",
        read: |view| count(view.sum(|worker| worker.counts.late)),
    },
    Metric {
        name: "foretell_lag_records",
        kind: MetricKind::Gauge,
        labels: &["topic", "partition"],
        help: "Records between the slowest sink and the end of the log; absent where that is not known",
        read: |view| {
            let lags = view.workers.iter().filter_map(|worker| worker.report.lag.as_ref()).flatten();
            let lag = |(partition, records): &(foretell_flow::Partition, i64)| {
                let index = partition.index.to_string();
                sample([&*partition.topic, &*index], Number::Real(*records as f64))
            };
            lags.map(lag).collect()
        },
    },
    Metric {
        name: "foretell_sink_position",
        kind: MetricKind::Gauge,
        labels: &["sink", "topic", "partition"],
        help: "The offset up to which a sink has stored a partition",
        read: |view| {
            let sinks = view.workers.iter().flat_map(|worker| &worker.report.sinks);
            let positions = sinks.flat_map(|sink| sink.positions.iter().map(move |at| (&sink.name, at)));
            let position = |(sink, (partition, next)): (&String, &(foretell_flow::Partition, i64))| {
                sample([&**sink, &*partition.topic, &*partition.index.to_string()], Number::Real(*next as f64))
            };
            positions.map(position).collect()
        },
    },
    Metric {
        name: "foretell_sink_last_commit_timestamp_seconds",
        kind: MetricKind::Gauge,
        labels: &["sink"],
        help: "When a sink has last stored something, in seconds since 1970; absent where it has not since the start",
        read: |view| {
            let sinks = view.sinks(|latest: &mut Option<Duration>, sink| {
                *latest = latest.iter().copied().chain(sink.stored).min();
            });
            let now = seconds(SystemTime::now());
            let stored = sinks.into_iter().filter_map(|(name, ago)| Some((name, ago?)));
            stored.map(|(name, ago)| sample([&*name], Number::Real(now - ago.as_secs_f64()))).collect()
        },
    },
    Metric {
        name: "foretell_sink_waiting_records",
        kind: MetricKind::Gauge,
        labels: &["sink"],
        help: "Records that are computed and on their way to a sink",
        read: |view| {
            let sinks = view.sinks(|records: &mut u64, sink| *records += sink.waiting);
            sinks.into_iter().map(|(name, records)| sample([&*name], Number::Count(records))).collect()
        },
    },
    Metric {
        name: "foretell_sink_up",
        kind: MetricKind::Gauge,
        labels: &["sink"],
        help: "Whether a sink took the last write (1), or is away and tried again (0)",
        read: |view| {
            let sinks = view.sinks(|away: &mut bool, sink| *away |= sink.outage.is_some());
            sinks.into_iter().map(|(name, away)| sample([&*name], Number::Count(u64::from(!away)))).collect()
        },
    },
    Metric {
        name: "foretell_sink_write_duration_seconds",
        kind: MetricKind::Histogram,
        labels: &["sink"],
        help: "How long a sink takes to store a batch",
        read: |view| {
            let sinks = view.sinks(|all: &mut Histogram, sink| all.merge(&sink.writes));
            sinks.into_iter().map(|(name, writes)| sample([&*name], Number::Histogram(writes))).collect()
        },
    },
    Metric {
        name: "foretell_stage_duration_seconds",
        kind: MetricKind::Histogram,
        labels: &["stage"],
        help: "How long a stage takes for a batch: `decode`, or `query` (models included)",
        read: |view| {
            let decode = view.histogram(|worker| &worker.report.decode);
            let query = view.histogram(|worker| &worker.report.query);
            vec![sample(["decode"], decode), sample(["query"], query)]
        },
    },
    Metric {
        name: "foretell_batch_duration_seconds",
        kind: MetricKind::Histogram,
        labels: &[],
        help: "From the beginning of a batch until the first sink has stored it",
        read: |view| one(view.histogram(|worker| &worker.report.batch)),
    },
    Metric {
        name: "foretell_batches_in_flight",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Batches that are computed and that some sink has not stored yet",
        read: |view| count(view.sum(|worker| worker.report.batches as u64)),
    },
    Metric {
        name: "foretell_bytes_in_flight",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Bytes of the records in these batches and of the rows made of them; `window` in the pipeline file bounds them",
        read: |view| count(view.sum(|worker| worker.report.bytes as u64)),
    },
    Metric {
        name: "foretell_leftover_plans",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Batches from before the start, or from before an outage, that some sink still lacks",
        read: |view| count(view.sum(|worker| worker.report.leftover as u64)),
    },
    Metric {
        name: "foretell_worker_claimed",
        kind: MetricKind::Gauge,
        labels: &["worker"],
        help: "Whether a worker has partitions and holds its sinks (1)",
        read: |view| {
            let claimed = |worker: &Worker| Number::Count(u64::from(worker.report.claimed));
            view.workers.iter().map(|worker| sample([&*worker.name], claimed(worker))).collect()
        },
    },
    Metric {
        name: "foretell_shadow_rows",
        kind: MetricKind::Counter,
        labels: &["model", "shadow", "outcome"],
        help: "Rows by what a model's challenger says of them: `same` or `different`, `refused` where it alone refuses the row, \
            `failed` where it could not be asked, `skipped` where it was still busy",
        read: |view| {
            let of = |report: &ShadowReport| {
                let outcomes = [
                    ("same", report.same),
                    ("different", report.different),
                    ("refused", report.refused),
                    ("failed", report.failed),
                    ("skipped", report.skipped),
                ];
                outcomes.map(|(outcome, rows)| sample([&*report.model, &*report.shadow, outcome], Number::Count(rows)))
            };
            view.shadows().iter().flat_map(of).collect()
        },
    },
    Metric {
        name: "foretell_shadow_difference",
        kind: MetricKind::Counter,
        labels: &["model", "shadow"],
        help: "Absolute differences between a model's answers and its challenger's, added up; of answers that are numbers",
        read: |view| {
            let of = |report: &ShadowReport| {
                let (sum, _) = report.difference?;
                Some(sample([&*report.model, &*report.shadow], Number::Real(sum)))
            };
            view.shadows().iter().filter_map(of).collect()
        },
    },
    Metric {
        name: "foretell_shadow_duration_seconds",
        kind: MetricKind::Histogram,
        labels: &["model", "shadow", "by"],
        help: "How long a call takes the model (`by` is `champion`) and its challenger (`challenger`), on the same rows",
        read: |view| {
            let of = |report: &ShadowReport| {
                let both = [("champion", &report.champion), ("challenger", &report.challenger)];
                both.map(|(by, took)| sample([&*report.model, &*report.shadow, by], Number::Histogram(took.clone())))
            };
            view.shadows().iter().flat_map(of).collect()
        },
    },
    Metric {
        name: "foretell_drift_psi",
        kind: MetricKind::Gauge,
        labels: &["model", "column"],
        help: "Population Stability Index of a model's input or answer: the latest window beside the baseline",
        read: |view| view.drift(|column| Some(Number::Real(column.psi))),
    },
    Metric {
        name: "foretell_drift_ks",
        kind: MetricKind::Gauge,
        labels: &["model", "column"],
        help: "Kolmogorov–Smirnov statistic of a model's input or answer, where it is a number",
        read: |view| view.drift(|column| Some(Number::Real(column.ks?))),
    },
    Metric {
        name: "foretell_drift_alarm",
        kind: MetricKind::Gauge,
        labels: &["model", "column"],
        help: "Whether the column is far from the baseline (1)",
        read: |view| view.drift(|column| Some(Number::Count(u64::from(column.alarm)))),
    },
    Metric {
        name: "process_start_time_seconds",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "When the program was started, in seconds since 1970",
        read: |view| one(Number::Real(seconds(view.telemetry.started.0))),
    },
    Metric {
        name: "process_cpu_seconds",
        kind: MetricKind::Counter,
        labels: &[],
        help: "Processor time of all threads",
        read: |view| view.process(|process| Number::Real(process.cpu)),
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Memory in use",
        read: |view| view.process(|process| Number::Count(process.resident)),
    },
    Metric {
        name: "process_open_fds",
        kind: MetricKind::Gauge,
        labels: &[],
        help: "Open files and connections",
        read: |view| view.process(|process| Number::Count(process.files)),
    },
];

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// All metrics of a pipeline at each scrape.
#[derive(Debug)]
struct Scrape(Arc<Telemetry>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let workers = self.0.workers();
        let view = View { telemetry: &self.0, workers: &workers, process: process::read() };
        for metric in METRICS {
            let samples = (metric.read)(&view);
            if !samples.is_empty() {
                encode(&mut encoder, metric, &samples)?;
            }
        }
        Ok(())
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, metric: &Metric, samples: &[Sample]) -> Result<(), Error> {
    let kind = match metric.kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Histogram => MetricType::Histogram,
    };
    let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
    for sample in samples {
        let labels: Vec<(&str, &str)> =
            metric.labels.iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
        let mut one = family.encode_family(&labels)?;
        const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
        match (&sample.value, metric.kind) {
            (Number::Count(value), MetricKind::Counter) => one.encode_counter(value, NONE)?,
            (Number::Real(value), MetricKind::Counter) => one.encode_counter(value, NONE)?,
            (Number::Count(value), _) => one.encode_gauge(value)?,
            (Number::Real(value), _) => one.encode_gauge(value)?,
            (Number::Histogram(histogram), _) => {
                let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts).collect();
                one.encode_histogram::<NoLabelSet>(histogram.sum, histogram.counts.iter().sum(), &buckets, None)?;
            }
        }
    }
    Ok(())
}

/// How the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own text, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a scraper asks for by `Accept`.
    pub(crate) fn of(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics as text.
pub(crate) fn page(telemetry: &Arc<Telemetry>, format: Format) -> Result<String, Error> {
    let pipeline = telemetry.facts.pipeline.clone();
    let mut registry = Registry::with_labels([("pipeline".into(), pipeline.into())].into_iter());
    registry.register_collector(Box::new(Scrape(telemetry.clone())));
    let mut page = String::new();
    match format {
        Format::Prometheus => prometheus_text::encode(&mut page, &registry)?,
        Format::OpenMetrics => text::encode(&mut page, &registry)?,
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Facts, ModelFacts};

    const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");

    fn read(name: &str) -> String {
        std::fs::read_to_string(format!("{DOCS}{name}")).unwrap()
    }

    /// Names of ours in a text of queries, without a histogram's suffixes.
    fn named(text: &str) -> BTreeSet<String> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let ours = words.filter(|word| word.starts_with("foretell_") || word.starts_with("process_"));
        let bare = |word: &str| {
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            histogram.unwrap_or(word).to_string()
        };
        ours.map(bare).collect()
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_exist() {
        let listed: BTreeSet<String> = METRICS.iter().map(Metric::exposed).collect();
        for (file, least) in [("operate/alerts.yml", 8), ("operate/alerts-test.yml", 5), ("operate/dashboard.json", 12)]
        {
            let named = named(&read(file));
            assert!(named.len() >= least, "{file}: {named:?}");
            let unknown: Vec<&String> = named.difference(&listed).collect();
            assert!(unknown.is_empty(), "{file}: {unknown:?}");
        }
        // Labels that queries group by.
        let labels: BTreeSet<&str> = METRICS.iter().flat_map(|metric| metric.labels).copied().collect();
        let known = |label: &str| labels.contains(label) || ["pipeline", "instance", "le"].contains(&label);
        let mut groups = 0;
        for file in ["operate/alerts.yml", "operate/dashboard.json"] {
            for by in read(file).split(" by (").skip(1) {
                groups += 1;
                for label in by.split(')').next().unwrap().split(", ") {
                    assert!(known(label), "{file}: by ({label})");
                }
            }
        }
        assert!(groups > 15, "{groups}");
        serde_json::from_str::<serde_json::Value>(&read("operate/dashboard.json")).unwrap();
    }

    #[test]
    fn the_page_in_docs_lists_them_all() {
        let mut table = String::from("| metric | labels | |\n|---|---|---|\n");
        for metric in METRICS {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = match metric.kind {
                MetricKind::Histogram => " (histogram)",
                MetricKind::Counter | MetricKind::Gauge => "",
            };
            table += &format!("| `{}`{kind} | {} | {}. |\n", metric.exposed(), labels.join(", "), metric.help);
        }
        let page = read("operate.md");
        let (before, rest) = page.split_once("--workspace` -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        let expected = format!("{before}--workspace` -->\n{table}<!-- end -->{after}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(format!("{DOCS}operate.md"), &expected).unwrap();
            return;
        }
        assert!(page == expected, "docs/operate.md is not up to date: `UPDATE=1 cargo test --workspace` writes it");
    }

    #[test]
    fn label_values_are_escaped_and_every_sample_has_its_labels() {
        let model = ModelFacts { name: "m".into(), class: "a\"b\\c\nd".into(), sha256: "0".repeat(64), card: vec![] };
        let facts = Facts { pipeline: "p".into(), version: "1".into(), models: vec![model] };
        let telemetry = Telemetry::new(facts);
        telemetry.watch("0", Arc::default());
        let page = page(&telemetry, Format::Prometheus).unwrap();
        assert!(page.contains(r#"class="a\"b\\c\nd""#), "{page}");
        let workers = telemetry.workers();
        let view = View { telemetry: &telemetry, workers: &workers, process: process::read() };
        let mut samples = 0;
        for metric in METRICS {
            for sample in (metric.read)(&view) {
                assert_eq!(sample.labels.len(), metric.labels.len(), "{}", metric.name);
                samples += 1;
            }
        }
        assert!(samples > 8, "{samples}");
    }
}
