//! Arithmetic in the libraries' own order and precision.

pub(crate) mod float32;
pub(crate) mod normal;
pub(crate) mod scores;
