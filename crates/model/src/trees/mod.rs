//! Ensembles of decision trees of every library: what a file says (`ir`), whether that can be scored (`check`), the
//! shape it is scored in (`plan`), the loops that do it (`kernel`), why they say it (`explain`), where rows end (`landing`), and what each feature did in training (`uses`).

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "trees are checked before they are lowered"
)]

mod check;
mod explain;
mod ir;
mod kernel;
mod landing;
mod plan;
mod uses;

pub(crate) use explain::Explainer;
pub(crate) use ir::{Ensemble, NONE, Node, Rule, Tree};
pub(crate) use landing::{Landing, Numbers};
pub(crate) use plan::Plan;
pub(crate) use uses::Gain;
