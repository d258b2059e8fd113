//! The loops that add trees to sums, tree after tree, so that sums round as the library's do.

mod ranks;
#[cfg(test)]
mod tests;
mod walk;
mod ways;

pub(super) use ranks::{BLOCK, Ranks, Searched, Summand, Work};
pub(super) use walk::{Keyed, Walk};
pub(super) use ways::{Edge, LANES, Lane, Point, Ways};
