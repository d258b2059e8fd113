//! How is it seen from outside?
//!
//! A running pipeline over HTTP: metrics for Prometheus, whether it is alive and ready, and a page for people. This is
//! the only crate that knows axum and prometheus-client. It reads what the run loop's monitors keep and changes nothing:
//! every route but a model's is a GET, no record's value and no secret is in any answer, and the number of time series is bounded by
//! what the pipeline file names, by partitions, and by the reasons that the run loop counts apart.

#![forbid(unsafe_code)]

mod health;
mod history;
mod insight;
mod metrics;
mod process;
mod scoring;
mod server;
mod settings;
mod status;
mod telemetry;
mod worker;

pub use health::{dead, unready, waits};
pub use insight::{ColumnReport, DriftReport, Insight, ShadowReport};
pub use metrics::{METRICS, Metric, MetricKind};
pub use scoring::{Answer, Asked, Scoring, serve_models};
pub use server::{bind, serve};
pub use settings::{Settings, parse_address};
pub use telemetry::{Facts, ModelFacts, Telemetry};
