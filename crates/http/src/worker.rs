//! A worker, as every view of it is made from.

use foretell_flow::Snapshot;
use foretell_flow::monitor::WorkerReport;

/// A worker at one moment.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) counts: Snapshot,
    pub(crate) report: WorkerReport,
}
