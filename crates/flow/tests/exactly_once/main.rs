//! The run loop against sources and sinks in memory: every record is in every sink exactly once, in order, made with the
//! same plan in all of them, whatever fails, is killed, or is changed in the pipeline file in between.

mod edits;
mod faults;
mod memory;
