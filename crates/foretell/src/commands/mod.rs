pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod positions;
pub(crate) mod run;
