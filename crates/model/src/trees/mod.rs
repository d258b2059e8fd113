//! Ensembles of decision trees of every library: what a file says (`ir`), whether that can be scored (`check`), the
//! shape it is scored in (`plan`) and the loops that do it (`kernel`).

mod check;
mod ir;
mod kernel;
mod plan;

pub(crate) use ir::{Ensemble, NONE, Node, Rule, Tree};
pub(crate) use plan::Plan;
