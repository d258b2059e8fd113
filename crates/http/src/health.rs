//! Whether a pipeline is alive and ready, and why not.

use std::time::Duration;

use foretell_flow::monitor::Phase;

use crate::telemetry::Telemetry;
use crate::worker::Worker;

/// A worker that computes, or asks the source, for longer without a sign of life has stopped moving. A batch takes
/// seconds; a source answers within a second, also when it has nothing.
const STALLED: Duration = Duration::from_secs(600);

/// The source is asked every two seconds how far its log reaches.
const SILENT: Duration = Duration::from_secs(15);

/// Why the process should be started again; empty where it should not. A service that is away is not a reason: a new
/// process would not reach it either.
pub fn dead(telemetry: &Telemetry) -> Vec<String> {
    telemetry.workers().iter().filter_map(stalled).collect()
}

fn stalled(worker: &Worker) -> Option<String> {
    let report = &worker.report;
    let works = matches!(report.phase, Phase::Collecting | Phase::Computing);
    (works && report.since > STALLED).then(|| {
        let seconds = report.since.as_secs();
        format!("worker {} has been {} for {seconds} s without a sign of life", worker.name, report.phase.name())
    })
}

/// Why no results arrive now; empty where they do.
pub fn unready(telemetry: &Telemetry) -> Vec<String> {
    if telemetry.is_stopping() {
        return vec!["stopping: what is under way is being finished".to_string()];
    }
    let workers = telemetry.workers();
    if workers.is_empty() {
        return vec!["starting: the source and the sinks are being opened".to_string()];
    }
    let mut reasons: Vec<String> = workers.iter().flat_map(troubles).collect();
    // One that has no partitions stands by for the others.
    if reasons.is_empty() && !workers.iter().any(|worker| worker.report.claimed) {
        let doing: Vec<String> =
            workers.iter().map(|worker| format!("worker {} is {}", worker.name, worker.report.phase.name())).collect();
        reasons.push(format!("no sink is claimed yet: {}", doing.join(", ")));
    }
    reasons
}

/// Whether the workers wait for a share of the partitions that others have.
pub fn waits(telemetry: &Telemetry) -> bool {
    let workers = telemetry.workers();
    let waits = |worker: &Worker| worker.report.phase == Phase::Assigning && troubles(worker).is_empty();
    !telemetry.is_stopping() && !workers.is_empty() && workers.iter().all(waits)
}

fn troubles(worker: &Worker) -> Vec<String> {
    let (name, report) = (&worker.name, &worker.report);
    let mut reasons: Vec<String> = stalled(worker).into_iter().collect();
    if let Some(outage) = &report.outage {
        reasons.push(format!("worker {name} tries again for {} s: {}", outage.since.as_secs(), outage.message));
    }
    for sink in &report.sinks {
        if let Some(outage) = &sink.outage {
            // The message names the sink.
            reasons.push(format!("worker {name}: away for {} s: {}", outage.since.as_secs(), outage.message));
        }
    }
    if let Some(silent) = report.silent.filter(|silent| *silent > SILENT) {
        reasons
            .push(format!("worker {name}: the source has not said for {} s how far its log reaches", silent.as_secs()));
    }
    reasons
}
