//! The commands, one file or folder each.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod inspect;
pub(crate) mod positions;
pub(crate) mod predict;
pub(crate) mod run;
pub(crate) mod schema;
