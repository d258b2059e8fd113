//! Arithmetic in the libraries' own order and precision.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "columns of equal lengths, and floats")]

pub(crate) mod float32;
pub(crate) mod normal;
pub(crate) mod scaling;
pub(crate) mod scores;
pub(crate) mod solve;
pub(crate) mod special;
