//! Where from, where to?
//!
//! Sources, decoders, sinks and the storage beneath them: one file (or folder) a component, listed in
//! [`source::SOURCES`], [`decode::DECODERS`] and [`sink::SINKS`]. A component is its settings (what the pipeline file
//! says), `open()` (which resolves them against the real service) and the stage trait of `foretell-flow` that it
//! implements. This crate knows no SQL query, no model and no command line.

pub mod decode;
pub mod human;
pub mod kafka;
pub mod kind;
mod machine;
pub mod sink;
pub mod source;
pub mod storage;
pub mod table;
