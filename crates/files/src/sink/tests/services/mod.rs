//! What needs a real HDFS beside a temporary folder.

mod crash;
mod exact;
mod hdfs;
