//! The pipeline's state as JSON, for the page.

use std::time::Duration;

use foretell_flow::monitor::{Histogram, SinkReport};
use serde_json::{Value, json};

use crate::health;
use crate::insight::{ColumnReport, DriftReport, ShadowReport};
use crate::telemetry::{Telemetry, lock};
use crate::worker::Worker;

/// Everything that the page shows.
pub(crate) fn json(telemetry: &Telemetry) -> Value {
    let workers = telemetry.workers();
    let facts = &telemetry.facts;
    let models: Vec<Value> = (telemetry.models().iter())
        .map(|model| json!({ "name": model.name, "class": model.class, "sha256": model.sha256, "card": model.card }))
        .collect();
    let mut bad: Vec<Value> = Vec::new();
    let mut recent: Vec<(Duration, Value)> = Vec::new();
    let (mut decode, mut query, mut batch) = (Histogram::default(), Histogram::default(), Histogram::default());
    for worker in &workers {
        let report = &worker.report;
        bad.extend(
            report.bad.iter().map(|bad| json!({ "stage": bad.stage, "reason": bad.reason, "records": bad.records })),
        );
        recent.extend(
            report
                .recent
                .iter()
                .map(|bad| (bad.age, json!({ "age": bad.age.as_secs(), "place": bad.place, "why": bad.why }))),
        );
        decode.merge(&report.decode);
        query.merge(&report.query);
        batch.merge(&report.batch);
    }
    recent.sort_by_key(|(age, _)| *age);
    let recent: Vec<Value> = recent.into_iter().map(|(_, bad)| bad).collect();
    let insight = telemetry.insight();
    let lag: Option<i64> = workers.iter().map(|worker| worker.counts.lag).sum();
    json!({
        "pipeline": facts.pipeline,
        "version": facts.version,
        "running_s": telemetry.started.1.elapsed().as_secs(),
        "models": models,
        "shadows": insight.iter().flat_map(|insight| insight.shadows()).map(|report| shadow(&report)).collect::<Vec<_>>(),
        "drift": insight.iter().flat_map(|insight| insight.drifts()).map(|report| drift(&report)).collect::<Vec<_>>(),
        "dead": health::dead(telemetry),
        "unready": health::unready(telemetry),
        "records": workers.iter().map(|worker| worker.counts.records).sum::<u64>(),
        "bad_records": workers.iter().map(|worker| worker.counts.bad).sum::<u64>(),
        "rejected_rows": workers.iter().map(|worker| worker.counts.rejected).sum::<u64>(),
        "lag": if workers.is_empty() { None } else { lag },
        "mean_ms": { "decode": mean_ms(&decode), "query": mean_ms(&query), "batch": mean_ms(&batch) },
        "workers": workers.iter().map(worker).collect::<Vec<_>>(),
        "bad": bad,
        "recent": recent,
        "history": lock(&telemetry.history).json(),
    })
}

fn worker(worker: &Worker) -> Value {
    let report = &worker.report;
    json!({
        "name": worker.name,
        "phase": report.phase.name(),
        "since_s": report.since.as_secs(),
        "claimed": report.claimed,
        "leftover_plans": report.leftover,
        "batches_in_flight": report.batches,
        "bytes_in_flight": report.bytes,
        "sinks": report.sinks.iter().map(sink).collect::<Vec<_>>(),
    })
}

fn shadow(report: &ShadowReport) -> Value {
    let compared = report.same + report.different;
    let numbers = report.difference.filter(|_| compared > 0);
    json!({
        "model": report.model, "shadow": report.shadow,
        "same": report.same, "different": report.different,
        "refused": report.refused, "failed": report.failed, "skipped": report.skipped,
        "mean_difference": numbers.map(|(sum, _)| sum / compared as f64),
        "largest_difference": numbers.map(|(_, largest)| largest),
        "champion_ms": mean_ms(&report.champion), "challenger_ms": mean_ms(&report.challenger),
    })
}

fn drift(report: &DriftReport) -> Value {
    let column = |column: &ColumnReport| {
        json!({
            "name": column.name, "psi": column.psi, "ks": column.ks, "alarm": column.alarm, "edges": column.edges,
            "before": column.before, "now": column.now,
        })
    };
    json!({
        "model": report.model, "baseline_rows": report.baseline, "rows": report.rows, "window": report.window,
        "columns": report.columns.iter().map(column).collect::<Vec<_>>(),
    })
}

fn sink(sink: &SinkReport) -> Value {
    let positions: Vec<Value> = (sink.positions.iter())
        .map(|(partition, next)| json!({ "topic": &*partition.topic, "partition": partition.index, "next": next }))
        .collect();
    json!({
        "name": sink.name,
        "positions": positions,
        "stored_s": sink.stored.map(|ago| ago.as_secs()),
        "waiting_records": sink.waiting,
        "rejected_rows": sink.rejected,
        "outage": sink.outage.as_ref().map(|outage| json!({ "message": outage.message, "for_s": outage.since.as_secs() })),
        "write_ms": mean_ms(&sink.writes),
    })
}

fn mean_ms(histogram: &Histogram) -> Option<f64> {
    let count: u64 = histogram.counts.iter().sum();
    (count > 0).then(|| histogram.sum * 1000.0 / count as f64)
}
