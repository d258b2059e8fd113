//! What every sink and every source must hold to, as tests that each of them runs.
//!
//! An implementation says how it is opened and how what landed is read; [`sinks::run`] and [`sources::run`] do the rest,
//! and panic where the contract of [`Sink`](crate::Sink) or [`Source`](crate::Source) is broken.

mod broken;
mod crash;
pub mod sinks;
pub mod sources;

pub(crate) use broken::is_broken;
pub use broken::{BrokenStep, break_step};
pub use crash::{CRASH_POINTS, CRASH_VARIABLE, crash_point};
