//! Texts become terms as scikit-learn's vectorizers find them in Python.

mod analyzer;
pub(crate) mod ascii;
mod hash;
mod md5;
mod pattern;
mod stop_words;
mod words;
pub(crate) mod written;

pub(crate) use analyzer::Analyzer;
pub(crate) use hash::{murmur3, place};
pub(crate) use md5::md5;
pub(crate) use pattern::{Pattern, Replacement};
pub(crate) use words::is_space;
