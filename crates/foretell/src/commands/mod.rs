//! The commands, one file or folder each.

pub(crate) mod baseline;
pub(crate) mod check;
pub(crate) mod completions;
mod data;
pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod http;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod pipeline;
pub(crate) mod positions;
pub(crate) mod predict;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod test;
