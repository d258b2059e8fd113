//! Does foretell do what users need? The built binary, on real Kafka, HDFS, MariaDB, PostgreSQL, S3 and netcat.
//!
//! `cases.rs` runs the folders in `cases/`: a pipeline, its input, what must be in each sink afterwards. The other
//! modules are about behaviour over time: crashes, signals, workers, errors at start. Every test uses names of its own,
//! so that all of them run at once. Where a service is missing the test fails.

#![forbid(unsafe_code)]

mod cases;
mod console;
mod crash;
mod dead_letters;
mod edits;
mod files;
mod groups;
mod harness;
mod http;
mod kerberos;
mod mlflow;
mod outages;
mod page;
mod positions;
mod privacy;
mod registry;
mod reload;
mod signals;
mod socket;
mod start;
mod tables;
mod triton;
mod workers;
